"""Parse YAML into documents: plain values, and the position of everything in them.

`plain` reads most files; libyaml reads the others. Positions are found only when a diagnostic needs one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.manifest.yaml.plain import parse_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.manifest.yaml.errors import Span, YamlProblem
    from reconciler.manifest.yaml.nodes import Tree

_BOM = b"\xef\xbb\xbf"


def parse(data: bytes) -> Iterator[YamlDocument]:
    """Yield the documents of one file, without the empty ones.

    Raises:
        YamlRefused: the file is not UTF-8 or not YAML, or exceeds a limit; after the documents before it.
    """
    data = data.removeprefix(_BOM)
    plain = parse_plain(data)
    if plain is None:
        yield from parse_with_libyaml(data)
        return
    for value, text, before, above in plain:
        yield YamlDocument.of_text(value, text, before, above + 1)


def parse_with_libyaml(data: bytes) -> Iterator[YamlDocument]:
    """Do what `parse` does without the fast path: the reference for tests."""
    from reconciler.manifest.yaml.nodes import parse_nodes  # noqa: PLC0415 (loads libyaml; few files need it)

    for value, tree, problems in parse_nodes(data):
        yield YamlDocument(value, tree, problems)


class YamlDocument:
    """A document's value, or the problems that keep it from having one."""

    __slots__ = ("_before", "_text", "_tree", "line", "problems", "value")

    def __init__(self, value: Any, tree: Tree | None, problems: tuple[YamlProblem, ...] = ()) -> None:
        """Keep the `value` of a `tree`, which is None if the document has aliases."""
        self.value = value
        self.problems = problems
        self.line = tree.line if tree is not None else problems[0].span.line if problems else 1
        """The line (from 1) of its first node, below comments and `---`; else that of its first problem."""
        self._tree = tree
        self._text = ""
        self._before = 0

    @classmethod
    def of_text(cls, value: Any, text: str, before: int, line: int) -> YamlDocument:
        """Return a document without nodes; they are composed when a position is needed.

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
        """Return the position of the value at `path`, or with `key` of its key.

        If the path does not exist, this is the position of the last node on it that does. The document must
        have a value.
        """
        return self._require_tree().span(path, key=key)

    def lines(self, path: Sequence[str | int], *, key: bool = False) -> range:
        """Return the lines (from 1) that the value at `path` takes, or with `key` its key."""
        return self._require_tree().lines(path, key=key)

    def secret_lines(self) -> frozenset[int] | None:
        """Return the lines (from 1) with values that must not be shown; None if that is not known."""
        tree = self._composed()
        return tree.secret_lines() if tree is not None else None

    def _require_tree(self) -> Tree:
        tree = self._composed()
        assert tree is not None, "a document with a value has nodes"  # noqa: S101 - an invariant
        return tree

    def _composed(self) -> Tree | None:
        """Return the nodes, composed now if the document came from the fast path."""
        if self._tree is None and self._text:
            from reconciler.manifest.yaml.nodes import Tree  # noqa: PLC0415 (loads libyaml; few documents need it)

            self._tree = Tree.of_text(self._text, self._before)
        return self._tree
