"""A move to another API or name: previewed, verified, check-and-set, and resumed wherever it is cut."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.apply.holder import Holder
from reconciler.apply.lock import Lock
from reconciler.errors import (
    ApiError,
    CasConflict,
    ForeignDocument,
    GuardRefused,
    LockHeld,
    StoreError,
    StoreUnavailable,
)
from reconciler.model import Organization, Run
from reconciler.plan.move import Part
from reconciler.plan.outcome import Result
from reconciler.plan.plan import Action
from reconciler.ports import Unanswered, VersionState
from reconciler.usecases.move import move, plan_move
from reconciler.usecases.plan import read_metadata
from tests.fakes.world import API_URL, Org, webhook

if TYPE_CHECKING:
    from reconciler.model import Webhook
    from reconciler.plan.move import Move, MoveOutcome

A, B, C = webhook("a"), webhook("b"), webhook("c")
OLD = Organization("acme", API_URL)
NEW_URL = "https://api.zof.ai/v2"


class _Died(BaseException):
    """The process was killed."""


def _at(org: Org, name: str = "acme", api_url: str = NEW_URL) -> Org:
    """Return the organization as a run with new settings sees it."""
    org.session = replace(
        org.session, organization=Organization(name, api_url), run=Run("grace", key_fingerprint="f00dcafe")
    )
    return org


def _move(org: Org, origin: Organization = OLD, **options: tuple[str, ...]) -> MoveOutcome:
    return move(org.session, plan_move(org.session, origin, **options))


def _ledger(org: Org, name: str) -> dict[str, object]:
    ledger: dict[str, object] = json.loads(org.store.fields(name)["ledger"])
    return ledger


def _shown(planned: Move) -> list[tuple[str, Part]]:
    return [(each.name, each.part) for each in planned.documents]


@pytest.mark.parametrize(
    ("name", "api_url"), [("acme", NEW_URL), ("acme-prod", API_URL), ("acme-prod", NEW_URL)]
)
def test_a_move_takes_the_ledgers_over(name: str, api_url: str) -> None:
    """Before it every command is refused; after it nothing is left to change, and secrets are the same."""
    org = Org()
    org.apply(A, B)
    secrets = {each: org.store.fields(each)["signing_secret"] for each in "ab"}
    _at(org, name, api_url)
    with pytest.raises(ForeignDocument):
        org.plan(A, B)
    planned = plan_move(org.session, OLD)
    assert _shown(planned) == [("a", Part.DOCUMENT), ("b", Part.DOCUMENT)]
    assert planned.refusals == ()
    assert move(org.session, planned).complete
    assert {each: org.store.fields(each)["signing_secret"] for each in "ab"} == secrets
    assert _ledger(org, "a")["organization"] == name
    assert _ledger(org, "a")["api_url"] == api_url
    projection = read_metadata(org.session)["a"].projection
    assert projection is not None
    assert (projection.organization, projection.api_url) == (name, api_url)
    assert projection.run == org.session.run, "the key's fingerprint, too"
    org.check([A, B])
    again = plan_move(org.session, OLD)
    assert (again.documents, again.already_moved) == ((), 2)


def test_a_preview_writes_nothing_and_reads_no_settled_document() -> None:
    """It costs one listing of each server."""
    org = Org()
    org.apply(A, B)
    calls, requests = len(org.store.calls), len(org.api.requests)
    plan_move(_at(org).session, OLD)
    assert org.store.calls[calls:] == [("list_metadata", "")]
    assert org.api.requests[requests:] == ["list"]


def test_a_foreign_document_names_the_move() -> None:
    """The hint is a complete command where one thing has changed; where both have, a setting is wrong."""
    org = Org()
    org.apply(A)
    with pytest.raises(ForeignDocument) as moved:
        _at(org).plan(A)
    assert f"`reconciler move --from-api-url {API_URL} --organization acme`" in str(moved.value.hint)
    with pytest.raises(ForeignDocument) as renamed:
        _at(org, "acme-prod", API_URL).plan(A)
    assert "`reconciler move --from-organization acme --organization acme-prod`" in str(renamed.value.hint)
    with pytest.raises(ForeignDocument) as both:
        _at(org, "acme-prod").plan(A)
    assert "reconciler move" not in str(both.value.hint)


def _applied() -> Org:
    """Return an organization with each kind of document that a move meets."""
    org = Org()
    org.apply(A, B, C, webhook("gone"), webhook("deleted"))
    org.clock.advance(hours=1)
    # An overlap, a removed webhook, and one that somebody deleted in Vault.
    org.apply(replace(A, events=("run.started",), overlap=timedelta(hours=24)), B, C, webhook("deleted"))
    org.store.soft_delete("deleted", max(org.store.states("deleted")))
    # An interrupted creation.
    org.api.after = lambda request, _: Unanswered("no response") if request == "create" else None
    org.apply(
        replace(A, events=("run.started",), overlap=timedelta(hours=24)),
        B,
        C,
        webhook("deleted"),
        webhook("d"),
    )
    org.api.after = lambda *_: None
    return org


_WANTED: list[Webhook] = [
    replace(A, events=("run.started",), overlap=timedelta(hours=24)), B, C, webhook("deleted"), webhook("d"),
]  # fmt: skip


def test_a_move_survives_a_crash_at_each_step() -> None:
    """Killed before or after any write, the same command finishes it, and what is live stays as it is."""
    straight = _applied()
    live = dict(straight.api.endpoints)
    at_start = len(straight.store.writes)
    _move(_at(straight))
    writes = len(straight.store.writes) - at_start
    assert writes > 8
    for number in range(writes):
        for when in ("before", "after"):
            org = _at(_applied())
            left = number

            def die(operation: str, _name: str) -> None:
                nonlocal left
                if operation in {"write", "write_projection", "undelete"}:
                    left -= 1
                    if left < 0:
                        raise _Died

            setattr(org.store, when, die)
            with pytest.raises(_Died):
                _move(org)
            setattr(org.store, when, lambda *_: None)
            assert _move(org).complete
            assert plan_move(org.session, OLD).documents == ()
            assert org.api.endpoints == live
            for name in ("a", "b", "c", "deleted", "gone", "d"):
                entry = org.store.list_metadata()[name]
                if name == "d":
                    assert entry.projection is None
                    continue
                assert entry.is_settled, f"{name} after a crash {when} write {number}"
                assert entry.projection is not None
                assert entry.projection.api_url == NEW_URL
                assert entry.is_removed is (name == "gone")
            assert org.plan(*_WANTED).plan.summary["resume"] == 1


def test_an_interrupted_change_is_cleaned_up_at_the_new_address() -> None:
    """Its request is not repeated where the key may be unknown."""
    org = Org()
    org.apply(B)
    org.api.after = lambda request, _: Unanswered("no response") if request == "create" else None
    org.apply(A, B)
    org.api.after = lambda *_: None
    planned = plan_move(_at(org).session, OLD)
    (first, _) = planned.documents
    assert first.note is not None
    assert "interrupted" in first.note
    assert move(org.session, planned).complete
    assert _ledger(org, "a")["pending"]["stuck"] is True  # type: ignore[index]
    assert len(org.api.endpoints) == 2
    posts = org.api.posts
    org.apply(A, B)
    org.clock.advance(minutes=6)
    org.apply(A, B)
    assert org.api.posts == posts + 1, "one new request, with a key of its own"
    org.check([A, B])


def test_missing_endpoints_refuse_the_move() -> None:
    """An API that does not list what is recorded is another tenant's, until a person names the webhook."""
    org = Org()
    org.apply(A, B)
    org.api.console_delete(org.store.fields("a")["endpoint_id"])
    planned = plan_move(_at(org).session, OLD)
    (refusal,) = planned.refusals
    assert refusal.message == f"1 of 2 recorded endpoints are not listed by {NEW_URL}: a (we_0001)"
    command = f"`reconciler move --from-api-url {API_URL} --organization acme --allow-missing a`"
    assert command in str(refusal.hint)
    writes = list(org.store.writes)
    with pytest.raises(GuardRefused):
        move(org.session, planned)
    assert org.store.writes == writes
    assert _move(org, allow_missing=("a",)).complete
    assert [change.action for change in org.plan(A, B).plan.changes] == [Action.REPLACE]


