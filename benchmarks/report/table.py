"""Rows as a table in Markdown that is also readable on a terminal."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING

from benchmarks.rows import TIMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.rows import Row

_HEADINGS = ("", "what", "measured", "against", "ratio", "budget", "")
_RIGHT = {4}
_LONGEST = 100


def render_table(rows: Iterable[Row]) -> str:
    """Return the table, with aligned columns."""
    lines = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    rule = ["-" * (width + 1) + (":" if column in _RIGHT else "-") for column, width in enumerate(widths)]
    written = [_line(line, widths) for line in lines]
    return "\n".join([written[0], "|" + "|".join(rule) + "|", *written[1:]]) + "\n"


def describe(row: Row) -> str:
    """Return a row as one line of progress."""
    _, what, measured, against, score, limit, verdict = _cells(row)
    parts = [
        row.problem or measured,
        against and f"against {against}",
        score,
        limit and f"budget {limit}",
        verdict,
    ]
    return f"{row.budget or 'peer':<4} {what}: {', '.join(filter(None, parts))}"


def _cells(row: Row) -> tuple[str, ...]:
    against = f"{row.baseline} {row.against}".strip() if row.against else row.baseline
    return (
        row.budget,
        row.what,
        _brief(row.problem) or str(row.measured or ""),
        against,
        "" if row.score is None else _score(row),
        str(row.limit or ""),
        row.verdict,
    )


def _brief(problem: str) -> str:
    """Return a problem for a cell; the progress output has its full text."""
    return shorten(problem, _LONGEST, placeholder=" …").replace("|", "\\|")


def _score(row: Row) -> str:
    """Return the value that is compared with the budget, if it differs from the measurement."""
    if row.measured is not None and row.measured.unit == "MB":
        return f"{row.score:.0f} MB"
    is_ratio = row.limit is None or row.limit.unit == TIMES
    return f"{row.score:.2f} {TIMES}" if is_ratio else ""


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (
        cell.rjust(width) if column in _RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join(padded) + " |"
