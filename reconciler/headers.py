"""Numbers and dates in HTTP headers. A header that cannot be read counts as absent."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from reconciler.texts import MOST_DIGITS, YEARS

if TYPE_CHECKING:
    from datetime import datetime

_NUMBER = re.compile(rf"[0-9]{{1,{MOST_DIGITS}}}(?:\.[0-9]{{1,9}})?")


def read_number(text: str | None) -> float | None:
    """Read a number, perhaps with a fraction and blanks around it; None for anything else."""
    # `str.strip` alone removes characters that `float` does not accept.
    digits = (text or "").strip(" \t")
    return float(digits) if _NUMBER.fullmatch(digits) else None


def read_date(text: str | None) -> datetime | None:
    """Read a date (aware); None for anything else, also without an offset, since it is ambiguous."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None and moment.year in YEARS else None
