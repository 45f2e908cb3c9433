"""The clock check of `doctor`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.cli.checks import check_clock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("server", "ok", "words"),
    [
        (None, True, "not compared: the API does not send its time"),
        (timedelta(0), True, "agrees with the API's"),
        (timedelta(seconds=-61), True, "agrees with the API's"),  # one second is the header's own doubt
        (timedelta(seconds=-63), False, "1 min 2 s ahead of the API's"),
        (timedelta(seconds=71), True, "agrees with the API's"),  # it was answered up to ten seconds later
        (timedelta(seconds=73), False, "1 min 2 s behind the API's"),
        (timedelta(hours=2), False, "1 h 59 min behind the API's"),
    ],
)
def test_the_clock_is_compared_with_the_apis(server: timedelta | None, ok: bool, words: str) -> None:
    """A skew of over a minute fails in both directions; the time that the answer took does not count."""
    answered = None if server is None else NOW + server
    check = check_clock(answered, NOW, NOW + timedelta(seconds=10))
    assert (check.ok, check.detail) == (ok, words)
    assert (check.hint is None) is ok


def test_a_long_wait_for_the_answer_does_not_count_as_skew() -> None:
    """After minutes of waiting for the quota, the API's time lies between request and answer."""
    assert check_clock(NOW + timedelta(minutes=5), NOW, NOW + timedelta(minutes=5)).ok
