"""An API that lists an endpoint differently from what was sent: one replacement, then it is not drift."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.plan.plan import Action, Cause
from reconciler.usecases.apply import apply
from reconciler.usecases.plan import plan_rotation
from reconciler.usecases.preview import drift
from tests.fakes.api import ApiBehavior
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from reconciler.sandbox.spelling import Spelling

A = webhook("a", url="https://hooks.example.com/a?x=1&y=2", events=("run.completed", "run.failed"))
SPELLINGS: tuple[Spelling, ...] = ("query_order", "trailing_slash", "masked_query", "implicit_event")


def _settled(spelling: Spelling, **behavior: object) -> Org:
    """Return an organization that has learned how its API lists A."""
    org = Org(ApiBehavior(listing_spelling=spelling, **behavior))  # type: ignore[arg-type]
    assert org.apply(A).complete
    assert org.apply(A).complete
    return org


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_is_learned_after_one_replacement(spelling: Spelling) -> None:
    """The first difference looks like a change; the second one shows that the API writes it so."""
    org = Org(ApiBehavior(listing_spelling=spelling))
    assert org.apply(A).complete
    (change,) = org.plan(A).plan.changes
    assert (change.action, change.cause) == (Action.REPLACE, Cause.DRIFT)
    cost = org.plan(A).plan.cost.api_requests
    planned, before = org.plan(A), org.api.requests_sent
    assert apply(planned).complete
    # The plan's own listing was sent before.
    assert org.api.requests_sent - before == cost - 1
    assert "own spelling" in "".join(org.reporter.warnings), "it is reported once"
    for _ in range(3):
        org.check([A])
        assert not drift(org.wanting([A])).plan.changes
        org.clock.advance(days=2)
        assert org.apply(A).complete
    assert org.api.ever_made == 2
    assert len(org.reporter.warnings) == 1


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_change_by_a_person_is_still_drift(spelling: Spelling) -> None:
    """What is listed differently from the learned spelling is replaced, and the spelling stays known."""
    org = _settled(spelling)
    for events in (("run.started",), ("run.started",), ("run.completed",)):
        org.api.console_change(org.store.fields("a")["endpoint_id"], events=events)
        (change,) = org.plan(A).plan.changes
        assert (change.action, change.cause) == (Action.REPLACE, Cause.DRIFT)
        assert org.apply(A).complete
        org.check([A])
    assert org.api.ever_made == 5


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_rotation_keeps_the_spelling(spelling: Spelling) -> None:
    """The successor is listed in the known spelling."""
    org = _settled(spelling)
    org.clock.advance(hours=1)
    assert apply(plan_rotation(org.wanting([A]), ["a"], revoke=False)).complete
    org.check([A])
    assert org.api.ever_made == 3


def test_the_same_change_twice_is_not_a_spelling() -> None:
    """After each replacement the listing shows the endpoint as asked, so a person made the difference."""
    org = Org()
    assert org.apply(A).complete
    for _ in range(3):
        org.api.console_change(org.store.fields("a")["endpoint_id"], events=("run.started",))
        assert org.apply(A).complete
        org.check([A])
    assert org.api.ever_made == 4
    assert org.reporter.warnings == []


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_listing_that_lags_is_looked_at_by_the_next_run(spelling: Spelling) -> None:
    """The suspicion is in the metadata: the next plan records the spelling; no drift."""
    org = Org(ApiBehavior(listing_spelling=spelling, listing_lag=60))
    assert org.apply(A).complete
    org.clock.advance(minutes=2)
    assert org.apply(A).complete
    org.clock.advance(minutes=2)
    (change,) = org.plan(A).plan.changes
    assert (change.action, change.cause, change.api_requests) == (Action.UPDATE, Cause.MANIFEST, 0)
    assert "own spelling" in change.reason
    assert not drift(org.wanting([A])).plan.changes
    assert org.apply(A).complete
    org.check([A])
    assert org.api.ever_made == 2


def test_a_suspicion_ends_when_the_endpoint_is_listed_as_asked() -> None:
    """A person changed the old endpoint; the listing of the new one came too late for that run."""
    org = Org(ApiBehavior(listing_lag=60))
    assert org.apply(A).complete
    org.clock.advance(minutes=2)
    org.api.console_change(org.store.fields("a")["endpoint_id"], events=("run.started",))
    assert org.apply(A).complete
    org.clock.advance(minutes=2)
    (change,) = org.plan(A).plan.changes
    assert change.action is Action.UPDATE
    assert org.apply(A).complete
    org.check([A])
    org.api.console_change(org.store.fields("a")["endpoint_id"], events=("run.started",))
    assert [each.cause for each in org.plan(A).plan.changes] == [Cause.DRIFT]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_api_with_unique_urls_may_spell_them_differently(spelling: Spelling) -> None:
    """With `allowEventGap`, our own endpoint is found although the listing shows another URL."""
    org = Org(ApiBehavior(listing_spelling=spelling, unique_urls=True))
    gap = replace(A, allow_event_gap=True)
    for _ in range(3):
        assert org.apply(gap).complete
    org.check([gap])
    assert org.api.ever_made == 2


def test_a_spelling_belongs_to_one_manifest() -> None:
    """After an edit, the API's spelling of the new events is learned anew; going back needs that again."""
    org = _settled("implicit_event")
    edited = replace(A, events=("run.started",), overlap=timedelta(0))
    assert org.apply(edited).complete
    assert org.apply(edited).complete
    org.check([edited])
    assert org.api.ever_made == 4


def test_an_endpoint_that_cannot_be_replaced_confirms_no_spelling() -> None:
    """Where the API refuses a second endpoint with the URL, a person's change stays drift."""
    org, wanted = Org(ApiBehavior(unique_urls=True)), webhook("a")
    org.apply(wanted)
    (endpoint_id,) = org.api.endpoints
    org.api.console_change(endpoint_id, events=("run.started",))
    assert not org.apply(wanted).complete
    (change,) = org.plan(wanted).plan.changes
    assert (change.action, change.cause) == (Action.REPLACE, Cause.DRIFT)


def test_the_canonical_url_is_sent() -> None:
    """The API gets scheme and host in lower case, A-labels and no default port."""
    org = Org()
    wanted = webhook("a", url="HTTPS://Hooks.Bücher.example:443/zof")
    assert org.apply(wanted).complete
    assert [each.url for each in org.api.endpoints.values()] == ["https://hooks.xn--bcher-kva.example/zof"]
    org.check([wanted])


def test_ledgers_and_metadata_without_a_spelling_are_read() -> None:
    """An earlier version wrote neither."""
    org = Org()
    assert org.apply(A).complete
    fields = org.store.fields("a")
    ledger = json.loads(fields["ledger"])
    del ledger["spelling"], ledger["suspected"]
    org.store.put("a", {**fields, "ledger": json.dumps(ledger)})
    assert org.apply(A).complete
    org.check([A])