def test_an_api_without_any_recorded_endpoint_looks_like_another_tenants() -> None:
    """The hint then does not offer to move nonetheless."""
    org = Org()
    org.apply(A, B)
    for endpoint_id in list(org.api.endpoints):
        org.api.console_delete(endpoint_id)
    (refusal,) = plan_move(_at(org).session, OLD).refusals
    assert refusal.hint == "check ZOF_API_URL and the API key: they may be another organization's"


def test_a_listing_that_fails_moves_nothing() -> None:
    """What cannot be verified is not moved."""
    org = Org()
    org.apply(A)

    def fail(request: str) -> None:
        raise ApiError(f"no {request}")

    org.api.before = fail
    with pytest.raises(ApiError):
        plan_move(_at(org).session, OLD)


def test_documents_of_a_third_organization_are_in_the_way() -> None:
    """Neither the old nor the new one: nothing is changed."""
    org = Org()
    org.apply(A)
    with pytest.raises(ForeignDocument, match=r"organization acme at .*, not to nobody at"):
        plan_move(_at(org).session, Organization("nobody", API_URL))


def test_a_document_that_cannot_be_read_is_left_as_it_is() -> None:
    """It is reported, and the others are moved."""
    org = Org()
    org.apply(A)
    org.store.put("alien", {"password": "x"})
    planned = plan_move(_at(org).session, OLD)
    assert [each.name for each in planned.unreadable] == ["alien"]
    assert move(org.session, planned).complete
    assert org.store.fields("alien") == {"password": "x"}


