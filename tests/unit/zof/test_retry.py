"""Retry decisions: one table, and the shape of the back-off."""

from __future__ import annotations

import pytest

from reconciler.zof.retry import (
    BUDGET,
    LONGEST_WAIT,
    MAX_ATTEMPTS,
    GiveUp,
    Retry,
    backoff,
    decide,
    leaves_doubt,
    may_pass,
)

RETRY, STOP = True, False
LAST_WORDS = (200, 302, 400, 401, 403, 404, 405, 409, 422)


@pytest.mark.parametrize(
    ("method", "status", "attempt", "elapsed", "retry_after", "expected"),
    [
        ("GET", None, 1, 0.0, None, Retry(0.5)),
        ("GET", 500, 1, 0.0, None, Retry(0.5)),
        ("GET", 503, 2, 0.0, None, Retry(1.0)),
        ("GET", 503, 2, 0.0, 7.0, Retry(7.0)),
        ("POST", None, 3, 0.0, None, Retry(2.0)),
        ("POST", 502, 4, 0.0, None, Retry(4.0)),
        ("POST", 408, 1, 0.0, None, Retry(0.5)),
        ("DELETE", 504, 1, 0.0, None, Retry(0.5)),
        ("GET", 429, 1, 0.0, 30.0, Retry(30.0)),
        ("POST", 429, 3, 0.0, 1.0, Retry(2.0)),
        ("POST", 429, 1, BUDGET * 9, LONGEST_WAIT, Retry(LONGEST_WAIT)),
        ("GET", 429, 1, 0.0, None, Retry(0.5)),
        ("GET", 429, 1, 0.0, LONGEST_WAIT + 1, GiveUp()),
        ("GET", 429, MAX_ATTEMPTS, 0.0, 1.0, GiveUp()),
        ("GET", None, MAX_ATTEMPTS, 0.0, None, GiveUp()),
        ("GET", None, 1, BUDGET, None, GiveUp()),
        ("GET", 503, 1, BUDGET - 5, 6.0, GiveUp()),
        ("DELETE", 501, 1, 0.0, None, GiveUp()),
        ("DELETE", 505, 1, 0.0, None, GiveUp()),
        ("PATCH", 500, 1, 0.0, None, GiveUp()),
        *(
            ("POST", status, 1, 0.0, None, GiveUp())
            for status in (200, 302, 400, 401, 403, 404, 405, 409, 422)
        ),
    ],
)
def test_decisions(
    method: str,
    status: int | None,
    attempt: int,
    elapsed: float,
    retry_after: float | None,
    expected: Retry | GiveUp,
) -> None:
    """Silence, 5xx, 408 and 429 are retried within the caps; every other answer is the last word."""
    assert decide(method, status, attempt, elapsed, retry_after, jitter=1.0) == expected


def test_backoff_doubles_and_is_capped() -> None:
    """Pauses double up to a cap, and jitter takes at most half of each away."""
    assert [backoff(n, 1.0) for n in range(1, 9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    assert [backoff(n, 0.0) for n in range(1, 4)] == [0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    ("status", "passing", "doubtful"),
    [(None, RETRY, True), (429, RETRY, False), (408, RETRY, False), (500, RETRY, True), (599, RETRY, True)]
    + [(status, STOP, False) for status in (200, 301, 400, 409, 501)],
)
def test_what_a_status_means(status: int | None, passing: bool, doubtful: bool) -> None:
    """A 5xx and silence leave in doubt whether the request was carried out; a definitive answer does not."""
    assert may_pass(status) is passing
    assert leaves_doubt(status) is doubtful
