"""Problems that keep a file from being parsed, and their positions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from reconciler.diagnostics import Rule

_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What libyaml counts as a line break (YAML 1.1)."""


class Span(NamedTuple):
    """A position in a file. Lines and columns count from 1."""

    line: int
    column: int
    end: int | None = None
    """The first column after it; None if it has several lines, or if that is not known."""
    last_line: int | None = None
    """The line on which a text ends that began on an earlier one; None for everything else."""


class YamlProblem(Struct, frozen=True):
    """Something in a file that cannot be parsed."""

    rule: Rule
    message: str
    span: Span
    hint: str | None = None
    also: Span | None = None
    """The earlier of two positions, if there are two."""
    also_says: str = "the first one is here"


class YamlRefused(Exception):
    """The rest of a file cannot be parsed."""

    def __init__(self, problem: YamlProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def source_lines(data: bytes) -> list[str]:
    """Return the lines of a file as positions count them; invalid UTF-8 is replaced."""
    return _LINE_BREAK.split(data.decode("utf-8-sig", errors="replace"))
