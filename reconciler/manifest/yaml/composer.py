"""Compose nodes with libyaml, within limits, and translate its errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from msgspec import Struct, field
from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    NodeEvent,
    ScalarEvent,
)
from yaml.nodes import ScalarNode
from yaml.reader import ReaderError

from reconciler.manifest import rules
from reconciler.manifest.yaml.errors import Span, YamlProblem, YamlRefused, source_lines
from reconciler.manifest.yaml.surrogates import hide_pairs, restore_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml._yaml import Mark as CMark
    from yaml.error import Mark
    from yaml.events import Event
    from yaml.nodes import Node

    from reconciler.diagnostics import Rule

MAX_DEPTH = 32
"""Levels of a document."""
MAX_NODES = 65_536
"""Nodes of a document."""
_TOO_DEEP = f"the document has more than {MAX_DEPTH} levels"
_TOO_MANY = f"the document has more than {MAX_NODES:,} nodes"
# libyaml's recursion crashes the process at 32,000 levels with a stack of 8 MiB, at 4,000 with 1 MiB.
_SAFE_LEVELS = 1_000
# An anchor, alias or tag can begin here; after a letter or digit it is text, as in `?a=1&b=2`.
_INDICATOR = re.compile(rb"(?<![0-9A-Za-z=])[&*!]")
# A tag with an escaped byte that is not ASCII.
_ESCAPED_TAG = re.compile(rb"![^\n]*?%[89A-Fa-f]")
# A viewer shows the rest of the line elsewhere, or no line break although the parser sees one.
_DECEPTIVE = re.compile("\r(?!\n)|[\x85\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]")
_BIDI = "a character that turns the direction of reading is not allowed"
_BREAK = (
    "a line break that many editors and reviews do not show is not allowed",
    "end lines with a line feed, as Unix and Windows do",
)
_DECEPTIONS = {
    **dict.fromkeys((0x0D, 0x85, 0x2028, 0x2029), _BREAK),
    **dict.fromkeys(
        range(0xE0000, 0xE0080), ("a character that no viewer shows is not allowed", "remove it")
    ),
    0xFEFF: ("a byte order mark is allowed at the beginning only", "remove it; it is invisible"),
}


def compose(data: bytes) -> Iterator[Node]:
    """Yield the root node of each document of UTF-8 text without a byte order mark.

    Raises:
        YamlRefused: it is not YAML, or exceeds a limit; after the documents before it.
    """
    readable = hide_pairs(data)
    parser = _Parser(readable) if _is_bounded(data) else CountingParser(readable)
    try:
        while parser.check_node():
            root = cast("Node", parser.get_node())
            if readable is not data:
                restore_pairs(root)
            yield root
    except YAMLError as error:
        raise YamlRefused(_explain(error, data)) from None
    except UnicodeDecodeError:
        raise YamlRefused(_undecodable_tag(data)) from None
    except LimitExceeded as error:
        raise YamlRefused(YamlProblem(rules.TOO_LARGE, str(error), _place(error.mark))) from None


class _Parser(CParser):
    """Composes nodes without resolving tags: `scalars` knows the types, and explicit tags are refused."""

    def resolve(self, _kind: type[Node], _value: str | None, _implicit: object) -> None:
        return None

    def descend_resolver(self, _parent: Node | None, _index: object) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass


class LimitExceeded(Exception):
    """A document is too deep or has too many nodes."""

    def __init__(self, message: str, mark: Mark) -> None:
        super().__init__(message)
        self.mark = mark


class CountingParser(_Parser):
    """Counts levels and nodes while libyaml still parses, before they cost stack and memory."""

    _depth = 0
    _nodes = 0

    def descend_resolver(self, parent: Node | None, _index: object) -> None:
        """Count a node; raise `LimitExceeded` if it is too deep or one too many."""
        self._depth += 1
        if parent is None:
            self._nodes = 0
            return
        self._nodes += 1
        # Twice the limit: what is only a little too deep gets its exact place from `_examine`.
        if self._depth > 2 * MAX_DEPTH:
            raise LimitExceeded(_TOO_DEEP, parent.start_mark)
        if self._nodes > MAX_NODES:
            raise LimitExceeded(_TOO_MANY, parent.start_mark)

    def ascend_resolver(self) -> None:
        """Leave a level."""
        self._depth -= 1


def _is_bounded(data: bytes) -> bool:
    """Return whether `data` needs no counting: it is too short to have too many nodes, or to nest too deep.

    A block opens at a column further right than the one around it, so short lines bound the depth of
    blocks, and the number of brackets bounds that of the flow style.
    """
    return len(data) <= _SAFE_LEVELS or (
        len(data) <= MAX_NODES
        and data.count(b"[") + data.count(b"{") <= _SAFE_LEVELS
        and max(map(len, data.split(b"\n"))) <= _SAFE_LEVELS
    )


def require_readable(data: bytes) -> None:
    """Raise `YamlRefused` unless `data` is UTF-8 that a reviewer sees as the parser does."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        found = _not_utf8(data, error.start)
    else:
        if "\0" in text[:4]:
            found = _not_utf8(data, 0)
        elif deceptive := _DECEPTIVE.search(text):
            before = text[: deceptive.start()].encode()
            char = ord(deceptive[0])
            message, hint = _DECEPTIONS.get(char, (_BIDI, "remove it, or write it as an escape in quotes"))
            found = _at(data, len(before), rules.ENCODING, f"{message}: U+{char:04X}", hint)
        else:
            return
    raise YamlRefused(found)


