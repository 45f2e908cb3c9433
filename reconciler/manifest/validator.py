"""jsonschema with keywords of our own: patterns of ECMA 262, and times that do not grow with the square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema
import jsonschema_rs
from jsonschema import validators

from reconciler.patterns import matcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema.exceptions import ValidationError


_IS_UNIQUE = jsonschema_rs.Draft202012Validator({"uniqueItems": True}).is_valid


def _pattern(validator: Any, pattern: str, instance: Any, _schema: object) -> Iterator[ValidationError]:
    """Check `pattern`."""
    if validator.is_type(instance, "string") and not matcher(pattern)(instance):
        yield jsonschema.ValidationError("pattern")


def _pattern_properties(
    validator: Any, by_pattern: Mapping[str, Any], instance: Any, _schema: object
) -> Iterator[ValidationError]:
    """Check `patternProperties`."""
    if not validator.is_type(instance, "object"):
        return
    for pattern, schema in by_pattern.items():
        for key in filter(matcher(pattern), instance):
            yield from validator.descend(instance[key], schema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, additional: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """Check `additionalProperties`; an error's instance has only the keys that are too much."""
    if not validator.is_type(instance, "object"):
        return
    known = schema.get("properties", {})
    matchers = [matcher(pattern) for pattern in schema.get("patternProperties", {})]
    extra = [key for key in instance if key not in known and not any(matches(key) for matches in matchers)]
    if additional is False and extra:
        yield jsonschema.ValidationError("keys", instance={key: instance[key] for key in extra})
    elif additional is not False:
        for key in extra:
            yield from validator.descend(instance[key], additional, path=key)


def _unique_items(validator: Any, unique: bool, instance: Any, _schema: object) -> Iterator[ValidationError]:
    """Check `uniqueItems`: jsonschema's own way takes a time that grows with the square of the entries."""
    if unique and validator.is_type(instance, "array") and not _IS_UNIQUE(instance):
        yield jsonschema.ValidationError("repeated")


Validator: Any = validators.extend(  # type: ignore[no-untyped-call] # the stubs lack it
    jsonschema.Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    },
)
