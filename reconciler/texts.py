"""Texts, numbers and moments as JSON, metadata and headers hold them: what can be written, and read again.

Python's own `int` and `float` accept signs, spaces, underscores and the digits of every script, and fail with
a number of thousands of digits. Numbers from outside are read here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_WORD = 64
"""Characters of a word that are compared with known words: the comparison is slow."""
MOST_DIGITS = 12
"""A count has no more: what a ledger may hold, its metadata can say."""
YEARS = range(1970, 9000)
"""A moment beyond these is nobody's clock, and arithmetic with it ends at the calendar's edge."""
_COUNT = re.compile(rf"[0-9]{{1,{MOST_DIGITS}}}")


def read_count(value: object) -> int | None:
    """Read a whole number from 0 to 999,999,999,999 in decimal digits; None for anything else."""
    return int(value) if isinstance(value, str) and _COUNT.fullmatch(value) else None


def as_count(value: object) -> int | None:
    """Return a JSON number if it is a whole one from 0 to 999,999,999,999; None for anything else."""
    # In Python, True is an int.
    return value if type(value) is int and 0 <= value < 10**MOST_DIGITS else None


def to_timestamp(moment: datetime | None) -> str | None:
    """Return `moment` (aware) as RFC 3339 in UTC with microseconds."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_timestamp(text: object) -> datetime | None:
    """Read what `to_timestamp` wrote; None for None.

    Raises `ValueError` for anything else: no text, no offset, or a year that is nobody's clock.
    """
    if text is None:
        return None
    moment = datetime.fromisoformat(as_text(text))
    if moment.tzinfo is None or moment.year not in YEARS:
        msg = "a timestamp without an offset, or from another age"
        raise ValueError(msg)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def known_timestamp(text: object) -> datetime | None:
    """Read what `to_timestamp` wrote; None for anything else."""
    try:
        return from_timestamp(text)
    except ValueError:
        return None


def is_text(value: object) -> TypeGuard[str]:
    """Whether `value` is a text that can be written: JSON can escape half a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def as_text(value: object) -> str:
    """Return `value` if it is a text that can be written.

    Raises `ValueError` otherwise.
    """
    if not is_text(value):
        raise ValueError("no text")
    return value


def span(time: timedelta) -> str:
    """Return a span as manifests write it: `1d`, `36h`, `90m`, `5s`."""
    seconds = round(time.total_seconds())
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` is most likely a misspelling of, in any case, or None."""
    import difflib  # noqa: PLC0415 (only for mistakes)

    by_lower = {name.lower(): name for name in known}
    similar = difflib.get_close_matches(word[:_LONGEST_WORD].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[similar[0]] if similar else None


def did_you_mean(words: Iterable[str], known: Iterable[str], otherwise: str) -> str:
    """Return a hint for unknown words: what is known and most like the first of them, or `otherwise`."""
    known = list(known)
    similar = next(filter(None, (suggestion(word, known) for word in words)), None)
    return f"did you mean `{similar}`?" if similar else otherwise
