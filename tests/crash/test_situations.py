"""What people do with keys, files, Vault and endpoints between two runs: nothing is lost or made twice.

Wherever it matters, the run before is killed at each of its moments.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.diagnostics import Severity
from reconciler.errors import ReconcilerError
from reconciler.manifest.load import load_manifests
from reconciler.model import Location, Organization
from reconciler.plan.drift import DriftKind
from reconciler.plan.scope import PathScope
from reconciler.usecases.move import move, plan_move
from reconciler.usecases.preview import drift
from tests.crash.people import Crash, Watch, begin, go
from tests.fakes.api import ApiBehavior, FakeApi
from tests.fakes.world import API_URL, NO_LIMITS, Org, webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.model import Webhook

    Record = Callable[[str, object], None]

A, B = webhook("a"), webhook("b")
A2 = replace(A, events=("run.started",))


def killed(before: tuple[Webhook, ...], *desired: Webhook) -> Iterator[Watch]:
    """Yield the world after a run towards `desired` that died, for each moment of that run."""
    moment = 0
    while True:
        watch = begin(ApiBehavior(), *before)
        first = watch.moments + moment

        def die(now: int, first: int = first) -> None:
            if now == first:
                raise Crash

        watch.visit = die
        go(watch.org, *desired)
        if watch.moments <= first:
            return
        watch.calm()
        yield watch
        moment += 1


# --- the key of another organization ----------------------------------------------------------------------


@pytest.mark.parametrize("before", [(A,), (A, B)], ids=["one", "two"])
@pytest.mark.parametrize("after", [(A2, B), (B,), (A,)], ids=["edited", "removed", "unchanged"])
def test_another_organizations_key_changes_nothing(
    before: tuple[Webhook, ...], after: tuple[Webhook, ...], record_property: Record
) -> None:
    """With it nothing is created, nothing counts as deleted, and the right key goes on as if nothing was."""
    cases = 0
    for watch in killed(before, *after):
        cases += 1
        org = watch.org
        if not watch.owned() & org.api.endpoints.keys():
            continue
        ours, written = org.session, len(org.store.writes)
        theirs = FakeApi(org.clock, ApiBehavior(id_prefix="we_other_"))
        theirs.console_create("https://other.example.com/", ["run.failed"])
        run = replace(ours.run, key_fingerprint="ffffffff")
        org.session = replace(ours, api=theirs, run=run)
        with contextlib.suppress(ReconcilerError):
            org.apply(*after, limits=replace(NO_LIMITS, approve=()))
        assert theirs.ever_made == 1, "created in another organization"
        assert len(org.store.writes) == written, "a 404 of another organization was taken for a fact"
        org.session = ours
        for _ in range(3):
            org.clock.advance(hours=30)
            org.apply(*after)
        org.check(after, unmanaged=org.unmanaged)
        watch.check()
    record_property("cases", cases)
    assert cases > 2


# --- a disabled endpoint ------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [A, A2], ids=["unchanged", "replaced"])
def test_a_disabled_endpoint_is_its_own_kind_of_drift(after: Webhook, record_property: Record) -> None:
    """Whatever moment a run died at: it is reported, left alone, and as before once it is enabled."""
    cases = 0
    for watch in killed((A,), after):
        cases += 1
        org = watch.org
        org.apply(after)
        current = watch.current("a")
        org.api.console_change(current, enabled=False)
        made = org.api.ever_made
        found = drift(org.wanting([after])).plan.changes
        assert [each.drift.kinds[0] for each in found if each.drift] == [DriftKind.ENDPOINT_DISABLED]
        org.apply(after)
        assert (org.api.ever_made, watch.current("a")) == (made, current), "replaced without being asked"
        org.api.console_change(current, enabled=True)
        assert not drift(org.wanting([after])).plan.changes
        for _ in range(2):
            org.clock.advance(hours=30)
            org.apply(after)
        watch.check()
        org.check([after], unmanaged=org.unmanaged)
    record_property("cases", cases)


# --- a document that somebody deletes in Vault -------------------------------------------------------------


@pytest.mark.parametrize("how", ["delete", "destroy"])
@pytest.mark.parametrize("before", [(), (A2,)], ids=["create", "replace"])
def test_a_document_that_a_person_deletes_blocks_nothing(
    how: str, before: tuple[Webhook, ...], record_property: Record
) -> None:
    """Whatever moment a run died at, and though its document is deleted then, a few runs converge."""
    cases = 0
    for watch in killed(before, A):
        cases += 1
        org = watch.org
        newest = max(org.store.states("a"), default=0) if "a" in org.store.names else 0
        if newest:
            if how == "destroy":
                org.store.destroy_before("a", newest + 1)
            else:
                org.store.soft_delete("a", newest)
        for _ in range(4):
            org.clock.advance(minutes=6)
            go(org, A)
        live = org.api.at_url(A.normalized_url)
        if how == "destroy":
            # What a destroyed intent may have made is named as a conflict; an operator removes it.
            for endpoint_id in live - watch.owned():
                org.api.console_delete(endpoint_id)
            for _ in range(2):
                org.clock.advance(hours=30)
                org.apply(A)
        org.clock.advance(hours=30)
        org.apply(A)
        watch.check()
        org.check([A], unmanaged=org.unmanaged)
    record_property("cases", cases)
    assert cases > 5


# --- PATHs that limit the scope ----------------------------------------------------------------------------

THEIRS = webhook("b", location=Location("manifests/team-b/b.yaml", 1, 1))
OURS = webhook("a", location=Location("manifests/team-a/a.yaml", 1, 1))
SCOPES = {
    "its manifest is there": PathScope(("manifests/team-a",), declared=frozenset({"b"})),
    "its manifest moved": PathScope(("manifests/team-a",), declared=frozenset()),
    "nobody knows where all are": PathScope(("manifests/team-a",), declared=None),
}


@pytest.mark.parametrize("title", SCOPES)
@pytest.mark.parametrize("before", [(), (replace(THEIRS, events=("run.started",)),)], ids=["new", "changed"])
def test_what_is_outside_of_the_paths_stays(
    title: str, before: tuple[Webhook, ...], record_property: Record
) -> None:
    """Whatever moment a run of all manifests died at, one of team A's alone leaves team B's as it is."""
    cases = 0
    for watch in killed(before, THEIRS, OURS):
        cases += 1
        org = watch.org
        theirs = {i: e for i, e in org.api.endpoints.items() if e.normalized_url == THEIRS.normalized_url}
        org.session, whole = replace(org.session, scope=SCOPES[title]), org.session
        for _ in range(2):
            org.clock.advance(minutes=6)
            go(org, OURS)
        now = {i: e for i, e in org.api.endpoints.items() if e.normalized_url == THEIRS.normalized_url}
        assert now == theirs, "out of scope, and changed"
        org.session = whole
        for _ in range(3):
            org.clock.advance(hours=30)
            org.apply(THEIRS, OURS)
        watch.check()
        org.check([THEIRS, OURS], unmanaged=org.unmanaged)
    record_property("cases", cases)
    assert cases > 5


# --- a moved API --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interfere", ["nothing", "a write"])
def test_a_move_that_dies_is_resumed(interfere: str, record_property: Record) -> None:
    """Whatever moment a move dies at, the next completes it; somebody else's write is never overwritten."""
    origin = Organization("acme", API_URL)
    moment = 0
    while True:
        watch = begin(ApiBehavior(), A, B)
        org = watch.org
        secrets = {name: org.store.fields(name)["signing_secret"] for name in "ab"}
        org.session = replace(org.session, organization=Organization("acme", "https://api.zof.ai/v2"))
        first = watch.moments + moment

        def act(now: int, watch: Watch = watch, first: int = first) -> None:
            if now != first:
                return
            if interfere == "nothing":
                raise Crash
            watch.calm()
            store = watch.org.store
            store.put("a", {**store.fields("a"), "note": "theirs"})

        watch.visit = act
        with contextlib.suppress(Crash, ReconcilerError):
            move(org.session, plan_move(org.session, origin))
        if watch.moments <= first:
            break
        watch.calm()
        for _ in range(2):
            with contextlib.suppress(ReconcilerError):
                move(org.session, plan_move(org.session, origin))
        assert {name: org.store.fields(name)["signing_secret"] for name in "ab"} == secrets
        assert interfere == "nothing" or org.store.fields("a").get("note") == "theirs"
        org.apply(A, B)
        watch.check()
        org.check([A, B], unmanaged=org.unmanaged)
        moment += 1
    record_property("cases", moment)
    assert moment > 5


