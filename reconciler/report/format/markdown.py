"""GitHub's Markdown. Foreign text goes into code, where markup, mentions and links have no effect."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING

from reconciler.report.format.escape import visible
from reconciler.report.format.style import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

COMMENT_LIMIT = 60_000
"""Characters. GitHub's limit is 65,536; the difference leaves room for text that others add."""
_TICKS = re.compile("`+")
_SHORTEST_FENCE = 3
_PAGE = re.compile(r"https?://[A-Za-z0-9.:/_~%-]+")


def code(text: object) -> str:
    """Return `text` as a code span, delimited by more backticks than it contains."""
    shown = visible(text) or " "
    ticks = "`" * (_longest_run(shown) + 1)
    # Markdown removes one space at each end; the spaces separate the delimiters from the content.
    inner = f" {shown} " if shown[0] in "` " or shown[-1] in "` " else shown
    return f"{ticks}{inner}{ticks}"


def cell(*texts: object) -> str:
    """Return a table cell with each text as a code span, one below the other; empty texts are skipped."""
    # Even within code, a bar would end the cell.
    return "<br>".join(code(text).replace("|", "\\|") for text in texts if text)


def fenced(lines: Iterable[str], language: str = "text") -> str:
    """Return lines (already escaped) as a code block that none of them can end."""
    body = "\n".join(lines)
    fence = "`" * max(_SHORTEST_FENCE, _longest_run(body) + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    limit: int,
    nouns: tuple[str, str],
    on_cut: Callable[[], object] | None = None,
) -> str:
    """Return a table of at most about `limit` characters and, below it, how many rows are left out.

    Args:
        header: the titles of the columns.
        rows: the cells, already escaped.
        limit: the table is cut after the last row that fits.
        nouns: the singular and plural of what a row describes.
        on_cut: called if the table is cut, to print all rows to the run's log.
    """
    lines = [_row(header), _row(["---"] * len(header)), *map(_row, rows)]
    kept = max(2, sum(size <= limit for size in accumulate(len(line) + 1 for line in lines)))
    text = "\n".join(lines[:kept])
    if kept == len(lines):
        return text
    if on_cut is not None:
        on_cut()
    logged = "; the run's log has them" if on_cut else ""
    return f"{text}\n\n{count(len(lines) - kept, *nouns)} not shown here{logged}."


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def link(words: str, page: str | None) -> str:
    """Return `words` (trusted text) as a link; plain text without a page, or if its URL is unusual."""
    return f"[{words}]({page})" if page and _PAGE.fullmatch(page) else words


def _longest_run(text: str) -> int:
    return max(map(len, _TICKS.findall(text)), default=0)
