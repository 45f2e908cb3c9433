"""A document's nodes, as libyaml composed them: the place of everything in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from reconciler.credentials.detector import can_hold_secret, value_looks_secret
from reconciler.manifest.yaml.composer import compose, span_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from yaml.nodes import Node

    from reconciler.manifest.yaml.problem import Span


class Tree:
    """The nodes of one document, which are a tree: there are no aliases."""

    def __init__(self, root: Node, before: int = 0) -> None:
        """Keep the nodes under `root`; `before` lines (from 0) of the file stand above what was composed."""
        self._root = root
        self._before = before
        self._pairs: dict[MappingNode, dict[str | int, tuple[Node, Node]]] = {}
        self._secret_lines: frozenset[int] | None = None

    @classmethod
    def of_text(cls, text: str, before: int) -> Self:
        """Return the tree of a sound document's text, above which `before` lines of the file stand."""
        return cls(next(compose(text.encode())), before)

    @property
    def line(self) -> int:
        """The line (from 1) of the file on which it begins, below comments and `---`."""
        return self._root.start_mark.line + 1 + self._before

    def span(self, path: Sequence[str | int], *, key: bool = False) -> Span:
        """Return where the value at `path` stands, or with `key` its key.

        A path that leads nowhere gives the place of the last node on it that exists.
        """
        span = span_of(self._find(path, key=key))
        return span._replace(line=span.line + self._before)

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
        """Return a mapping's keys and values by the keys' texts, made once: searches would add up."""
        pairs = self._pairs.get(node)
        if pairs is None:
            pairs = self._pairs[node] = {pair[0].value: pair for pair in node.value}
        return pairs


def _secret_lines(root: Node) -> set[int]:
    """Return the lines (from 0) that hold any part of a value that must not be shown.

    Several values may share a line, so a line is judged by all that stand on it.
    """
    lines: set[int] = set()
    # Node, the key it stands under, whether that lies within a secret. Iterative: documents may be deep.
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
