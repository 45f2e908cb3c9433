"""Resolve plain scalars with the YAML 1.2 core schema (section 10.3.2)."""

from __future__ import annotations

import re

MAX_NUMBER = 64
"""Characters of a number."""
CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
TYPED_START = frozenset("0123456789+-.~nNtTfF") | {""}
"""What plain scalars that are not strings begin with; "" for the empty one."""
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BASES = {"0o": 8, "0x": 16}


class NumberTooLong(Exception):
    """A number has too many characters; Python's own limit would raise later."""


def plain_value(text: str) -> str | bool | float | None:
    """Return the value of a plain scalar.

    Raises:
        NumberTooLong: it is a number of more than 64 characters.
    """
    if text in CONSTANTS:
        return CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        _require_short(text)
        return int(text, _BASES.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        _require_short(text)
        return float(text)
    if special := _SPECIAL_FLOAT.fullmatch(text):
        return float("nan") if special[1] is None else float(f"{special[1]}inf")
    return text


def _require_short(number: str) -> None:
    """Raise `NumberTooLong` if a number is too long."""
    if len(number) > MAX_NUMBER:
        raise NumberTooLong
