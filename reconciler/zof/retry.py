"""Whether a request to the Zof API is retried, and when: pure decisions."""

from __future__ import annotations

from reconciler.retry import backoff

MAX_ATTEMPTS = 5
BUDGET = 120.0
"""Seconds that one operation may take, without waits for the quota."""
LONGEST_WAIT = 300.0
"""Seconds; a request that would have to wait longer fails instead."""

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 20.0
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
# "Not implemented" and "HTTP version not supported" do not change with another attempt.
_LASTING = frozenset({501, 505})
# A POST may be repeated: a creation has an Idempotency-Key, and a second test does no harm.
_REPEATABLE = frozenset({"GET", "POST", "DELETE"})


def may_pass(status: int | None) -> bool:
    """Whether the same request may succeed later. None: there was no usable response."""
    if status is None or status in {_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS}:
        return True
    return status >= _SERVER_ERROR and status not in _LASTING


def leaves_doubt(status: int | None) -> bool:
    """Whether the server may have executed the request. None: there was no usable response."""
    return status is None or (status >= _SERVER_ERROR and status not in _LASTING)


def decide(
    method: str,
    status: int | None,
    attempt: int,
    elapsed: float,
    retry_after: float | None,
    jitter: float,
) -> float | None:
    """Return the seconds to wait before the same request is sent again; None: do not retry.

    Args:
        method: the HTTP method.
        status: the response's status; None if there was no usable response.
        attempt: the number of attempts so far.
        elapsed: seconds that they took, without waits for the quota.
        retry_after: seconds that the response asks to wait; None if it does not.
        jitter: a random number from 0 to 1, so that clients that failed together do not retry together.
    """
    if method not in _REPEATABLE or not may_pass(status) or attempt >= MAX_ATTEMPTS:
        return None
    pause = backoff(attempt, _FIRST_BACKOFF, _LONGEST_BACKOFF) * (0.5 + 0.5 * jitter)
    after = max(pause, retry_after or 0.0)
    if status == _TOO_MANY_REQUESTS:
        # The server is not slow, it asks for a pause: only the length of the pause counts.
        return after if after <= LONGEST_WAIT else None
    return after if elapsed + after <= BUDGET else None
