"""The index of what is live: what it tells of a listing, in whatever order the API gives it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from reconciler.ledger.projection import Projection
from reconciler.model import Endpoint
from reconciler.plan import live as module
from reconciler.plan.live import LiveIndex
from reconciler.urls import spelling_key

if TYPE_CHECKING:
    import pytest


def test_what_is_not_ours_comes_by_id() -> None:
    """So that two plans of one world are the same text, however the API sorts."""
    listing = [Endpoint(f"we_{name}", f"https://{name}.example.com/", ("run.failed",)) for name in "dbca"]
    live = LiveIndex(listing)
    live.learn(Projection(1, "acme", "https://api", 1, "active", "we_c"))
    assert [endpoint.id for endpoint in live.unowned()] == ["we_a", "we_b", "we_d"]


def test_an_endpoint_that_is_added_while_an_index_is_built_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One change creates an endpoint while another looks for the first time for leftovers of its own."""
    url, other = "https://a.example.com/", Endpoint("we_b", "https://a.example.com", ("run.failed",))
    live = LiveIndex([Endpoint("we_a", url, ("run.failed",))])
    adding = threading.Thread(target=live.add, args=(other,))

    asked: list[str] = []

    def key_of(address: str) -> str:
        asked.append(address)
        if len(asked) == 2:  # The first key is that of the URL, the second one is for the index.
            adding.start()
            # It waits until the index is built; without the mutex, it ends here.
            adding.join(0.2)
        return spelling_key(address)

    monkeypatch.setattr(module, "spelling_key", key_of)
    live.spelled_like(url)
    adding.join()
    assert [endpoint.id for endpoint in live.spelled_like(url)] == ["we_a", "we_b"]
