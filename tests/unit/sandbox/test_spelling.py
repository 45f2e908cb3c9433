"""How a listing may write an endpoint."""

from __future__ import annotations

import pytest

from reconciler.sandbox.spelling import IMPLICIT_EVENT, Spelling, respell

URL = "https://h.example.com/zof?x=1&y=2"


@pytest.mark.parametrize(
    ("spelling", "url", "listed"),
    [
        ("as_sent", URL, URL),
        ("query_order", URL, "https://h.example.com/zof?y=2&x=1"),
        ("trailing_slash", URL, "https://h.example.com/zof/?x=1&y=2"),
        ("trailing_slash", "https://h.example.com/zof/", "https://h.example.com/zof"),
        ("masked_query", URL, "https://h.example.com/zof?x=***&y=***"),
        ("masked_query", "https://h.example.com/zof?x", "https://h.example.com/zof?x"),
    ],
)
def test_a_url_is_written_differently(spelling: Spelling, url: str, listed: str) -> None:
    """Only the URL changes."""
    assert respell(url, ["run.failed"], spelling) == (listed, ("run.failed",))


def test_an_event_is_added_once() -> None:
    """An endpoint that has the implicit event already keeps its events."""
    once = respell(URL, ["run.failed"], "implicit_event")
    assert once == (URL, ("run.failed", IMPLICIT_EVENT))
    assert respell(*once, "implicit_event") == once
