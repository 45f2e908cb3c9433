"""From libyaml's nodes to plain values and positions, accepting nothing that a reviewer could misread.

libyaml composes nodes, and `_convert` turns a whole document into values: faster than PyYAML's own
constructors, and with the types of YAML 1.2. `_convert` only refuses; `_examine` then walks the same nodes
slowly to find every problem and its position.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from reconciler.credentials.detector import can_hold_secret, value_looks_secret
from reconciler.credentials.redaction import key_text
from reconciler.manifest import rules
from reconciler.manifest.yaml.composer import MAX_DEPTH, compose, find_unsupported, require_readable, span_of
from reconciler.manifest.yaml.errors import YamlProblem, YamlRefused
from reconciler.manifest.yaml.plain import MAX_NUMBER, TYPED_START, NumberTooLong, plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from yaml.nodes import Node

    from reconciler.diagnostics import Rule
    from reconciler.manifest.yaml.errors import Span

    Parsed = tuple[Any, "Tree | None", tuple[YamlProblem, ...]]
    """A document's value, nodes and problems."""


def parse_nodes(data: bytes) -> Iterator[Parsed]:
    """Yield the documents of one file without a byte order mark, without the empty ones.

    Raises:
        YamlRefused: the file is not UTF-8 or not YAML, or exceeds a limit; after the documents before it.
    """
    require_readable(data)
    unsupported = find_unsupported(data)
    number = 0
    try:
        for root in islice(compose(data), unsupported.sound):
            if number in unsupported.found:
                yield None, None, tuple(unsupported.found[number])
            elif root.value or root.__class__ is not ScalarNode or root.style:
                yield _document(root)
            number += 1
        if unsupported.too_large:
            raise unsupported.too_large
    except YamlRefused as refused:
        problems = tuple(unsupported.found.get(number, ()))
        if problems:
            yield None, None, problems
        # libyaml also refuses an alias without its anchor: report it once.
        place = refused.problem.span[:2]
        if place not in {problem.span[:2] for problem in problems}:
            raise


class _Unconvertible(Exception):
    """`_examine` knows why."""


def _document(root: Node) -> Parsed:
    """Return the document under `root`, or its problems."""
    try:
        return _convert(root, 1), Tree(root), ()
    except (_Unconvertible, NumberTooLong):
        return None, Tree(root), tuple(_examine(root, 1))


def _convert(node: Node, depth: int) -> Any:
    """Return a node's value. Strings are converted in place: most nodes are strings."""
    if node.__class__ is ScalarNode:
        return _scalar(node)
    if depth > MAX_DEPTH:
        raise _Unconvertible
    if node.__class__ is not MappingNode:
        return [
            item.value
            if item.__class__ is ScalarNode and (item.style or item.value[:1] not in TYPED_START)
            else _convert(item, depth + 1)
            for item in node.value
        ]
    result = {}
    for key, child in node.value:
        name = key.value
        if key.__class__ is not ScalarNode or not (
            key.style or name[:1] not in TYPED_START or isinstance(plain_value(name), str)
        ):
            raise _Unconvertible
        if child.__class__ is ScalarNode and (child.style or child.value[:1] not in TYPED_START):
            result[name] = child.value
        else:
            result[name] = _convert(child, depth + 1)
    if len(result) != len(node.value):
        raise _Unconvertible
    return result


def _scalar(node: ScalarNode) -> Any:
    """Return a scalar's value: quoted and block scalars are strings."""
    return node.value if node.style else plain_value(node.value)


def _examine(node: Node, depth: int) -> Iterator[YamlProblem]:
    """Yield everything that keeps a node from having a value."""
    if isinstance(node, ScalarNode):
        try:
            _scalar(node)
        except NumberTooLong:
            yield _problem(rules.TOO_LARGE, f"a number has more than {MAX_NUMBER} characters", node)
    elif depth > MAX_DEPTH:
        yield _problem(rules.TOO_LARGE, f"the document has more than {MAX_DEPTH} levels", node)
    elif isinstance(node, MappingNode):
        yield from _examine_keys(node)
        for _, child in node.value:
            yield from _examine(child, depth + 1)
    else:
        for item in node.value:
            yield from _examine(item, depth + 1)


