"""`apply` on the fakes with one fault at a time: it records and reports it, and later runs converge."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.errors import StoreError, StoreUnavailable, TokenRefused
from reconciler.model import DeletionPolicy, Secret
from reconciler.plan.guards import GuardLimits
from reconciler.plan.outcome import Result
from reconciler.plan.plan import Action, Cause
from reconciler.ports import Created, NotDelivered, Refused, Unanswered
from reconciler.usecases.apply import apply
from reconciler.usecases.preview import drift
from tests.fakes.api import ApiBehavior
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model import Webhook

A, B = webhook("a"), webhook("b")
A2 = replace(A, events=("run.started",))
SILENCE = Unanswered("no answer within 30 s")
STORED = Unanswered("HTTP 500 internal_error", stored_error=True)


def once(answer: object, request: str) -> Callable[..., object]:
    """Return a hook that gives `answer` to the first such request, and then nothing."""
    left = [answer]

    def hook(made: str, *_: object) -> object:
        return left.pop() if made == request and left else None

    return hook


def always(answer: object, request: str) -> Callable[..., object]:
    """Return a hook that gives `answer` to every such request."""
    return lambda made, *_: answer if made == request else None


@pytest.mark.parametrize("answer", [SILENCE, STORED], ids=["silence", "a stored error"])
@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("wait", [timedelta(minutes=1), timedelta(hours=30)])
def test_a_creation_without_an_answer(answer: Unanswered, committed: bool, wait: timedelta) -> None:
    """Whether the lost creation took effect or not, the next run ends with one endpoint and its secret."""
    org = Org(ApiBehavior(honours_client_secret=False, stores_server_errors=True))
    hook = once(answer, "create")
    if committed:
        org.api.after = hook
    else:
        org.api.before = hook
    outcome = org.apply(A, B)
    assert [o.result for o in outcome.changes] == [Result.FAILED, Result.DONE]
    assert not outcome.complete
    org.clock.advance(seconds=wait.total_seconds())
    org.apply(A, B)
    org.clock.advance(minutes=6)
    org.apply(A, B)
    org.check([A, B])


def test_a_manifest_removed_while_its_creation_was_open() -> None:
    """An open creation is finished first, then removed, so that nothing stays behind."""
    org = Org()
    org.api.after = once(SILENCE, "create")
    org.apply(A, B)
    org.apply(B)
    org.clock.advance(minutes=6)
    org.apply(B)
    org.check([B])


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_the_run_and_keeps_the_intent(status: int) -> None:
    """Nothing else can work with a refused key; a good key carries on from the same intent."""
    org = Org()
    org.api.before = always(Refused(status, "unauthorized", "bad key", request_id="req_1"), "create")
    outcome = org.apply(A, B)
    assert [o.result for o in outcome.changes] == [Result.FAILED, Result.NOT_ATTEMPTED]
    assert "req_1" in (outcome.changes[0].detail or "")
    org.api.before = always(None, "")
    org.apply(A, B)
    org.clock.advance(minutes=6)
    org.apply(A, B)
    org.check([A, B])


def test_a_refused_creation_leaves_nothing_to_resume() -> None:
    """A definitive 4xx is told with its words, the others go on, and no intent stays."""
    org = Org()
    org.api.before = always(Refused(400, "invalid", "no such event", "events", "req_2"), "create")
    outcome = org.apply(A)
    assert "no such event (param: events) [request req_2]" in (outcome.changes[0].detail or "")
    assert [c.action for c in org.plan(A).plan.changes] == [Action.CREATE]
    assert [c.action for c in org.plan(B).plan.changes] == [Action.UPDATE, Action.CREATE]
    org.api.before = always(None, "")
    org.apply(B)
    org.check([B])


def test_a_spoilt_key_is_replaced() -> None:
    """A key that the API knows with another body is never used again."""
    org = Org()
    org.api.before = once(Refused(409, "idempotency_key_reuse", "another body", "Idempotency-Key"), "create")
    assert org.apply(A).of(Result.FAILED)
    org.apply(A)
    org.clock.advance(minutes=6)
    org.apply(A)
    org.check([A])


def test_an_existing_endpoint_in_the_answer_is_a_conflict() -> None:
    """An API that answers with an endpoint that was there before does not make it ours."""
    org = Org()
    org.apply(B)
    org.apply(A)
    stranger = org.api.console_create(A.url, ["run.failed"])
    org.api.before = lambda made: Created(stranger, Secret("whsec_x")) if made == "create" else None
    outcome = org.apply(A2)
    assert stranger.id in (outcome.changes[0].detail or "")
    assert stranger.id in org.api.endpoints


def test_another_run_in_between_is_helped_along() -> None:
    """A write that is lost to another run ends with one endpoint, whoever made it."""
    org = Org(ApiBehavior(honours_client_secret=False))
    rival = Org()
    rival.api, rival.store, rival.clock = org.api, org.store, org.clock
    rival.session = replace(org.session, fresh=lambda: replace(org.session.fresh(), nonce="rival"))
    raced: list[str] = []

    def race(operation: str, _name: str) -> None:
        if operation == "write" and len(raced) < 3:
            raced.append(operation)
            if len(raced) == 2:
                rival.apply(A)

    org.store.before = race
    org.apply(A)
    org.store.before = lambda *_: None
    for _ in range(2):
        org.clock.advance(minutes=6)
        org.apply(A)
    org.check([A])


def test_an_endpoint_that_vanishes_before_its_test_is_created_again_by_the_next_run() -> None:
    """In the run that created it, a 404 on the test counts as lag: the next run's listing shows the truth."""
    org = Org()
    vanished: list[str] = []

    def vanish(made: str) -> None:
        if made == "test" and not vanished:
            vanished.extend(org.api.endpoints)
            org.api.endpoints.clear()

    org.api.before = vanish
    (unverified,) = org.apply(A).of(Result.UNVERIFIED)
    assert vanished
    assert unverified.endpoint_id == vanished[0]
    org.apply(A)
    org.check([A])


