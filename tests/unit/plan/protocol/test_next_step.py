"""The protocol's rules, one by one: what somebody once found broken stays mended."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.errors import ApiError, GuardRefused, StoreError, StoreUnavailable
from reconciler.model import DeletionPolicy
from reconciler.plan.guards import GuardLimits
from reconciler.plan.outcome import Result
from reconciler.plan.plan import Action
from reconciler.ports import Refused, Unanswered
from reconciler.usecases.apply import apply
from reconciler.usecases.plan import plan
from tests.fakes.api import ApiBehavior
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from reconciler.plan.outcome import ChangeOutcome, Outcome

A, B, C = webhook("a"), webhook("b"), webhook("c")
A2 = replace(A, events=("run.started",))
RENAMED = replace(A, name="renamed")


def of(outcome: Outcome, name: str) -> ChangeOutcome:
    """Return what became of one change."""
    return next(each for each in outcome.changes if each.change.name == name)


def refuse_creations(org: Org, status: int = 400, param: str | None = "url") -> None:
    """Let the API refuse every creation."""
    answer = Refused(status, "invalid", "no", param)
    org.api.before = lambda request: answer if request == "create" else None


def accept(org: Org) -> None:
    """Let everything pass again."""
    org.api.before = lambda _request: None
    org.api.after = lambda _request, _answer: None
    org.store.before = org.store.after = lambda *_: None


# --- a URL goes from one name to another ----------------------------------------------------------------


def test_a_rename_that_fails_keeps_what_is_live() -> None:
    """The old name's endpoint stays until the new name has one at that URL."""
    org = Org()
    org.apply(A, B)
    refuse_creations(org)
    outcome = org.apply(RENAMED, B)
    assert of(outcome, "a").result is Result.NOT_ATTEMPTED
    assert "kept until renamed serves that URL" in (of(outcome, "a").detail or "")
    assert len(org.api.endpoints) == 2
    accept(org)
    assert org.apply(RENAMED, B).complete
    org.check([RENAMED, B])


def test_a_rename_that_is_not_verified_keeps_what_is_live() -> None:
    """A new name whose test delivery fails does not take over yet."""
    org = Org()
    org.apply(A, B)
    org.api.behavior = replace(org.api.behavior, accepts_tests=False)
    org.apply(RENAMED, B)
    assert len(org.api.endpoints) == 3
    org.api.behavior = replace(org.api.behavior, accepts_tests=True)
    org.apply(RENAMED, B)
    org.check([RENAMED, B])


def test_a_leftover_at_a_url_that_another_wants_is_not_held() -> None:
    """What an interrupted creation left serves nobody: whoever wants its URL gets it."""
    org = Org()
    org.api.after = lambda request, _answer: Unanswered("no answer") if request == "create" else None
    org.apply(A)
    accept(org)
    org.clock.advance(hours=30)
    moved = replace(A, url="https://hooks.example.com/moved")
    org.apply(moved, RENAMED)
    org.apply(moved, RENAMED)
    org.clock.advance(hours=30)
    org.apply(moved, RENAMED)
    org.check([moved, RENAMED])


# --- gaps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [Refused(400, "bad", "no"), Unanswered("silence"), Unanswered("500", stored_error=True)]
)
def test_a_creation_that_fails_after_its_deletion_ends_the_run(answer: Refused | Unanswered) -> None:
    """No second gap is opened while the first one is; the next run closes it, and no guard is in its way."""
    org = Org(ApiBehavior(unique_urls=True))
    names = [webhook(f"w{number}", allow_event_gap=True) for number in range(4)]
    org.apply(*names)
    edited = [replace(each, events=("run.started",)) for each in names]
    org.api.before = lambda request: answer if request == "create" and len(org.api.endpoints) < 4 else None
    outcome = org.apply(*edited)
    assert [each.result for each in outcome.changes] == [Result.FAILED, *[Result.NOT_ATTEMPTED] * 3]
    assert len(org.api.endpoints) == 3
    accept(org)
    org.clock.advance(minutes=10)
    org.apply(*edited, limits=GuardLimits())
    org.clock.advance(hours=30)
    org.apply(*edited)
    org.check(edited)


