"""A problem as a value: so that one run can report every problem of every file."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from reconciler.model import Location

DOCS = "urn:webhook-reconciler:"
"""What a page's path follows in an absolute URI: the documentation has no public address yet."""


class Severity(StrEnum):
    """How bad it is: an error makes the input invalid, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Rule(Struct, frozen=True):
    """One rule: its code never changes its meaning and is never used again for another."""

    code: str
    title: str
    explanation: str
    """Why the rule exists and what to do, in a few sentences."""
    severity: Severity = Severity.ERROR
    ignorable: bool = False
    """Whether a comment or the configuration may silence it: never where it guards anything."""
    default: bool = True
    """Whether it is held to without being selected."""

    @property
    def uri(self) -> str:
        """The rule's page as an absolute URI."""
        return DOCS + page_of(self.code)


def page_of(code: str) -> str:
    """Return the path of a rule's page in the project; it never changes."""
    return f"docs/rules/{code}.md"


class Extent(Struct, frozen=True):
    """How far something reaches on its line. Columns count from 1, and the end is the first one after it."""

    end: int
    """In characters, as `Location.column` counts."""
    utf16: tuple[int, int]
    """Beginning and end in UTF-16 code units, as editors and SARIF count."""


class Related(Struct, frozen=True):
    """Another place that belongs to a problem: the first of two duplicates, for example."""

    location: Location
    message: str
    """What is there, in a few words."""
    extent: Extent | None = None
    excerpt: str | None = None


class Diagnostic(Struct, frozen=True):
    """One problem: where it is, what it is, and what to do about it."""

    severity: Severity
    rule: str
    """The rule's stable code, for example `WH012`."""
    message: str
    location: Location | None = None
    hint: str | None = None
    excerpt: str | None = None
    """The source line, for the caret; None where the line may hold a secret."""
    also: tuple[Related, ...] = ()
    extent: Extent | None = None
    """How far the problem reaches, where that is known."""
    last_line: int | None = None
    """The line on which a text ends that began on an earlier one: a comment there may be about it, too."""

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location else ""
        return f"{place}{self.severity}[{self.rule}]: {self.message}"