@pytest.mark.parametrize(
    "answer", [NotDelivered("HTTP 502", "req_3"), SILENCE, Refused(405, "method_not_allowed", "no tests")]
)
def test_a_failed_test_is_told(answer: object) -> None:
    """A delivery that failed, whatever way, leaves the change unverified and says why."""
    org = Org()
    org.api.before = always(answer, "test")
    outcome = org.apply(A)
    assert [o.result for o in outcome.changes] == [Result.UNVERIFIED]
    assert not outcome.complete
    org.apply(replace(A, test=False))
    org.check([replace(A, test=False)])


def test_a_failed_deletion_is_taken_up_again() -> None:
    """A replaced endpoint that could not be deleted is deleted by the next run."""
    org = Org()
    org.apply(A)
    org.api.before = always(SILENCE, "delete")
    assert org.apply(A2).of(Result.FAILED)
    assert len(org.api.endpoints) == 2
    org.api.before = always(None, "")
    org.apply(A2)
    org.check([A2])


def test_a_released_endpoint_that_changed_is_not_taken_up() -> None:
    """What was released comes back only as it was; when it is gone, it is made anew."""
    org = Org()
    kept = replace(A, deletion_policy=DeletionPolicy.RETAIN)
    org.apply(kept, B)
    org.apply(B)
    (released,) = (e.id for e in org.api.endpoints.values() if e.url == A.url)
    outcome = org.apply(replace(kept, events=("run.started",)), B)
    assert released in (outcome.of(Result.FAILED)[0].detail or "")
    org.api.console_delete(released)
    org.apply(kept, B)
    org.check([kept, B])


def test_a_manifest_that_comes_back_during_its_removal() -> None:
    """A removal once begun is finished, and the webhook is created anew."""
    org = Org()
    org.apply(A, B)
    org.api.before = always(SILENCE, "delete")
    org.apply(B)
    org.api.before = always(None, "")
    assert [c.action for c in org.plan(A, B).plan.changes] == [Action.RESUME]
    org.apply(A, B)
    org.check([A, B])


def test_rotation_by_date() -> None:
    """A secret older than `createdAfter` is replaced once that moment has come, and only once."""
    org = Org()
    org.apply(A)
    later = org.clock.now() + timedelta(hours=1)
    rotated = replace(A, created_after=later)
    assert not org.plan(rotated).plan.changes
    org.clock.advance(hours=2)
    (change,) = org.plan(rotated).plan.changes
    assert (change.action, change.cause) == (Action.ROTATE, Cause.ROTATION)
    before = org.store.fields("a")
    org.apply(rotated)
    assert (org.store.fields("a") or {})["signing_secret"] != (before or {})["signing_secret"]
    org.check([rotated])


def test_vault_refusing_everything_is_one_error() -> None:
    """When Vault refuses every document and nothing was changed, the run fails as a whole."""
    org = Org()

    def refuse(operation: str, _name: str) -> None:
        if operation == "read":
            raise StoreError("permission denied")

    org.store.before = refuse
    with pytest.raises(StoreError, match="permission denied"):
        org.apply(*(webhook(f"w{i}") for i in range(6)))
    assert org.api.requests == ["list"]


