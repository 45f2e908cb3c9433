"""How often something that strangers can cause is done: reads of secrets, lines in the log."""

from __future__ import annotations


class Allowance:
    """A few immediately, then one in a while."""

    def __init__(self, burst: int, seconds: float) -> None:
        """Allow `burst`, and one more after each so many `seconds`."""
        self._burst = burst
        self._seconds = seconds
        self._left = float(burst)
        self._at = float("-inf")

    def is_left(self, now: float) -> bool:
        """Whether another one is allowed."""
        self._left = min(float(self._burst), self._left + (now - self._at) / self._seconds)
        self._at = now
        return self._left >= 1.0

    def take(self, now: float) -> bool:
        """Whether another one is allowed; it counts."""
        if not self.is_left(now):
            return False
        self._left -= 1.0
        return True
