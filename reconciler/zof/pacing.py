"""How fast requests may follow one another: what the API's headers say, and what the user says.

`Pacer` is a state machine without a clock; `Gate` puts it before several threads.
"""

from __future__ import annotations

import re
import threading
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.texts import YEARS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.ports import Clock, Reporter

LONGEST_WAIT = 300.0
"""Seconds; a request that would have to wait longer fails instead."""
MARGIN = 0.25
"""Seconds that a reset is given, since headers count whole seconds and clocks differ a little."""
FARTHEST_RESET = 3600.0
"""Seconds; a window that ends later than this is taken for nonsense."""

_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)
# `Date` is in whole seconds, and servers renew it once a second.
_DATE_IS_OLD_BY = 2.0
_WORTH_TELLING = 1.0
_LOOK_AGAIN = 0.05
_MINUTE = 60.0


class Signals(Struct, frozen=True):
    """What one answer says about the quota; None where it says nothing, or nonsense."""

    limit: int | None = None
    """Requests that a window allows."""
    remaining: int | None = None
    """Requests that are left in this window."""
    reset: float | None = None
    """The Unix time at which the window ends: its name."""
    reset_in: float | None = None
    """Seconds until then."""
    retry_after: float | None = None
    """Seconds to wait before the next request."""


def read_signals(headers: Mapping[str, str], wall: float) -> Signals:
    """Read `X-RateLimit-*`, `Retry-After` and `Date` of an answer that came at `wall` (Unix time).

    Sources: the vendor's documentation of rate limits; RFC 9110 sections 6.6.1 and 10.2.3.
    """
    server_now = _server_now(read_date(headers.get("date")), wall)
    limit = _number(headers.get("x-ratelimit-limit"))
    remaining = _number(headers.get("x-ratelimit-remaining"))
    reset = _number(headers.get("x-ratelimit-reset"))
    reset_in = None if reset is None else reset - server_now
    if reset_in is None or reset_in > FARTHEST_RESET:
        reset = reset_in = None
    return Signals(
        limit=int(limit) if limit else None,
        remaining=None if remaining is None else int(remaining),
        reset=reset,
        reset_in=None if reset_in is None else max(0.0, reset_in),
        retry_after=_retry_after(headers.get("retry-after"), server_now),
    )


def read_date(text: str | None) -> datetime | None:
    """Read an HTTP date (aware); None where it is absent or none."""
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # Without an offset nobody knows which hour is meant.
    return moment if moment.tzinfo is not None and moment.year in YEARS else None


def _server_now(date: datetime | None, wall: float) -> float:
    """Return the server's time. Our clock is finer than `Date`, so it counts while they agree."""
    if date is None or 0 <= wall - date.timestamp() < _DATE_IS_OLD_BY:
        return wall
    return date.timestamp()


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None


def _retry_after(text: str | None, server_now: float) -> float | None:
    seconds = _number(text)
    if seconds is not None:
        return seconds
    moment = read_date(text)
    return None if moment is None else max(0.0, moment.timestamp() - server_now)


class Pacer:
    """When the next request may go. Times are seconds of one clock that never goes backwards."""

    def __init__(self, requests_per_minute: int | None = None) -> None:
        """Space requests evenly at `requests_per_minute`; None: only the API's own words count."""
        self._interval = _MINUTE / requests_per_minute if requests_per_minute else 0.0
        self._next_slot = 0.0
        self._held_until = 0.0
        self._in_flight = 0
        self._limit: int | None = None
        self._left: int | None = None
        self._window: float | None = None
        self._window_ends: float | None = None
        """None: the window that we knew is over, and no answer has told of the next one."""

    def delay(self, now: float) -> float:
        """Return the seconds until a request may go; 0: now."""
        self._roll_over(now)
        waits = [self._next_slot - now if self._interval else 0.0, self._held_until - now]
        if self._left is not None and self._left <= 0:
            if self._window_ends is not None:
                waits.append(self._window_ends - now)
            elif self._in_flight:
                # A new window is used up by what is under way; its end comes with the first answer.
                waits.append(_LOOK_AGAIN)
        return max(0.0, *waits)

    def sent(self, now: float) -> None:
        """Note that a request goes out."""
        self._in_flight += 1
        self._next_slot = max(now, self._next_slot) + self._interval
        if self._left is not None:
            self._left -= 1

    def lost(self) -> None:
        """Note that a request ended without an answer."""
        self._in_flight -= 1

    def answered(self, signals: Signals, now: float) -> None:
        """Note what an answer said."""
        self._in_flight -= 1
        self._roll_over(now)
        self._limit = signals.limit or self._limit
        if signals.remaining is None or signals.reset is None or signals.reset_in is None:
            return
        over = self._window_ends is None
        if over and signals.reset == self._window:
            return  # a late word about the window that is over
        ends = now + signals.reset_in + MARGIN
        if signals.reset == self._window and self._window_ends is not None:
            # Whole seconds round: of several words about one window the earliest end is the nearest.
            ends = min(ends, self._window_ends)
            self._left = self._count(signals.remaining)
        elif over:
            self._left = self._count(signals.remaining)
        else:
            # A window that we did not expect: nothing sent so far is known to count in it.
            self._left = signals.remaining - self._in_flight
        self._window, self._window_ends = signals.reset, ends

    def hold(self, until: float) -> None:
        """Let nothing go before `until`: the API said so. It counts as the end of the window, too."""
        self._held_until = max(self._held_until, until)
        self._left, self._window_ends = 0, self._held_until

    def _count(self, remaining: int) -> int:
        """Return what is left: our own count knows what is under way, the API's who else uses the key."""
        if self._left is None or not self._in_flight:
            return remaining - self._in_flight
        return min(self._left, remaining)

    def _roll_over(self, now: float) -> None:
        if self._window_ends is not None and now >= self._window_ends:
            self._window_ends = None
            self._left = self._limit


class Gate:
    """A `Pacer` that threads wait at. Nothing passes while the API has told us to wait."""

    def __init__(self, pacer: Pacer, clock: Clock, reporter: Reporter) -> None:
        """Wait with `clock` and tell `reporter` about waits of a second and more."""
        self._pacer = pacer
        self._clock = clock
        self._reporter = reporter
        self._mutex = threading.Lock()

    def enter(self) -> float:
        """Wait until a request may go, and count it as sent.

        Returns 0, or the seconds that are left to wait if that is longer than anyone would want to;
        nothing may be sent then.
        """
        while True:
            with self._mutex:
                now = self._clock.monotonic()
                seconds = self._pacer.delay(now)
                if seconds <= 0:
                    self._pacer.sent(now)
                    return 0.0
            if seconds > LONGEST_WAIT:
                return seconds
            self.wait(seconds, "the API's quota")

    def wait(self, seconds: float, reason: str) -> None:
        """Wait, and tell so if it is worth telling."""
        if seconds >= _WORTH_TELLING:
            self._reporter.waiting(seconds, reason)
        self._clock.sleep(seconds)

    def leave(self, signals: Signals | None) -> None:
        """Note the answer to a request that went through; None: there was none."""
        with self._mutex:
            if signals is None:
                self._pacer.lost()
            else:
                self._pacer.answered(signals, self._clock.monotonic())

    def hold(self, seconds: float) -> None:
        """Let nobody through for so long."""
        with self._mutex:
            self._pacer.hold(self._clock.monotonic() + seconds)
