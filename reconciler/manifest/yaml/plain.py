"""Parse the plain style that most manifests have, line by line, in a third of the time that nodes take.

This knows a small subset of YAML: ASCII, block mappings with plain keys, values on their key's line
(plain, quoted without escapes, or a flow collection of plain words), lists of such values, comments on
lines of their own. It leaves everything else to libyaml, and a property test compares the two. It returns
values only: `parsing` composes a document when a position in it is needed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

# Runs without space, colon and `#`, joined by single spaces or colons: no `: `, no ` #`, no `:` at the end.
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


_RUN = r"""[!"$-9;-~]"""
_TEXT = rf"[A-Za-z0-9/]{_RUN}*+(?:[: ]{_RUN}++)*+"
_QUOTED = r""""[ !#-\[\]-~]*+"|'[ -&(-~]*+'"""
_KEY = r"[A-Za-z][A-Za-z0-9_./-]{0,99}+"
_WORD = r"[A-Za-z][A-Za-z0-9_.-]*+"
_FLOW = rf"\[{_WORD}(?:, {_WORD})*+\]|\{{{_WORD}: {_WORD}(?:, {_WORD}: {_WORD})*+\}}"
_ROW = re.compile(rf"( *+)(?:({_KEY}):(?: ({_TEXT}|{_QUOTED}|{_FLOW}))?|- ({_TEXT}|{_QUOTED})|\#[ -~]*+)?")
_SPECIAL_START = TYPED_START | frozenset("\"'[{")
_DOCUMENT_BREAK = "\n---\n"
_LONGEST = 65_536
_DEEPEST = 16
_USUAL = 4_096
_ROWS_KEPT = 4_096

_NOTHING = object()

_Row = tuple[int, str | None, Any]
"""One line: its indentation, its key, and its value or the item after its dash, or `_NOTHING`.

Values are shared by all lines of one text: nobody changes what a manifest says.
"""

PlainDocument = tuple[dict[str, Any], str, int, int]
"""A document's value, its text, how many lines of the file come before it, and before its first key."""


def parse_plain(data: bytes) -> list[PlainDocument] | None:
    """Return the documents of a file, without the empty ones; None if libyaml must decide."""
    if not data.isascii():
        return None
    text = data.decode("ascii")
    before = 0
    if text.startswith("---\n"):
        text = text[4:]
        before = 1
    documents = []
    try:
        for part in text.split(_DOCUMENT_BREAK):
            rows = _rows(part)
            if value := _mapping(rows):
                documents.append((value, part, before, before + _comments_above(rows)))
            before += len(rows) + 1
    except (_NotPlain, NumberTooLong):
        return None
    return documents


class _NotPlain(Exception):
    """The text is not in the plain style: libyaml must parse it."""


def _rows(text: str) -> list[_Row]:
    """Return the parts of each line."""
    if len(text) > _LONGEST:
        raise _NotPlain
    # The cache must not grow with the length of lines.
    row = _row if len(text) <= _USUAL else _row.__wrapped__
    return list(map(row, text.split("\n")))


# Most lines of a fleet's manifest occur in others, too.
@lru_cache(_ROWS_KEPT)
def _row(line: str) -> _Row:
    """Return the parts of one line."""
    found = _ROW.fullmatch(line)
    if found is None:
        raise _NotPlain
    space, key, value, item = found.groups()
    if key in CONSTANTS:
        raise _NotPlain
    text = value or item
    if text is None:
        return len(space), key, _NOTHING
    return len(space), key, _value(text) if text[0] in _SPECIAL_START else text


def _comments_above(rows: list[_Row]) -> int:
    """Return how many lines come before the first key."""
    return 0 if rows[0][1] else next(number for number, row in enumerate(rows) if row[1])


def _mapping(rows: list[_Row]) -> dict[str, Any]:  # noqa: C901, PLR0912 - see below
    """Return the mapping that the lines of a document make.

    One loop with everything in place: calls for each line would cost a third more.
    """
    current: dict[str, Any] = {}
    root = current
    indent = 0
    around: list[tuple[int, dict[str, Any]]] = []
    # The key of a line that ended after its colon: its value begins on the next line.
    opened: str | None = None
    items: list[Any] | None = None
    items_indent = 0
    for depth, key, value in rows:
        if key:
            items = None
            if opened is not None:
                if depth <= indent or len(around) == _DEEPEST:
                    raise _NotPlain
                around.append((indent, current))
                inner: dict[str, Any] = {}
                current[opened] = inner
                current = inner
                indent = depth
                opened = None
            elif depth != indent:
                while depth < indent:
                    indent, current = around.pop()
                if depth != indent:
                    raise _NotPlain
            if key in current:
                raise _NotPlain
            if value is _NOTHING:
                current[key] = None
                opened = key
            else:
                current[key] = value
        elif value is not _NOTHING:
            if opened is not None:
                if depth < indent:
                    raise _NotPlain
                items = []
                current[opened] = items
                items_indent = depth
                opened = None
            elif items is None or depth != items_indent:
                raise _NotPlain
            items.append(value)
    if opened is not None:
        raise _NotPlain
    return root


def _value(text: str) -> Any:
    """Return the value of a text that may be more than a plain string."""
    if text[0] in "\"'":
        return text[1:-1]
    if text[0] == "[":
        return [plain_value(word) for word in text[1:-1].split(", ")]
    if text[0] == "{":
        return _flow_mapping(text)
    return plain_value(text)


def _flow_mapping(text: str) -> dict[str, Any]:
    """Return the value of a flow mapping of plain words."""
    pairs = [pair.split(": ") for pair in text[1:-1].split(", ")]
    result = {key: plain_value(word) for key, word in pairs}
    if len(result) != len(pairs) or not CONSTANTS.keys().isdisjoint(result):
        raise _NotPlain
    return result


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
