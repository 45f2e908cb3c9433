"""Entries of the listing that cannot be read: those that cannot be ours are skipped, the others refuse."""

from __future__ import annotations

import pytest

from reconciler.apply.executor import StepExecutor
from reconciler.errors import ApiError, GuardRefused
from reconciler.model import OddEntry
from reconciler.plan.live import LiveIndex
from reconciler.plan.protocol.state import Adoption
from reconciler.usecases.adopt import plan_adoption
from reconciler.usecases.fleet import export, fleet
from reconciler.usecases.preview import drift, preview
from tests.fakes.world import Org, webhook

A, B = webhook("a"), webhook("b")
ELSEWHERE = "https://elsewhere.example.com/s3cret"
PROBLEM = "`events` is not a list"


def applied() -> Org:
    org = Org()
    assert org.apply(A).complete
    return org


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (OddEntry("17", ELSEWHERE, PROBLEM), "endpoint 17"),
        (OddEntry("17", None, PROBLEM), "endpoint 17"),
        (OddEntry(None, ELSEWHERE, PROBLEM), "an entry at elsewhere.example.com"),
        (OddEntry(None, None, PROBLEM), "an entry without a URL"),
    ],
)
def test_an_entry_that_cannot_be_ours(entry: OddEntry, named: str) -> None:
    """No command fails because of it; a warning names it without its URL's secrets, and it stays."""
    org = applied()
    org.api.odd = [entry]
    for session in (org.wanting([A]), org.wanting([A, B])):
        drift(session)
        fleet(preview(session))
        export(session)
    assert org.apply(A, B).complete
    assert org.api.odd == [entry]
    warnings = [text for text in org.reporter.warnings if "cannot be read" in text]
    assert warnings
    assert all(f"{named}, of which {PROBLEM}" in text for text in warnings)
    assert "s3cret" not in " ".join(warnings)
    assert not org.api.deletions


def test_an_entry_of_ours() -> None:
    """Where a ledger records the id, nothing is decided: its endpoint may have changed or not."""
    org = applied()
    (mine,) = org.api.endpoints.values()
    org.api.odd = [OddEntry(mine.id, mine.url, PROBLEM)]
    for look in (lambda: org.plan(A), lambda: drift(org.wanting([A])), lambda: export(org.wanting([A]))):
        with pytest.raises(ApiError, match=f"{mine.id}, of which .*, is in the ledger of a"):
            look()
    assert org.api.ever_made == 1
    assert not org.api.deletions


@pytest.mark.parametrize("url", [A.url, B.url, "HTTPS://hooks.example.com:443/b"])
def test_an_entry_without_an_id_at_a_url_of_ours(url: str) -> None:
    """It may be the recorded endpoint, or be in the way of the one that a manifest wants."""
    org = applied()
    org.api.odd = [OddEntry(None, url, "`id` is missing")]
    with pytest.raises(ApiError, match=r"has the URL of [ab]"):
        org.plan(A, B)


def test_an_entry_of_which_nothing_is_known() -> None:
    """While an endpoint of ours is not listed, it may be that one: nothing is created in its place."""
    org = applied()
    (mine,) = org.api.endpoints.values()
    org.api.console_delete(mine.id)
    org.api.odd = [OddEntry(None, None, "the entry is not an object")]
    with pytest.raises(ApiError, match="may be the endpoint of a"):
        org.plan(A)


def test_nothing_is_created_beside_an_odd_entry() -> None:
    """At a URL that a manifest wants, an odd entry with an id is a conflict, as any unmanaged endpoint is."""
    org = applied()
    org.api.odd = [OddEntry("17", B.url, PROBLEM)]
    planned = org.plan(A, B)
    assert planned.plan.problems
    assert [endpoint.id for endpoint in planned.plan.unmanaged] == ["17"]
    outcome = org.apply(A, B)
    assert not outcome.complete
    assert org.api.ever_made == 1
    with pytest.raises(GuardRefused, match=r"endpoint 17, of which .*, cannot be taken over"):
        plan_adoption(org.wanting([A, B]), Adoption("b", "17"))


def test_an_endpoint_of_ours_becomes_odd_during_a_run() -> None:
    """Another listing is refused, and so is a document that turns out to record an odd endpoint."""
    org = applied()
    (mine,) = org.api.endpoints.values()
    odd = OddEntry(mine.id, mine.url, PROBLEM)
    executor = StepExecutor(org.session, org.plan(A).comparison.live, org.clock.now())
    org.api.odd = [odd]
    with pytest.raises(ApiError, match=f"endpoint {mine.id}, of which"):
        executor.list_again()
    # An interrupted change: only the document says whose the endpoint is.
    endpoint = odd.as_endpoint()
    assert endpoint is not None
    unaware = StepExecutor(org.session, LiveIndex([endpoint]), org.clock.now())
    with pytest.raises(ApiError, match=f"endpoint {mine.id}, of which"):
        unaware.learn(org.store.read("a").document)


def test_another_listing_with_odd_entries() -> None:
    """During a run, too, odd entries of others change nothing."""
    org = applied()
    executor = StepExecutor(org.session, org.plan(A).comparison.live, org.clock.now())
    org.api.odd = [OddEntry(None, None, PROBLEM), OddEntry("17", B.url, PROBLEM)]
    executor.list_again()
    assert [endpoint.id for endpoint in executor.live.at(B.normalized_url)] == ["17"]
