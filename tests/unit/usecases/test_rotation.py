"""Rotation: a new secret before the old one goes, both valid for as long as was asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.errors import InvalidInput
from reconciler.plan.plan import Action, Cause
from reconciler.ports import VersionState
from reconciler.receiver.signature import candidate_secrets
from reconciler.usecases.apply import apply
from reconciler.usecases.plan import only, plan, rotation
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from reconciler.model import Webhook
    from reconciler.plan.outcome import Outcome

A, B = webhook("a"), webhook("b")


def rotate(org: Org, *desired: Webhook, names: tuple[str, ...] = ("a",), revoke: bool = False) -> Outcome:
    """Rotate `names`, as the command does."""
    wanted = rotation(desired, names, org.clock.now(), revoke=revoke)
    planned = only(plan(org.wanting(wanted)), names)
    return apply(planned)


def secrets_of(org: Org, name: str) -> tuple[str, ...]:
    """Return the secrets that a receiver accepts."""
    return candidate_secrets(org.store.fields(name))


def readable_anywhere(org: Org, name: str, secret: str) -> bool:
    """Whether any version of the document still holds `secret`."""
    return any(secret in text for text in org.store.texts(name))


@pytest.mark.parametrize(
    ("overlap", "told"),
    [(timedelta(hours=24), "1d"), (timedelta(hours=36), "36h"), (timedelta(minutes=90), "90m"),
     (timedelta(seconds=61), "61s")],
)  # fmt: skip
def test_an_overlap_is_told_where_there_will_be_one(overlap: timedelta, told: str) -> None:
    """Receivers get events twice for as long as both endpoints are live: not where the old one is gone."""
    org = Org()
    a = replace(A, overlap=overlap)
    org.apply(a)
    (change,) = org.plan(replace(a, events=("run.started",))).plan.changes
    until = org.clock.now() + overlap
    secret, twice = change.receivers
    assert "`signing_secret` at secret/webhooks/acme/a in Vault, beside the old one" in secret
    assert f" until {until:%Y-%m-%d %H:%M} UTC, if it is applied now (overlap {told})" in twice
    (endpoint_id,) = org.api.endpoints
    org.api.console_delete(endpoint_id)
    (change,) = org.plan(a).plan.changes
    assert (change.action, change.warnings) == (Action.REPLACE, ())
    assert change.receivers == ("the new secret will be `signing_secret` at secret/webhooks/acme/a in Vault",)


def test_both_endpoints_and_secrets_are_valid_during_an_overlap() -> None:
    """The old endpoint goes when it is due, its secret a day later, and its versions are destroyed."""
    org = Org()
    a = replace(A, overlap=timedelta(hours=2))
    org.apply(a, B)
    old = org.store.fields("a")["signing_secret"]
    org.clock.advance(hours=1)
    assert rotate(org, a, B).complete
    new = org.store.fields("a")["signing_secret"]
    assert new != old
    assert secrets_of(org, "a") == (new, old)
    assert len(org.api.endpoints) == 3
    assert not org.plan(a, B).plan.changes, "nothing is due yet"
    org.clock.advance(hours=2)
    assert [c.cause for c in org.plan(a, B).plan.changes] == [Cause.ROTATION]
    org.apply(a, B)
    assert len(org.api.endpoints) == 2
    assert secrets_of(org, "a") == (new, old), "deliveries that were signed before may still be retried"
    org.clock.advance(hours=24)
    org.apply(a, B)
    assert secrets_of(org, "a") == (new,)
    assert not readable_anywhere(org, "a", old)
    org.check([a, B])


def test_a_leaked_secret_is_of_no_use_at_once() -> None:
    """With `--now` there is no overlap, no receiver accepts the old secret, and no version holds it."""
    org = Org()
    a = replace(A, overlap=timedelta(hours=24))
    org.apply(a)
    old = org.store.fields("a")["signing_secret"]
    org.clock.advance(hours=1)
    assert rotate(org, a, revoke=True).complete
    assert secrets_of(org, "a") == (org.store.fields("a")["signing_secret"],)
    assert not readable_anywhere(org, "a", old)
    org.check([a])


def test_what_was_rotated_before_keeps_its_overlap() -> None:
    """A leak of the current secret does not cut short the overlap of the one before."""
    org = Org()
    a = replace(A, overlap=timedelta(hours=24))
    org.apply(a)
    first = org.store.fields("a")["signing_secret"]
    org.clock.advance(hours=1)
    rotate(org, a)
    leaked = org.store.fields("a")["signing_secret"]
    org.clock.advance(hours=1)
    rotate(org, a, revoke=True)
    accepted = secrets_of(org, "a")
    assert first in accepted
    assert leaked not in accepted
    assert not readable_anywhere(org, "a", leaked)


def test_only_what_was_named_is_touched() -> None:
    """Other pending changes wait for an ordinary apply."""
    org = Org()
    org.apply(A, B)
    org.clock.advance(hours=1)
    edited = replace(B, events=("run.started",))
    outcome = rotate(org, A, edited, webhook("c"))
    assert [(c.change.name, c.change.action) for c in outcome.changes] == [("a", Action.ROTATE)]
    assert org.api.requests[-3:] == ["create", "test", "delete"]
    assert {c.name for c in org.plan(A, edited, webhook("c")).plan.changes} == {"b", "c"}


def test_the_cost_of_a_rotation_is_its_own() -> None:
    """The plan of a rotation tells the requests of the named webhooks alone."""
    org = Org()
    org.apply(A, B)
    org.clock.advance(hours=1)
    wanted = rotation([A, B, webhook("c")], ["a"], org.clock.now(), revoke=False)
    planned = only(plan(org.wanting(wanted)), ["a"])
    assert planned.plan.cost.api_requests == 1 + 3


def test_a_name_without_a_manifest_is_invalid() -> None:
    """A misspelt name is told before anything is sent."""
    org = Org()
    with pytest.raises(InvalidInput, match="no manifest for x, y"):
        rotation([A], ["x", "a", "y"], org.clock.now(), revoke=False)


def test_a_manifest_that_asks_for_a_newer_secret_gets_one_once() -> None:
    """`createdAfter` rotates when the stored secret is older, not before its time, and only once."""
    org = Org()
    org.apply(A)
    due = replace(A, created_after=org.clock.now() + timedelta(hours=2))
    assert not org.plan(due).plan.changes, "a date in the future is not due"
    org.clock.advance(hours=3)
    (change,) = org.plan(due).plan.changes
    assert (change.action, change.cause) == (Action.ROTATE, Cause.ROTATION)
    org.apply(due)
    org.check([due])
    assert org.api.ever_made == 2


def test_an_unverified_successor_does_not_retire_the_old_one() -> None:
    """While the new endpoint's test fails the old one stays, however long ago it was due."""
    org = Org()
    org.apply(A)
    org.clock.advance(hours=1)
    org.api.behavior = replace(org.api.behavior, accepts_tests=False)
    assert not rotate(org, A).complete
    org.clock.advance(days=3)
    org.apply(A)
    assert len(org.api.endpoints) == 2
    org.api.behavior = replace(org.api.behavior, accepts_tests=True)
    org.apply(A)
    assert len(org.api.endpoints) == 1
    org.clock.advance(days=2)
    org.apply(A)
    org.check([A])


