"""The organization's own rules: a JSON Schema for every manifest, and caps on all of them together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from reconciler.errors import InvalidInput
from reconciler.manifest import rules
from reconciler.manifest.files import Unreadable, read_file
from reconciler.manifest.schema import Schema
from reconciler.model import Location

if TYPE_CHECKING:
    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.document import YamlDocument
    from reconciler.manifest.source import Source

_CAPS = "x-caps"
_CAPS_FORM = Schema(
    {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["where", "atMost"],
            "additionalProperties": False,
            "properties": {
                "where": {"type": ["object", "boolean"]},
                "atMost": {"type": "integer", "minimum": 0},
                "description": {"type": "string"},
                "errorMessage": {"type": "string"},
            },
        },
    }
)
_MOST_PLACES = 10
"""Other manifests that a diagnostic names."""


class Cap:
    """How many manifests of an organization may satisfy a schema: what a schema of one cannot say."""

    def __init__(self, declared: dict[str, Any], definitions: Any) -> None:
        """Compile what a policy declares.

        Args:
            declared: has the form of a cap.
            definitions: the policy's `$defs`, to which `where` may refer.

        Raises:
            InvalidInput: `where` is no usable schema.
        """
        self._where = declared["where"]
        self._schema = Schema({"$defs": definitions, "allOf": [self._where]})
        self._most = int(declared["atMost"])
        self._declared = declared
        self._counted: list[tuple[Source, YamlDocument]] = []
        self._total = 0

    def count(self, source: Source, document: YamlDocument) -> None:
        """Count a manifest, if the cap is about it."""
        if not self._schema.accepts(document.value):
            return
        self._total += 1
        # The first beyond the cap is the one to report, and the places of those before it are told.
        if len(self._counted) <= self._most:
            self._counted.append((source, document))

    def problem(self) -> Diagnostic | None:
        """Return the diagnostic for a cap that is exceeded, at the first manifest beyond it."""
        if self._total <= self._most:
            return None
        source, document = self._counted[self._most]
        others = self._counted[: min(self._most, _MOST_PLACES)]
        words = self._declared.get("errorMessage", "too many manifests match a cap of the policy")
        message = f"{words}: there are {self._total}, and at most {self._most} may be"
        return source.finding(
            rules.POLICY,
            message,
            document,
            _focus(self._where, document.value),
            self._declared.get("description"),
            tuple(Location(s.path, *d.place(_focus(self._where, d.value))) for s, d in others),
        )


class Policy:
    """A policy, compiled."""

    def __init__(self, schema: Schema, caps: tuple[Cap, ...] = ()) -> None:
        self._schema = schema
        self._caps = caps

    def check(self, source: Source, document: YamlDocument) -> list[Diagnostic]:
        """Return how a manifest breaks the policy, and count it for the caps."""
        for cap in self._caps:
            cap.count(source, document)
        if self._schema.accepts(document.value):
            return []
        violations = self._schema.explain(document.value)
        return [source.violation(each, document, rules.POLICY) for each in violations]

    def exceeded(self) -> list[Diagnostic]:
        """Return the caps that all manifests together exceed."""
        return [problem for cap in self._caps if (problem := cap.problem())]


def read_policy(path: str) -> Policy:
    """Return the policy at `path`, compiled.

    Raises:
        InvalidInput: the file cannot be read, or is no JSON Schema that stands on its own.
    """
    content = read_file(path)
    if isinstance(content, Unreadable):
        raise InvalidInput(f"the policy cannot be read: {content.message}", hint=content.hint)
    try:
        schema = json.loads(content)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise InvalidInput(f"the policy is not JSON: {error.msg.lower()} at {at}") from None
    except (ValueError, RecursionError):
        raise InvalidInput("the policy is not JSON") from None
    if not isinstance(schema, dict):
        raise InvalidInput("the policy is no JSON object")
    compiled = Schema(schema)
    declared = schema.get(_CAPS, [])
    if not _CAPS_FORM.accepts(declared):
        hint = "each cap has `where`, a JSON Schema, and `atMost`, a whole number"
        raise InvalidInput(f"the policy's `{_CAPS}` are no list of caps", hint=hint)
    return Policy(compiled, tuple(Cap(each, schema.get("$defs", {})) for each in declared))


def _focus(schema: Any, value: Any) -> tuple[str | int, ...]:
    """Return the path of what a schema looks at in a value: as far as it names one property, or an entry."""
    path: list[str | int] = []
    while isinstance(schema, dict):
        properties = schema.get("properties")
        entry = schema.get("contains")
        if isinstance(properties, dict) and len(properties) == 1 and isinstance(value, dict):
            ((name, schema),) = properties.items()
            value = value.get(name)
            path.append(name)
        elif isinstance(entry, dict) and isinstance(value, list) and entry.get("const") in value:
            path.append(value.index(entry["const"]))
            break
        else:
            break
    return tuple(path)
