"""Whether a request is sent again, and when: pure decisions, without a clock or a network."""

from __future__ import annotations

from msgspec import Struct

MAX_ATTEMPTS = 5
BUDGET = 120.0
"""Seconds that one operation may take, not counting the waits that the quota asks for."""
LONGEST_WAIT = 300.0
"""Seconds; who is told to wait longer than this gives up and says so."""

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 20.0
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
# "Not implemented" and "HTTP version not supported" say the same thing each time.
_LASTING = frozenset({501, 505})
# A creation carries its Idempotency-Key and a test only repeats a test, so a POST may be repeated too.
_REPEATABLE = frozenset({"GET", "POST", "DELETE"})


class Retry(Struct, frozen=True):
    """Send the same request again, `after` seconds from now."""

    after: float


class GiveUp(Struct, frozen=True):
    """What came back last is what the caller gets."""


def may_pass(status: int | None) -> bool:
    """Whether the same request may have another outcome later. None: there was no usable answer."""
    if status is None or status in {_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS}:
        return True
    return status >= _SERVER_ERROR and status not in _LASTING


def leaves_doubt(status: int | None) -> bool:
    """Whether the server may have carried out a request that it answered so (None: not at all)."""
    return status is None or (status >= _SERVER_ERROR and status not in _LASTING)


def decide(
    method: str,
    status: int | None,
    attempt: int,
    elapsed: float,
    retry_after: float | None,
    jitter: float,
) -> Retry | GiveUp:
    """Decide what follows a try.

    Args:
        method: the HTTP method.
        status: the answer's status; None where there was no usable answer.
        attempt: how many tries there were, this one included.
        elapsed: seconds that they took, without the waits for the quota.
        retry_after: seconds that the answer asks to wait; None where it does not say.
        jitter: a random number from 0 to 1, which spreads clients that failed together.
    """
    if method not in _REPEATABLE or not may_pass(status) or attempt >= MAX_ATTEMPTS:
        return GiveUp()
    after = max(backoff(attempt, jitter), retry_after or 0.0)
    if status == _TOO_MANY_REQUESTS:
        # As long as it was told to wait, it is not the server that is slow: only the wait itself counts.
        return Retry(after) if after <= LONGEST_WAIT else GiveUp()
    return Retry(after) if elapsed + after <= BUDGET else GiveUp()


def backoff(attempt: int, jitter: float) -> float:
    """Return the seconds to wait after try number `attempt`: exponential, between half and the whole."""
    whole = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** (attempt - 1))
    return float(whole * (0.5 + 0.5 * jitter))
