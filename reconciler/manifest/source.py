"""A file under examination: findings become diagnostics, with the source line where one may be shown."""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING

from reconciler.credentials.detector import is_sensitive, mentions_secrets
from reconciler.credentials.redaction import showable_line
from reconciler.diagnostics import Diagnostic, Extent, Related
from reconciler.manifest.yaml.problem import source_lines
from reconciler.model import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.diagnostics import Rule
    from reconciler.manifest.schema import Violation
    from reconciler.manifest.yaml.document import YamlDocument
    from reconciler.manifest.yaml.problem import Span, YamlProblem


class Source:
    """One file: its path as the user gave it, and its bytes.

    Diagnostics keep single lines of it, never all of its text: there may be ten thousand of them.
    """

    def __init__(self, path: str, data: bytes) -> None:
        """Nothing is done with `data` until a diagnostic needs a line of it."""
        self.path = path
        self._data = data
        self._last_wide: tuple[int, list[int]] = (0, [])

    @cached_property
    def lines(self) -> list[str]:
        """The lines, as places count them."""
        return source_lines(self._data)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether nothing in the whole file is named or made like a secret."""
        return not mentions_secrets(self._data.decode(errors="replace"))

    def yaml_problem(self, problem: YamlProblem, document: YamlDocument | None = None) -> Diagnostic:
        """Return the diagnostic for what the loader found.

        Args:
            problem: what it found.
            document: where it found it, if the document could be composed.
        """
        secret = document.secret_lines() if document else None
        also = (self._related(problem.also, secret, problem.also_says),) if problem.also else ()
        return self.at(problem.rule, problem.message, problem.span, problem.hint, secret, also)

    def violation(self, violation: Violation, document: YamlDocument, rule: Rule | None = None) -> Diagnostic:
        """Return the diagnostic for a broken schema, by the violation's own rule or another."""
        span = document.span(violation.path, key=violation.at_key)
        # No line is shown for a value under a key that can hold a secret.
        secret = frozenset({span.line}) if is_sensitive(violation.path) else document.secret_lines()
        return self.at(rule or violation.rule, violation.message, span, violation.hint, secret)

    def finding(
        self,
        rule: Rule,
        message: str,
        document: YamlDocument,
        path: Sequence[str | int],
        hint: str | None = None,
        also: tuple[Related, ...] = (),
        *,
        key: bool = False,
    ) -> Diagnostic:
        """Return the diagnostic for a broken rule, at the value at `path`, or with `key` at its key."""
        return self.at(rule, message, document.span(path, key=key), hint, document.secret_lines(), also)

    def related(
        self, document: YamlDocument, path: Sequence[str | int], message: str = "the first one is here"
    ) -> Related:
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
        """Return a diagnostic at a place.

        Args:
            rule: the rule that is broken.
            message: what is wrong.
            span: where.
            hint: what to do about it.
            secret: the lines that are known to hold a secret; None where that could not be told: then a file
                that as much as names one shows nothing.
            also: what belongs to it.
        """
        place = Location(self.path, span.line, span.column)
        excerpt = self._excerpt(span.line, secret)
        return Diagnostic(rule.severity, rule.code, message, place, hint, excerpt, also, self._extent(span))

    def note(self, rule: Rule, message: str, place: Location, hint: str | None = None) -> Diagnostic:
        """Return the diagnostic for something about the file as a whole."""
        return Diagnostic(rule.severity, rule.code, message, place, hint)

    def _related(self, span: Span, secret: frozenset[int] | None, message: str) -> Related:
        """Return a place that belongs to a problem."""
        place = Location(self.path, span.line, span.column)
        return Related(place, message, self._extent(span), self._excerpt(span.line, secret))

    def _extent(self, span: Span) -> Extent:
        """Return how far a place reaches: one character where that is not known."""
        end = max(span.end or 0, span.column + 1)
        wide = self._wide(span.line)
        start16, end16 = (column + bisect_left(wide, column - 1) for column in (span.column, end))
        return Extent(end, (start16, end16))

    def _wide(self, line: int) -> list[int]:
        """Return where on a line (from 1) the characters stand that take two UTF-16 code units, from 0.

        Remembered for the last line: one may be very long and have thousands of problems.
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
