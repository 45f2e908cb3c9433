"""A file under examination: findings become diagnostics, with the source line where one may be shown."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from reconciler.diagnostics import Diagnostic
from reconciler.manifest.composer import source_lines
from reconciler.manifest.redaction import is_sensitive, mentions_secrets, showable_line
from reconciler.model import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.manifest.document import YamlDocument
    from reconciler.manifest.rules import Rule
    from reconciler.manifest.schema import Violation
    from reconciler.manifest.yaml_problem import YamlProblem


class Source:
    """One file: its path as the user gave it, and its bytes."""

    def __init__(self, path: str, data: bytes) -> None:
        """Nothing is done with `data` until a diagnostic needs a line of it."""
        self.path = path
        self._data = data

    @cached_property
    def _lines(self) -> list[str]:
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
        also = (Location(self.path, *problem.also),) if problem.also else ()
        return Diagnostic(
            problem.rule.severity,
            problem.rule.code,
            problem.message,
            Location(self.path, problem.line, problem.column),
            problem.hint,
            self._excerpt(problem.line, document.secret_lines() if document else None),
            also,
        )

    def violation(self, violation: Violation, document: YamlDocument, rule: Rule | None = None) -> Diagnostic:
        """Return the diagnostic for a broken schema, by the violation's own rule or another."""
        line, column = document.place(violation.path, key=violation.at_key)
        rule = rule or violation.rule
        hidden = is_sensitive(violation.path)
        return Diagnostic(
            rule.severity,
            rule.code,
            violation.message,
            Location(self.path, line, column),
            violation.hint,
            None if hidden else self._excerpt(line, document.secret_lines()),
        )

    def finding(
        self,
        rule: Rule,
        message: str,
        document: YamlDocument,
        path: Sequence[str | int],
        hint: str | None = None,
        also: tuple[Location, ...] = (),
    ) -> Diagnostic:
        """Return the diagnostic for a broken rule, at the value at `path`."""
        line, column = document.place(path)
        excerpt = self._excerpt(line, document.secret_lines())
        return Diagnostic(
            rule.severity, rule.code, message, Location(self.path, line, column), hint, excerpt, also
        )

    def note(self, rule: Rule, message: str, place: Location) -> Diagnostic:
        """Return the diagnostic for something about the file as a whole."""
        return Diagnostic(rule.severity, rule.code, message, place)

    def _excerpt(self, line: int, secret: frozenset[int] | None) -> str | None:
        """Return a line (from 1), or None where it may hold a secret.

        Without `secret`, the lines known to hold one, a file that as much as names a secret shows nothing.
        """
        if (line in secret if secret is not None else not self._is_plain) or line > len(self._lines):
            return None
        return showable_line(self._lines[line - 1])
