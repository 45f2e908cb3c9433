"""What is due or in progress is not drift: cleanup alone, and a run that holds the lock."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import jsonschema
import pytest
from msgspec.structs import replace

from reconciler.apply.holder import Holder
from reconciler.apply.lock import Lock
from reconciler.model import DeletionPolicy
from reconciler.plan.drift import DriftState
from reconciler.plan.guards import GuardLimits
from reconciler.ports import Unanswered
from reconciler.report.plan.markdown import plan_markdown
from reconciler.report.plan.summary import DRIFT
from reconciler.report.plan.text import plan_text
from reconciler.schemas import schema_text
from reconciler.usecases.apply import apply
from reconciler.usecases.fleet import fleet
from reconciler.usecases.plan import only_due, plan
from reconciler.usecases.preview import drift, preview
from tests.fakes.world import NO_LIMITS, Org, webhook

if TYPE_CHECKING:
    from reconciler.model import Webhook
    from reconciler.plan.outcome import Outcome
    from reconciler.plan.plan import Plan

A, B = webhook("a", overlap=timedelta(hours=24)), webhook("b")
A2 = replace(A, events=("run.started",))
CLEANUP = frozenset({DriftState.CLEANUP_DUE})
ELSEWHERE = Holder("1", "grace", "build-7", "another boot", 4711, "5", "https://ci.example.com/7")


class Killed(BaseException):
    """The process is killed here."""


def states(plan: Plan) -> dict[str, str | None]:
    """Return the state of each change; the JSON is what the schema says."""
    jsonschema.validate(plan.to_json(), json.loads(schema_text("plan")))
    return {change.name: change.state for change in plan.changes}


def cleanup(org: Org, *desired: Webhook, rotate: bool = False) -> Outcome:
    """Run `apply --cleanup-only`."""
    due = CLEANUP | ({DriftState.ROTATION_DUE} if rotate else set())
    return apply(only_due(plan(org.wanting(desired)), due))


def killed(org: Org, request: str, *desired: Webhook) -> None:
    """Run an apply that is killed right after it sent `request` to the API."""

    def kill(sent: str, _answer: object) -> None:
        if sent.startswith(request):
            raise Killed

    org.api.after = kill
    with contextlib.suppress(Killed):
        org.apply(*desired)
    org.api.after = lambda _request, _answer: None


# --- cleanup --------------------------------------------------------------------------------------------


def test_an_ended_overlap_is_cleanup_and_not_drift() -> None:
    """It has a state of its own; the cleanup deletes the old endpoint and, later, its secret."""
    org = Org()
    org.apply(A, B)
    org.apply(A2, B)
    assert [row.state for row in fleet(preview(org.wanting([A2, B])))] == ["overlap", "in sync"]
    org.clock.advance(hours=26)
    found = drift(org.wanting([A2, B]))
    assert states(found.plan) == {"a": "cleanup-due"}
    assert not found.plan.has_drift
    assert found.plan.summary["cleanup_due"] == 1
    for text in (plan_text(found.plan, title=DRIFT), plan_markdown(found.plan, title=DRIFT)):
        assert "No drift." in text
        assert "Cleanup is due for 1 webhook; `reconciler apply --cleanup-only` does it" in text
        assert "a: overlap ended; the old endpoint will be deleted" in text
        assert "found: cleanup-due" not in text
    assert [row.state for row in fleet(preview(org.wanting([A2, B])))] == ["cleanup due", "in sync"]
    assert cleanup(org, A2, B).complete
    assert len(org.api.endpoints) == 2
    assert "previous_signing_secret" in org.store.fields("a")
    org.clock.advance(hours=25)
    assert states(drift(org.wanting([A2, B])).plan) == {"a": "cleanup-due"}
    assert cleanup(org, A2, B).complete
    org.check([A2, B])


def test_a_cleanup_does_nothing_else() -> None:
    """Edits, creations, deletions, drift, policies and rotations stay for an apply."""
    org = Org()
    old = [webhook(name, overlap=timedelta(hours=1)) for name in ("due", "policy", "rotated")]
    others = [webhook("edited"), webhook("gone"), webhook("removed")]
    org.apply(*old, *others)
    new = [replace(each, events=("run.started",)) for each in old]
    org.apply(*new, *others)
    org.clock.advance(hours=2)
    org.api.console_delete(org.store.fields("gone")["endpoint_id"])
    wanted = [
        new[0],
        replace(new[1], deletion_policy=DeletionPolicy.PROTECT),
        replace(new[2], created_after=org.clock.now()),
        replace(others[0], events=("run.started",)),
        others[1],
        webhook("added"),
    ]
    before = set(org.api.endpoints)
    writes = len(org.store.writes)
    outcome = cleanup(org, *wanted)
    assert [(each.change.name, each.result.value) for each in outcome.changes] == [("due", "waiting")]
    assert {name for _, name in org.store.writes[writes:]} == {"due"}
    assert len(before - set(org.api.endpoints)) == 1
    assert set(org.api.endpoints) < before
    rest = {"policy": None, "rotated": "rotation-due", "edited": None, "gone": "drift"}
    assert states(org.plan(*wanted).plan) == {**rest, "added": None, "removed": None}


def test_a_dated_rotation_is_due_and_not_drift() -> None:
    """A review approved the date; the scheduled cleanup rotates if it is asked to."""
    org = Org()
    dated = replace(A, created_after=org.clock.now() + timedelta(days=7))
    org.apply(dated)
    assert states(drift(org.wanting([dated])).plan) == {}
    org.clock.advance(days=8)
    found = drift(org.wanting([dated])).plan
    assert (states(found), found.has_drift) == ({"a": "rotation-due"}, False)
    assert "Rotation is due for 1 webhook" in plan_text(found, title=DRIFT)
    assert cleanup(org, dated).changes == ()
    assert cleanup(org, dated, rotate=True).complete
    assert states(drift(org.wanting([dated])).plan) == {}


def test_a_leftover_is_cleaned_up_even_after_a_removal() -> None:
    """An attempt that the API may have carried out later is watched, then forgotten: none of it is drift."""
    org = Org()
    org.apply(B)
    org.api.after = lambda request, _answer: Unanswered("no answer") if request == "create" else None
    assert not org.apply(A, B).complete
    org.api.after = lambda _request, _answer: None
    org.clock.advance(hours=21)
    org.apply(B)
    assert not drift(org.wanting([B])).plan.has_drift
    org.clock.advance(minutes=6)
    found = drift(org.wanting([B])).plan
    assert not found.has_drift
    assert set(states(found).values()) <= {"cleanup-due"}
    assert cleanup(org, B).complete
    assert states(org.plan(B).plan) == {}


def test_a_test_that_a_manifest_asks_for_now_is_not_drift() -> None:
    """`test: false` becomes `test: true`: a pending change of the manifest."""
    org = Org()
    org.apply(replace(B, test=False))
    assert states(org.plan(B).plan) == {"b": None}
    assert drift(org.wanting([B])).plan.changes == ()
    assert org.apply(B).complete
    assert states(org.plan(B).plan) == {}


# --- in progress ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", ["create", "test", "delete"])
def test_the_work_of_a_run_is_in_progress(request_: str) -> None:
    """While a run holds the lock, its half-done changes are its own; if it dies, they are drift."""
    org = Org()
    org.apply(A, B)
    org.hold_lock(ELSEWHERE)
    wanted = (replace(A2, overlap=timedelta(0)), replace(B, events=("run.started",)), webhook("c"))
    killed(org, request_, *wanted)
    for found in (drift(org.wanting(wanted)), org.plan(*wanted)):
        run = found.plan.active_run
        assert run is not None
        assert (run.by, run.host, run.url) == ("grace", "build-7", "https://ci.example.com/7")
        assert not found.plan.has_drift
        assert not found.plan.unmanaged
        assert "in-progress" in states(found.plan).values()
        text = plan_text(found.plan, title=DRIFT)
        assert "In progress: a run by grace on build-7 since 2026-11-" in text
        assert "The run in progress is changing" in text
        assert "In progress: a run by grace" in plan_markdown(found.plan)
    assert "in progress" in {row.state for row in fleet(preview(org.wanting(wanted)))}
    # The run is dead: nobody renews the lease.
    org.clock.advance(seconds=31)
    found = drift(org.wanting(wanted))
    assert found.plan.active_run is None
    assert found.plan.has_drift
    assert "interrupted" in plan_text(found.plan, title=DRIFT)


def test_a_lock_that_is_free_again_is_not_a_run() -> None:
    """A released lock was written a moment ago, too."""
    org = Org()
    org.apply(A)
    with Lock(org.store, org.clock, ELSEWHERE):
        assert org.plan(A).plan.active_run is not None
    assert org.plan(A).plan.active_run is None


def test_a_killed_run_of_this_host_is_not_in_progress() -> None:
    """Its process is gone, so nobody has to wait until the lease expires."""
    org = Org()
    org.apply(A)
    here = Holder.here(org.session.run)
    org.hold_lock(replace(here, pid=2**22 + 1))
    assert org.plan(A).plan.active_run is None


def test_the_lock_costs_a_plan_no_request() -> None:
    """The listing of the metadata shows it; no document is read."""
    org = Org()
    org.apply(A)
    org.hold_lock(ELSEWHERE)
    before = len(org.store.calls)
    assert drift(org.wanting([A])).plan.active_run is not None
    assert org.store.calls[before:] == [("list_metadata", "")]


def test_a_run_that_ends_while_a_plan_is_made_leaves_no_drift() -> None:
    """The metadata was read in the middle of a change: it is read again."""
    org = Org()
    org.apply(A)
    killed(org, "create", A2)
    rival = org.rival()
    finish = iter([lambda: rival.apply(A2)])

    def end(request: str) -> None:
        if request == "list" and (act := next(finish, None)) is not None:
            act()

    org.api.before = end
    found = drift(org.wanting([A2]))
    assert found.plan.changes == ()


def test_what_a_run_keeps_changing_is_in_progress() -> None:
    """Each listing sees endpoints that Vault did not have yet: they are neither conflicts nor drift."""
    org = Org()
    org.apply(B)
    names = iter("cdefghi")
    rival, wanted = org.rival(), [B]

    def create_another(request: str) -> None:
        if request == "list" and (name := next(names, None)) is not None:
            wanted.append(webhook(name))
            hook, org.api.before = org.api.before, lambda _request: None
            rival.apply(*wanted)
            org.api.before = hook

    org.api.before = create_another
    desired = [B, *map(webhook, "cdefghi")]
    found = plan(org.wanting(desired, replace(NO_LIMITS, unmanaged="drift")))
    assert found.plan.problems == ()
    assert not found.plan.has_drift
    assert "in-progress" in states(found.plan).values()


# --- unmanaged endpoints ----------------------------------------------------------------------------------


def test_unmanaged_endpoints_are_drift_for_those_who_want_it() -> None:
    """Not those that are allowed, nor those that we released; nothing is ever deleted."""
    org = Org()
    kept = replace(A, deletion_policy=DeletionPolicy.RETAIN)
    org.apply(kept, B)
    org.apply(B)
    one = org.api.console_create("https://one.example.com/", ["run.failed"])
    two = org.api.console_create("https://two.example.com/", ["run.failed"])
    assert not drift(org.wanting([B])).plan.has_drift
    strict = GuardLimits(unmanaged="drift", allow_unmanaged=(one.id,))
    found = drift(org.wanting([B], strict)).plan
    assert found.has_drift
    assert [endpoint.id for endpoint in found.not_allowed] == [two.id]
    assert found.summary["drift"] == 1
    jsonschema.validate(found.to_json(), json.loads(schema_text("plan")))
    assert [each["drift"] for each in found.to_json()["unmanaged"]] == [False, False, True]
    for text in (plan_text(found, title=DRIFT), plan_markdown(found, title=DRIFT)):
        assert "1 unmanaged endpoint" in text
        assert two.id in text
        assert "`guards.allowUnmanaged`" in text
        assert "No drift" not in text
    rows = fleet(preview(org.wanting([B], strict)))
    assert [row.name for row in rows if row.is_drift] == [two.id]
    assert rows[0].name == two.id
    org.apply(B, limits=strict)
    assert {one.id, two.id} <= set(org.api.endpoints)