def _examine_keys(node: MappingNode) -> Iterator[YamlProblem]:
    """Yield what is wrong with the keys of a mapping."""
    first: dict[str, Node] = {}
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            yield _problem(rules.UNSUPPORTED_YAML, "a key must be a string, not a list or mapping", key)
        elif not _is_text(key):
            hint = "put it in quotes"
            yield _problem(rules.KEY_NOT_TEXT, f"the key `{key_text(key.value)}` is not a string", key, hint)
        elif key.value in first:
            also = span_of(first[key.value])
            message = f"duplicate key `{key_text(key.value)}`; first defined at line {also.line}"
            hint = "remove one of the two, or merge them"
            yield _problem(rules.DUPLICATE_KEY, message, key, hint, also)
        else:
            first[key.value] = key


def _is_text(key: ScalarNode) -> bool:
    """Return whether a key is a string."""
    try:
        return isinstance(_scalar(key), str)
    except NumberTooLong:
        return False


def _problem(
    rule: Rule, message: str, node: Node, hint: str | None = None, also: Span | None = None
) -> YamlProblem:
    """Return a problem at a node."""
    return YamlProblem(rule, message, span_of(node), hint, also)


class Tree:
    """The positions of everything in one document. Its nodes are a tree because aliases are refused."""

    def __init__(self, root: Node, before: int = 0) -> None:
        """Keep the nodes under `root`; the composed text begins `before` lines below the top of the file."""
        self._root = root
        self._before = before
        self._pairs: dict[MappingNode, dict[str | int, tuple[Node, Node]]] = {}
        self._secret_lines: frozenset[int] | None = None

    @classmethod
    def of_text(cls, text: str, before: int) -> Self:
        """Return the tree of a valid document's text, `before` lines below the top of the file."""
        return cls(next(compose(text.encode())), before)

    @property
    def line(self) -> int:
        """The line (from 1) of the file on which it begins, below comments and `---`."""
        return self._root.start_mark.line + 1 + self._before

    def span(self, path: Sequence[str | int], *, key: bool = False) -> Span:
        """Return the position of the value at `path`, or with `key` of its key.

        If the path does not exist, this is the position of the last node on it that does.
        """
        span = span_of(self._find(path, key=key))
        last_line = None if span.last_line is None else span.last_line + self._before
        return span._replace(line=span.line + self._before, last_line=last_line)

    def lines(self, path: Sequence[str | int], *, key: bool = False) -> range:
        """Return the lines (from 1) that the value at `path` takes, or with `key` its key."""
        node = self._find(path, key=key)
        # A block ends at the beginning of the line after it.
        last = node.end_mark.line + (node.end_mark.column > 0 or node.end_mark.line == node.start_mark.line)
        return range(node.start_mark.line + 1 + self._before, last + 1 + self._before)

    def secret_lines(self) -> frozenset[int]:
        """Return the lines (from 1) that hold any part of a value that must not be shown."""
        if self._secret_lines is None:
            lines = _secret_lines(self._root)
            self._secret_lines = frozenset(line + 1 + self._before for line in lines)
        return self._secret_lines

    def _find(self, path: Sequence[str | int], *, key: bool) -> Node:
        """Return the node at `path`, or the key before it; the last that exists if the path ends early."""
        found = name = self._root
        for step in path:
            if isinstance(found, SequenceNode) and isinstance(step, int) and step < len(found.value):
                found = name = found.value[step]
            elif isinstance(found, MappingNode) and step in (pairs := self._pairs_of(found)):
                name, found = pairs[step]
            else:
                break
        return name if key else found

    def _pairs_of(self, node: MappingNode) -> dict[str | int, tuple[Node, Node]]:
        """Return a mapping's keys and values by the keys' texts, cached because searching would add up."""
        pairs = self._pairs.get(node)
        if pairs is None:
            pairs = self._pairs[node] = {pair[0].value: pair for pair in node.value}
        return pairs


def _secret_lines(root: Node) -> set[int]:
    """Return the lines (from 0) that hold any part of a value that must not be shown.

    Several values may share a line: one secret hides it.
    """
    lines: set[int] = set()
    # Node, its key, whether it is within a secret. A loop, because documents may be deep.
    waiting: list[tuple[Node, str, bool]] = [(root, "", False)]
    while waiting:
        node, above, within = waiting.pop()
        if isinstance(node, MappingNode):
            for key, value in node.value:
                name = key.value if isinstance(key, ScalarNode) else ""
                waiting += [(key, "", within), (value, name, within or can_hold_secret(above, name))]
        elif isinstance(node, SequenceNode):
            within = within or can_hold_secret(above, None)
            waiting += [(item, "", within) for item in node.value]
        elif within or can_hold_secret(above, None) or value_looks_secret(node.value):
            lines.update(range(node.start_mark.line, node.end_mark.line + 1))
    return lines