def test_vault_failing_on_the_way_stops_early() -> None:
    """After three failures of Vault the rest is not attempted, and a later run finishes."""
    org = Org()
    desired = [webhook(f"w{i}") for i in range(8)]
    writes: list[str] = []

    def fail(operation: str, name: str) -> None:
        writes.append(name)
        if operation == "write" and name >= "w2":
            raise StoreUnavailable("sealed")

    org.store.before = fail
    outcome = org.apply(*desired)
    assert [len(outcome.of(r)) for r in (Result.DONE, Result.FAILED, Result.NOT_ATTEMPTED)] == [2, 3, 3]
    org.store.before = lambda *_: None
    org.apply(*desired)
    org.check(desired)


def test_an_interrupt_finishes_the_step_in_hand() -> None:
    """A stop in the middle of a change ends it between two steps, and the next run goes on."""
    org = Org()
    stop = threading.Event()
    org.api.before = lambda made: stop.set() if made == "create" else None
    outcome = org.apply(A, B, stop=stop)
    assert [o.result for o in outcome.changes] == [Result.FAILED, Result.NOT_ATTEMPTED]
    assert outcome.interrupted
    org.api.before = always(None, "")
    org.apply(A, B)
    org.clock.advance(minutes=6)
    org.apply(A, B)
    org.check([A, B])


def test_an_unreadable_document_stops_only_itself() -> None:
    """Somebody else's document under our prefix fails its own webhook and leaves it untouched."""
    org = Org()
    org.store.put("a", {"theirs": "hello"})
    outcome = org.apply(A, B)
    assert [o.result for o in outcome.changes] == [Result.FAILED, Result.DONE]
    assert org.store.fields("a") == {"theirs": "hello"}


def test_jobs_side_by_side_do_the_same() -> None:
    """Several changes at once end as one after another would."""
    org = Org()
    desired = [webhook(f"w{i}") for i in range(12)]
    assert apply(org.plan(*desired), jobs=4).complete
    org.check(desired)


def test_drift_leaves_out_pending_manifests() -> None:
    """A manifest that is new, edited or gone is no drift."""
    org = Org()
    org.apply(A, B)
    drifted = drift(org.wanting([A2, webhook("c")], GuardLimits()))
    assert drifted.plan.changes == ()


def _refuse_vault(org: Org, operation: str, *, name: str | None = None, after: int = 0) -> None:
    """Let Vault refuse each such operation after the first `after`."""
    left = [after]

    def refuse(made: str, about: str) -> None:
        if made != operation or about != (name or about):
            return
        if left[0] == 0:
            raise StoreError("Vault answered HTTP 429")
        left[0] -= 1

    org.store.before = refuse


def test_a_creation_whose_metadata_vault_refuses_was_a_creation() -> None:
    """The endpoint is live and its secret stored: the report says so, and names what is missing."""
    org = Org()
    _refuse_vault(org, "write_projection", name="a")
    first, second = org.apply(A, B).changes
    assert (first.result, second.result) == (Result.UNRECORDED, Result.DONE)
    assert first.endpoint_id in {endpoint.id for endpoint in org.api.endpoints.values()}
    assert first.detail == (
        f"endpoint {first.endpoint_id} and its secret are stored in Vault; "
        "the metadata that plans read could not be written: Vault answered HTTP 429"
    )
    assert first.hint == "run `reconciler apply` again: it writes the record and creates nothing"
    org.store.before = lambda *_: None
    assert org.apply(A, B).complete
    org.check([A, B])
    assert first.endpoint_id in {endpoint.id for endpoint in org.api.endpoints.values()}


def test_a_creation_whose_secret_vault_refuses_names_its_endpoint() -> None:
    """The endpoint exists and its intent is stored: the report names it, and the next run continues."""
    org = Org()
    _refuse_vault(org, "write", after=1)
    (outcome,) = org.apply(A).changes
    (live,) = org.api.endpoints.values()
    assert (outcome.result, outcome.endpoint_id) == (Result.FAILED, live.id)
    assert outcome.detail is not None
    assert outcome.detail.startswith(f"endpoint {live.id} was created, and its secret is not stored yet: ")
    org.store.before = lambda *_: None
    org.apply(A)
    org.clock.advance(minutes=6)
    org.apply(A)
    org.check([A])


def test_a_test_that_vault_does_not_record_follows_a_creation() -> None:
    """What fails after the secret is stored does not undo the creation."""
    org = Org()
    _refuse_vault(org, "write", after=2)
    (outcome,) = org.apply(A).changes
    assert outcome.result is Result.UNRECORDED
    assert outcome.detail is not None
    assert "was created and its secret is stored; then a step failed" in outcome.detail


def test_a_failed_test_stays_one_without_its_metadata() -> None:
    """That the receiver did not accept the delivery is reported, whatever Vault refuses then."""
    org = Org()
    org.api.before = always(NotDelivered("HTTP 500"), "test")
    _refuse_vault(org, "write_projection")
    (outcome,) = org.apply(A).changes
    assert outcome.result is Result.UNVERIFIED
    assert outcome.detail is not None
    assert "HTTP 500" in outcome.detail
    assert "could not be written" in outcome.detail


