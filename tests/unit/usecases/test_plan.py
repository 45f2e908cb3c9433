"""The use cases on the fakes: what is applied is what was asked for, and no more."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from msgspec.structs import replace

from reconciler.errors import ForeignDocument, GuardRefused
from reconciler.model import DeletionPolicy, Organization
from reconciler.plan.guards import GuardLimits
from reconciler.plan.outcome import Result
from reconciler.plan.plan import Action, Cause
from reconciler.ports import VersionState
from reconciler.usecases.apply import apply
from reconciler.usecases.fleet import fleet
from reconciler.usecases.plan import bounded_by
from reconciler.usecases.preview import drift, preview
from tests.fakes.api import ApiBehavior, FakeApi
from tests.fakes.world import Org, webhook

A, B = webhook("a"), webhook("b")


@pytest.mark.parametrize("honoured", [True, False])
def test_create_then_nothing(honoured: bool) -> None:
    """A new manifest becomes an endpoint, its secret is the API's, and a second run writes nothing."""
    org = Org(ApiBehavior(honours_client_secret=honoured))
    planned = org.plan(A, B)
    assert planned.plan.summary["create"] == 2
    assert org.apply(A, B).complete
    org.check([A, B])
    assert org.api.requests.count("create") == 2


def test_a_plan_reads_no_secret_and_writes_nothing() -> None:
    """A preview needs metadata only, whatever is to be done."""
    org = Org()
    org.apply(A, B)
    org.store.calls.clear()
    org.plan(replace(A, events=("run.failed",)), webhook("c"))
    assert org.store.calls == [("list_metadata", "")]


def test_the_cost_that_was_told_is_the_cost() -> None:
    """A fault-free run sends exactly the requests that its plan announced."""
    org = Org()
    org.apply(A, B)
    desired = (replace(A, events=("run.failed",)), webhook("c"))
    before = org.api.requests_sent
    planned = org.plan(*desired)
    outcome = apply(planned)
    assert outcome.complete
    assert planned.plan.cost.api_requests == 1 + 3 + 2 + 1, "listing, replacement, creation, removal"
    assert org.api.requests_sent - before == planned.plan.cost.api_requests


def test_a_replacement_comes_before_what_it_replaces_goes() -> None:
    """The old endpoint is deleted only while the new one is live at its URL."""
    org = Org()
    org.apply(A)
    changed = replace(A, events=("agent.offline",))
    planned = org.plan(changed)
    assert [c.action for c in planned.plan.changes] == [Action.REPLACE]
    assert [(f.path, f.old, f.new) for f in planned.plan.changes[0].fields] == [
        ("events", ["run.completed", "run.failed"], ["agent.offline"])
    ]
    org.apply(changed)
    assert all(d.also_at_url for d in org.api.deletions)
    org.check([changed])


def test_a_removed_manifest_deletes_endpoint_and_secret() -> None:
    """Removal ends with a soft-deleted secret; a manifest that comes back is created anew."""
    org = Org()
    org.apply(A, B)
    org.apply(A)
    org.check([A])
    assert VersionState.DELETED in org.store.states("b").values()
    org.apply(A, B)
    org.check([A, B])


def test_retain_releases_and_takes_up_again() -> None:
    """A retained endpoint stays live and unmanaged, and comes back with its manifest."""
    org = Org()
    kept = replace(A, deletion_policy=DeletionPolicy.RETAIN)
    org.apply(kept, B)
    live = dict(org.api.endpoints)
    assert org.plan(B).plan.changes[0].action is Action.RELEASE
    org.apply(B)
    assert org.api.endpoints == live
    assert not org.plan(B).plan.changes
    assert org.plan(kept, B).plan.changes[0].action is Action.UPDATE
    org.apply(kept, B)
    assert org.api.endpoints == live
    org.check([kept, B])


