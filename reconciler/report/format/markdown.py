"""GitHub's Markdown around foreign text: in code alone, where markup, mentions and links mean nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COMMENT_LIMIT = 60_000
"""Characters: GitHub refuses a comment of more than 65,536, and others may want to add a line."""
_TICKS = re.compile("`+")
_SHORTEST_FENCE = 3
_PAGE = re.compile(r"https?://[A-Za-z0-9.:/_~%-]+")


def code(text: object) -> str:
    """Return `text` as a code span, delimited by more backticks than it holds."""
    shown = visible(text) or " "
    ticks = "`" * (_longest_run(shown) + 1)
    # A space at each end is taken off again by Markdown, and keeps the delimiters apart from the content.
    inner = f" {shown} " if shown[0] in "` " or shown[-1] in "` " else shown
    return f"{ticks}{inner}{ticks}"


def cell(text: object) -> str:
    """Return `text` as a code span within a table, where a bar would end the cell."""
    return code(text).replace("|", "\\|")


def fenced(lines: Iterable[str], language: str = "text") -> str:
    """Return lines, already made visible, as a code block that none of them can end."""
    body = "\n".join(lines)
    fence = "`" * max(_SHORTEST_FENCE, _longest_run(body) + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], limit: int) -> tuple[str, int]:
    """Return a table of cells, as far as `limit` characters go, and how many rows are left out."""
    lines = [_row(header), _row(["---"] * len(header))]
    room = limit - sum(map(len, lines))
    for number, cells in enumerate(rows):
        line = _row(cells)
        room -= len(line) + 1
        if room < 0:
            return "\n".join(lines), len(rows) - number
        lines.append(line)
    return "\n".join(lines), 0


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def link(words: str, page: str | None) -> str:
    """Return `words` of ours as a link to `page`; just the words where there is no page, or an odd one."""
    return f"[{words}]({page})" if page and _PAGE.fullmatch(page) else words


def _longest_run(text: str) -> int:
    return max(map(len, _TICKS.findall(text)), default=0)