def test_a_deletion_whose_metadata_vault_refuses_was_a_deletion() -> None:
    """The endpoint is gone: only the record is missing."""
    org = Org()
    org.apply(A, B, webhook("c"))
    _refuse_vault(org, "write_projection", name="a")
    (outcome,) = org.apply(B, webhook("c")).changes
    assert (outcome.result, outcome.endpoint_id) == (Result.UNRECORDED, None)
    org.store.before = lambda *_: None
    org.apply(B, webhook("c"))
    org.check([B, webhook("c")])


def test_a_plan_does_not_call_the_endpoint_of_an_interrupted_change_unmanaged() -> None:
    """Only the ledger shows whose it is, and a plan does not read it: the plan says so."""
    org = Org()
    _refuse_vault(org, "write_projection", name="a")
    (outcome,) = org.apply(A).changes
    planned = org.plan(A).plan
    assert planned.unmanaged == ()
    (change,) = planned.changes
    assert change.warnings == (
        f"endpoint {outcome.endpoint_id} may belong to this change: `apply` reads its ledger",
    )


def test_an_endpoint_elsewhere_is_unmanaged_whatever_is_interrupted() -> None:
    """An interrupted change explains endpoints elsewhere only if none is at its own URL."""
    org = Org()
    _refuse_vault(org, "write_projection", name="a")
    org.apply(A)
    other = org.api.console_create(B.url, B.events).id
    assert [endpoint.id for endpoint in org.plan(A).plan.unmanaged] == [other]


@pytest.mark.parametrize(
    "left", [(), (replace(A, url="https://hooks.example.com/moved"),)], ids=["removed", "edited"]
)
def test_a_manifest_that_is_gone_makes_no_endpoint_unmanaged(left: tuple[Webhook, ...]) -> None:
    """Only the ledger has the old URL: what was created in those minutes may be its own."""
    org = Org()
    old = org.api.console_create(B.url, B.events).id
    org.clock.advance(hours=1)
    org.api.after = once(SILENCE, "create")
    org.apply(A)
    org.clock.advance(hours=1)
    planned = org.plan(*left).plan
    assert [endpoint.id for endpoint in planned.unmanaged] == [old]
    assert planned.changes[0].warnings == (
        "endpoint we_0002 may belong to this change: `apply` reads its ledger",
    )


def test_a_resumed_change_shows_its_difference() -> None:
    """Whoever confirms a resume sees what it leads to."""
    org = Org()
    org.apply(A)
    org.api.after = once(SILENCE, "create")
    org.apply(A2)
    (change,) = org.plan(A2).plan.changes
    assert change.action is Action.RESUME
    assert [(field.path, field.new) for field in change.fields] == [("events", ["run.started"])]


def test_when_everything_is_a_conflict_the_prefix_is_checked_first() -> None:
    """Several conflicts and no ledger: the hint names prefix and organization, and no removal."""
    org = Org()
    for each in (A, B):
        org.api.console_create(each.url, each.events)
    plan = org.plan(A, B).plan
    (warning,) = plan.warnings
    assert "check the Vault prefix and the organization first" in warning
    assert "`vault kv list secret/webhooks`" in warning
    for hint in (*(c.hint or "" for c in plan.changes), *(o.hint or "" for o in org.apply(A, B).changes)):
        assert hint.startswith("if the Vault prefix and the organization are right, take it over with ")
        assert "remove" not in hint + warning
    (alone,) = org.plan(A).plan.changes
    assert "`reconciler adopt a --id we_0001 --rotate`" in (alone.hint or "")
    assert "remove" not in (alone.hint or "")


def test_a_token_that_expires_ends_the_run() -> None:
    """The first refusal ends it: each hint says that a new token is needed."""
    org = Org()
    error = TokenRefused("the Vault token expired during this run", hint="get a new token, then run it again")

    def refuse(operation: str, *_: object) -> None:
        if operation in {"write", "read"} and "a" in org.store.names:
            raise error

    org.store.before = refuse
    outcome = org.apply(A, B)
    assert [each.result for each in outcome.changes] == [Result.FAILED, Result.NOT_ATTEMPTED]
    assert all((each.hint or "").startswith("get a new token, then run it again") for each in outcome.changes)
    assert outcome.sweep_failure is None


def test_the_end_of_an_overlap_says_who_ends_it() -> None:
    """A person reads until when the old endpoint is live, and what deletes it."""
    org = Org()
    org.apply(A)
    (ended,) = org.apply(replace(A2, overlap=timedelta(hours=36))).changes
    assert ended.detail == (
        "old endpoint stays live until 2026-11-03 00:00 UTC (overlap 36h); the first `reconciler apply` "
        "after that deletes it"
    )
