"""Texts, counts and moments as JSON, metadata and headers hold them: what can be written, and read again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeGuard

MOST_DIGITS = 12
"""A count has no more: what a ledger may hold, its metadata can say."""
YEARS = range(1970, 9000)
"""A moment beyond these is nobody's clock, and arithmetic with it ends at the calendar's edge."""


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
