"""Numbers and dates from outside: what is read, and what counts as absent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.github.client import rate_limit_wait
from reconciler.headers import read_date, read_number
from reconciler.network import Network
from reconciler.texts import as_count, read_count
from reconciler.zof.pacing import read_signals

STRANGE = (
    "",
    "-1",
    "+1",
    "1_0",
    "1e3",
    "0x1",
    "\u0663",
    "\u00b2",
    "0\x1f",
    "\x1c0",
    "\xa00",
    "0\u2028",
    "9" * 13,
    "9" * 5_000,
    "nan",
    "inf",
)
"""Texts that one of `str.strip`, `str.isdigit`, `int` and `float` accepts and another one does not."""


@pytest.mark.parametrize("text", STRANGE)
def test_a_strange_number_counts_as_absent(text: str) -> None:
    """Every reader of a number from outside agrees on what a number is."""
    assert read_number(text) is None
    assert read_count(text) is None
    signals = read_signals(
        dict.fromkeys(("x-ratelimit-limit", "x-ratelimit-remaining", "retry-after"), text), 0.0
    )
    assert (signals.limit, signals.remaining, signals.retry_after) == (None, None, None)
    assert rate_limit_wait(429, {"retry-after": text}, b"", 0.0) == 0.0


@pytest.mark.parametrize("port", ["\u00b2", "9" * 5_000, "x"])
def test_a_strange_port_in_no_proxy_is_ignored(port: str) -> None:
    """The entry has no effect, and the user is told."""
    assert Network.of({"NO_PROXY": f"example.com:{port}"}).ignored == (f"example.com:{port}",)


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0.0), (" 12\t", 12.0), ("0.5", 0.5), ("9" * 12, 10.0**12 - 1)]
)
def test_a_number_in_a_header(text: str, number: float) -> None:
    """Digits, perhaps with a fraction, and blanks around them."""
    assert read_number(text) == number


@pytest.mark.parametrize("value", [True, -1, 1.0, "1", None, 10**12, 10**400])
def test_a_json_value_that_is_not_a_count(value: object) -> None:
    """A number that is too large for a float is not a count either."""
    assert as_count(value) is None


def test_a_date_without_an_offset_counts_as_absent() -> None:
    """A date that does not say which hour is meant is not guessed at."""
    assert read_date("Sun, 01 Nov 2026 12:00:00 -0000") is None
    assert read_date(None) is None
    assert read_date("Sun, 01 Nov 2026 12:00:00 GMT") is not None


@given(
    st.lists(
        st.sampled_from(["Sun,", "01", "Nov", "2026", "12:00:00", "GMT", "+99999999999999", "\x1f", "::"])
    )
)
def test_any_date_is_read_or_absent(words: list[str]) -> None:
    """No text makes the reader fail."""
    read_date(" ".join(words))
