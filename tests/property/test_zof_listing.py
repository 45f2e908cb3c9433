"""A page of the listing, read by its types and read part by part: the same, or the same refusal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import example, given

from reconciler.zof.answers import Events, Nonsense, Page, read_page, read_page_by_parts
from tests.fixtures.damage import damaged

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = {
    "data": [
        {
            "id": "we_1",
            "url": "https://hooks.example.com/a",
            "events": ["run.failed", "run.completed", "run.failed"],
            "status": "enabled",
            "created": "2026-11-01T11:00:00+02:00",
        },
        {"id": "we_2", "url": "https://hooks.example.com/b", "events": [], "created": 1_790_000_000},
    ],
    "has_more": True,
    "next_cursor": "we_2",
}


def _read(read: Callable[[bytes, Events], Page], body: bytes) -> tuple[list[Any], str | None] | str:
    """Return what is read, or the words of the refusal."""
    try:
        page = read(body, Events())
    except Nonsense as nonsense:
        return str(nonsense)
    return list(page.endpoints), page.next_cursor


@given(damaged(PAGE))
@example(PAGE)
@example({**PAGE, "has_more": False})
@example({**PAGE, "next_cursor": "x" * 5000})
@example({**PAGE, "data": [{"id": "../x", "url": "https://a.example.com/", "events": ["\ud800"]}]})
def test_a_page_means_the_same_however_it_is_read(value: Any) -> None:
    """What does not fit the types is read again without them, and refused in the same words."""
    body = json.dumps(value).encode(errors="surrogatepass")
    assert _read(read_page, body) == _read(read_page_by_parts, body)
