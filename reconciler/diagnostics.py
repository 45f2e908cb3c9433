"""A problem as a value: so that one run can report every problem of every file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.model import Location


class Severity(StrEnum):
    """How bad it is: an error makes the input invalid, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem: where it is, what it is, and what to do about it."""

    severity: Severity
    rule: str
    """The rule's stable code, for example `WH012`."""
    message: str
    location: Location | None = None
    hint: str | None = None
    excerpt: str | None = None
    """The source line, for the caret; None where the line may hold a secret."""
    also: tuple[Location, ...] = ()
    """Other places that belong to it: the first of two duplicates, for example."""

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location else ""
        return f"{place}{self.severity}[{self.rule}]: {self.message}"
