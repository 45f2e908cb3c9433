"""Explain why a value breaks a JSON Schema, in our words: jsonschema's own messages print whole values."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import jsonschema
import jsonschema_rs
import referencing
from jsonschema import validators
from msgspec.structs import replace

from reconciler.credentials.redaction import key_text, shown, shown_path
from reconciler.manifest import rules
from reconciler.manifest.problems import Problem, foreign
from reconciler.patterns import matcher
from reconciler.texts import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jsonschema.exceptions import ValidationError

    from reconciler.diagnostics import Rule

    # An error's parts are typed as perhaps unset, which they never are after `iter_errors`: hence Any.
    _Sentence = Callable[[Any, tuple[str | int, ...]], str]

MAX_VIOLATIONS = 10_000
"""Violations a document: nobody reads more."""
_LONGEST_WORDS = 1_000
"""Characters of a schema's own message or hint."""
_MOST_MISSPELT = 32
"""Unknown keys of a mapping that are looked at as misspellings of missing ones."""
_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping",
    "string": "a string",
}


def explain(schema: dict[str, Any] | bool, value: Any) -> list[Problem]:
    """Return every way in which `value` breaks `schema`, at least one.

    The caller knows that it does. Where jsonschema disagrees, or gives up (a policy may refer to itself
    without end, or hold a regular expression that Python does not know), one general violation says so.
    """
    general = Problem(rules.WRONG_FORM, "the document does not satisfy its schema")
    try:
        return find_violations(schema, value) or [general]
    except (RecursionError, re.error):
        return [general]


def find_violations(schema: dict[str, Any] | bool, value: Any) -> list[Problem]:
    """Return every way in which `value` breaks `schema`, as jsonschema sees it, up to a limit."""
    # An empty registry: nothing is ever fetched.
    validator = _Validator(schema, registry=referencing.Registry())
    found = (
        _in_own_words(violation, error.schema)
        for error in validator.iter_errors(value)
        for violation in _translate(error)
    )
    first = islice(found, MAX_VIOLATIONS)
    unique = {(violation.path, violation.message): violation for violation in first}
    # The allowed values say more than their type.
    valued = {violation.path for violation in unique.values() if violation.rule is rules.WRONG_VALUE}
    return [each for each in unique.values() if not (each.rule is rules.WRONG_TYPE and each.path in valued)]


def _in_own_words(violation: Problem, schema: Any) -> Problem:
    """Return a violation with the message and hint that a schema gives itself, as a policy may."""
    words = schema.get("errorMessage") if isinstance(schema, dict) else None
    if not isinstance(words, str):
        return violation
    description = schema.get("description")
    hint = description[:_LONGEST_WORDS] if isinstance(description, str) else None
    return replace(violation, message=words[:_LONGEST_WORDS], hint=hint)


def _translate(error: Any) -> Iterator[Problem]:
    """Yield what one of jsonschema's errors says."""
    path = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path and isinstance(error.instance, str):
        message = f"the key `{key_text(error.instance)}` is not allowed in {_name(path)}"
        yield Problem(rules.WRONG_FORM, message, (*path, error.instance), _hint(error), at_key=True)
    elif error.validator == "additionalProperties":
        yield from _unknown_keys(error, path)
    elif error.validator == "required":
        yield from _missing_keys(error, path)
    else:
        rule, say = _SENTENCES.get(str(error.validator), _OTHER)
        yield Problem(rule, say(error, path), path, _hint(error, rule))