def test_protect_is_remembered() -> None:
    """Removing a protected manifest is refused, with approval too, until its policy was changed."""
    org = Org()
    org.apply(replace(A, deletion_policy=DeletionPolicy.PROTECT), B)
    planned = org.plan(B)
    approved = GuardLimits(1000, 100, approve=(planned.plan.digest,))
    assert [v.guard for v in org.plan(B, limits=approved).refusals] == ["protected"]
    with pytest.raises(GuardRefused):
        org.apply(B)
    assert [c.action for c in org.plan(A, B).plan.changes] == [Action.UPDATE]
    org.apply(A, B)
    org.apply(B)
    org.check([B])


@pytest.mark.parametrize("change", ["delete", "events", "url"])
def test_what_changed_outside_is_drift_and_heals(change: str) -> None:
    """A console's deletion or edit is found by drift and put right by apply."""
    org = Org()
    org.apply(A)
    (endpoint_id,) = org.api.endpoints
    if change == "delete":
        org.api.console_delete(endpoint_id)
    elif change == "events":
        org.api.console_change(endpoint_id, events=("run.started",))
    else:
        org.api.console_change(endpoint_id, url="https://evil.example.com/")
    drifted = drift(org.wanting([A, B], GuardLimits()))
    assert [(c.name, c.cause) for c in drifted.plan.changes] == [("a", Cause.DRIFT)]
    org.apply(A)
    org.check([A])


def test_secrets_lost_in_vault_heal() -> None:
    """A soft-deleted secret is undeleted, a destroyed one replaced; both are drift."""
    org = Org()
    org.apply(A, B)
    org.store.soft_delete("a", max(org.store.states("a")))
    org.store.destroy_before("b", max(org.store.states("b")) + 1)
    drifted = drift(org.wanting([A, B], GuardLimits()))
    assert [c.action for c in drifted.plan.changes] == [Action.UPDATE, Action.REPLACE]
    org.apply(A, B)
    org.check([A, B])


def test_unmanaged_endpoints_stay_and_conflict() -> None:
    """What is not in the ledger is listed, never touched, and a manifest for its URL is a conflict."""
    org = Org()
    stranger = org.api.console_create(A.url, ["run.failed"])
    planned = org.plan(A, B)
    assert [e.id for e in planned.plan.unmanaged] == [stranger.id]
    assert [c.name for c in planned.plan.problems] == ["a"]
    outcome = org.apply(A, B)
    assert [o.change.name for o in outcome.of(Result.FAILED)] == ["a"]
    assert not outcome.complete
    assert stranger.id in org.api.endpoints
    org.check([B], unmanaged=[stranger.id])


def test_an_endpoint_that_appeared_outside_is_told_apart() -> None:
    """Of the unmanaged endpoints, those of the last week have appeared, but for what we made and released."""
    org = Org()
    old = org.api.console_create("https://old.example.com/", ["run.failed"])
    org.clock.advance(days=7)
    kept = replace(A, deletion_policy=DeletionPolicy.RETAIN)
    org.apply(kept, B)
    org.apply(B)
    (released,) = (e.id for e in org.api.endpoints.values() if e.url == A.url)
    new = org.api.console_create("https://new.example.com/", ["run.failed"])
    found = drift(org.wanting([B], GuardLimits()))
    assert {e.id for e in found.plan.unmanaged} == {old.id, released, new.id}
    assert [e.id for e in found.plan.appeared(found.listing_began)] == [new.id]
    assert not found.plan.pending, "it is told, and is no drift of ours"
    rows = fleet(preview(org.wanting([B])))
    assert [(r.name, r.state) for r in rows] == [
        ("b", "in sync"),
        ("a", "released"),
        (new.id, "unmanaged"),
        (old.id, "unmanaged"),
    ]


