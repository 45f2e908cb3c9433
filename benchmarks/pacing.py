"""What a request log says about how a client kept to the quota. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.sandbox.zof_gateway import LoggedRequest

REFUSED = 429
# What was under way when the answer came that said to wait, arrives within this.
_UNDER_WAY = 0.05


@dataclass(frozen=True)
class Pacing:
    """How a client kept to a quota with fixed windows."""

    accepted: int
    windows: int
    most_refused: int
    """429s in the window that has most of them."""
    disobeyed: int
    """Requests sent after an answer said to wait (a 429, or nothing remaining), before that was over."""


def floor(requests: int, limit: int, window: float) -> float:
    """Return the seconds before which so many requests cannot all have been accepted.

    The last may go when the windows before its own are over.
    """
    return max(0, -(-requests // limit) - 1) * window


def judge(log: Sequence[LoggedRequest], limit: int, window: float) -> Pacing:
    """Return what `log` says of a quota of `limit` requests a window of so many seconds.

    A window is begun by its first request, as the embedded API does it.
    """
    accepted = windows = refused = most_refused = disobeyed = left = 0
    begun, told_at = float("-inf"), float("inf")
    for request in sorted(log, key=lambda request: request.at):
        if request.at >= begun + window:
            begun, told_at, left, refused = request.at, float("inf"), limit, 0
            windows += 1
        disobeyed += request.at > told_at + _UNDER_WAY
        if request.status == REFUSED:
            refused += 1
            most_refused = max(most_refused, refused)
        else:
            accepted += 1
            left -= 1
        if left <= 0 or request.status == REFUSED:
            told_at = min(told_at, request.at)
    return Pacing(accepted, windows, most_refused, disobeyed)
