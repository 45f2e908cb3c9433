"""The pace of requests, by the API's rate-limit headers and the user's own limit.

`Pacer` is a state machine without a clock; `Gate` makes threads wait for it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.headers import read_date, read_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.ports import Clock, Reporter

LONGEST_WAIT = 300.0
"""Seconds; a request that would have to wait longer fails instead."""
MARGIN = 0.25
"""Seconds added to a reset, since headers count whole seconds and clocks differ a little."""
FARTHEST_RESET = 3600.0
"""Seconds; a window that ends later than this is ignored."""

# `Date` is in whole seconds, and servers update it once a second.
_DATE_IS_OLD_BY = 2.0
_WORTH_REPORTING = 1.0
_LOOK_AGAIN = 0.05
_MINUTE = 60.0


class Signals(Struct, frozen=True):
    """Rate-limit headers of one response; None where a header is absent or invalid."""

    limit: int | None = None
    """Requests that a window allows."""
    remaining: int | None = None
    """Requests that are left in this window."""
    reset: float | None = None
    """The Unix time at which the window ends; it identifies the window."""
    reset_in: float | None = None
    """Seconds until then."""
    retry_after: float | None = None
    """Seconds to wait before the next request."""


def read_signals(headers: Mapping[str, str], wall: float) -> Signals:
    """Read `X-RateLimit-*`, `Retry-After` and `Date` of a response that came at `wall` (Unix time).

    Sources: the vendor's documentation of rate limits; RFC 9110 sections 6.6.1 and 10.2.3.
    """
    server_now = _server_now(read_date(headers.get("date")), wall)
    limit = read_number(headers.get("x-ratelimit-limit"))
    remaining = read_number(headers.get("x-ratelimit-remaining"))
    reset = read_number(headers.get("x-ratelimit-reset"))
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


def _server_now(date: datetime | None, wall: float) -> float:
    """Return the server's time: our clock, which is finer than `Date`, while the two agree."""
    if date is None or 0 <= wall - date.timestamp() < _DATE_IS_OLD_BY:
        return wall
    return date.timestamp()


def _retry_after(text: str | None, server_now: float) -> float | None:
    seconds = read_number(text)
    if seconds is not None:
        return seconds
    moment = read_date(text)
    return None if moment is None else max(0.0, moment.timestamp() - server_now)


class Pacer:
    """When the next request may be sent. All times are seconds of one monotonic clock."""

    def __init__(self, requests_per_minute: int | None = None) -> None:
        """Space requests evenly at `requests_per_minute`; None: only the API's headers count."""
        self._interval = _MINUTE / requests_per_minute if requests_per_minute else 0.0
        self._next_slot = 0.0
        self._held_until = 0.0
        self._in_flight = 0
        self._limit: int | None = None
        self._left: int | None = None
        self._window: float | None = None
        self._window_ends: float | None = None
        """None: the last known window is over, and no response has described the next one."""

    @property
    def limit(self) -> int | None:
        """How many requests a window allows, by the last response that said so."""
        return self._limit

    def delay(self, now: float) -> float:
        """Return the seconds until a request may be sent; 0: now."""
        self._roll_over(now)
        waits = [self._next_slot - now if self._interval else 0.0, self._held_until - now]
        if self._left is not None and self._left <= 0:
            if self._window_ends is not None:
                waits.append(self._window_ends - now)
            elif self._in_flight:
                # Requests in flight use up the new window; its end is known with the first response.
                waits.append(_LOOK_AGAIN)
        return max(0.0, *waits)

    def sent(self, now: float) -> None:
        """Record that a request is sent."""
        self._in_flight += 1
        self._next_slot = max(now, self._next_slot) + self._interval
        if self._left is not None:
            self._left -= 1

    def lost(self) -> None:
        """Record that a request ended without a response."""
        self._in_flight -= 1

    def answered(self, signals: Signals, now: float) -> None:
        """Record a response."""
        self._in_flight -= 1
        self._roll_over(now)
        self._limit = signals.limit or self._limit
        if signals.remaining is None or signals.reset is None or signals.reset_in is None:
            return
        over = self._window_ends is None
        if over and signals.reset == self._window:
            return  # a late response about a window that is over
        ends = now + signals.reset_in + MARGIN
        if signals.reset == self._window and self._window_ends is not None:
            # Headers round to whole seconds: of several ends of one window the earliest is the most exact.
            ends = min(ends, self._window_ends)
            self._left = self._count(signals.remaining)
        elif over:
            self._left = self._count(signals.remaining)
        else:
            # An unexpected window: of the requests so far, none is known to count in it.
            self._left = signals.remaining - self._in_flight
        self._window, self._window_ends = signals.reset, ends

    def hold(self, until: float) -> None:
        """Send nothing before `until`, as the API asked; the current window ends then, too."""
        self._held_until = max(self._held_until, until)
        self._left, self._window_ends = 0, self._held_until

    def _count(self, remaining: int) -> int:
        """Return the requests left: our count includes those in flight, the API's other users of the key."""
        if self._left is None or not self._in_flight:
            return remaining - self._in_flight
        return min(self._left, remaining)

    def _roll_over(self, now: float) -> None:
        if self._window_ends is not None and now >= self._window_ends:
            self._window_ends = None
            self._left = self._limit


class Gate:
    """Makes threads wait for a `Pacer`, and while the API has asked to wait."""

    def __init__(self, pacer: Pacer, clock: Clock, reporter: Reporter) -> None:
        """Wait with `clock`; report waits of a second and more to `reporter`."""
        self._pacer = pacer
        self._clock = clock
        self._reporter = reporter
        self._mutex = threading.Lock()

    def enter(self) -> float:
        """Wait until a request may be sent, and count it as sent.

        Return 0; or the seconds to wait if they exceed `LONGEST_WAIT`, and then nothing may be sent.
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
        """Wait, and report the wait if it is long enough."""
        if seconds >= _WORTH_REPORTING:
            self._reporter.waiting(seconds, reason)
        self._clock.sleep(seconds)

    def leave(self, signals: Signals | None) -> None:
        """Record the response to a request that entered; None: there was none."""
        with self._mutex:
            if signals is None:
                self._pacer.lost()
            else:
                self._pacer.answered(signals, self._clock.monotonic())

    def hold(self, seconds: float) -> None:
        """Make every thread wait so many seconds."""
        with self._mutex:
            self._pacer.hold(self._clock.monotonic() + seconds)