def test_a_gap_whose_deletion_fails_is_given_up() -> None:
    """Where the endpoint in the way cannot be deleted, nothing is created, and nothing is left open."""
    org = Org(ApiBehavior(unique_urls=True))
    a = replace(A, allow_event_gap=True)
    org.apply(a)
    org.api.before = lambda request: Unanswered("no answer") if request == "delete" else None
    edited = replace(A2, allow_event_gap=True)
    assert not org.apply(edited).complete
    assert "pending_signing_secret" not in org.store.fields("a")
    accept(org)
    org.apply(edited)
    org.clock.advance(hours=30)
    org.apply(edited)
    org.check([edited])


def test_a_conflict_that_names_no_parameter_is_one_of_urls() -> None:
    """`param` is optional: a 409 where something is live at the URL gets the hint about the gap."""
    org = Org()
    org.apply(A)
    refuse_creations(org, 409, None)
    outcome = org.apply(A2)
    assert "allowEventGap" in (outcome.changes[0].hint or "")
    assert "pending_signing_secret" not in org.store.fields("a")


def test_back_to_a_url_that_is_still_ours() -> None:
    """During an overlap the manifest may return: our own old endpoint is not in the way for ever."""
    org = Org(ApiBehavior(unique_urls=True))
    a = replace(A, overlap=timedelta(hours=24), allow_event_gap=True)
    org.apply(a)
    org.apply(replace(a, url="https://hooks.example.com/moved"))
    org.apply(a)
    for _ in range(2):
        org.clock.advance(hours=30)
        org.apply(a)
    org.check([a])


# --- what is ours and what is not -------------------------------------------------------------------------


def test_a_copied_document_owns_nothing() -> None:
    """A document copied by hand under another name never deletes the original's endpoint."""
    org = Org()
    org.apply(A)
    org.store.put("a-backup", org.store.fields("a"))
    outcome = org.apply(A)
    assert "is a copy of that of a" in (of(outcome, "a-backup").detail or "")
    assert len(org.api.endpoints) == 1


def test_a_document_that_was_moved_here_is_foreign() -> None:
    """Another organization's document without metadata is told when it is read, and left as it is."""
    org = Org()
    fields = {"ledger": json.dumps({**json.loads(_ledger_of(A)), "organization": "other"})}
    org.store.put("a", fields)
    outcome = org.apply(A)
    assert "belongs to organization other" in (of(outcome, "a").detail or "")
    assert org.store.fields("a") == fields
    assert not org.api.endpoints


def _ledger_of(wanted: object) -> str:
    org = Org()
    org.apply(wanted)  # type: ignore[arg-type]
    return str(org.store.fields("a")["ledger"])


def test_release_during_an_overlap_looks_after_what_was_replaced() -> None:
    """The replaced endpoint goes with the release, its secret a day later; the released one stays."""
    org = Org()
    a = replace(A, deletion_policy=DeletionPolicy.RETAIN, overlap=timedelta(hours=24))
    org.apply(a, B)
    org.apply(replace(a, events=("run.started",)), B)
    org.apply(B)
    assert len(org.api.endpoints) == 2
    assert "previous_signing_secrets" in org.store.fields("a")
    org.clock.advance(hours=30)
    org.apply(B)
    fields = org.store.fields("a")
    assert "previous_signing_secrets" not in fields
    assert org.api.secrets[fields["endpoint_id"]] == fields["signing_secret"]
    assert not org.plan(B).plan.changes


def test_a_released_webhook_whose_endpoint_is_gone_is_made_anew() -> None:
    """The plan says so, and what it costs."""
    org = Org()
    a = replace(A, deletion_policy=DeletionPolicy.RETAIN)
    org.apply(a, B)
    org.apply(B)
    org.api.console_delete(org.store.fields("a")["endpoint_id"])
    planned = org.plan(a, B)
    assert [(c.action, c.api_requests) for c in planned.plan.changes] == [(Action.CREATE, 2)]
    org.apply(a, B)
    org.check([a, B])


def test_a_creation_that_was_refused_leaves_nothing_to_protect() -> None:
    """A document without an endpoint goes with its manifest, whatever its policy."""
    org = Org()
    org.apply(B)
    refuse_creations(org)
    for policy in (DeletionPolicy.PROTECT, DeletionPolicy.RETAIN):
        org.apply(replace(A, deletion_policy=policy), B)
        org.apply(B)
        assert not org.plan(B).plan.changes


def test_protect_counts_before_the_endpoint_is_verified() -> None:
    """A policy is recorded although the test delivery still fails."""
    org = Org(ApiBehavior(accepts_tests=False))
    org.apply(A, B)
    org.apply(replace(A, deletion_policy=DeletionPolicy.PROTECT), B)
    with pytest.raises(GuardRefused, match="a is protected"):
        org.apply(B)


