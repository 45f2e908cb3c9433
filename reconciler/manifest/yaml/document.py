"""One YAML document: its value, and the place of everything in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.manifest.yaml.problem import Span, YamlProblem
    from reconciler.manifest.yaml.tree import Tree


class YamlDocument:
    """A document's value, or the problems that keep it from having one."""

    __slots__ = ("_before", "_text", "_tree", "line", "problems", "value")

    def __init__(self, value: Any, tree: Tree | None, problems: tuple[YamlProblem, ...] = ()) -> None:
        """Keep the `value` of a `tree`: None where the nodes are no tree, because of aliases."""
        self.value = value
        self.problems = problems
        self.line = tree.line if tree is not None else problems[0].span.line if problems else 1
        """The line (from 1) on which it begins, below comments and `---`; else that of its first problem."""
        self._tree = tree
        self._text = ""
        self._before = 0

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
        return self._require_tree().span(path, key=key)

    def lines(self, path: Sequence[str | int], *, key: bool = False) -> range:
        """Return the lines (from 1) that the value at `path` takes, or with `key` its key."""
        return self._require_tree().lines(path, key=key)

    def secret_lines(self) -> frozenset[int] | None:
        """Return the lines (from 1) with values that must not be shown; None where that cannot be told."""
        tree = self._composed()
        return tree.secret_lines() if tree is not None else None

    def _require_tree(self) -> Tree:
        tree = self._composed()
        assert tree is not None, "what has a value has nodes"  # noqa: S101 - an invariant
        return tree

    def _composed(self) -> Tree | None:
        """Return the nodes; of a document that has only been read, now composed."""
        if self._tree is None and self._text:
            from reconciler.manifest.yaml.tree import Tree  # noqa: PLC0415 (loads libyaml; few documents are asked)

            self._tree = Tree.of_text(self._text, self._before)
        return self._tree