def _not_utf8(data: bytes, offset: int) -> YamlProblem:
    """Return the problem of a file in another encoding, named if the first bytes identify it."""
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]
    message = "the file is not UTF-8 text" + (", but UTF-16 or UTF-32" if wide else "")
    return _at(data, offset, rules.ENCODING, message, "save the file as UTF-8")


def _at(data: bytes, offset: int, rule: Rule, message: str, hint: str | None = None) -> YamlProblem:
    """Return a problem at a byte of `data`."""
    lines = source_lines(data[:offset])
    return YamlProblem(rule, message, Span(len(lines), len(lines[-1]) + 1), hint)


def _explain(error: YAMLError, data: bytes) -> YamlProblem:
    """Return libyaml's error as a problem. Its words never quote the file."""
    if isinstance(error, ReaderError):
        return _at(
            data, error.position, rules.ENCODING, f"a character is not allowed: U+{error.character:04X}"
        )
    assert isinstance(error, MarkedYAMLError), "libyaml's other errors are marked"  # noqa: S101 - an invariant
    words = ", ".join(part for part in (error.problem, error.context) if part)
    place, around = _place(error.problem_mark), _place(error.context_mark)
    if error.problem == "found unexpected end of stream":
        # The end of the file is far from the quotation mark that was forgotten.
        return YamlProblem(rules.SYNTAX, "invalid YAML: a quoted text is never closed", around, _CLOSE)
    if error.problem == "could not find expected ':'":
        # The position is where the key begins, not where libyaml gave up.
        return YamlProblem(rules.SYNTAX, "invalid YAML: a key has no colon", around, _COLON)
    tab = words.startswith("found character that cannot start") and _char_at(data, place) == "\t"
    if tab:
        words = "a tab where only spaces are allowed"
    hint = next((hint for part, hint in _SYNTAX_HINTS if part in words), None)
    if "flow" in words and around != place:
        return YamlProblem(rules.SYNTAX, f"invalid YAML: {words}", place, hint, around, _BEGINS)
    return YamlProblem(rules.SYNTAX, f"invalid YAML: {words}", place, hint)


def _char_at(data: bytes, place: Span) -> str:
    """Return the character at a place, or nothing."""
    lines = source_lines(data)
    return lines[place.line - 1][place.column - 1 : place.column] if place.line <= len(lines) else ""


def _undecodable_tag(data: bytes) -> YamlProblem:
    """Return the problem of a tag whose escapes are not UTF-8: PyYAML raises without a position."""
    found = _ESCAPED_TAG.search(data)
    assert found, "nothing else in UTF-8 text fails to decode"  # noqa: S101 - an invariant
    return _at(data, found.start(), rules.UNSUPPORTED_YAML, "tags are not supported", _WRITE_OUT)


def _place(mark: Mark | CMark | None) -> Span:
    """Return the position of a mark."""
    return Span(mark.line + 1, mark.column + 1) if mark is not None else Span(1, 1)


def span_of(node: Node) -> Span:
    """Return the position of a node."""
    start, end = node.start_mark, node.end_mark
    line, column = start.line + 1, start.column + 1
    if end.line == start.line:
        return Span(line, column, end.column + 1)
    # A block may have a comment on the line on which it begins, and nothing behind its end.
    continues = isinstance(node, ScalarNode) and node.style not in {"|", ">"}
    return Span(line, column, None, end.line + 1 if continues else None)