# --- guards -----------------------------------------------------------------------------------------------


def test_an_interrupted_change_is_no_way_around_a_guard() -> None:
    """Documents whose metadata somebody spoilt count as what they may become: deletions."""
    org = Org()
    fleet = [webhook(f"w{number}") for number in range(20)]
    org.apply(*fleet)
    for each in fleet:
        org.store.put_metadata(each.name, None)
    assert {v.guard for v in org.plan(fleet[0], limits=GuardLimits()).refusals} == {"deletes"}
    assert "empty" in {v.guard for v in org.plan(limits=GuardLimits()).refusals}
    assert not org.plan(*fleet, limits=GuardLimits()).refusals


# --- the API's ways ---------------------------------------------------------------------------------------


def test_an_api_that_writes_a_url_in_its_own_way_is_no_drift() -> None:
    """What the API makes of a URL is remembered: only a change of that is drift."""
    org = Org(ApiBehavior(adds_slash=True))
    org.apply(A)
    assert not org.plan(A).plan.changes
    (endpoint_id,) = org.api.endpoints
    org.api.console_change(endpoint_id, events=("run.started",))
    assert [c.reason for c in org.plan(A).plan.changes] == [f"endpoint {endpoint_id} was changed outside"]


def test_an_api_that_cannot_test_makes_no_endpoint_more() -> None:
    """A 404 for the test of an endpoint that is listed leaves it unverified, run after run."""
    org = Org()
    org.api.before = lambda request: Refused(404, "not_found", "no route") if request == "test" else None
    for _ in range(3):
        outcome = org.apply(A)
        assert outcome.changes[0].result is Result.UNVERIFIED
    assert org.api.ever_made == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_at_the_test_stops_the_run(status: int) -> None:
    """Nothing else is tried with that key, and no receiver is blamed."""
    org = Org()
    org.api.before = lambda request: Refused(status, "no", "bad key") if request == "test" else None
    outcome = org.apply(A, B, C)
    assert [each.result for each in outcome.changes] == [Result.FAILED, *[Result.NOT_ATTEMPTED] * 2]
    assert "check the API key" in (outcome.changes[0].hint or "")


def test_an_api_that_falls_silent_stops_the_run() -> None:
    """After three requests in a row without an answer the rest is not attempted."""
    org = Org()
    org.api.before = lambda request: Unanswered("no answer") if request == "create" else None
    outcome = org.apply(*(webhook(f"w{number}") for number in range(8)))
    results = [each.result for each in outcome.changes]
    assert results == [*[Result.FAILED] * 3, *[Result.NOT_ATTEMPTED] * 5]


def test_a_listing_that_breaks_off_on_the_way_stops_the_run() -> None:
    """Nothing is judged by what is live once that is not known any more."""
    org = Org()
    org.apply(A, B)
    planned = org.plan(replace(A, events=("x",)), replace(B, events=("x",)))
    org.rival().apply(replace(A, events=("y",)), B)

    def break_off(request: str) -> None:
        if request == "list":
            raise ApiError("a cursor came twice")

    org.api.before = break_off
    outcome = apply(planned)
    assert [each.result for each in outcome.changes] == [Result.FAILED, Result.NOT_ATTEMPTED]


# --- the sweep --------------------------------------------------------------------------------------------


def test_a_sweep_that_fails_does_not_hide_what_was_done() -> None:
    """The outcome tells both, and a later run sweeps."""
    org = Org(ApiBehavior(replay_shows_secret=False))
    org.api.after = lambda request, _answer: Unanswered("no answer") if request == "create" else None
    org.apply(A)
    accept(org)

    def fail(request: str) -> None:
        if request == "list" and org.api.requests.count("list") > 1:
            raise ApiError("the listing broke off")

    org.api.before = fail
    outcome = org.apply(A, B)
    assert of(outcome, "b").result is Result.DONE
    assert outcome.sweep_failure == "the listing broke off"
    assert not outcome.complete
    accept(org)
    org.apply(A, B)
    org.clock.advance(hours=30)
    org.apply(A, B)
    org.check([A, B])


