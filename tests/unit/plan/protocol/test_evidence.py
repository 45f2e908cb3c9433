"""A leftover needs evidence: what a person created is never deleted as the work of our own request."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.model import DeletionPolicy, SendingWindow
from reconciler.plan.outcome import Result
from reconciler.plan.plan import Action
from reconciler.ports import Created, Refused, Unanswered
from tests.fakes.api import ApiBehavior, NotCarriedOut
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from reconciler.model import Endpoint
    from reconciler.plan.outcome import Outcome

A, B = webhook("a"), webhook("b")
TOO_MANY = NotCarriedOut("HTTP 429 rate_limit_exceeded")
NO_CONNECTION = NotCarriedOut("no connection")
FORBIDDEN = Refused(403, "forbidden", "this key may not")
ERROR = Unanswered("HTTP 500", stored_error=True)
CLOSED = Unanswered("the connection failed")


def fail_creations(org: Org, answer: Refused | Unanswered, *, carried_out: bool = False) -> None:
    """Run once towards `A` while each creation gets `answer`, before or after it was carried out."""
    if carried_out:
        org.api.after = lambda request, _answer: answer if request == "create" else None
    else:
        org.api.before = lambda request: answer if request == "create" else None
    assert not org.apply(A).complete
    org.api.before, org.api.after = lambda _request: None, lambda _request, _answer: None


def created_by_a_person(org: Org) -> Endpoint:
    """Return an endpoint that a person creates in the console, exactly like the one that `A` asks for."""
    return org.api.console_create(A.url, A.events)


def assert_conflict(org: Org, outcome: Outcome, endpoint: Endpoint, *words: str) -> None:
    """The endpoint is a conflict that is left alone, with a command for each way to resolve it."""
    assert endpoint.id in org.api.endpoints, "deleted"
    assert len(outcome.of(Result.FAILED)) == 1, "not a conflict"
    failed = outcome.changes[0]
    assert endpoint.id in (failed.detail or "")
    assert f"reconciler adopt a --id {endpoint.id}" in (failed.hint or "")
    assert re.search("remove it|choose another URL", failed.hint or "")
    for each in words:
        assert each in (failed.detail or "")


@pytest.mark.parametrize("answer", [TOO_MANY, NO_CONNECTION], ids=str)
def test_what_certainly_created_nothing_leaves_nothing(answer: Unanswered) -> None:
    """After nothing but 429s or without a connection, an endpoint at the URL is an ordinary conflict."""
    org = Org()
    fail_creations(org, answer)
    assert "pending_signing_secret" not in org.store.fields("a")
    endpoint = created_by_a_person(org)
    (change,) = org.plan(A).plan.changes
    assert change.action is Action.CREATE
    assert endpoint.id in (change.problem or "")
    for _ in range(3):
        outcome = org.apply(A)
        assert_conflict(org, outcome, endpoint)
        assert "interrupted" not in (outcome.changes[0].detail or "")
        org.clock.advance(hours=10)
    org.api.console_delete(endpoint.id)
    assert org.apply(A).complete
    org.check([A])


def test_a_refused_key_leaves_nothing() -> None:
    """An intent whose every request got a 403 is not resumed over an endpoint of a person's."""
    org = Org()
    fail_creations(org, FORBIDDEN)
    assert "pending_signing_secret" in org.store.fields("a"), "it stays until a valid key comes"
    endpoint = created_by_a_person(org)
    for _ in range(2):
        assert_conflict(org, org.apply(A), endpoint)
    org.api.console_delete(endpoint.id)
    assert org.apply(A).complete
    org.check([A])


def test_a_refused_key_after_a_request_that_may_have_been_executed() -> None:
    """What an earlier try may have created is looked for, and nothing else."""
    org = Org()
    now = org.clock.now()
    fail_creations(org, replace(FORBIDDEN, windows=(SendingWindow(now, now),)), carried_out=True)
    org.clock.advance(hours=30)
    assert org.apply(A).complete
    org.clock.advance(hours=1)
    org.apply(A)
    org.check([A])


@pytest.mark.parametrize("answer", [ERROR, CLOSED], ids=str)
@pytest.mark.parametrize("later", [timedelta(seconds=30), timedelta(hours=10), timedelta(hours=30)], ids=str)
def test_what_was_created_later_is_a_persons(answer: Unanswered, later: timedelta) -> None:
    """After a 500 or a closed connection, an endpoint from another time is a conflict, and both are named."""
    org = Org()
    fail_creations(org, answer)
    org.clock.advance(seconds=later.total_seconds())
    endpoint = created_by_a_person(org)
    for _ in range(3):
        outcome = org.apply(A)
        assert_conflict(org, outcome, endpoint, "interrupted creation may have left it", "a person may have")
        (change,) = org.plan(A).plan.changes
        assert "a person may have created it" in (change.problem or "")
        assert org.api.ever_made == 1, "no second endpoint is created beside it"
    org.api.console_delete(endpoint.id)
    assert org.apply(A).complete
    org.clock.advance(hours=1)
    org.apply(A)
    org.check([A])


