"""Drift has causes: what was found, on which side, since when, and what heals it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import jsonschema
import pytest
from msgspec.structs import replace

from reconciler.ledger.projection import Projection
from reconciler.model import DeletionPolicy, Run, body_digest
from reconciler.plan.changes import drift_of
from reconciler.plan.drift import Drift, DriftKind, Side
from reconciler.plan.live import LiveIndex
from reconciler.plan.outcome import Result
from reconciler.plan.plan import Action, Cause, Change, Shape
from reconciler.plan.protocol.state import Adoption
from reconciler.ports import Created, Metadata, VersionState
from reconciler.report.plan.github import plan_github
from reconciler.report.plan.markdown import plan_markdown
from reconciler.report.plan.summary import DRIFT
from reconciler.report.plan.text import plan_text
from reconciler.schemas import schema_text
from reconciler.usecases.adopt import plan_adoption
from reconciler.usecases.apply import apply
from reconciler.usecases.fleet import fleet
from reconciler.usecases.plan import plan_rotation
from reconciler.usecases.preview import drift, preview
from tests.fakes.api import ApiBehavior
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model import Webhook

A = webhook("a", labels={"owner": "team-a"})


@pytest.fixture
def org() -> Org:
    """Give an organization whose only webhook is as declared."""
    org = Org()
    assert org.apply(A).complete
    return org


def drifted(org: Org, desired: Webhook = A) -> Change:
    """Return the only drift of an organization; its JSON is what the schema says."""
    plan = drift(org.wanting([desired])).plan
    jsonschema.validate(plan.to_json(), json.loads(schema_text("plan")))
    (change,) = plan.changes
    return change


def found(org: Org, desired: Webhook = A) -> tuple[tuple[str, ...], str]:
    """Return what was found, and where."""
    finding = drifted(org, desired).drift
    assert finding is not None
    return finding.kinds, finding.side


def _endpoint(org: Org) -> str:
    (endpoint_id,) = org.api.endpoints
    return endpoint_id


def test_an_endpoint_that_somebody_deleted(org: Org) -> None:
    """It is gone; who answers for the webhook is told with it."""
    org.api.console_delete(_endpoint(org))
    assert found(org) == (("endpoint-removed",), "live")
    assert drifted(org).owner == "team-a"


def test_an_endpoint_that_somebody_changed(org: Org) -> None:
    """It is live with other events."""
    org.api.console_change(_endpoint(org), url=A.url, events=("run.started",))
    assert found(org) == (("endpoint-changed",), "live")


def test_an_endpoint_that_somebody_made_anew(org: Org) -> None:
    """Another one, not ours, stands at its URL: its id differs."""
    org.api.console_delete(_endpoint(org))
    stranger = org.api.console_create(A.url, A.events)
    assert found(org) == (("endpoint-recreated",), "live")
    assert stranger.id in str(drifted(org).problem)


def test_a_secret_that_somebody_deleted_says_since_when(org: Org) -> None:
    """A soft deletion in Vault has a moment."""
    org.clock.advance(hours=3)
    deleted_at = org.clock.now()
    org.store.soft_delete("a", max(org.store.states("a")))
    org.clock.advance(hours=2)
    assert found(org) == (("secret-deleted",), "Vault")
    assert drifted(org).drift == Drift((DriftKind.SECRET_DELETED,), deleted_at)


def test_a_secret_that_is_lost(org: Org) -> None:
    """A destroyed version is another matter: the endpoint has to go with it."""
    org.store.destroy_before("a", max(org.store.states("a")) + 1)
    assert found(org) == (("secret-destroyed",), "Vault")


def test_an_endpoint_that_was_adopted_and_could_not_be_replaced_yet() -> None:
    """No secret is stored, as long as the API refuses a second endpoint with the URL."""
    org = Org(ApiBehavior(unique_urls=True))
    endpoint = org.api.console_create(A.url, A.events)
    wanted = Adoption("a", endpoint.id)
    apply(plan_adoption(org.wanting([A]), wanted))
    assert found(org) == (("secret-missing",), "Vault")
    assert "replaces the endpoint" in drifted(org).to_json()["finding"]["remedy"]


def test_drift_on_both_sides(org: Org) -> None:
    """Both are told, the live side first, and no moment that would be true of one alone."""
    org.api.console_delete(_endpoint(org))
    org.store.destroy_before("a", max(org.store.states("a")) + 1)
    assert found(org) == (("endpoint-removed", "secret-destroyed"), "live and Vault")


def test_a_change_that_was_cut_off_says_since_when(org: Org) -> None:
    """A document that is newer than its metadata was written when the run that is missing was at work."""
    org.clock.advance(hours=1)
    at = org.clock.now()
    org.store.put("a", org.store.fields("a"))
    org.clock.advance(hours=1)
    assert drifted(org).drift == Drift((DriftKind.INTERRUPTED,), at)
    assert found(org) == (("interrupted",), "Vault")


def test_a_document_that_somebody_else_wrote(org: Org) -> None:
    """Its metadata cannot tell it from a cut-off run: both are named, and apply says how to mend it."""
    org.store.put("a", {"signing_secret": "theirs"})
    change = drifted(org)
    assert change.reason == "the last change was interrupted, or somebody else wrote the document"
    assert change.drift is not None
    assert "does not change a document that somebody else wrote" in change.drift.remedy
    (outcome,) = org.apply(A).changes
    assert outcome.detail is not None
    assert "somebody else wrote it" in outcome.detail
    assert "vault kv rollback" in str(outcome.hint)
    assert org.store.fields("a") == {"signing_secret": "theirs"}


def test_a_receiver_that_refused_its_test() -> None:
    """An unverified endpoint is found on the live side."""
    org = Org(ApiBehavior(accepts_tests=False))
    assert not org.apply(A).complete
    assert found(org) == (("unverified",), "live")


def test_an_overlap_that_is_over_says_since_when(org: Org) -> None:
    """What was replaced is due since the overlap ended."""
    longer = replace(A, events=("run.started",), overlap=timedelta(hours=24))
    assert org.apply(longer).complete
    due = org.clock.now() + timedelta(hours=24)
    org.clock.advance(hours=30)
    finding = drifted(org, longer).drift
    assert finding is not None
    assert finding.kinds == (DriftKind.CLEANUP_DUE,)
    assert finding.since is not None
    assert abs(finding.since - due) < timedelta(minutes=1)


def test_a_secret_that_is_too_old(org: Org) -> None:
    """A rotation that is due is no drift of either server's, and is found in Vault."""
    org.clock.advance(hours=1)
    older = replace(A, created_after=org.clock.now())
    org.clock.advance(hours=1)
    assert found(org, older) == (("rotation-due",), "Vault")


@pytest.mark.parametrize("render", [plan_text, plan_markdown])
def test_reports_tell_what_heals(org: Org, render: Callable[..., str]) -> None:
    """Text and Markdown name what was found, where, whose it is, and the remedy."""
    org.store.soft_delete("a", max(org.store.states("a")))
    report = render(drift(org.wanting([A])).plan, title=DRIFT)
    assert "found: secret-deleted (Vault) since 2026-11-01 " in report
    assert " UTC; owner: team-a\n" in report
    assert "fix: `reconciler apply` undeletes it\n" in report


def _disable(org: Org, *, enabled: bool = False) -> None:
    org.api.console_change(org.store.fields("a")["endpoint_id"], enabled=enabled)


def test_a_disabled_endpoint_is_drift_that_apply_leaves_alone(org: Org) -> None:
    """It has an action of its own, `none`; an apply changes nothing, says so and is complete."""
    _disable(org)
    change = drifted(org)
    assert (change.action, change.cause) == (Action.NONE, Cause.DRIFT)
    assert found(org) == (("endpoint-disabled",), "live")
    assert change.drift is not None
    assert "Admin Center > Developer > Webhooks" in change.drift.remedy
    assert "`reconciler rotate a`" in change.drift.remedy
    requests, writes = org.api.requests_sent, org.store.writes
    outcome = org.apply(A)
    assert outcome.complete
    (left,) = outcome.changes
    assert (left.result, left.endpoint_id, left.hint) == (Result.LEFT_ALONE, "we_0001", change.drift.remedy)
    assert "is disabled" in str(left.detail)
    assert (org.api.requests[requests:], org.store.writes) == (["list"], writes)
    assert not org.plan(A).plan.pending
    _disable(org, enabled=True)
    org.check([A])


def test_every_report_names_a_disabled_endpoint(org: Org) -> None:
    """Text, Markdown, annotations and the status."""
    _disable(org)
    plan = drift(org.wanting([A])).plan
    for text in (plan_text(plan, title=DRIFT), plan_markdown(plan, title=DRIFT)):
        assert "found: endpoint-disabled (live)" in text
        assert "1 to resolve by hand" in text
        assert "rotate a" in text
    assert plan_github(plan).startswith("::error ")
    assert "rotate a" in plan_github(plan)
    (row,) = fleet(preview(org.wanting([A])))
    assert row.state == "disabled"


def test_other_changes_are_applied_beside_a_disabled_endpoint(org: Org) -> None:
    """The outcome lists both, and is complete."""
    _disable(org)
    outcome = org.apply(A, webhook("b"))
    assert [(each.change.name, each.result) for each in outcome.changes] == [
        ("a", Result.LEFT_ALONE),
        ("b", Result.DONE),
    ]
    assert outcome.complete


def test_a_rotation_or_an_edit_replaces_a_disabled_endpoint(org: Org) -> None:
    """Both lead to an endpoint that is enabled."""
    _disable(org)
    org.clock.advance(hours=1)
    assert apply(plan_rotation(org.wanting([A]), ["a"], revoke=False)).complete
    org.check([A])
    _disable(org)
    edited = replace(A, events=("run.started",))
    assert org.apply(edited).complete
    org.check([edited])


def test_the_predecessor_of_a_disabled_endpoint_stays(org: Org) -> None:
    """At the end of an overlap the old endpoint is the only one that receives events."""
    edited = replace(A, events=("run.started",), overlap=timedelta(hours=1))
    assert org.apply(edited).complete
    _disable(org)
    org.clock.advance(hours=2)
    assert found(org, edited) == (("endpoint-disabled",), "live")
    assert org.apply(edited).complete
    assert len(org.api.endpoints) == 2
    _disable(org, enabled=True)
    assert org.apply(edited).complete
    org.clock.advance(days=2)
    assert org.apply(edited).complete
    org.check([edited])


def test_the_policy_of_a_disabled_endpoint_is_recorded(org: Org) -> None:
    """A manifest that protects it now takes effect, and the endpoint is still reported."""
    _disable(org)
    protected = replace(A, deletion_policy=DeletionPolicy.PROTECT)
    (outcome,) = org.apply(protected).changes
    assert (outcome.change.action, outcome.result) == (Action.UPDATE, Result.DONE)
    assert found(org, protected) == (("endpoint-disabled",), "live")


def test_a_deleted_secret_of_a_disabled_endpoint(org: Org) -> None:
    """Both are found; the apply undeletes the secret, and the endpoint is still reported."""
    _disable(org)
    org.store.soft_delete("a", max(org.store.states("a")))
    assert found(org) == (("endpoint-disabled", "secret-deleted"), "live and Vault")
    assert org.apply(A).complete
    assert found(org) == (("endpoint-disabled",), "live")


def test_an_endpoint_that_is_created_disabled_replaces_nothing(org: Org) -> None:
    """The run says so, and the old endpoint stays until somebody enables the new one."""
    org.api.after = lambda _, answer: (
        replace(answer, endpoint=replace(answer.endpoint, enabled=False))
        if isinstance(answer, Created)
        else None
    )
    edited = replace(A, events=("run.started",))
    (outcome,) = org.apply(edited).changes
    assert outcome.result is Result.UNVERIFIED
    assert "disabled" in str(outcome.detail)
    assert len(org.api.endpoints) == 2
    # The listing says that it is enabled now.
    assert org.apply(edited).complete
    org.check([edited])


def test_a_manifests_change_is_no_finding(org: Org) -> None:
    """What a manifest asks for is nothing that was found."""
    (change,) = org.plan(replace(A, events=("run.started",))).plan.changes
    assert change.drift is None
    assert "found:" not in plan_text(org.plan(replace(A, events=("run.started",))).plan)


def test_a_secret_that_is_lost_does_not_make_its_endpoint_changed() -> None:
    """An API that wrote the URL in its own way has not changed it since."""
    shape = Shape("https://a.example.com/x", ("run.failed",))
    projection = Projection(
        1, "acme", "https://api", 1, "active", "we_1", digest="asked", run=Run(),
        live_digest=body_digest(shape.url, shape.events),
    )  # fmt: skip
    metadata = Metadata("a", 1, VersionState.DESTROYED, projection)
    change = Change("a", Action.REPLACE, "lost", Cause.DRIFT, before=shape)
    assert drift_of(change, metadata, LiveIndex()) == Drift((DriftKind.SECRET_DESTROYED,))
    bare = drift_of(change, replace(metadata, projection=None), LiveIndex())
    assert bare is not None
    assert bare.side is Side.BOTH


def test_nothing_is_found_about_what_is_not_in_vault() -> None:
    """Without a document there is nothing to differ from."""
    assert drift_of(Change("a", Action.CREATE, "new", Cause.DRIFT), None, LiveIndex()) is None


@pytest.mark.parametrize("found", DriftKind)
def test_everything_that_can_be_found_has_a_side_and_a_remedy(found: DriftKind) -> None:
    """No finding leaves a person without the next thing to do."""
    assert Drift((found,)).side in {Side.LIVE, Side.VAULT}
    commands = {
        DriftKind.ENDPOINT_DISABLED: "reconciler rotate a",
        DriftKind.UNMANAGED: "reconciler adopt a --id",
        DriftKind.CLEANUP_DUE: "reconciler apply --cleanup-only",
    }
    command = commands.get(found, "reconciler apply")
    assert command in Drift((found,), webhook="a").remedy