def test_an_open_intent_that_was_refused_later_is_swept_all_the_same() -> None:
    """A replay that is refused does not prove that the first request made nothing."""
    org = Org()
    org.api.after = lambda request, _answer: Unanswered("no answer") if request == "create" else None
    org.apply(A)
    accept(org)
    refuse_creations(org)
    outcome = org.apply(A)
    assert outcome.swept == ("we_0001",)
    accept(org)
    moved = replace(A, url="https://hooks.example.com/moved")
    org.apply(moved)
    org.clock.advance(hours=1)
    org.apply(moved)
    org.check([moved])


# --- Vault ------------------------------------------------------------------------------------------------


def test_documents_that_cannot_be_read_stop_nobody_else() -> None:
    """Three documents of somebody else under our prefix are three failures, and the rest is done."""
    org = Org()
    for name in ("x1", "x2", "x3"):
        org.store.put(name, {"not": "ours"})
    outcome = org.apply(A, B)
    assert [of(outcome, name).result for name in ("a", "b")] == [Result.DONE, Result.DONE]
    assert len(outcome.of(Result.FAILED)) == 3


def test_a_refusal_for_one_document_stops_nobody_else() -> None:
    """Only silence counts towards giving up: a policy may forbid some documents for good."""
    org = Org()
    org.apply(*(webhook(f"w{number}") for number in range(5)))

    def refuse(operation: str, name: str) -> None:
        if operation == "read" and name < "w3":
            raise StoreError("permission denied")

    org.store.before = refuse
    outcome = org.apply(*(webhook(f"w{number}", events=("x",)) for number in range(5)))
    assert len(outcome.of(Result.FAILED)) == 3
    assert len([o for o in outcome.changes if o.result in {Result.DONE, Result.WAITING}]) == 2


# --- time ---------------------------------------------------------------------------------------------------


def test_a_plan_that_waited_is_made_anew() -> None:
    """Whoever thinks about a plan for an hour gets what is right by then, or a refusal."""
    org = Org()
    planned = org.plan(A, B)
    org.clock.advance(hours=1)
    made_by_hand = org.api.console_create(A.url, A.events)
    outcome = apply(planned)
    assert of(outcome, "a").result is Result.FAILED
    assert made_by_hand.id in org.api.endpoints
    assert of(outcome, "b").result is Result.DONE


def test_a_plan_that_grew_while_it_waited_is_refused() -> None:
    """What nobody has seen is not done."""
    org = Org()
    org.apply(A, B)
    planned = org.plan(A2, B)
    org.clock.advance(hours=1)
    org.api.console_delete(org.store.fields("b")["endpoint_id"])
    with pytest.raises(GuardRefused, match="changed while this run waited"):
        apply(planned)
    assert org.api.requests.count("create") == 2


def test_a_plan_that_straddles_another_run_is_made_anew() -> None:
    """What looks like a conflict or a loss may be another run's work, seen half."""
    org = Org()
    org.apply(A, B)
    done = False

    def interfere(request: str) -> None:
        nonlocal done
        if request == "list" and not done:
            done = True
            org.rival().apply(A2, replace(B, events=("run.started",)))

    org.api.before = interfere
    planned = plan(org.wanting([A2, replace(B, events=("run.started",))]))
    assert not planned.plan.changes
    assert not planned.refusals


def test_silence_of_vault_is_what_ends_a_run() -> None:
    """Three changes in a row that Vault does not answer for are enough."""
    org = Org()

    def silent(operation: str, name: str) -> None:
        if operation == "read" and name >= "w1":
            raise StoreUnavailable("Vault is sealed")

    org.store.before = silent
    outcome = org.apply(*(webhook(f"w{number}") for number in range(6)))
    assert [each.result for each in outcome.changes][-2:] == [Result.NOT_ATTEMPTED] * 2


# --- the API lags behind ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0.5, 5.0])
def test_a_new_endpoint_that_is_not_known_yet_is_tested_again(lag: float) -> None:
    """A 404 for the test of what this run has just created is lag: the run waits and tests again."""
    org = Org(ApiBehavior(test_lag=lag, listing_lag=lag))
    outcome = org.apply(A)
    assert outcome.complete
    assert org.api.ever_made == 1
    assert outcome.seconds < 10
    org.clock.advance(minutes=1)
    org.check([A])


