"""The retry loop of all servers. Whether to retry, and when, is each server's own pure decision."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.ports import Clock

_T = TypeVar("_T")
LONGEST_OPERATION = 120.0
"""Seconds that one operation on the API may take, retries included, without waits for its quota."""
LONGEST_LISTING = 3600.0
"""Seconds that a listing of many requests may take, all waits included."""


def retry(
    attempt: Callable[[float], _T],
    decide: Callable[[int, _T, float], float | None],
    *,
    clock: Clock,
    wait: Callable[[float, _T], None] | None = None,
) -> _T:
    """Call `attempt` until `decide` accepts its outcome; return that outcome.

    Args:
        attempt: tries once; is given the seconds since the first attempt began.
        decide: returns the seconds to wait before another attempt, or None to stop. It is given the number of
            attempts so far, the last outcome, and the seconds since the first attempt began.
        clock: measures and waits.
        wait: waits instead of the clock; is given the seconds and the last outcome.
    """
    began = clock.monotonic()
    for number in itertools.count(1):
        outcome = attempt(clock.monotonic() - began)
        seconds = decide(number, outcome, clock.monotonic() - began)
        if seconds is None:
            return outcome
        if wait is None:
            clock.sleep(seconds)
        else:
            wait(seconds, outcome)
    raise AssertionError  # pragma: no cover (the count does not end)


def backoff(attempt: int, first: float, longest: float = math.inf) -> float:
    """Return the seconds to wait after attempt number `attempt`: `first`, then doubled up to `longest`."""
    return min(longest, first * 2.0 ** (attempt - 1))
