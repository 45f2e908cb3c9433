"""GitHub: one table of retry decisions. Requests are tested in tests/integration/test_github.py."""

from __future__ import annotations

import pytest

from reconciler.github.client import retry_delay


@pytest.mark.parametrize(
    ("method", "status", "attempt", "wait", "expected"),
    [
        ("GET", 200, 1, None, None),
        ("GET", 404, 1, None, None),
        ("GET", None, 1, None, 1.0),
        ("GET", 500, 2, None, 2.0),
        ("PATCH", 502, 4, None, 8.0),
        ("GET", 500, 5, None, None),
        ("POST", None, 1, None, None),
        ("POST", 500, 1, None, None),
        ("POST", 403, 1, 60.0, 60.0),
        ("GET", 429, 2, 0.0, 2.0),
        ("GET", 429, 1, 120.0, 120.0),
        ("GET", 429, 1, 121.0, None),
        ("GET", 429, 5, 1.0, None),
    ],
)
def test_decisions(
    method: str, status: int | None, attempt: int, wait: float | None, expected: float | None
) -> None:
    """Silence, 5xx and rate limits are retried; a POST only when GitHub has not executed it."""
    assert retry_delay(method, status, attempt, wait) == expected
