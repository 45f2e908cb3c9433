"""Time that passes only when a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


class FakeClock:
    """Virtual time: it passes only when somebody sleeps, or a test moves it."""

    def __init__(self, start: datetime = START) -> None:
        """Begin at `start`."""
        self._start = start
        self._elapsed = 0.0

    def now(self) -> datetime:
        """Return the virtual time."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return the virtual seconds since the start."""
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Let the time pass without waiting."""
        self._elapsed += max(0.0, seconds)

    def copy(self) -> FakeClock:
        """Return an independent clock that shows the same time."""
        other = FakeClock(self._start)
        other.sleep(self._elapsed)
        return other

    def advance(self, **duration: float) -> None:
        """Move time on, in the words of `timedelta`."""
        self.sleep(timedelta(**duration).total_seconds())