# --- manifests on disk -------------------------------------------------------------------------------------


def _uppercase(folder: Path) -> None:
    (folder / "b.yaml").rename(folder / "b.YAML")


def _configmap(folder: Path) -> None:
    (folder / "..data").mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.yaml").rename(folder / "..data" / f"{name}.yaml")
        (folder / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")


def _outside(folder: Path) -> None:
    (folder / "b.yaml").rename(folder.parent / "b.yaml")
    (folder / "b.yaml").symlink_to("../b.yaml")


def _broken(folder: Path) -> None:
    (folder / "c.yaml").symlink_to("no-such-file.yaml")


@pytest.mark.parametrize("change", [_uppercase, _configmap, _outside, _broken])
def test_no_file_that_is_there_counts_as_gone(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """However a manifest is stored, it is read, or the problem is an error: never does a webhook go."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    for wanted in (A, B):
        (folder / f"{wanted.name}.yaml").write_text(_text(wanted), encoding="utf-8")
    org = Org()
    loaded = load_manifests([folder])
    org.apply(*loaded.webhooks)
    change(folder)
    again = load_manifests([folder])
    if any(each.severity is Severity.ERROR for each in again.diagnostics):
        return
    assert not org.plan(*again.webhooks).plan.changes


def _text(wanted: Webhook) -> str:
    return (
        f"apiVersion: webhooks.zof.ai/v1\nkind: Webhook\nmetadata: {{name: {wanted.name}}}\n"
        f"spec:\n  url: {wanted.url}\n  events: [{', '.join(wanted.events)}]\n"
    )
