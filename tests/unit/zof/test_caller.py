"""The retry decisions for the Zof API, as one table."""

from __future__ import annotations

import pytest

from reconciler.zof.caller import (
    BUDGET,
    MAX_ATTEMPTS,
    decide,
    leaves_doubt,
    may_pass,
)
from reconciler.zof.pacing import LONGEST_WAIT

RETRY, STOP = True, False
LAST_WORDS = (200, 302, 400, 401, 403, 404, 405, 409, 422)


@pytest.mark.parametrize(
    ("method", "status", "attempt", "elapsed", "retry_after", "expected"),
    [
        ("GET", None, 1, 0.0, None, 0.5),
        ("GET", 500, 1, 0.0, None, 0.5),
        ("GET", 503, 2, 0.0, None, 1.0),
        ("GET", 503, 2, 0.0, 7.0, 7.0),
        ("POST", None, 3, 0.0, None, 2.0),
        ("POST", 502, 4, 0.0, None, 4.0),
        ("POST", 408, 1, 0.0, None, 0.5),
        ("DELETE", 504, 1, 0.0, None, 0.5),
        ("GET", 429, 1, 0.0, 30.0, 30.0),
        ("POST", 429, 3, 0.0, 1.0, 2.0),
        ("POST", 429, 1, BUDGET * 9, LONGEST_WAIT, LONGEST_WAIT),
        ("GET", 429, 1, 0.0, None, 0.5),
        ("GET", 429, 1, 0.0, LONGEST_WAIT + 1, None),
        ("GET", 429, MAX_ATTEMPTS, 0.0, 1.0, None),
        ("GET", None, MAX_ATTEMPTS, 0.0, None, None),
        ("GET", None, 1, BUDGET, None, None),
        ("GET", 503, 1, BUDGET - 5, 6.0, None),
        ("DELETE", 501, 1, 0.0, None, None),
        ("DELETE", 505, 1, 0.0, None, None),
        ("PATCH", 500, 1, 0.0, None, None),
        *(("POST", status, 1, 0.0, None, None) for status in (200, 302, 400, 401, 403, 404, 405, 409, 422)),
    ],
)
def test_decisions(
    method: str,
    status: int | None,
    attempt: int,
    elapsed: float,
    retry_after: float | None,
    expected: float | None,
) -> None:
    """Silence, 5xx, 408 and 429 are retried within the caps; every other answer is the last word."""
    assert decide(method, status, attempt, elapsed, retry_after, jitter=1.0) == expected


@pytest.mark.parametrize(("jitter", "seconds"), [(1.0, 4.0), (0.5, 3.0), (0.0, 2.0)])
def test_jitter_takes_at_most_half_of_a_pause(jitter: float, seconds: float) -> None:
    """Clients that failed together do not retry together."""
    assert decide("GET", 500, 4, 0.0, None, jitter) == seconds


@pytest.mark.parametrize(
    ("status", "passing", "doubtful"),
    [(None, RETRY, True), (429, RETRY, False), (408, RETRY, False), (500, RETRY, True), (599, RETRY, True)]
    + [(status, STOP, False) for status in (200, 301, 400, 409, 501)],
)
def test_what_a_status_means(status: int | None, passing: bool, doubtful: bool) -> None:
    """A 5xx and silence leave in doubt whether the request was carried out; a definitive answer does not."""
    assert may_pass(status) is passing
    assert leaves_doubt(status) is doubtful
