"""The shape of a response: names, never values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.ports import Exchange
from reconciler.zof.exchange import describe_exchange
from reconciler.zof.wire import Response

HEADERS = {"date": "Tue, 20 Oct 2026 12:00:00 GMT", "x-ratelimit-limit": "100", "x-other": "1"}


def _described(body: bytes, headers: dict[str, str] = HEADERS) -> Exchange:
    return describe_exchange("GET", Response(200, headers, body, None))


def test_a_response_without_its_values() -> None:
    """The fields of an object, those of the listed endpoints, the rate-limit headers and the date."""
    assert _described(b'{"id": "we_1", "secret": "whsec_x"}') == Exchange(
        "GET", 200, ("x-ratelimit-limit",), datetime(2026, 10, 20, 12, tzinfo=UTC), ("id", "secret")
    )
    listing = b'{"data": [{"id": "we_1"}, {"url": "u", "id": 2}, 7], "has_more": false}'
    assert _described(listing).fields == ("id", "url")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b"[" * 100_000])
def test_a_response_that_is_no_object_has_no_fields(body: bytes) -> None:
    """Nothing is raised."""
    assert _described(body, {}) == Exchange("GET", 200)


def test_names_are_foreign_text() -> None:
    """They are printable, short and few."""
    body = b'{"\\u001b[31m' + b"x" * 500 + b'": 1' + b"".join(b', "f%d": 1' % n for n in range(200)) + b"}"
    fields = _described(body).fields
    assert len(fields) == 50
    assert all(name.isprintable() and len(name) <= 64 for name in fields)
