"""Judge from a request log whether a client respected the quota. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.sandbox.zof_gateway import LoggedRequest

REFUSED = 429
# Requests that were sent before the client received the answer that asks it to wait arrive within this time.
_IN_TRANSIT = 0.05


@dataclass(frozen=True)
class Pacing:
    """How a client respected a quota with fixed windows."""

    accepted: int
    windows: int
    most_refused: int
    """The number of 429s in the window with the most."""
    too_early: int
    """Requests sent after an answer that asked to wait (429, or none remaining), before the window ended."""


def floor(requests: int, limit: int, window: float) -> float:
    """Return the shortest time in seconds in which so many requests can be accepted.

    The last one can be sent when the windows before its own have ended.
    """
    return max(0, -(-requests // limit) - 1) * window


def judge(log: Sequence[LoggedRequest], limit: int, window: float) -> Pacing:
    """Judge `log` against a quota of `limit` requests per window of so many seconds.

    Each window starts with its first request, as in the embedded API.
    """
    accepted = windows = refused = most_refused = too_early = left = 0
    begun, wait_from = float("-inf"), float("inf")
    for request in sorted(log, key=lambda request: request.at):
        if request.at >= begun + window:
            begun, wait_from, left, refused = request.at, float("inf"), limit, 0
            windows += 1
        too_early += request.at > wait_from + _IN_TRANSIT
        if request.status == REFUSED:
            refused += 1
            most_refused = max(most_refused, refused)
        else:
            accepted += 1
            left -= 1
        if left <= 0 or request.status == REFUSED:
            wait_from = min(wait_from, request.at)
    return Pacing(accepted, windows, most_refused, too_early)
