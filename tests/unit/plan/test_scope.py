"""PATHs on the command line: a webhook whose manifest is elsewhere is neither changed nor deleted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from reconciler.model import DeletionPolicy, Location, Webhook
from reconciler.plan.guards import GuardLimits
from reconciler.plan.plan import Action
from reconciler.plan.scope import PathScope
from reconciler.report.plan.markdown import plan_markdown
from reconciler.report.plan.text import plan_text
from reconciler.usecases.apply import apply
from reconciler.usecases.fleet import fleet
from reconciler.usecases.plan import Planned, plan
from reconciler.usecases.preview import drift, preview
from tests.fakes.world import NO_LIMITS, Org, webhook


def at(name: str, path: str, **changes: object) -> Webhook:
    return webhook(name, location=Location(path, 1, 1), **changes)


A = at("a", "manifests/team-a/a.yaml")
A2 = at("a2", "manifests/team-a/a2.yaml")
B = at("b", "manifests/team-b/b.yaml")
TEAM_A = PathScope(("manifests/team-a",), frozenset({"b"}))


def applied(*webhooks: Webhook) -> Org:
    org = Org()
    org.apply(*webhooks)
    return org


def planned(org: Org, scope: PathScope | None, *desired: Webhook, limits: GuardLimits = NO_LIMITS) -> Planned:
    return plan(replace(org.wanting(desired, limits), scope=scope))


def actions(found: Planned) -> dict[str, Action]:
    return {change.name: change.action for change in found.plan.changes}


def test_what_is_outside_the_paths_is_counted_and_left_alone() -> None:
    """With one team's folder, its own changes are applied, and the other team's webhook stays."""
    org = applied(A, A2, B)
    found = planned(org, TEAM_A, replace(A, events=("run.failed",)))
    assert actions(found) == {"a": Action.REPLACE, "a2": Action.DELETE}
    assert found.plan.summary["out_of_scope"] == 1
    before = org.store.fields("b")
    assert apply(found).complete
    assert org.store.fields("b") == before
    assert before["endpoint_id"] in org.api.endpoints


@pytest.mark.parametrize(
    "trouble", ["deleted endpoint", "deleted secret", "interrupted", "overlap ended", "protected"]
)
def test_what_is_due_outside_the_paths_is_left_alone(trouble: str) -> None:
    """Drift, cleanup and interrupted changes elsewhere are not touched, reported as drift or refused."""
    policy = DeletionPolicy.PROTECT if trouble == "protected" else DeletionPolicy.DELETE
    theirs = replace(B, deletion_policy=policy, overlap=timedelta(hours=1))
    org = applied(A, theirs)
    match trouble:
        case "deleted endpoint":
            org.api.console_delete(org.store.fields("b")["endpoint_id"])
        case "deleted secret":
            org.store.soft_delete("b", org.store.list_metadata()["b"].version)
        case "interrupted":
            org.store.put("b", org.store.fields("b"))
        case "overlap ended":
            org.apply(A, replace(theirs, events=("run.failed",)))
            org.clock.sleep(7200)
    writes = org.store.writes
    scope = replace(TEAM_A, declared=frozenset())
    found = planned(org, scope, A)
    assert (found.plan.changes, found.refusals, found.plan.out_of_scope) == ((), (), 1)
    assert drift(replace(org.wanting([A]), scope=scope)).plan.changes == ()
    assert [row.name for row in fleet(preview(replace(org.wanting([A]), scope=scope)))] == ["a"]
    assert apply(found).complete
    assert org.store.writes == writes


@pytest.mark.parametrize(
    ("recorded", "paths", "in_scope"),
    [
        ("manifests/team-a/x.yaml", ("manifests/team-a",), True),
        ("manifests/team-a/deep/x.yaml", ("manifests/team-a",), True),
        ("./manifests/team-b/../team-a/x.yaml", ("manifests/team-a",), True),
        ("manifests/team-a/x.yaml", ("manifests/team-a/x.yaml",), True),
        ("manifests/team-a/x.yaml", (".",), True),
        ("/repo/manifests/x.yaml", ("manifests", "/repo/manifests"), True),
        ("manifests/team-ab/x.yaml", ("manifests/team-a",), False),
        ("manifests/team-a/x.yaml", ("manifests/team-a/y.yaml",), False),
        ("team-a/x.yaml", ("manifests/team-a",), False),
        ("../manifests/team-a/x.yaml", ("manifests/team-a",), False),
        ("../x.yaml", (".",), False),
        ("/elsewhere/x.yaml", (".",), False),
        (None, ("manifests/team-a",), False),
        (None, (".",), False),
    ],
)
def test_a_recorded_path_decides(recorded: str | None, paths: tuple[str, ...], in_scope: bool) -> None:
    """A webhook without a manifest is in scope if its recorded manifest is in a PATH, and not if unknown."""
    assert PathScope(paths, frozenset()).may_remove("x", recorded) is in_scope


def test_a_manifest_that_moved_out_of_the_paths_is_not_deleted() -> None:
    """Its recorded path is still in the PATHs, but a manifest elsewhere declares it."""
    org = applied(A, A2, B)
    scope = PathScope(("manifests/team-a",), frozenset({"a2", "b"}))
    found = planned(org, scope, A)
    assert (actions(found), found.plan.out_of_scope) == ({}, 2)


def test_nothing_is_deleted_while_manifests_outside_cannot_be_read() -> None:
    """One of them may declare the webhook."""
    org = applied(A, A2, B)
    scope = PathScope(("manifests/team-a",), frozenset({"b"}), complete=False)
    found = planned(org, scope, replace(A, events=("run.failed",)))
    assert (actions(found), found.plan.out_of_scope) == ({"a": Action.REPLACE}, 2)


def test_paths_are_all_manifests_where_nothing_else_is_known() -> None:
    """Without a configured folder, PATHs name all manifests, unless some were applied from elsewhere."""
    scope = PathScope(("manifests/team-a",), None)
    assert actions(planned(applied(A, A2), scope, A)) == {"a2": Action.DELETE}
    found = planned(applied(A, A2, B), scope, A)
    assert (actions(found), found.plan.out_of_scope) == ({}, 2)


def test_a_manifest_that_moved_into_the_paths_is_in_scope() -> None:
    """The record follows at the next change, also of the ledger only."""
    org = applied(A, at("x", "manifests/team-b/x.yaml"))
    moved = at("x", "manifests/team-a/x.yaml")
    assert planned(org, TEAM_A, A, moved).plan.summary["unchanged"] == 2
    assert org.store.list_metadata()["x"].projection.manifest == "manifests/team-b/x.yaml"  # type: ignore[union-attr]
    retained = replace(moved, deletion_policy=DeletionPolicy.RETAIN)
    found = planned(org, TEAM_A, A, retained)
    assert actions(found) == {"x": Action.UPDATE}
    assert apply(found).complete
    assert org.store.list_metadata()["x"].projection.manifest == "manifests/team-a/x.yaml"  # type: ignore[union-attr]
    assert actions(planned(org, TEAM_A, A)) == {"x": Action.RELEASE}


def test_a_path_in_the_repository_is_recorded() -> None:
    """Not the path as the user gave it."""
    org = applied(at("a", "../a.yaml", source="manifests/a.yaml"))
    assert org.store.list_metadata()["a"].projection.manifest == "manifests/a.yaml"  # type: ignore[union-attr]


def test_guards_count_what_is_in_scope() -> None:
    """30 % of the webhooks in scope, and no manifests in the PATHs while webhooks are owned there."""
    ours = [at(f"a{number}", f"manifests/team-a/{number}.yaml") for number in range(4)]
    others = [at(f"b{number}", f"manifests/team-b/{number}.yaml") for number in range(20)]
    org = applied(*ours, *others)
    scope = PathScope(("manifests/team-a",), frozenset(each.name for each in others))
    assert not planned(org, scope, *ours[1:], limits=GuardLimits()).refusals
    (refusal,) = planned(org, scope, *ours[2:], limits=GuardLimits()).refusals
    assert refusal.message == "the plan deletes 2 of 4 owned webhooks, one run may delete 1"
    first = planned(org, scope, limits=GuardLimits()).refusals[0]
    assert (first.guard, first.message) == (
        "empty",
        "there are no manifests at all in the PATHs while 4 webhooks are owned there",
    )
    elsewhere = PathScope(("empty",), frozenset(each.name for each in [*ours, *others]))
    found = planned(org, elsewhere, limits=GuardLimits())
    assert (found.refusals, found.plan.out_of_scope) == ((), 24)


def test_a_listing_is_judged_by_all_webhooks() -> None:
    """What is missing outside the PATHs shows that the listing cannot be trusted, too."""
    others = [at(f"b{number}", f"manifests/team-b/{number}.yaml") for number in range(9)]
    org = applied(A, *others)
    for number in range(5):
        org.api.console_delete(org.store.fields(f"b{number}")["endpoint_id"])
    scope = PathScope(("manifests/team-a",), frozenset(each.name for each in others))
    found = planned(org, scope, replace(A, events=("run.failed",)), limits=GuardLimits())
    assert [each.message for each in found.refusals] == [
        "5 of 10 owned endpoints are missing from the API's listing"
    ]


def test_every_format_says_how_many_are_out_of_scope() -> None:
    """So nobody takes a partial plan for a whole one."""
    org = applied(A, A2, B)
    unchanged, changed = planned(org, TEAM_A, A, A2).plan, planned(org, TEAM_A, A).plan
    for text in (plan_text(unchanged), plan_markdown(unchanged)):
        assert "1 webhook is out of scope: no manifest in the PATHs declares it." in text
    for text in (plan_text(changed), plan_markdown(changed)):
        assert "1 unchanged, 1 out of scope." in text
    assert changed.to_json()["summary"]["out_of_scope"] == 1
    whole = planned(org, None, A, A2, B).plan
    assert whole.summary["out_of_scope"] == 0
    assert "out of scope" not in plan_text(whole) + plan_markdown(whole)