def test_a_new_endpoint_that_stays_unknown_is_unverified() -> None:
    """No second endpoint is created because the first one's test gets a 404, and the reason is true."""
    org = Org(ApiBehavior(test_lag=60.0, listing_lag=5.0))
    outcome = org.apply(A)
    (change,) = outcome.changes
    assert change.result is Result.UNVERIFIED
    assert "does not know endpoint we_0001 yet, which this run created: HTTP 404" in (change.detail or "")
    assert "in a few minutes" in (change.hint or "")
    assert org.api.ever_made == 1
    org.clock.advance(minutes=2)
    assert org.apply(A).complete
    assert org.api.ever_made == 1
    org.check([A])


# --- a document without metadata is deleted in Vault -------------------------------------------------------


class Killed(BaseException):
    """The process is killed here."""


def killed_in_first_creation(moment: str) -> Org:
    """Return an organization whose first creation was killed before or after its POST."""
    org = Org()

    def kill(request: str, *_: object) -> None:
        if request == "create":
            raise Killed

    if moment == "before":
        org.api.before = kill
    else:
        org.api.after = kill
    with pytest.raises(Killed):
        org.apply(A)
    accept(org)
    return org


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_first_intent_that_a_person_deletes_is_undeleted(moment: str) -> None:
    """The document has no metadata yet: it is brought back, looked at, and continued."""
    org = killed_in_first_creation(moment)
    org.store.soft_delete("a", 1)
    org.clock.advance(hours=1)
    assert org.apply(A).complete
    org.clock.advance(hours=1)
    org.apply(A)
    org.check([A])
    assert org.api.ever_made == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_first_intent_that_a_person_destroys_is_started_over(moment: str) -> None:
    """What the lost intent may have created is a conflict: nothing shows whose it is."""
    org = killed_in_first_creation(moment)
    org.store.destroy_before("a", 2)
    org.clock.advance(hours=1)
    (change,) = org.plan(A).plan.changes
    outcome = org.apply(A)
    if moment == "after":
        (orphan,) = org.api.endpoints
        assert outcome.changes[0].result is Result.FAILED
        for hint in (change.hint, outcome.changes[0].hint):
            assert f"reconciler adopt a --id {orphan}" in (hint or "")
        org.api.console_delete(orphan)
        outcome = org.apply(A)
    assert outcome.complete
    org.check([A])


def test_a_first_intent_that_was_destroyed_and_is_not_wanted_any_more() -> None:
    """Nothing is left to do for a destroyed document whose manifest is gone."""
    org = killed_in_first_creation("before")
    org.store.destroy_before("a", 2)
    assert org.plan().plan.changes == ()


@pytest.mark.parametrize("owner", ["nobody", "another organization", "another webhook"])
def test_a_deleted_document_that_is_not_ours_is_deleted_again(owner: str) -> None:
    """What was deleted by hand and is somebody else's is looked at, and is deleted as before."""
    org = Org()
    if owner == "nobody":
        org.store.put("a", {"password": "hunter2"})
    else:
        other = Org(organization="other") if owner == "another organization" else Org()
        named = A if owner == "another organization" else B
        other.apply(named)
        org.store.put("a", other.store.fields(named.name))
    org.store.soft_delete("a", 1)
    for _ in range(2):
        (change,) = org.apply(A).changes
        assert change.result is Result.FAILED
        assert "deleted again" in (change.detail or "")
        assert "give the webhook another name" in (change.hint or "")
        assert org.store.fields("a") == {}
    assert org.api.posts == 0


# --- what the API returns as a secret ---------------------------------------------------------------------


def test_a_secret_with_a_line_break_is_stored_exactly_so() -> None:
    """The API signs with all that it returned: whoever trims it has another secret, so the run says so."""
    org = Org(ApiBehavior(honours_client_secret=False, secret_suffix="\n"))
    assert org.apply(A).complete
    assert org.store.fields("a")["signing_secret"] == "whsec_server0001\n"
    (warning,) = org.reporter.warnings
    assert warning.startswith("a: the API returned a signing secret with a line break")
    assert "does not trim it" in warning
    assert "whsec" not in warning
    org.check([A])


def test_a_secret_that_the_api_never_shows_ends_the_change() -> None:
    """After three creations without a usable secret the change fails, says why, and leaves nothing."""
    org = Org(ApiBehavior(hides_secret=True))
    (change,) = org.apply(A).changes
    assert change.result is Result.FAILED
    assert "no usable signing secret (it is absent, masked, or has control characters inside)" in (
        change.detail or ""
    )
    assert "reconciler doctor --probe" in (change.hint or "")
    assert org.api.endpoints == {}
    assert org.api.posts == 3
