"""The retry loop, and the back-off that the servers' decisions share."""

from __future__ import annotations

import pytest

from reconciler.retry import backoff, retry
from tests.fakes.clock import FakeClock


def test_attempts_go_on_until_the_decision_stops_them() -> None:
    """The last outcome is returned; each decision knows the number, the outcome and the time so far."""
    clock, seen = FakeClock(), list[tuple[int, str, float]]()

    def attempt(elapsed: float) -> str:
        clock.sleep(1.0)
        return f"outcome after {elapsed:g} s"

    def decide(number: int, outcome: str, elapsed: float) -> float | None:
        seen.append((number, outcome, elapsed))
        return 10.0 * number if number < 3 else None

    assert retry(attempt, decide, clock=clock) == "outcome after 32 s"
    assert seen == [
        (1, "outcome after 0 s", 1.0),
        (2, "outcome after 11 s", 12.0),
        (3, "outcome after 32 s", 33.0),
    ]


def test_a_caller_may_wait_in_its_own_way() -> None:
    """With `wait` the clock does not sleep."""
    clock, waits = FakeClock(), list[tuple[float, str]]()
    outcomes = iter(["busy", "done"])
    result = retry(
        lambda _elapsed: next(outcomes),
        lambda _number, outcome, _elapsed: 5.0 if outcome == "busy" else None,
        clock=clock,
        wait=lambda seconds, outcome: waits.append((seconds, outcome)),
    )
    assert (result, waits, clock.monotonic()) == ("done", [(5.0, "busy")], 0.0)


def test_an_error_ends_the_loop() -> None:
    """What an attempt raises is not an outcome."""
    with pytest.raises(ZeroDivisionError):
        retry(lambda _elapsed: 1 / 0, lambda _number, _outcome, _elapsed: 1.0, clock=FakeClock())


def test_backoff_doubles_and_is_capped() -> None:
    """Pauses double up to the longest."""
    assert [backoff(n, 0.5, 20.0) for n in range(1, 9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
