"""Problems in files, as diagnostics with a position, and with the source line if it may be shown."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.credentials.detector import is_sensitive, mentions_secrets
from reconciler.credentials.redaction import showable_line
from reconciler.diagnostics import Diagnostic, Extent, Related
from reconciler.manifest.yaml.errors import source_lines
from reconciler.model import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.diagnostics import Rule
    from reconciler.manifest.yaml.errors import Span, YamlProblem
    from reconciler.manifest.yaml.parsing import YamlDocument


FIRST = "the first one is here"


class Problem(Struct, frozen=True):
    """Something that is wrong with a document."""

    rule: Rule
    message: str
    path: tuple[str | int, ...] = ()
    """Where it is in the document."""
    hint: str | None = None
    at_key: bool = False
    """Whether the key at `path` is meant, not its value. A comment on its line can ignore the rule."""


class Source:
    """One file: its path as the user gave it, and its bytes.

    Diagnostics keep single lines of it, never all of its text: there may be ten thousand of them.
    """

    def __init__(self, path: str, data: bytes) -> None:
        """Keep `data`; it is decoded when a diagnostic needs a line of it."""
        self.path = path
        self._data = data
        self._last_wide: tuple[int, list[int]] = (0, [])

    @cached_property
    def lines(self) -> list[str]:
        """The lines, as positions count them."""
        return source_lines(self._data)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether the whole file has neither the name nor a part of a secret."""
        return not mentions_secrets(self._data.decode(errors="replace"))

    def yaml_problem(self, problem: YamlProblem, document: YamlDocument | None = None) -> Diagnostic:
        """Return the diagnostic for what the parser found.

        Args:
            problem: what it found.
            document: the document it is in, if that could be composed.
        """
        secret = document.secret_lines() if document else None
        also = (self._related(problem.also, secret, problem.also_says),) if problem.also else ()
        return self.at(problem.rule, problem.message, problem.span, problem.hint, secret, also)

    def diagnostic(
        self, problem: Problem, document: YamlDocument, also: tuple[Related, ...] = ()
    ) -> Diagnostic:
        """Return the diagnostic for a problem in a document; `also` are the other places it has."""
        span = document.span(problem.path, key=problem.at_key)
        # No line is shown for a value under a key that can hold a secret.
        secret = frozenset({span.line}) if is_sensitive(problem.path) else document.secret_lines()
        return self.at(problem.rule, problem.message, span, problem.hint, secret, also)

    def related(self, document: YamlDocument, path: Sequence[str | int], message: str = FIRST) -> Related:
        """Return the value at `path` as another place that belongs to a problem."""
        return self._related(document.span(path), document.secret_lines(), message)

    def at(
        self,
        rule: Rule,
        message: str,
        span: Span,
        hint: str | None = None,
        secret: frozenset[int] | None = None,
        also: tuple[Related, ...] = (),
    ) -> Diagnostic:
        """Return a diagnostic at a position.

        Args:
            rule: the rule that is broken.
            message: what is wrong.
            span: where.
            hint: what to do about it.
            secret: the lines that hold a secret; None if that is not known: then a file that only names a
                secret shows no line.
            also: other places that belong to it.
        """
        place = Location(self.path, span.line, span.column)
        excerpt = self._excerpt(span.line, secret)
        extent = self._extent(span)
        return Diagnostic(
            rule.severity, rule.code, message, place, hint, excerpt, also, extent, span.last_line
        )

    def note(self, rule: Rule, message: str, place: Location, hint: str | None = None) -> Diagnostic:
        """Return the diagnostic for something about the file as a whole."""
        return Diagnostic(rule.severity, rule.code, message, place, hint)

    def _related(self, span: Span, secret: frozenset[int] | None, message: str) -> Related:
        """Return a place that belongs to a problem."""
        place = Location(self.path, span.line, span.column)
        return Related(place, message, self._extent(span), self._excerpt(span.line, secret))

    def _extent(self, span: Span) -> Extent:
        """Return how far a position reaches: one character if that is not known."""
        end = max(span.end or 0, span.column + 1)
        wide = self._wide(span.line)
        start16, end16 = (column + bisect_left(wide, column - 1) for column in (span.column, end))
        return Extent(end, (start16, end16))

    def _wide(self, line: int) -> list[int]:
        """Return the columns (from 0) of a line (from 1) whose characters take two UTF-16 code units.

        Cached for the last line: one may be very long and have thousands of problems.
        """
        if self._last_wide[0] != line:
            text = self.lines[line - 1] if line <= len(self.lines) else ""
            wide = [] if text.isascii() else [at for at, char in enumerate(text) if char > "\uffff"]
            self._last_wide = line, wide
        return self._last_wide[1]

    def _excerpt(self, line: int, secret: frozenset[int] | None) -> str | None:
        """Return a line (from 1), or None where it may hold a secret."""
        if (line in secret if secret is not None else not self._is_plain) or line > len(self.lines):
            return None
        return showable_line(self.lines[line - 1])


def foreign(text: str) -> str:
    """Return the first letter of `text` that is not ASCII, in words for a sentence; empty if there is none.

    Such a letter may look like the intended one, or be invisible.
    """
    letter = next((char for char in text if not char.isascii()), None)
    if letter is None:
        return ""
    return f" (it contains U+{ord(letter):04X}, {unicodedata.name(letter, 'a letter without a name')})"
