"""Layout of text reports: optional colours, counts, durations, aligned columns and list items."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

_SGR = re.compile(r"\x1b\[[\d;]*m")
_WORD = re.compile(r"( *)((?:`[^`\n]*`|[^ `\n]|`)+)")
_MINUTE = 60
_HOUR = 3600
_DAY = 86400


class Ink(IntEnum):
    """ANSI colours and styles (ECMA-48 SGR parameters) that are readable on dark and light terminals."""

    BOLD = 1
    DIM = 2
    RED = 31
    GREEN = 32
    YELLOW = 33
    MAGENTA = 35
    CYAN = 36


class Style(NamedTuple):
    """Colours text, or leaves it plain."""

    color: bool = False

    def paint(self, text: str, *inks: Ink) -> str:
        """Return `text` (already escaped) in these colours."""
        if not self.color or not text:
            return text
        return f"\x1b[{';'.join(str(int(ink)) for ink in inks)}m{text}\x1b[0m"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 webhook`, `2 webhooks`, `1,000 webhooks`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """Return the first `most` names, and how many others there are; `-` for none."""
    more = f" and {count(len(names) - most, 'other')}" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "-"


def duration(seconds: float) -> str:
    """Return a span in at most two units: `0.4 s`, `8 s`, `2 min 5 s`, `1 h 5 min`, `3 d`."""
    if 0 < seconds < 10:  # noqa: PLR2004 - tenths matter only below ten seconds
        tenths = f"{seconds:.1f}".removesuffix(".0")
        return f"{tenths if tenths != '0' else '0.1'} s"
    whole = max(0, round(seconds))
    if whole >= _DAY:
        return f"{whole // _DAY} d"
    for unit, name, smaller, smaller_name in ((_HOUR, "h", _MINUTE, "min"), (_MINUTE, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def age(moment: datetime, now: datetime) -> str:
    """Return an age in its largest unit; a time in the future is a clock error and counts as now."""
    return " ".join(duration(max(0, round((now - moment).total_seconds()))).split()[:2])


def width(text: str) -> int:
    """Return how many terminal columns `text` (already escaped, without colours) takes."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # noqa: PLC0415 (slow to import, and nearly all texts are ASCII)

    columns: int = wcswidth(text)
    return columns if columns >= 0 else len(text)


def wrapped(text: str, columns: int) -> str:
    """Return `text` (already escaped) with lines that are broken between words, where they are too long.

    The rest of a line is indented by two more columns. What is between backticks stays in one piece, since
    somebody may copy it; so does a word, even if it is wider than `columns`.
    """
    return "".join(
        line if width(_SGR.sub("", line)) <= columns else _wrapped_line(line, columns)
        for line in text.splitlines(keepends=True)
    )


def _wrapped_line(line: str, columns: int) -> str:
    lead = line[: len(line) - len(line.lstrip(" "))]
    lines, used = [lead], len(lead)
    for space, word in _WORD.findall(line.strip(" \n")):
        needed = width(_SGR.sub("", word))
        if used + len(space) + needed > columns and lines[-1].strip():
            lines.append(f"{lead}  {word}")
            used = len(lead) + 2 + needed
        else:
            lines[-1] += space + word
            used += len(space) + needed
    return "\n".join(lines) + ("\n" if line.endswith("\n") else "")


def pad(text: str, columns: int) -> str:
    """Return `text` padded with spaces to a width of `columns`."""
    return text + " " * max(0, columns - width(text))


def aligned(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return table cells padded to the width of their columns; an empty cell becomes `-`."""
    filled = [[cell or "-" for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*filled, strict=True)]
    return [[pad(cell, columns) for cell, columns in zip(row, widths, strict=True)] for row in filled]


def item(mark: str, text: str, detail: str | None = None, hint: str | None = None) -> Iterator[str]:
    """Yield a list item and, indented below it, its detail and hint, which are escaped here."""
    yield f"  {mark} {text}"
    if detail:
        yield f"      {visible(detail)}"
    if hint:
        yield f"      hint: {visible(hint)}"
