"""Comments that ignore a rule on their own line: `# reconciler: ignore[WH033] why`.

No comment can stand within a text that continues over several lines: one behind its end counts for it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import chain
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.credentials.redaction import key_text
from reconciler.manifest import rules
from reconciler.manifest.lint.selection import guarded_hint, unknown_code_hint
from reconciler.manifest.yaml.errors import Span, YamlProblem, source_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.diagnostics import Diagnostic

_MARKER = b"reconciler:"
_COMMENT = re.compile(r"(?<!\S)#[ \t]*reconciler:[ \t]*ignore\b(?:\[([^\]]{0,1000})\])?([^#]*)")
_MOST_PROBLEMS = 1_000
"""Problems with comments in a file. Comments after them are not read, and ignore nothing."""
_USAGE = "write `# reconciler: ignore[WH033] why`"


class _Ignore(Struct):
    """One code of one comment."""

    code: str
    span: Span
    used: bool = False


class Ignores:
    """The ignored rules of one file, by line."""

    def __init__(self, data: bytes) -> None:
        """Look for comments."""
        self.problems: list[YamlProblem] = []
        """What is wrong with the comments themselves."""
        self._by_line: dict[int, list[_Ignore]] = {}
        for span, codes, reason in _comments(data.removeprefix(b"\xef\xbb\xbf")) if data else ():
            if len(self.problems) >= _MOST_PROBLEMS:
                break
            self._take(span, codes, reason)

    def cover(self, diagnostic: Diagnostic) -> bool:
        """Return whether a comment on its line ignores a diagnostic; that comment then counts as used."""
        line = diagnostic.location.line if diagnostic.location else 0
        for ignore in chain(self._by_line.get(line, ()), self._by_line.get(diagnostic.last_line or 0, ())):
            if ignore.code == diagnostic.rule:
                ignore.used = True
                return True
        return False

    def unused(self) -> Iterator[YamlProblem]:
        """Yield the comments that ignored nothing; call this when the whole file was checked."""
        for ignore in (each for line in self._by_line.values() for each in line if not each.used):
            message = f"the comment ignores {ignore.code}, which this line does not break"
            hint = "remove the code; a comment counts for its own line only"
            yield YamlProblem(rules.UNUSED_IGNORE, message, ignore.span, hint)

    def _take(self, span: Span, codes: str | None, reason: str) -> None:
        """Record one comment."""
        names = list(dict.fromkeys(name.strip() for name in codes.split(","))) if codes else []
        if not names:
            message = "the comment does not say which rule it ignores"
            self.problems.append(YamlProblem(rules.BAD_IGNORE, message, span, _USAGE))
        for name in names:
            rule = rules.RULES.get(name)
            if rule is None:
                message = f"unknown rule `{key_text(name)}`"
                problem = YamlProblem(rules.BAD_IGNORE, message, span, unknown_code_hint(name))
                self.problems.append(problem)
            elif not rule.ignorable:
                message = f"{name} ({rule.title[0].lower()}{rule.title[1:]}) may not be ignored"
                self.problems.append(YamlProblem(rules.GUARDED_IGNORE, message, span, guarded_hint()))
            elif reason:
                self._by_line.setdefault(span.line, []).append(_Ignore(name, span))
        if names and not reason:
            message = "the comment ignores a rule without a reason"
            self.problems.append(YamlProblem(rules.IGNORE_WITHOUT_REASON, message, span, _USAGE))


NO_IGNORES = Ignores(b"")


def ignores_of(data: bytes) -> Ignores:
    """Return the ignored rules of a file: `NO_IGNORES` if it has no such comment."""
    return Ignores(data) if _MARKER in data else NO_IGNORES


def _comments(data: bytes) -> Iterator[tuple[Span, str | None, str]]:
    """Yield position, codes and reason of each comment that ignores rules. A text is not a comment."""
    from reconciler.manifest.yaml.composer import text_spans  # noqa: PLC0415 (loads libyaml; few files need it)

    texts = text_spans(data)
    for number, line in enumerate(source_lines(data), 1):
        for found in _COMMENT.finditer(line) if "reconciler:" in line else ():
            column = found.start() + 1
            before = bisect_right(texts, ((number, column), (number + 1, 0)))
            if not before or (number, column) >= texts[before - 1][1]:
                span = Span(number, column, column + len(found[0].rstrip()))
                yield span, found[1], found[2].strip()