def test_a_destroyed_document_moves_with_its_metadata() -> None:
    """The metadata's id is the proof of ownership, at the new address as well."""
    org = Org()
    org.apply(A)
    org.store.destroy_before("a", 100)
    assert org.store.states("a")[max(org.store.states("a"))] is VersionState.DESTROYED
    planned = plan_move(_at(org).session, OLD)
    assert _shown(planned) == [("a", Part.METADATA)]
    assert move(org.session, planned).complete
    org.apply(A)
    org.check([A])


def test_another_writer_wins() -> None:
    """A document that somebody changes during the move is not overwritten, and a further move takes it."""
    org = Org()
    org.apply(A, B)
    _at(org)
    planned = plan_move(org.session, OLD)

    def interfere(operation: str, name: str) -> None:
        if (operation, name) == ("write", "a"):
            org.store.before = lambda *_: None
            org.store.put("a", org.store.fields("a") | {"note": "kept"})

    org.store.before = interfere
    outcome = move(org.session, planned)
    assert [(each.name, each.result) for each in outcome.documents] == [
        ("a", Result.FAILED), ("b", Result.DONE),
    ]  # fmt: skip
    assert _move(org).complete
    assert org.store.fields("a")["note"] == "kept"


def test_documents_that_changed_after_the_preview_refuse_the_move() -> None:
    """What is done is what was shown."""
    org = Org()
    org.apply(A)
    planned = plan_move(_at(org).session, OLD)
    org.store.put("a", org.store.fields("a"))
    with pytest.raises(GuardRefused, match="after the preview"):
        move(org.session, planned)


def test_a_move_holds_the_lock() -> None:
    """Another run is waited for, and the lock is free again afterwards."""
    org = Org()
    org.apply(A)
    planned = plan_move(_at(org).session, OLD)
    holder = Holder("one", "ada", "host", "boot", 1, "1")
    second = Lock(org.store, org.clock, replace(holder, id="two"), timeout=0.0, alive=lambda *_: True)
    with Lock(org.store, org.clock, holder), pytest.raises(LockHeld):
        move(org.session, planned, lock=second)
    assert move(org.session, planned, lock=second).complete
    assert org.store.read_lock()[1] is None


def test_an_interrupted_move_reports_what_is_left() -> None:
    """The current document is finished; the others were not attempted."""
    org = Org()
    org.apply(A, B)
    planned = plan_move(_at(org).session, OLD)
    stop = threading.Event()
    org.store.after = lambda operation, _: stop.set() if operation == "write_projection" else None
    outcome = move(org.session, planned, stop=stop)
    assert [each.result for each in outcome.documents] == [Result.DONE, Result.NOT_ATTEMPTED]
    org.store.after = lambda *_: None
    assert _move(org).complete
    org.check([A, B])


@pytest.mark.parametrize("error", [CasConflict("no"), StoreError("no"), StoreUnavailable("no")])
def test_a_move_of_which_nothing_succeeds_is_an_error(error: StoreError) -> None:
    """The first reason is the message; with Vault gone the others are not attempted."""
    org = Org()
    org.apply(A, B)
    planned = plan_move(_at(org).session, OLD)
    tried = []

    def fail(operation: str, name: str) -> None:
        if operation == "write":
            tried.append(name)
            raise error

    org.store.before = fail
    with pytest.raises(StoreError) as raised:
        move(org.session, planned)
    assert raised.value is error
    assert tried == (["a"] if isinstance(error, StoreUnavailable) else ["a", "b"])


def _deleted_in_its_first_creation(api_url: str) -> Org:
    """Return an organization whose only document has no metadata and was deleted in Vault."""
    org = Org()
    org.session = replace(org.session, organization=Organization("acme", api_url))

    def die(request: str, _: object) -> None:
        if request == "create":
            raise _Died

    org.api.after = die
    with pytest.raises(_Died):
        org.apply(A)
    org.api.after = lambda *_: None
    org.store.soft_delete("a", max(org.store.states("a")))
    assert org.store.list_metadata()["a"].projection is None
    return org


def test_a_deleted_document_without_metadata_is_undeleted_and_moved() -> None:
    """Only its content says whose it is."""
    org = _deleted_in_its_first_creation(API_URL)
    planned = plan_move(_at(org).session, OLD)
    assert [each.note for each in planned.documents] == ["it was deleted in Vault: it is undeleted"]
    assert move(org.session, planned).complete
    assert _ledger(org, "a")["api_url"] == NEW_URL


def test_a_strangers_document_is_deleted_again() -> None:
    """If the content names neither the old nor the new API, it stays as it was."""
    org = _deleted_in_its_first_creation("https://other.example.com")
    planned = plan_move(_at(org).session, OLD)
    with pytest.raises(ForeignDocument, match=r"at https://other\.example\.com"):
        move(org.session, planned)
    assert org.store.list_metadata()["a"].state is VersionState.DELETED