def _unknown_keys(error: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """Yield the keys that a mapping must not have."""
    known = list(error.schema.get("properties", {}))
    for key in error.instance:
        message = f"the key `{key_text(key)}`{foreign(key)} is not known" + (
            f" in {_name(path)}" if path else ""
        )
        yield Problem(rules.UNKNOWN_KEY, message, (*path, key), _key_hint(key, known), at_key=True)


def _key_hint(key: str, known: list[str]) -> str | None:
    """Return what an unknown key may have been meant to be."""
    if key == "<<":
        return "merge keys are not supported; write the keys out"
    if similar := suggestion(key, known):
        return f"did you mean `{similar}`?"
    return "known keys: " + ", ".join(f"`{name}`" for name in known) if known else None


def _missing_keys(error: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """Yield every required key that a mapping lacks: each of jsonschema's errors stands for one of them.

    A key that an unknown key is a misspelling of is left out: that one is reported already.
    """
    meant = set()
    if error.schema.get("additionalProperties") is False:
        known = list(error.schema.get("properties", {}))
        unknown = (key for key in error.instance if key not in known)
        meant = {suggestion(key, known) for key in islice(unknown, _MOST_MISSPELT)}
    for key in error.validator_value:
        if key not in error.instance and key not in meant:
            message = f"the key `{key}` is missing" + (f" in {_name(path)}" if path else "")
            yield Problem(rules.MISSING_KEY, message, path, at_key=True)


def _type(error: Any, path: tuple[str | int, ...]) -> str:
    """Say which type a value should have."""
    wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    kinds = " or ".join(_KINDS.get(kind, str(kind)) for kind in wanted)
    return f"{_name(path)} must be {kinds}, but {_described(error.instance, path)}"


def _described(value: Any, path: tuple[str | int, ...]) -> str:
    """Say what a value is instead."""
    if isinstance(value, dict):
        return "is a mapping"
    if isinstance(value, list):
        return "is a list"
    kind = _scalar_kind(value)
    quoted = shown(value, path)
    return f"{quoted} is {kind}" if quoted and value is not None else f"is {kind}"


def _scalar_kind(value: Any) -> str:
    """Return the YAML type of a scalar."""
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    return "a whole number" if isinstance(value, int) else "a number"


def _one_of(error: Any, path: tuple[str | int, ...]) -> str:
    """Say which values are allowed."""
    texts = (value if isinstance(value, str) else json.dumps(value) for value in _allowed(error))
    quoted = None if isinstance(error.instance, dict | list) else shown(error.instance, path)
    but = f", not {quoted}" if quoted else ""
    return f"{_name(path)} must be {' or '.join(f'`{text}`' for text in texts)}{but}"


def _allowed(error: Any) -> list[Any]:
    """Return the values that `enum` or `const` allows."""
    return list(error.validator_value) if error.validator == "enum" else [error.validator_value]


def _form(error: Any, path: tuple[str | int, ...]) -> str:
    """Say that a value does not have the required form."""
    quoted = shown(error.instance, path)
    return f"{_name(path)} does not have the required form" + (
        f": {quoted}{foreign(error.instance)}" if quoted else ""
    )


def _limit(words: str, noun: str = "", plural: str = "") -> _Sentence:
    """Return a function that says which limit is exceeded."""

    def say(error: Any, path: tuple[str | int, ...]) -> str:
        limit = error.validator_value
        return f"{_name(path)} must {words} {limit} {noun if limit == 1 else plural}".rstrip()

    return say


def _surplus(_error: Any, path: tuple[str | int, ...]) -> str:
    """Say that a value has something that the schema refuses in any form."""
    return f"{_name(path)} is, or has, something that is not allowed"


_SENTENCES: dict[str, tuple[Rule, _Sentence]] = {
    "type": (rules.WRONG_TYPE, _type),
    "enum": (rules.WRONG_VALUE, _one_of),
    "const": (rules.WRONG_VALUE, _one_of),
    "pattern": (rules.WRONG_FORM, _form),
    "minLength": (rules.WRONG_FORM, _limit("have at least", "character", "characters")),
    "maxLength": (rules.WRONG_FORM, _limit("have at most", "character", "characters")),
    "minimum": (rules.WRONG_FORM, _limit("be at least")),
    "maximum": (rules.WRONG_FORM, _limit("be at most")),
    "minItems": (rules.WRONG_COUNT, _limit("have at least", "entry", "entries")),
    "maxItems": (rules.WRONG_COUNT, _limit("have at most", "entry", "entries")),
    "minProperties": (rules.WRONG_COUNT, _limit("have at least", "entry", "entries")),
    "maxProperties": (rules.WRONG_COUNT, _limit("have at most", "entry", "entries")),
    "uniqueItems": (rules.WRONG_COUNT, lambda _, path: f"{_name(path)} has a duplicate entry"),
    "unevaluatedProperties": (rules.UNKNOWN_KEY, _surplus),
    # The schema `false`.
    "None": (rules.WRONG_FORM, _surplus),
}
_OTHER: tuple[Rule, _Sentence] = (
    rules.WRONG_FORM,
    lambda error, path: f"{_name(path)} does not satisfy `{error.validator}` of the schema",
)


def _hint(error: Any, rule: Rule | None = None) -> str | None:
    """Return what helps: quotation marks, or the description in the schema."""
    schema = error.schema if isinstance(error.schema, dict) else {}
    scalar = error.instance is not None and not isinstance(error.instance, dict | list | str)
    if rule is rules.WRONG_TYPE and scalar and error.validator_value == "string":
        # Quotes help only where the text is then right.
        if matcher(schema.get("pattern", ""))(str(error.instance)):
            return "put the value in quotes to make it a string"
    elif rule is rules.WRONG_TYPE and error.validator_value == "boolean" and isinstance(error.instance, str):
        word = error.instance.lower()
        if word in {"true", "false"}:
            return f"write `{word}` without quotes"
        if word in {"yes", "no", "on", "off"}:
            return "write `true` or `false`: in YAML 1.2 the others are strings"
    elif rule is rules.WRONG_VALUE and isinstance(error.instance, str):
        known = [value for value in _allowed(error) if isinstance(value, str)]
        if similar := suggestion(error.instance, known):
            return f"did you mean `{similar}`?"
    description = schema.get("description")
    return description if isinstance(description, str) else None


def _name(path: tuple[str | int, ...]) -> str:
    """Return what a path means in a sentence."""
    return shown_path(path) if path else "the document"


# jsonschema with keywords of our own: patterns of ECMA 262, and linear time.
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
    """Check `additionalProperties`; an error's instance has only the surplus keys."""
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
    """Check `uniqueItems`: jsonschema's own check takes quadratic time."""
    if unique and validator.is_type(instance, "array") and not _IS_UNIQUE(instance):
        yield jsonschema.ValidationError("repeated")


_Validator: Any = validators.extend(  # type: ignore[no-untyped-call] # the stubs lack it
    jsonschema.Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    },
)
