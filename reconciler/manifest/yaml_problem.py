"""What keeps a file from being loaded, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.manifest.rules import Rule


@dataclass(frozen=True, slots=True)
class YamlProblem:
    """Something in a file that cannot be loaded. Lines and columns count from 1."""

    rule: Rule
    message: str
    line: int
    column: int
    hint: str | None = None
    also: tuple[int, int] | None = None
    """Line and column of another place that belongs to it."""


class YamlRefused(Exception):
    """The rest of a file cannot be understood."""

    def __init__(self, problem: YamlProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem
