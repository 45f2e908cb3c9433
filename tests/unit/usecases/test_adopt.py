"""Adoption: an unmanaged endpoint becomes a webhook's own, with the secret that is known or a new one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.errors import CasConflict, GuardRefused, InvalidInput, StoreUnavailable
from reconciler.ledger.projection import Projection
from reconciler.model import DeletionPolicy, Endpoint, Secret
from reconciler.plan.live import LiveIndex
from reconciler.plan.outcome import Result
from reconciler.plan.plan import Action, Cause
from reconciler.plan.protocol.adopt import objection
from reconciler.plan.protocol.state import Adoption
from reconciler.ports import Refused
from reconciler.receiver.signature import candidate_secrets
from reconciler.usecases.adopt import plan_adoption
from reconciler.usecases.apply import apply
from reconciler.usecases.fleet import fleet
from reconciler.usecases.preview import preview
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from reconciler.model import Webhook
    from reconciler.plan.outcome import Outcome
    from reconciler.usecases.plan import Planned

A, B = webhook("a"), webhook("b")
OTHERWISE = "(`--secret-stdin` instead of `--rotate` keeps its secret), or choose another URL"


def made_by_hand(org: Org, wanted: Webhook = A) -> Endpoint:
    """Return an endpoint that somebody has made in the console, just as `wanted` asks for it."""
    endpoint = org.api.console_create(wanted.url, wanted.events)
    org.clock.advance(hours=1)
    return endpoint


def secret_of(org: Org, endpoint: Endpoint) -> Secret:
    """Return what the console has shown when the endpoint was made."""
    return Secret(org.api.secrets[endpoint.id])


def planned(org: Org, adoption: Adoption, *desired: Webhook) -> Planned:
    """Plan the adoption, as the command does."""
    return plan_adoption(org.wanting(desired), adoption)


def adopt(org: Org, adoption: Adoption, *desired: Webhook) -> Outcome:
    """Adopt, as the command does."""
    return apply(planned(org, adoption, *desired))


# --- what it does -------------------------------------------------------------------------------------------


def test_with_its_secret_an_endpoint_stays_as_it_is() -> None:
    """The secret goes to Vault, a test delivery is sent, and the next plan is empty."""
    org = Org()
    endpoint = made_by_hand(org)
    (conflict,) = org.plan(A).plan.changes
    assert conflict.hint == f"take it over with `reconciler adopt a --id {endpoint.id} --rotate` " + OTHERWISE
    plan = planned(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A, B).plan
    (change,) = plan.changes
    assert (change.action, change.cause, change.endpoint_id) == (Action.UPDATE, Cause.MANIFEST, endpoint.id)
    assert change.steps[:2] == ("adopt the endpoint", "send a test delivery")
    assert plan.cost.api_requests == 2
    assert plan.unmanaged == ()
    before = org.api.requests_sent
    outcome = adopt(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A, B)
    assert [(o.change.name, o.result, o.endpoint_id) for o in outcome.changes] == [
        ("a", Result.DONE, endpoint.id)
    ]
    assert org.api.requests_sent == before + plan.cost.api_requests
    assert org.api.ever_made == 1
    assert org.store.fields("a")["endpoint_id"] == endpoint.id
    assert org.store.fields("a")["url"] == A.url
    assert "b" not in org.store.names, "only what was named is touched"
    org.check([A])
    (row,) = fleet(preview(org.wanting([A])))
    assert (row.state, row.secret_created_at) == ("in sync", endpoint.created)


def test_without_its_secret_an_endpoint_is_replaced() -> None:
    """A new endpoint is created, stored and tested before the one that was taken over goes."""
    org = Org()
    endpoint = made_by_hand(org)
    plan = planned(org, Adoption("a", endpoint.id), A).plan
    (change,) = plan.changes
    assert (change.action, change.cause) == (Action.ROTATE, Cause.ROTATION)
    assert any("is deleted immediately" in warning for warning in change.warnings)
    assert plan.cost.api_requests == 1 + 3
    assert adopt(org, Adoption("a", endpoint.id), A).complete
    assert org.api.requests[-3:] == ["create", "test", "delete"]
    assert [deletion.endpoint.id for deletion in org.api.deletions] == [endpoint.id]
    assert all(deletion.also_at_url for deletion in org.api.deletions)
    org.check([A])


def test_a_replaced_endpoint_stays_for_the_overlap() -> None:
    """With an overlap the old endpoint goes when that is over, and the next runs see to it."""
    org = Org()
    a = replace(A, overlap=timedelta(hours=24))
    endpoint = made_by_hand(org)
    (change,) = planned(org, Adoption("a", endpoint.id), a).plan.changes
    assert not any("is deleted immediately" in warning for warning in change.warnings)
    (outcome,) = adopt(org, Adoption("a", endpoint.id), a).changes
    assert outcome.result is Result.WAITING
    assert endpoint.id in org.api.endpoints
    assert not org.plan(a).plan.changes
    again = refused(org, Adoption("a", endpoint.id), a)
    assert again.message == f"a has already replaced endpoint {endpoint.id}"
    org.clock.advance(hours=25)
    assert org.apply(a).complete
    assert endpoint.id not in org.api.endpoints
    org.check([a])


def test_a_failed_test_leaves_it_unverified() -> None:
    """The endpoint is ours, the outcome says that it is not verified, and a later run tests again."""
    org = Org()
    endpoint = made_by_hand(org)
    org.api.behavior = replace(org.api.behavior, accepts_tests=False)
    outcome = adopt(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A)
    assert [o.result for o in outcome.changes] == [Result.UNVERIFIED]
    assert not outcome.complete
    (change,) = org.plan(A).plan.changes
    assert (change.action, change.reason) == (Action.RESUME, "no test delivery has been accepted yet")
    org.api.behavior = replace(org.api.behavior, accepts_tests=True)
    org.apply(A)
    org.check([A])
    assert org.api.ever_made == 1


def test_without_a_test_no_delivery_is_sent() -> None:
    """`test: false` holds for what is adopted, too."""
    org = Org()
    a = replace(A, test=False)
    endpoint = made_by_hand(org)
    assert adopt(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), a).complete
    assert "test" not in org.api.requests
    org.check([a])


def test_a_secret_that_is_too_old_is_replaced_at_once() -> None:
    """`createdAfter` counts from the endpoint's creation: the plan shows the rotation, the run does it."""
    org = Org()
    endpoint = made_by_hand(org)
    a = replace(A, created_after=org.clock.now() - timedelta(minutes=1))
    adoption = Adoption("a", endpoint.id, secret_of(org, endpoint))
    (change,) = planned(org, adoption, a).plan.changes
    assert change.action is Action.ROTATE
    assert adopt(org, adoption, a).complete
    assert secret_of(org, endpoint).reveal() in candidate_secrets(org.store.fields("a"))
    org.check([a])


def test_an_endpoint_of_unknown_age_counts_from_now() -> None:
    """Where the API does not say when an endpoint was made, its secret's age begins with the adoption."""
    org = Org()
    endpoint = made_by_hand(org)
    org.api.console_change(endpoint.id, created=None)
    adopt(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A)
    (row,) = fleet(preview(org.wanting([A])))
    assert row.secret_created_at == org.clock.now()


def test_a_lost_ledger_is_adopted_back() -> None:
    """When documents are gone with their metadata, each webhook comes back by its own adoption."""
    org = Org()
    org.apply(A, B)
    secrets = {name: Secret(org.store.fields(name)["signing_secret"]) for name in "ab"}
    ids = {name: org.store.fields(name)["endpoint_id"] for name in "ab"}
    for name in "ab":
        org.store.forget(name)
    org.clock.advance(days=3)
    for change in org.plan(A, B).plan.changes:
        assert f"endpoint {ids[change.name]} is live" in (change.problem or "")
    assert not org.apply(A, B).complete
    assert adopt(org, Adoption("a", ids["a"], secrets["a"]), A, B).complete
    assert adopt(org, Adoption("b", ids["b"]), A, B).complete
    org.check([A, B])
    assert ids["a"] in org.api.endpoints


def test_what_was_removed_once_can_be_adopted_later() -> None:
    """A name whose webhook was removed is free again, and its generation goes on."""
    org = Org()
    org.apply(A, B)
    org.apply(B)
    endpoint = made_by_hand(org)
    assert adopt(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A, B).complete
    org.check([A, B])
    assert '"generation":2' in org.store.fields("a")["ledger"]


def test_an_endpoint_made_anew_by_hand_takes_the_place_of_one_that_is_gone() -> None:
    """Somebody deleted ours in the console and made another: that is a conflict, and adoption ends it."""
    org = Org()
    org.apply(A)
    old = org.store.fields("a")["signing_secret"]
    org.api.console_delete(org.store.fields("a")["endpoint_id"])
    endpoint = made_by_hand(org)
    (conflict,) = org.plan(A).plan.changes
    assert conflict.hint == f"take it over with `reconciler adopt a --id {endpoint.id} --rotate` " + OTHERWISE
    assert adopt(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A).complete
    assert candidate_secrets(org.store.fields("a")) == (secret_of(org, endpoint).reveal(), old)
    org.check([A])
    org.clock.advance(hours=25)
    org.apply(A)
    assert old not in candidate_secrets(org.store.fields("a"))
    org.check([A])


def test_a_released_endpoint_that_is_gone_is_in_nobodys_way() -> None:
    """A webhook that released its endpoint can adopt another once that one is gone."""
    org = Org()
    kept = replace(A, deletion_policy=DeletionPolicy.RETAIN)
    org.apply(kept, B)
    org.apply(B)
    org.api.console_delete(org.store.fields("a")["endpoint_id"])
    endpoint = made_by_hand(org)
    assert adopt(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A, B).complete
    assert len(candidate_secrets(org.store.fields("a"))) == 1
    org.check([A, B])


# --- the secret that Vault lacks ----------------------------------------------------------------------------


def test_what_cannot_be_replaced_is_shown_until_it_is() -> None:
    """Where the API refuses a second endpoint with the URL, plans keep saying that the secret is missing."""
    org = Org()
    a = replace(A, test=False)
    org.api.behavior = replace(org.api.behavior, unique_urls=True)
    endpoint = made_by_hand(org)
    outcome = adopt(org, Adoption("a", endpoint.id), a)
    assert [o.result for o in outcome.changes] == [Result.FAILED]
    assert endpoint.id in org.api.endpoints
    (change,) = org.plan(a).plan.changes
    assert (change.action, change.reason) == (Action.REPLACE, "the signing secret is missing in Vault")
    (row,) = fleet(preview(org.wanting([a])))
    assert (row.state, row.secret_created_at) == ("drifted", None)
    # Somebody finds the secret after all.
    assert adopt(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), a).complete
    org.check([a])
    assert org.api.ever_made == 1


def test_with_a_gap_it_is_replaced_where_urls_are_unique() -> None:
    """`allowEventGap: true` lets the old endpoint go first, as in any other replacement."""
    org = Org()
    a = replace(A, allow_event_gap=True)
    org.api.behavior = replace(org.api.behavior, unique_urls=True)
    endpoint = made_by_hand(org)
    assert adopt(org, Adoption("a", endpoint.id), a).complete
    assert endpoint.id not in org.api.endpoints
    org.check([a])


def test_a_secret_destroyed_in_vault_can_be_handed_in() -> None:
    """Whoever still has the secret saves the replacement."""
    org = Org()
    org.apply(A)
    endpoint_id = org.store.fields("a")["endpoint_id"]
    version = len(org.store.states("a"))
    org.store.destroy_before("a", version + 1)
    (change,) = org.plan(A).plan.changes
    assert change.action is Action.REPLACE
    secret = Secret(org.api.secrets[endpoint_id])
    assert adopt(org, Adoption("a", endpoint_id, secret), A).complete
    assert org.api.ever_made == 1
    org.check([A])


def test_a_wrong_secret_can_be_corrected_until_it_is_verified() -> None:
    """A slip is handed in again, as long as no delivery has shown that the secret is right."""
    org = Org()
    endpoint = made_by_hand(org)
    org.api.behavior = replace(org.api.behavior, accepts_tests=False)
    assert not adopt(org, Adoption("a", endpoint.id, Secret("whsec_a-slip")), A).complete
    assert "reconciler rotate a" in (refused(org, Adoption("a", endpoint.id), A).hint or "")
    org.api.behavior = replace(org.api.behavior, accepts_tests=True)
    right = Adoption("a", endpoint.id, secret_of(org, endpoint))
    plan = planned(org, right, A).plan
    assert plan.changes[0].steps[:2] == ("adopt the endpoint", "send a test delivery")
    assert (plan.unmanaged, plan.cost.api_requests) == ((), 2)
    assert adopt(org, right, A).complete
    org.check([A])
    assert "owns endpoint" in refused(org, Adoption("a", endpoint.id, Secret("whsec_late")), A).message


# --- what is refused ----------------------------------------------------------------------------------------


def refused(org: Org, adoption: Adoption, *desired: Webhook) -> GuardRefused:
    """Return the refusal; nothing has been changed."""
    writes, requests = org.store.writes, org.api.requests_sent
    with pytest.raises(GuardRefused) as caught:
        adopt(org, adoption, *desired)
    assert org.store.writes == writes
    assert set(org.api.requests[requests:]) <= {"list"}
    assert caught.value.hint
    return caught.value


def test_a_manifest_is_needed() -> None:
    """Without one nobody has said what the endpoint should be."""
    org = Org()
    endpoint = made_by_hand(org)
    with pytest.raises(InvalidInput, match="no manifest for a") as caught:
        planned(org, Adoption("a", endpoint.id), B)
    assert "reconciler export" in (caught.value.hint or "")


def test_an_endpoint_that_is_not_live_is_refused() -> None:
    """A misspelt id is told before anything is written."""
    org = Org()
    assert refused(org, Adoption("a", "we_9999"), A).message == "endpoint we_9999 is not live"


def test_a_manifest_that_says_something_else_is_refused() -> None:
    """What differs is told, URL and events, and what to do about it."""
    org = Org()
    endpoint = org.api.console_create("https://hooks.example.com/other", ["run.failed", "run.started"])
    error = refused(org, Adoption("a", endpoint.id), A)
    assert error.message == (
        f"a and endpoint {endpoint.id} differ: the URL is https://hooks.example.com/***, the manifest says "
        "https://hooks.example.com/a; the manifest lacks run.started; the endpoint lacks run.completed"
    )
    assert "manifests/a.yaml:1:1" in (error.hint or "")


def test_only_what_differs_is_told() -> None:
    """A URL that is spelt otherwise is the same URL, and events that agree are not repeated."""
    org = Org()
    moved = org.api.console_create("https://hooks.example.com/other", A.events)
    assert "endpoint lacks" not in refused(org, Adoption("a", moved.id), A).message
    fewer = org.api.console_create("HTTPS://Hooks.example.com:443/a", A.events[:1])
    assert refused(org, Adoption("a", fewer.id), A).message.endswith("differ: the endpoint lacks run.failed")
    more = org.api.console_create(A.url, [*A.events, "run.started"])
    assert refused(org, Adoption("a", more.id), A).message.endswith("differ: the manifest lacks run.started")


def test_another_webhooks_endpoint_is_refused() -> None:
    """The message names whose it is, also where that one has only released it."""
    org = Org()
    org.apply(replace(A, deletion_policy=DeletionPolicy.RETAIN), B)
    endpoint_id = org.store.fields("a")["endpoint_id"]
    renamed = replace(A, name="renamed")
    for desired in ((A, renamed), (renamed, B)):
        assert refused(org, Adoption("renamed", endpoint_id), *desired).message == (
            f"endpoint {endpoint_id} is in the ledger of a"
        )
    org.apply(B)
    assert "is in the ledger of a" in refused(org, Adoption("renamed", endpoint_id), renamed, B).message


def test_whatever_some_ledger_has_is_refused() -> None:
    """The rule holds by itself, whoever has looked before."""
    endpoint = Endpoint("we_1", A.url, A.events)
    live = LiveIndex([endpoint])
    assert objection(A, None, live, Adoption("a", "we_1")) is None
    live.learn(Projection(1, "acme", "https://api", 1, "released", "we_1"))
    failed = objection(A, None, live, Adoption("a", "we_1"))
    assert failed is not None
    assert failed.message == "endpoint we_1 is in another webhook's ledger"


def test_what_is_owned_already_is_refused() -> None:
    """There is nothing to adopt where the ledger has the endpoint and its secret."""
    org = Org()
    org.apply(A)
    fields = org.store.fields("a")
    for secret in (None, Secret("whsec_other"), Secret(fields["signing_secret"])):
        error = refused(org, Adoption("a", fields["endpoint_id"], secret), A)
        assert error.message == f"a already owns endpoint {fields['endpoint_id']}"
        assert "reconciler rotate a" in (error.hint or "")


def test_a_webhook_whose_endpoint_is_live_takes_no_other() -> None:
    """One webhook has one endpoint: neither a twin nor what stands at its new URL is adopted."""
    org = Org()
    org.apply(A)
    twin = made_by_hand(org)
    assert "already has endpoint we_0001" in refused(org, Adoption("a", twin.id), A).message
    moved = replace(A, url="https://hooks.example.com/moved")
    stranger = made_by_hand(org, moved)
    assert "already has endpoint we_0001" in refused(org, Adoption("a", stranger.id), moved).message
    (conflict,) = org.plan(moved).plan.changes
    assert conflict.hint == "choose another URL, or remove it: a has an endpoint already"


def test_a_released_endpoint_is_taken_up_not_adopted() -> None:
    """Its secret is still in Vault: the manifest's return is enough."""
    org = Org()
    org.apply(replace(A, deletion_policy=DeletionPolicy.RETAIN), B)
    endpoint_id = org.store.fields("a")["endpoint_id"]
    org.apply(B)
    error = refused(org, Adoption("a", endpoint_id), A, B)
    assert "reconciler apply" in (error.hint or "")
    org.apply(A, B)
    org.check([A, B])


def interrupt(org: Org, request: str, *desired: Webhook) -> None:
    """Let a run die once `request` of the API has been carried out."""

    def die(name: str, _answer: object) -> None:
        if name == request:
            raise KeyboardInterrupt

    org.api.after = die
    with pytest.raises(KeyboardInterrupt):
        org.apply(*desired)
    org.api.after = lambda *_: None


def test_an_unfinished_change_of_the_webhook_comes_first() -> None:
    """While an intent is open, or a removal, the endpoint may be its own: apply finishes it."""
    org = Org()
    interrupt(org, "create", A)
    error = refused(org, Adoption("a", "we_0001"), A)
    assert error.message == "a new endpoint of a is being created"
    org.apply(A, B)
    interrupt(org, "delete", B)
    endpoint = made_by_hand(org)
    assert refused(org, Adoption("a", endpoint.id), A, B).message == "a is being removed"


def test_what_anothers_unfinished_change_may_have_made_is_refused() -> None:
    """An endpoint at the URL of somebody's open intent may be that one's: it would be deleted with it."""
    org = Org()
    interrupt(org, "create", A)
    renamed = replace(A, name="renamed")
    error = refused(org, Adoption("renamed", "we_0001"), renamed)
    assert error.message == "endpoint we_0001 may have been created by an interrupted change of a"
    elsewhere = made_by_hand(org, B)
    assert adopt(org, Adoption("b", elsewhere.id, secret_of(org, elsewhere)), B).complete


def test_what_anothers_unfinished_change_has_recorded_is_refused() -> None:
    """A document that was written and whose metadata lags behind counts, too."""
    org = Org()
    interrupt(org, "test", A)
    renamed = replace(A, name="renamed")
    assert "in the ledger of a" in refused(org, Adoption("renamed", "we_0001"), renamed).message


def test_a_document_that_nobody_can_read_is_in_nobodys_way() -> None:
    """Somebody else's document under our prefix does not keep others from being adopted."""
    org = Org()
    org.store.put("notes", {"something": "else"})
    endpoint = made_by_hand(org)
    assert (
        adopt(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A).changes[0].result is Result.DONE
    )


def test_a_deleted_document_is_undeleted_first() -> None:
    """What can be undeleted still says whose endpoint is whose."""
    org = Org()
    org.apply(A)
    org.store.soft_delete("a", len(org.store.states("a")))
    endpoint = made_by_hand(org)
    assert "can be undeleted" in refused(org, Adoption("a", endpoint.id), A).message


# --- races --------------------------------------------------------------------------------------------------


def meanwhile(org: Org, operation: str, act: object) -> None:
    """Let `act` happen right before the first `operation` of the store."""
    pending = [act]

    def before(name: str, _document: str) -> None:
        if name == operation and pending:
            pending.pop()()  # type: ignore[operator]

    org.store.before = before


def test_the_other_run_adopts_it_with_the_same_secret() -> None:
    """Both runs want the same: the write is done once, and both are done."""
    org = Org()
    endpoint = made_by_hand(org)
    adoption = Adoption("a", endpoint.id, secret_of(org, endpoint))
    ours = planned(org, adoption, A)
    meanwhile(org, "write", lambda: adopt(org.rival(), adoption, A))
    assert apply(ours).complete
    org.check([A])


def test_the_other_run_adopts_it_to_be_replaced() -> None:
    """Whoever comes second finds it taken over, and nothing is made twice."""
    org = Org()
    endpoint = made_by_hand(org)
    ours = planned(org, Adoption("a", endpoint.id), A)
    meanwhile(org, "write", lambda: adopt(org.rival(), Adoption("a", endpoint.id), A))
    assert apply(ours).complete
    assert org.api.ever_made == 2
    org.check([A])


def test_the_other_run_adopts_it_under_another_name() -> None:
    """Who owns it is looked up again under the lock: the second is refused."""
    org = Org()
    endpoint = made_by_hand(org)
    renamed = replace(A, name="renamed")
    ours = planned(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A)
    adopt(org.rival(), Adoption("renamed", endpoint.id, secret_of(org, endpoint)), renamed)
    with pytest.raises(GuardRefused, match="in the ledger of renamed"):
        apply(ours)
    assert org.store.names == ["renamed"]


@pytest.mark.parametrize("minutes", [0, 2])
def test_the_endpoint_goes_meanwhile(minutes: int) -> None:
    """What somebody deletes while the question stands is not adopted, or is made anew in the same run."""
    org = Org()
    endpoint = made_by_hand(org)
    ours = planned(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A)
    org.api.console_delete(endpoint.id)
    org.clock.advance(minutes=minutes)
    if minutes:
        with pytest.raises(GuardRefused, match="is not live"):
            apply(ours)
        assert org.store.names == []
    else:
        assert apply(ours).complete
        org.check([A])


def test_the_other_run_creates_its_own() -> None:
    """An apply that gets there first, once the endpoint is gone, leaves nothing to adopt."""
    org = Org()
    endpoint = made_by_hand(org)
    ours = planned(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A)

    def overtake() -> None:
        org.api.console_delete(endpoint.id)
        org.rival().apply(A)

    meanwhile(org, "write", overtake)
    (outcome,) = apply(ours).changes
    assert outcome.result is Result.FAILED
    assert outcome.detail == "a already has endpoint we_0002, and it is live"
    org.check([A])


def test_nothing_is_written_when_vault_refuses() -> None:
    """A write that fails leaves the endpoint unmanaged, and the same command works later."""
    org = Org()
    endpoint = made_by_hand(org)
    adoption = Adoption("a", endpoint.id, secret_of(org, endpoint))
    ours = planned(org, adoption, A)

    def fail(operation: str, _name: str) -> None:
        if operation == "write":
            raise StoreUnavailable("Vault answered HTTP 503")

    org.store.before = fail
    with pytest.raises(StoreUnavailable):
        apply(ours)
    org.store.before = lambda *_: None
    assert adopt(org, adoption, A).complete
    org.check([A])


def test_a_refused_creation_of_a_replacement_is_no_silence() -> None:
    """A secret destroyed in Vault stays a pending change when its replacement is refused."""
    org = Org()
    org.apply(replace(A, test=False))
    org.store.destroy_before("a", len(org.store.states("a")) + 1)
    org.api.before = lambda request: Refused(400, "invalid", "no") if request == "create" else None
    assert not org.apply(replace(A, test=False)).complete
    org.api.before = lambda _request: None
    (change,) = org.plan(replace(A, test=False)).plan.changes
    assert change.reason == "the signing secret is missing in Vault"
    org.apply(A)
    org.check([A])


def test_a_conflict_of_versions_is_no_error() -> None:
    """A write that loses its check-and-set to a strange hand looks again, and says what it finds."""
    org = Org()
    endpoint = made_by_hand(org)
    ours = planned(org, Adoption("a", endpoint.id, secret_of(org, endpoint)), A)
    first = [True]

    def lose(operation: str, _name: str) -> None:
        if operation == "write" and first.pop() if first else False:
            raise CasConflict("another writer was there first")

    org.store.before = lose
    assert apply(ours).complete
    org.check([A])


def test_a_failed_test_after_an_adoption_names_the_secret_first() -> None:
    """What was handed in is the likeliest cause: the hint has the command that hands in another."""
    org = Org()
    endpoint = made_by_hand(org)
    org.api.behavior = replace(org.api.behavior, failing_tests=frozenset({endpoint.id}))
    (ended,) = adopt(org, Adoption("a", endpoint.id, Secret("whsec_wrong")), A).changes
    assert ended.result is Result.UNVERIFIED
    assert (ended.hint or "").startswith(
        "the secret that was handed in is probably not this endpoint's: run "
    )
    assert f"`reconciler adopt a --id {endpoint.id} --secret-stdin`" in (ended.hint or "")
