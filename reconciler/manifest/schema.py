"""Validate values with JSON Schema: a fast yes or no, and an explanation of each no.

jsonschema-rs takes 2 to 3 µs for a manifest but gives errors without the schema around them. jsonschema takes
a hundred times as long, and its import takes 100 ms: it is imported only when there is something to explain.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from reconciler.credentials.detector import looks_secret
from reconciler.errors import InvalidInput
from reconciler.schemas import SchemaName, schema_text

if TYPE_CHECKING:
    from reconciler.manifest.problems import Problem

_LONGEST_REASON = 200


class SchemaUnusable(InvalidInput):
    """A value is not a usable JSON Schema."""

    def __init__(self, reason: str, path: tuple[str | int, ...] = ()) -> None:
        """Keep the `path` to what is wrong, where it is known."""
        super().__init__(f"it is not a usable JSON Schema: {reason}")
        self._reason = reason
        self.path = path

    def at(self, path: tuple[str | int, ...]) -> SchemaUnusable:
        """Return the same about a schema that is a part of something else."""
        return SchemaUnusable(self._reason, path)


class Schema:
    """A JSON Schema (draft 2020-12), compiled once."""

    def __init__(self, schema: dict[str, Any] | bool) -> None:
        """Compile `schema`. It may refer only to itself: nothing is fetched.

        Raises:
            SchemaUnusable: it is not a valid schema, or refers to something outside.
        """
        self._schema = schema
        try:
            self._fast = jsonschema_rs.Draft202012Validator(schema, offline=True)
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            # The first line says what is wrong, the others print the instance; both may quote at length.
            reason = str(error).partition("\n")[0][:_LONGEST_REASON]
            if looks_secret(reason):
                reason = "a value is not allowed"
            raise SchemaUnusable(reason, tuple(getattr(error, "instance_path", ()))) from None

    def accepts(self, value: Any) -> bool:
        """Return whether `value`, as `parse` returned it, satisfies the schema."""
        return self._fast.is_valid(value)

    def explain(self, value: Any) -> list[Problem]:
        """Return every way in which `value` breaks the schema: at least one if it is not accepted."""
        from reconciler.manifest.explain import explain  # noqa: PLC0415 - costs 100 ms, and most runs never need it

        return explain(self._schema, value)


@cache
def packaged_schema(name: SchemaName) -> Schema:
    """Return one of our own schemas, compiled."""
    return Schema(json.loads(schema_text(name)))