@pytest.mark.parametrize("answer", [ERROR, CLOSED], ids=str)
def test_what_has_no_time_of_creation_is_not_deleted(answer: Unanswered) -> None:
    """Where the API does not say when an endpoint was created, nothing shows that it is ours."""
    org = Org(ApiBehavior(shows_created=False))
    fail_creations(org, answer)
    org.clock.advance(hours=1)
    endpoint = created_by_a_person(org)
    outcome = org.apply(A)
    assert endpoint.id in org.api.endpoints
    assert not outcome.complete
    conflicts = " ".join(c.detail for c in outcome.conflicts) + (outcome.changes[0].detail or "")
    assert f"endpoint {endpoint.id} is live" in conflicts
    assert "a person may have created it" in conflicts
    for _ in range(3):
        org.clock.advance(hours=1)
        org.apply(A)
        assert endpoint.id in org.api.endpoints


@pytest.mark.parametrize("answer", [ERROR, CLOSED], ids=str)
def test_what_our_request_created_is_cleaned_up(answer: Unanswered) -> None:
    """A request whose answer was lost has created an endpoint in its time: it is replayed or deleted."""
    org = Org(ApiBehavior(key_lifetime=0))
    fail_creations(org, answer, carried_out=True)
    org.clock.advance(hours=1)
    org.apply(A)
    org.clock.advance(hours=1)
    org.apply(A)
    org.check([A])


def test_what_stands_beside_our_endpoint_is_reported_and_stays() -> None:
    """A look-alike that is found when our own endpoint is live already is named in a conflict of its own."""
    org = Org()
    window = SendingWindow(org.clock.now(), org.clock.now())
    org.api.after = lambda _request, answer: (
        replace(answer, windows=(window,)) if isinstance(answer, Created) else None
    )
    seen: list[str] = []

    def person(request: str) -> None:
        if request == "test" and not seen:
            org.clock.advance(seconds=30)
            seen.append(created_by_a_person(org).id)

    org.api.before = person
    outcome = org.apply(A)
    assert not outcome.complete
    assert [conflict.endpoint_id for conflict in outcome.conflicts] == seen
    (conflict,) = outcome.conflicts
    assert seen[0] in org.api.endpoints
    assert "Admin Center" in conflict.hint
    assert outcome.changes[0].result is Result.WAITING
    org.clock.advance(minutes=10)
    assert [c.endpoint_id for c in org.apply(A).conflicts] == seen
    assert seen[0] in org.api.endpoints
    org.check([A], unmanaged=seen)


def test_a_conflict_can_be_adopted() -> None:
    """The intent does not stand in the way of the command that the hint gives."""
    org = Org()
    fail_creations(org, CLOSED)
    org.clock.advance(hours=1)
    endpoint = created_by_a_person(org)
    org.apply(A)
    assert "pending_signing_secret" not in org.store.fields("a")
    (change,) = org.plan(A).plan.changes
    assert f"reconciler adopt a --id {endpoint.id}" in (change.hint or "")


def test_each_run_that_sends_an_intent_opens_a_window() -> None:
    """A third run that resends what a second had resent and died with, says so again."""
    org = Org(ApiBehavior(key_lifetime=0))

    class Killed(BaseException):
        pass

    def kill(request: str, _answer: object) -> None:
        if request == "create":
            raise Killed

    org.api.after = kill
    for _ in range(3):
        with pytest.raises(Killed):
            org.apply(A)
        org.clock.advance(hours=1)
    assert len(org.api.endpoints) == 3
    org.api.after = lambda _request, _answer: None
    org.apply(A)
    org.clock.advance(hours=1)
    org.apply(A)
    org.check([A])


def test_a_plan_names_what_a_sweep_may_delete() -> None:
    """While an attempt is watched, an endpoint at its URL is not listed among those that are not changed."""
    org = Org(ApiBehavior(listing_lag=20, key_lifetime=0))
    fail_creations(org, CLOSED, carried_out=True)
    org.clock.advance(seconds=1)
    org.apply(A)
    org.clock.advance(seconds=30)
    planned = org.plan(A).plan
    (warning,) = planned.warnings
    assert "endpoint we_0001 may be left over from an interrupted creation of a" in warning
    assert planned.unmanaged == ()
    org.clock.advance(minutes=10)
    assert org.apply(A).swept == ("we_0001",)
    org.check([A])


def test_a_released_endpoint_is_no_leftover() -> None:
    """An endpoint that a ledger has released is known, however many attempts were abandoned at its URL."""
    org = Org()
    org.apply(A, replace(B, deletion_policy=DeletionPolicy.RETAIN))
    org.api.behavior = ApiBehavior(hides_secret=True)
    moved = replace(A, url=B.url)
    org.apply(moved)
    org.api.behavior = ApiBehavior()
    for _ in range(2):
        (change,) = org.plan(moved).plan.changes
        (outcome,) = org.apply(moved).changes
        assert outcome.detail == change.problem
        assert "interrupted" not in (change.problem or "interrupted")
