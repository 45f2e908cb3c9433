"""The API's clock, as its `Date` headers show it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.headers import read_date
from reconciler.model import SendingWindow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.ports import Clock

# `Date` is in whole seconds, and servers update it once a second: so much older it may be than our clock.
_OLDEST = timedelta(seconds=2)
# In the middle of the second that `Date` names.
_HALF_A_SECOND = timedelta(seconds=0.5)
_NO_CORRECTION = timedelta(0)


class ApiClock:
    """Our clock, corrected by the last `Date` of the API. Threads may share it."""

    def __init__(self, clock: Clock) -> None:
        """Until the first `Date` is seen, the two clocks count as equal."""
        self._clock = clock
        self._correction = _NO_CORRECTION

    def learn(self, headers: Mapping[str, str]) -> None:
        """Learn from a response of the API that has just come."""
        date = read_date(headers.get("date"))
        if date is None:
            return
        behind = self._clock.now() - date
        # Our clock is finer than `Date`, while the two agree.
        agree = _NO_CORRECTION <= behind < _OLDEST
        self._correction = _NO_CORRECTION if agree else _HALF_A_SECOND - behind

    def now(self) -> datetime:
        """Return the API's time."""
        return self._clock.now() + self._correction

    def window(self, began: datetime, ended: datetime) -> SendingWindow:
        """Return the time between two moments of our clock as a window on the API's clock."""
        return SendingWindow(began + self._correction, max(began, ended) + self._correction)
