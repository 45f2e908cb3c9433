"""The organization's policy: a JSON Schema for every manifest, and caps on their number."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from reconciler.manifest import rules
from reconciler.manifest.files import Unreadable, display_path, read_file
from reconciler.manifest.lint.policy_process import Job, OverBudget, policy_process
from reconciler.manifest.problems import Problem, Source
from reconciler.manifest.schema import Schema
from reconciler.manifest.yaml.errors import Span, YamlRefused
from reconciler.manifest.yaml.parsing import parse
from reconciler.model import Location

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Sequence

    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.lint.policy_process import PolicyProcess
    from reconciler.manifest.yaml.parsing import YamlDocument

_START = Span(1, 1)
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
    """How many manifests of an organization may satisfy a schema."""

    def __init__(self, declared: dict[str, Any]) -> None:
        """Count nothing yet; `declared` has the form of a cap."""
        self.where = declared["where"]
        self._most = int(declared["atMost"])
        self._declared = declared
        self._counted: list[tuple[Source, YamlDocument]] = []
        self._total = 0

    def count(self, source: Source, document: YamlDocument) -> None:
        """Count a manifest that satisfies the schema."""
        self._total += 1
        # The report is at the first one beyond the cap, and lists those before it.
        if len(self._counted) <= self._most:
            self._counted.append((source, document))

    def problem(self) -> Diagnostic | None:
        """Return the diagnostic for a cap that is exceeded, at the first manifest beyond it."""
        if self._total <= self._most:
            return None
        source, document = self._counted[self._most]
        others = self._counted[: min(self._most, _MOST_PLACES)]
        words = self._declared.get("errorMessage", "too many manifests match a cap of the policy")
        message = f"{words}: {self._total} match, and at most {self._most} are allowed"
        hint = self._declared.get("description")
        problem = Problem(rules.POLICY, message, _focus(self.where, document.value), hint)
        also = (s.related(d, _focus(self.where, d.value), "this one counts, too") for s, d in others)
        return source.diagnostic(problem, document, tuple(also))


class Policy:
    """A compiled policy, which a process of its own evaluates within limits."""

    def __init__(self, source: Source, job: Job, caps: Sequence[Cap], process: PolicyProcess) -> None:
        self._source = source
        self._job = job
        self._caps = caps
        self._process = process
        self._over_budget: Diagnostic | None = None

    def check(
        self,
        source: Source,
        document: YamlDocument,
        reported: Collection[tuple[str | int, ...]] = (),
        *,
        counts: bool = False,
    ) -> list[Problem]:
        """Return how a manifest breaks the policy.

        Args:
            source: its file.
            document: the manifest.
            reported: paths about which nothing more is reported.
            counts: whether it counts for the caps.
        """
        if self._over_budget is not None:
            return []
        try:
            result = self._process.evaluate(self._job, document.value)
        except OverBudget as over:
            place = Location(source.path, document.line)
            self._over_budget = _over_budget(self._source, over, f" for the manifest at {place}")
            return []
        if counts:
            for number in result["caps"]:
                self._caps[number].count(source, document)
        problems = (
            Problem(rules.POLICY, sys.intern(message), tuple(path), hint and sys.intern(hint), at_key)
            for message, path, hint, at_key in result["problems"]
        )
        return [each for each in problems if each.path not in reported]

    def exceeded(self) -> list[Diagnostic]:
        """Return the caps that all manifests together exceed; or that the policy exceeds its own limits."""
        if self._over_budget is not None:
            return [self._over_budget]
        return [problem for cap in self._caps if (problem := cap.problem())]


def read_policy(path: str | os.PathLike[str], process: PolicyProcess | None = None) -> Policy | Diagnostic:
    """Return the policy at `path`, compiled; or why it cannot be used.

    Args:
        path: a JSON file.
        process: what evaluates it; None: the one that all policies share.
    """
    name = display_path(str(path))
    content = read_file(str(path))
    source = Source(name, b"" if isinstance(content, Unreadable) else content)
    if isinstance(content, Unreadable):
        message = f"the policy cannot be read: {content.message}"
        return source.note(rules.POLICY_UNUSABLE, message, Location(name), content.hint)
    schema = _parse(content, source)
    if not isinstance(schema, dict):
        return schema
    declared = schema.get(_CAPS, [])
    if not _CAPS_FORM.accepts(declared):
        message = f"the policy's `{_CAPS}` is not a list of caps"
        hint = "each cap has `where`, a JSON Schema, and `atMost`, a whole number"
        return source.at(rules.POLICY_UNUSABLE, message, _place(content, (_CAPS,)), hint)
    return _compile(source, content, schema, tuple(map(Cap, declared)), process or policy_process())


def _compile(
    source: Source, content: bytes, schema: dict[str, Any], caps: tuple[Cap, ...], process: PolicyProcess
) -> Policy | Diagnostic:
    job = Job(schema, [cap.where for cap in caps])
    try:
        unusable = process.compile(job)
    except OverBudget as over:
        return _over_budget(source, over)
    except RecursionError:
        return source.at(rules.POLICY_UNUSABLE, "the policy is nested too deep", _START)
    if unusable:
        span = _place(content, tuple(unusable["path"]))
        return source.at(rules.POLICY_UNUSABLE, unusable["message"], span, unusable["hint"])
    return Policy(source, job, caps, process)


def _over_budget(source: Source, over: OverBudget, where: str = "") -> Diagnostic:
    message = f"the policy needs {over}{where}"
    hint = (
        "simplify it: `$ref` to schemas that use `$ref` again, and `anyOf` within `anyOf`, multiply the work"
    )
    return source.at(rules.POLICY_UNUSABLE, message, _START, hint)


def _parse(content: bytes, source: Source) -> dict[str, Any] | Diagnostic:
    """Return a policy's JSON object; or why it has none."""
    try:
        schema = json.loads(content)
    except json.JSONDecodeError as error:
        message = f"the policy is not JSON: {error.msg.lower()}"
        return source.at(rules.POLICY_UNUSABLE, message, Span(error.lineno, error.colno))
    except (ValueError, RecursionError):
        return source.at(rules.POLICY_UNUSABLE, "the policy is not JSON", _START)
    if isinstance(schema, dict):
        return schema
    return source.at(rules.POLICY_UNUSABLE, "the policy is not a JSON object", _START)


def _place(content: bytes, path: tuple[str | int, ...]) -> Span:
    """Return the position of `path` in a JSON file. JSON is YAML, and our YAML parser knows positions."""
    try:
        document = next(parse(content))
    except YamlRefused:
        return _START
    return _START if document.problems else document.span(path)


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
