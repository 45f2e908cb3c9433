"""What keeps a file from being loaded, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from reconciler.diagnostics import Rule


class Span(NamedTuple):
    """Where something stands in a file. Lines and columns count from 1."""

    line: int
    column: int
    end: int | None = None
    """The first column after it; None where it goes on over several lines, or where that is not known."""


@dataclass(frozen=True, slots=True)
class YamlProblem:
    """Something in a file that cannot be loaded."""

    rule: Rule
    message: str
    span: Span
    hint: str | None = None
    also: Span | None = None
    """The earlier of two places, where it takes two."""
    also_says: str = "the first one is here"


class YamlRefused(Exception):
    """The rest of a file cannot be understood."""

    def __init__(self, problem: YamlProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem
