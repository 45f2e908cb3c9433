"""One YAML document: its value, and the place of everything in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yaml.nodes import MappingNode, SequenceNode

from reconciler.manifest.composer import compose, span_of
from reconciler.manifest.redaction import secret_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yaml.nodes import Node

    from reconciler.manifest.yaml_problem import Span, YamlProblem


class YamlDocument:
    """A document's value, or the problems that keep it from having one."""

    __slots__ = ("_before", "_pairs", "_root", "_secret_lines", "_text", "line", "problems", "value")

    def __init__(self, value: Any, root: Node | None, problems: tuple[YamlProblem, ...] = ()) -> None:
        """Keep the `value` of the nodes under `root`: None where they are no tree, because of aliases."""
        self.value = value
        self.problems = problems
        self.line = root.start_mark.line + 1 if root is not None else problems[0].span.line if problems else 1
        """The line (from 1) on which it begins, below comments and `---`; else that of its first problem."""
        self._root = root
        self._text = ""
        self._before = 0
        self._pairs: dict[MappingNode, dict[str | int, tuple[Node, Node]]] = {}
        self._secret_lines: frozenset[int] | None = None

    @classmethod
    def of_text(cls, value: Any, text: str, before: int, line: int) -> YamlDocument:
        """Return a document that has only been read, not composed: it is when somebody asks for a place.

        Args:
            value: what it holds.
            text: the document alone.
            before: how many lines of the file stand before `text`.
            line: the line (from 1) of its first key.
        """
        document = cls(value, None)
        document.line = line
        document._text = text
        document._before = before
        return document

    def span(self, path: Sequence[str | int], *, key: bool = False) -> Span:
        """Return where the value at `path` stands, or with `key` its key.

        A path that leads nowhere gives the place of the last node on it that exists. Only a document that
        has a value is asked.
        """
        root = self._composed()
        assert root is not None, "what has a value has nodes"  # noqa: S101 - an invariant
        span = span_of(self._find(root, path, key=key))
        return span._replace(line=span.line + self._before)

    def lines(self, path: Sequence[str | int], *, key: bool = False) -> range:
        """Return the lines (from 1) that the value at `path` takes, or with `key` its key."""
        root = self._composed()
        assert root is not None, "what has a value has nodes"  # noqa: S101 - an invariant
        node = self._find(root, path, key=key)
        # A block ends at the beginning of the line after it.
        last = node.end_mark.line + (node.end_mark.column > 0 or node.end_mark.line == node.start_mark.line)
        return range(node.start_mark.line + 1 + self._before, last + 1 + self._before)

    def secret_lines(self) -> frozenset[int] | None:
        """Return the lines (from 1) with values that must not be shown; None where that cannot be told."""
        if self._secret_lines is None and (root := self._composed()) is not None:
            self._secret_lines = frozenset(line + 1 + self._before for line in secret_lines(root))
        return self._secret_lines

    def _composed(self) -> Node | None:
        """Return the root node."""
        if self._root is None and self._text:
            self._root = next(compose(self._text.encode()))
        return self._root

    def _find(self, root: Node, path: Sequence[str | int], *, key: bool) -> Node:
        """Return the node at `path`, or the key before it; the last that exists if the path ends early."""
        found = name = root
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