def test_the_destruction_of_versions_survives_a_crash() -> None:
    """What a run that dies after dropping an expired secret left to destroy, the next one destroys."""
    org = Org()
    org.apply(A)
    old = org.store.fields("a")["signing_secret"]
    org.clock.advance(hours=1)
    rotate(org, A)
    org.clock.advance(hours=30)

    def die(operation: str, _name: str) -> None:
        if operation == "destroy_before":
            raise KeyboardInterrupt

    org.store.before = die
    with pytest.raises(KeyboardInterrupt):
        org.apply(A)
    assert secrets_of(org, "a") == (org.store.fields("a")["signing_secret"],)
    assert readable_anywhere(org, "a", old)
    org.store.before = lambda *_: None
    org.apply(A)
    assert not readable_anywhere(org, "a", old)
    assert VersionState.LIVE in org.store.states("a").values()
    org.check([A])


@pytest.mark.parametrize(("revoke", "command"), [(False, "rotate"), (True, "rotate --now")])
def test_a_rotation_that_was_asked_for_is_not_a_finding(revoke: bool, command: str) -> None:
    """The reason is the command; nothing is called due or found."""
    org = Org()
    org.apply(A)
    org.clock.advance(hours=1)
    wanted = rotation((A,), ("a",), org.clock.now(), revoke=revoke)
    (change,) = org.plan(*wanted).plan.changes
    assert change.reason == f"`reconciler {command}` replaces the signing secret"
    assert (change.action, change.drift) == (Action.ROTATE, None)