def test_a_failed_test_delivery_keeps_the_old_endpoint() -> None:
    """An unverified replacement leaves the replaced endpoint until a later run verifies."""
    org = Org()
    org.apply(A)
    (old,) = org.api.endpoints
    org.api.behavior = ApiBehavior(accepts_tests=False)
    changed = replace(A, events=("run.started",))
    outcome = org.apply(changed)
    assert [o.result for o in outcome.changes] == [Result.UNVERIFIED]
    assert old in org.api.endpoints
    org.api.behavior = ApiBehavior()
    assert [c.action for c in org.plan(changed).plan.changes] == [Action.RESUME]
    org.apply(changed)
    org.check([changed])


def test_an_overlap_ends_in_a_later_run() -> None:
    """During the overlap both endpoints and both secrets are there; afterwards the old ones go."""
    org = Org()
    org.apply(A)
    changed = replace(A, events=("run.started",), overlap=timedelta(hours=2))
    assert [o.result for o in org.apply(changed).changes] == [Result.WAITING]
    assert len(org.api.endpoints) == 2
    assert "previous_signing_secret" in (org.store.fields("a") or {})
    assert not org.plan(changed).plan.changes
    org.clock.advance(hours=3)
    org.apply(changed)
    org.check([changed])
    org.clock.advance(hours=25)
    org.apply(changed)
    assert "previous_signing_secret" not in (org.store.fields("a") or {})
    states = org.store.states("a")
    assert {states.pop(max(states))} == {VersionState.LIVE}
    assert set(states.values()) == {VersionState.DESTROYED}
    org.check([changed])


def test_an_api_that_hides_the_secret_leaves_nothing() -> None:
    """An endpoint whose secret nobody knows is deleted, three times at most, and reported."""
    org = Org(ApiBehavior(hides_secret=True))
    outcome = org.apply(A)
    assert [o.result for o in outcome.changes] == [Result.FAILED]
    assert org.api.requests.count("create") == 3
    assert org.api.endpoints == {}


def test_an_api_without_delete_names_the_endpoint() -> None:
    """Where the API cannot delete, the endpoint is named and the others go on."""
    org = Org(ApiBehavior(can_delete=False))
    org.apply(A, B)
    outcome = org.apply(B, replace(webhook("c")))
    failed = outcome.of(Result.FAILED)
    assert [o.change.name for o in failed] == ["a"]
    assert "Admin Center > Developer > Webhooks" in (failed[0].hint or "")
    assert any(e.url.endswith("/c") for e in org.api.endpoints.values())


def test_a_url_conflict_needs_a_word_in_the_manifest() -> None:
    """Where one URL may have one endpoint only, a replacement waits for `allowEventGap`."""
    org = Org(ApiBehavior(unique_urls=True))
    org.apply(A)
    changed = replace(A, events=("run.started",))
    outcome = org.apply(changed)
    assert "allowEventGap" in (outcome.of(Result.FAILED)[0].hint or "")
    org.check([A])
    gap = replace(changed, allow_event_gap=True)
    assert org.apply(gap).complete
    org.check([gap])


def test_guards_refuse_too_many_deletions() -> None:
    """Deletions beyond the limit are refused until exactly this plan is approved."""
    org = Org()
    many = [webhook(f"w{i}") for i in range(8)]
    org.apply(*many)
    planned = org.plan(*many[4:], limits=GuardLimits())
    assert [v.guard for v in planned.refusals] == ["deletes"]
    with pytest.raises(GuardRefused):
        apply(planned)
    assert not org.api.deletions
    org.apply(*many[4:], limits=GuardLimits(approve=(planned.plan.digest,)))
    org.check(many[4:])


def test_no_manifests_or_a_strange_listing_are_refused() -> None:
    """An empty folder, and a listing without most of what is owned, look like mistakes."""
    org = Org()
    many = [webhook(f"w{i}") for i in range(5)]
    org.apply(*many)
    assert "empty" in [v.guard for v in org.plan(limits=GuardLimits()).refusals]
    for endpoint_id in list(org.api.endpoints)[:2]:
        org.api.console_delete(endpoint_id)
    assert [v.guard for v in org.plan(*many, limits=GuardLimits()).refusals] == ["missing"]


OTHER_KEY = "ffffffff"


