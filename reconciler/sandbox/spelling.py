"""How an API may write endpoints in its listing: the same URL and events, in another spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

Spelling = Literal["as_sent", "query_order", "trailing_slash", "masked_query", "implicit_event"]
"""The listing writes URL and events as they were sent; the query's parameters in reverse order; a slash at
the end of the path, or none; the query's values masked; an additional event."""

IMPLICIT_EVENT = "integration.error"
"""The event that `implicit_event` adds."""


def respell(url: str, events: Sequence[str], spelling: Spelling) -> tuple[str, tuple[str, ...]]:
    """Return the URL and the events of an endpoint as a listing with this spelling shows them."""
    address, mark, query = url.partition("?")
    match spelling:
        case "as_sent":
            pass
        case "query_order":
            url = address + mark + "&".join(reversed(query.split("&")))
        case "trailing_slash":
            has_path = urlsplit(address).path.strip("/")
            other = address.removesuffix("/") if address.endswith("/") and has_path else f"{address}/"
            url = other + mark + query
        case "masked_query":
            values = ((name, equals) for name, equals, _ in (p.partition("=") for p in query.split("&")))
            url = address + mark + "&".join(f"{name}=***" if equals else name for name, equals in values)
        case "implicit_event":
            events = tuple(dict.fromkeys((*events, IMPLICIT_EVENT)))
        case _:
            assert_never(spelling)
    return url, tuple(events)