_BEGINS = "it begins here"
_COLON = "write `key: value`, and check that brackets and quotes are closed"
_CLOSE = "close it with the quotation mark that it begins with"
_SYNTAX_HINTS = (
    ("tab", "indent with spaces, not with tabs"),
    ("escape", "in double quotes a backslash begins an escape: use single quotes, or write `\\\\`"),
    ("incompatible YAML", "remove the line, or write `%YAML 1.2`"),
    ("expected comment or line break", "a block text begins on the line after `|` or `>`"),
    ("expected <document start>", "begin a further document with `---` on a line of its own"),
    ("mapping values are not allowed", "quote a value that holds `: `, and check the indentation"),
    ("cannot start any token", "quote a value that begins with `@`, a backtick or `%`"),
    ("undefined alias", "quote a value that begins with `*`"),
    ("did not find expected", "check the indentation, and that brackets and quotes are closed"),
)


_WRITE_OUT = "write the value out; quote a text that begins with `&`, `*` or `!`"


class Unsupported(Struct):
    """The anchors, aliases and tags of a file."""

    found: dict[int, list[YamlProblem]] = field(default_factory=dict)
    """By the number of their document (from 0)."""
    too_large: YamlRefused | None = None
    """Why the search ended early."""
    sound: int | None = None
    """How many documents come before the one that ended it."""


def find_unsupported(data: bytes) -> Unsupported:
    """Return every anchor, alias and tag, as far as the limits allow.

    `compose` does not count aliases, so they count here. libyaml's time grows with the square of the levels.
    """
    result = Unsupported()
    # Plain searches spare most files the pattern.
    if not ((b"&" in data or b"*" in data or b"!" in data) and _INDICATOR.search(data)):
        return result
    bounded = _is_bounded(data)
    number = -1
    nodes = depth = 0
    try:
        for event in _events(data):
            if isinstance(event, DocumentStartEvent):
                number += 1
                nodes = 0
            elif isinstance(event, CollectionEndEvent):
                depth -= 1
            elif isinstance(event, NodeEvent):
                nodes += 1
                depth += isinstance(event, CollectionStartEvent)
                place = _place(event.start_mark)
                if not bounded and (depth > 2 * MAX_DEPTH or nodes > MAX_NODES):
                    message = _TOO_DEEP if depth > 2 * MAX_DEPTH else _TOO_MANY
                    result.too_large = YamlRefused(YamlProblem(rules.TOO_LARGE, message, place))
                    result.sound = number
                    break
                if found := _unsupported_feature(event):
                    what, length = found
                    span = place._replace(end=place.column + length)
                    problem = YamlProblem(rules.UNSUPPORTED_YAML, what, span, _WRITE_OUT)
                    result.found.setdefault(number, []).append(problem)
    except (YAMLError, UnicodeDecodeError):
        pass  # composing meets the same error, and reports it
    return result


def _events(data: bytes) -> Iterator[Event]:
    """Yield libyaml's events."""
    parser = _Parser(hide_pairs(data))
    while parser.check_event():
        yield cast("Event", parser.get_event())


def text_spans(data: bytes) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where the texts of a file begin and end, as lines and columns from 1, up to the first error.

    Everything outside of them is structure or comment.
    """
    spans = []
    depth = 0
    try:
        for event in _events(data):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > 2 * MAX_DEPTH:
                break
            if isinstance(event, ScalarEvent):
                start, end = _place(event.start_mark), _place(event.end_mark)
                # The line on which a block begins may have a comment.
                first = (start.line + 1, 1) if event.style in {"|", ">"} else (start.line, start.column)
                spans.append((first, (end.line, end.column)))
    except (YAMLError, UnicodeDecodeError):
        pass  # composing meets the same error, and reports it
    return spans


def _unsupported_feature(event: NodeEvent) -> tuple[str, int] | None:
    """Return a sentence about what an event uses that we refuse, and its length; or None."""
    # An alias or anchor is its name behind one character; libyaml does not report how a tag was written.
    if isinstance(event, AliasEvent):
        return "aliases are not supported", len(event.anchor or "") + 1
    if event.anchor is not None:
        return "anchors are not supported", len(event.anchor) + 1
    return ("tags are not supported", 1) if getattr(event, "tag", None) is not None else None