def _with_key(org: Org, fingerprint: str | None) -> Org:
    """Return the organization as a run with another API key sees it: nothing of ours is listed."""
    other = org.rival()
    other.api = FakeApi(org.clock)
    run = replace(org.session.run, key_fingerprint=fingerprint)
    other.session = replace(other.session, api=other.api, run=run)
    return other


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("change", ["nothing", "edited", "removed"])
def test_another_organizations_key_is_refused(count: int, change: str) -> None:
    """A key that was not recorded and sees none of the endpoints, even one of one, changes nothing."""
    org, wanted = Org(), [webhook(f"w{number}") for number in range(count)]
    org.apply(*wanted)
    desired = {
        "nothing": wanted,
        "edited": [replace(each, events=("run.started",)) for each in wanted],
        "removed": [],
    }[change]
    other = _with_key(org, OTHER_KEY)
    planned = other.plan(*desired)
    refusal = next(each for each in planned.refusals if each.guard == "key")
    assert "0a1b2c3d" in refusal.message, "the recorded fingerprint"
    assert OTHER_KEY in refusal.message
    assert "another organization" in refusal.message
    assert refusal.hint is not None
    with pytest.raises(GuardRefused):
        apply(planned)
    doubts = ["empty", "key"] if change == "removed" else ["key"]
    assert [each.guard for each in drift(other.wanting(desired)).refusals] == doubts
    assert set(other.api.requests) == {"list"}
    assert len(org.api.endpoints) == count


def test_a_digest_approves_a_new_key() -> None:
    """If the key was renewed and the endpoints are really gone, a person approves exactly this plan."""
    org = Org()
    org.apply(webhook("a"))
    other = _with_key(org, OTHER_KEY)
    digest = other.plan(webhook("a")).plan.digest
    other.apply(webhook("a"), limits=GuardLimits(approve=(digest,)))
    other.check([webhook("a")])


def test_a_renewed_key_that_sees_the_endpoints_is_accepted() -> None:
    """A new key of the same organization needs no approval, and writes nothing by itself."""
    org = Org()
    org.apply(webhook("a"), webhook("b"))
    org.api.console_delete(org.store.fields("a")["endpoint_id"])
    org.session = replace(org.session, run=replace(org.session.run, key_fingerprint=OTHER_KEY))
    writes = len(org.store.writes)
    assert org.plan(webhook("a"), webhook("b")).refusals == ()
    assert len(org.store.writes) == writes
    org.apply(webhook("a"), webhook("b"))
    # Now the new key is recorded: the next time, even all endpoints may be gone.
    for endpoint_id in list(org.api.endpoints):
        org.api.console_delete(endpoint_id)
    assert [each.guard for each in org.plan(webhook("a"), webhook("b")).refusals] == ["missing"]


def test_the_key_that_created_the_only_endpoint_may_replace_it() -> None:
    """With the recorded key, one of one may be missing: somebody deleted it."""
    org = Org()
    org.apply(webhook("a"))
    org.api.console_delete("we_0001")
    assert org.plan(webhook("a")).refusals == ()
    org.apply(webhook("a"))
    org.check([webhook("a")])


def test_without_a_recorded_key_nothing_shows_whose_it_is() -> None:
    """Metadata of an earlier version: if the only endpoint is missing, the plan is refused."""
    org = Org()
    org.session = replace(org.session, run=replace(org.session.run, key_fingerprint=None))
    org.apply(webhook("a"))
    org.check([webhook("a")])
    other = _with_key(org, OTHER_KEY)
    (refusal,) = other.plan(webhook("a")).refusals
    assert refusal.guard == "key"
    assert "no key fingerprint is recorded" in refusal.message
    assert "only owned endpoint" in refusal.message


def test_an_interrupted_change_is_not_resumed_with_another_key() -> None:
    """A replacement that was killed leaves the key's fingerprint in the metadata."""
    org = Org()
    org.apply(webhook("a"))
    fields = org.store.fields("a")
    org.store.put("a", fields)
    assert org.plan(webhook("a")).refusals == ()
    assert [each.guard for each in _with_key(org, OTHER_KEY).plan(webhook("a")).refusals] == ["key"]


