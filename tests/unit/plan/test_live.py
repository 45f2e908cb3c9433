"""The index of what is live: what it tells of a listing, in whatever order the API gives it."""

from __future__ import annotations

from reconciler.ledger.projection import Projection
from reconciler.model import Endpoint
from reconciler.plan.live import LiveIndex


def test_what_is_not_ours_comes_by_id() -> None:
    """So that two plans of one world are the same text, however the API sorts."""
    listing = [Endpoint(f"we_{name}", f"https://{name}.example.com/", ("run.failed",)) for name in "dbca"]
    live = LiveIndex(listing)
    live.learn(Projection(1, "acme", "https://api", 1, "active", "we_c"))
    assert [endpoint.id for endpoint in live.unowned()] == ["we_a", "we_b", "we_d"]