def test_another_organizations_documents_are_refused() -> None:
    """A prefix that belongs to somebody else stops the run before anything is done."""
    org = Org()
    org.apply(A)
    org.session = replace(org.session, organization=Organization("other", org.session.organization.api_url))
    with pytest.raises(ForeignDocument):
        org.plan(A)


def test_a_stop_leaves_the_rest_unattempted() -> None:
    """Once asked to stop, no further change begins, and the outcome says so."""
    org = Org()
    stop = threading.Event()
    stop.set()
    outcome = org.apply(A, B, stop=stop)
    assert [o.result for o in outcome.changes] == [Result.NOT_ATTEMPTED] * 2
    assert not outcome.complete
    assert org.api.endpoints == {}


def test_what_came_due_since_the_review_does_not_stand_in_its_way() -> None:
    """A day after a replacement its old secret is to go: that was reviewed with the replacement."""
    org = Org()
    org.apply(A)
    changed = replace(A, events=("run.started",))
    org.apply(changed)
    org.clock.advance(hours=2)
    reviewed = org.plan(changed, B).plan.to_json()
    org.clock.advance(hours=23)
    planned = org.plan(changed, B)
    assert [(change.name, change.action) for change in planned.plan.changes] == [
        ("a", Action.RESUME),
        ("b", Action.CREATE),
    ]
    assert bounded_by(planned, reviewed) == []


def test_a_reviewed_plan_bounds_what_is_applied() -> None:
    """The reviewed plan and any part of it pass; anything beyond it is named."""
    org = Org()
    reviewed = org.plan(A, B).plan.to_json()
    assert bounded_by(org.plan(A, B), reviewed) == []
    assert bounded_by(org.plan(A), reviewed) == []
    assert bounded_by(org.plan(A, webhook("c")), reviewed) == ["c: create was not reviewed"]
    assert len(bounded_by(org.plan(replace(A, events=("run.started",))), reviewed)) == 1


def test_the_fleet_is_told_by_state() -> None:
    """Status names each webhook's state, and what nobody manages."""
    org = Org()
    org.apply(A, B)
    org.api.console_create("https://else.example.com/", ["run.failed"])
    (first, *_) = sorted(org.api.endpoints)
    org.api.console_delete(first)
    rows = {row.name: row.state for row in fleet(preview(org.wanting([A, B, webhook("c")])))}
    assert rows == {"a": "drifted", "b": "in sync", "c": "pending create", "we_0003": "unmanaged"}


def test_a_plan_knows_the_whole_fleet() -> None:
    """Restricted to drift, it still has every row, with manifest, record, endpoint and what is due."""
    org = Org()
    org.apply(A, B)
    org.api.console_delete(min(org.api.endpoints))
    found = drift(org.wanting([A, B, webhook("c")]))
    assert [change.name for change in found.plan.changes] == ["a"]
    gone, new, live = fleet(found)
    assert (gone.webhook, gone.endpoint, gone.change) == (A, None, found.plan.changes[0])
    assert live.endpoint is not None
    assert live.projection is not None
    assert (live.endpoint.id, live.projection.run.actor, live.change) == (live.endpoint_id, "ada", None)
    assert (new.projection, new.endpoint, new.state) == (None, None, "pending create")


def test_drift_without_manifests_is_refused_unless_the_plan_is_approved() -> None:
    """A report on no webhooks would be green whatever happened; an approved removal of all is not drift."""
    org = Org()
    org.apply(A, B)
    found = drift(org.wanting([]))
    assert [(each.guard, each.approvable) for each in found.refusals] == [("empty", False)]
    approved = GuardLimits(approve=(org.plan().plan.digest,))
    assert drift(org.wanting([], approved)).refusals == ()
    assert drift(org.wanting([A])).refusals == ()
