"""Kill the run before and after every single request, and see the next runs converge.

The real step function and the real runner in a simulated world with virtual time. After each crash
at most two further runs must reach "no changes", and a third must write nothing.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.errors import ApiError, ReconcilerError, StoreUnavailable
from reconciler.model import DeletionPolicy
from reconciler.ports import Unanswered
from tests.fakes.api import ApiBehavior
from tests.fakes.clock import FakeClock
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from reconciler.model import Webhook
    from reconciler.ports import Clock

    Record = Callable[[str, object], None]


class Crash(BaseException):
    """The process is killed here."""


@dataclass(frozen=True)
class Shape:
    """The webhooks before a run, and those that it is asked for."""

    name: str
    before: tuple[Webhook, ...]
    after: tuple[Webhook, ...]
    twin: Webhook | None = None
    """Somebody creates an endpoint exactly like this one in the console, right before the run."""

    @property
    def replaces(self) -> bool:
        """Whether an endpoint is replaced by another at the same URL."""
        return any(old.url == new.url and old != new for old in self.before for new in self.after)

    @property
    def has_gap(self) -> bool:
        """Whether events may be lost."""
        return any(wanted.allow_event_gap for wanted in self.after)


A, B = webhook("a"), webhook("b")
A2 = replace(A, events=("run.started",))
BEFORE_THE_RUN = FakeClock().now() + timedelta(minutes=30)


def _gap(wanted: Webhook, **changes: str) -> Webhook:
    """Return the webhook with `changes`, and with `allowEventGap`."""
    return replace(wanted, allow_event_gap=True, **changes)


SHAPES = (
    Shape("create", (B,), (A, B)),
    Shape("replace", (A,), (A2,)),
    Shape("move", (A,), (replace(A, url="https://hooks.example.com/moved"),)),
    Shape("delete", (A, B), (B,)),
    Shape("mixed", (A, B), (A2, webhook("c"))),
    Shape("unmanaged", (A,), (A2,), twin=A2),
    Shape("gap", (A,), (replace(A2, allow_event_gap=True),)),
    Shape("swap", (A, B), (replace(A, url=B.url), replace(B, url=A.url))),
    Shape("chain", (A,), (replace(A, url="https://hooks.example.com/moved"), replace(B, url=A.url))),
    Shape("rename", (A, B), (replace(A, name="renamed"), B)),
    Shape("swap with a gap", (A, B), (_gap(A, url=B.url), _gap(B, url=A.url))),
    Shape("rename with a gap", (A, B), (_gap(A, name="renamed"), B)),
    Shape("overlap", (A,), (replace(A2, overlap=timedelta(hours=24)),)),
    Shape("rotate", (A,), (replace(A, created_after=BEFORE_THE_RUN),)),
    Shape("revoke", (A,), (replace(A, created_after=BEFORE_THE_RUN, revoke=True),)),
    Shape("retain", (replace(A, deletion_policy=DeletionPolicy.RETAIN), B), (B,)),
)
NEED_TWO_AT_A_URL = {
    "replace", "mixed", "unmanaged", "swap", "chain", "rename", "overlap", "rotate", "revoke",
}  # fmt: skip
"""Shapes that an API with one endpoint a URL makes impossible, unless a gap is allowed."""
BEHAVIORS = {
    "faithful": ApiBehavior(),
    "server makes the secret": ApiBehavior(honours_client_secret=False),
    "replay hides the secret": ApiBehavior(honours_client_secret=False, replay_shows_secret=False),
    "keys forgotten at once": ApiBehavior(key_lifetime=0),
    "one endpoint a URL": ApiBehavior(unique_urls=True),
    "one endpoint a URL, keys forgotten at once": ApiBehavior(unique_urls=True, key_lifetime=0),
    "a listing that lags": ApiBehavior(listing_lag=20),
}
SILENCE, ERROR = Unanswered("no answer"), Unanswered("HTTP 500", stored_error=True)
FAULTY = {
    "no answer": (ApiBehavior(), SILENCE),
    "no answer, server makes the secret": (ApiBehavior(honours_client_secret=False), SILENCE),
    "no answer, replay hides the secret": (BEHAVIORS["replay hides the secret"], SILENCE),
    "500": (ApiBehavior(), ERROR),
    "500, stored and replayed": (ApiBehavior(stores_server_errors=True), ERROR),
}
# The next run starts immediately, after the sweep's tolerance, or after the replay window.
PAUSES = (timedelta(seconds=1), timedelta(minutes=6), timedelta(hours=30))


PREPARED: dict[tuple[str, ApiBehavior], Org] = {}
"""What each shape begins with: thousands of cases begin with a copy."""


class Bomb:
    """Raises at one point of a run: the n-th moment before or after a request of either server."""

    def __init__(self, org: Org, point: int | None) -> None:
        """Install the hooks; without a `point` they only count."""
        self.moments = 0
        self._org = org
        self._point = point
        org.store.before = lambda _operation, _name: self._moment()
        org.store.after = self._stored
        org.api.before = lambda _request: self._moment()
        org.api.after = lambda _request, _answer: self._moment()

    def _stored(self, operation: str, name: str) -> None:
        if operation == "write" and (fields := self._org.store.fields(name)) and "endpoint_id" in fields:
            self._org.recorded.add(fields["endpoint_id"])
        self._moment()

    def _moment(self) -> None:
        self.moments += 1
        if self.moments - 1 == self._point:
            raise Crash


def prepared(shape: Shape, behavior: ApiBehavior) -> Org:
    """Return an organization as `shape` begins."""
    if (shape.name, behavior) not in PREPARED:
        PREPARED[shape.name, behavior] = newly_prepared(shape, behavior)
    org = PREPARED[shape.name, behavior].copy()
    Bomb(org, None)
    return org


def newly_prepared(shape: Shape, behavior: ApiBehavior) -> Org:
    """Make what `shape` begins with by a run of its own."""
    org = Org(behavior)
    Bomb(org, None)
    org.unmanaged.add(org.api.console_create("https://unmanaged.example.com/", ["run.failed"]).id)
    if shape.before:
        org.apply(*shape.before)
    org.clock.advance(hours=1)
    if shape.twin is not None:
        org.unmanaged.add(org.api.console_create(shape.twin.url, shape.twin.events).id)
        # An unmanaged endpoint that is not listed yet cannot be distinguished from what our own request made.
        org.clock.advance(seconds=behavior.listing_lag)
    return org


def run(org: Org, shape: Shape, point: int | None) -> int:
    """Run once towards `shape.after`, killed at `point`; return how many moments there were."""
    bomb = Bomb(org, point)
    try:
        org.apply(*shape.after)
    except (Crash, ReconcilerError):
        pass
    finally:
        moments = bomb.moments
        Bomb(org, None)
    return moments


def applicable(shape: Shape, behavior: ApiBehavior) -> bool:
    """Whether `shape` can be reached at all: one endpoint a URL forbids replacing in place."""
    return not (behavior.unique_urls and shape.name in NEED_TWO_AT_A_URL)


def cases() -> Iterator[object]:
    """Yield every shape with every behaviour and pause."""
    for shape, (title, behavior), pause in itertools.product(SHAPES, BEHAVIORS.items(), PAUSES):
        # What is not listed yet counts as gone: a run within the lag replaces it.
        if applicable(shape, behavior) and pause.total_seconds() > behavior.listing_lag:
            yield pytest.param(shape, behavior, pause, id=f"{shape.name}, {title}, {pause}")


def converge(org: Org, shape: Shape, pause: timedelta) -> None:
    """Run twice more, then check the result."""
    for _ in range(2):
        org.clock.advance(seconds=pause.total_seconds())
        org.apply(*shape.after)
    org.clock.advance(seconds=pause.total_seconds())
    settle(org, shape)
    kept = {
        org.store.fields(webhook.name)["endpoint_id"]
        for webhook in shape.before
        if webhook.deletion_policy is DeletionPolicy.RETAIN
    }
    org.check(shape.after, unmanaged=org.unmanaged | kept)
    if org.api.behavior.key_lifetime and shape.twin is None:
        # The sweep would delete it later, and until then every event would be delivered twice.
        assert org.api.most_at_one_url <= (2 if shape.replaces else 1), "an orphan was left live"
    for deletion in org.api.deletions:
        # An endpoint that no ledger ever recorded served nobody: an orphan of a forgotten key, for example.
        replaced = deletion.endpoint.id in org.recorded
        wanted = any(deletion.endpoint.url == webhook.url for webhook in shape.after)
        assert shape.has_gap or not replaced or not wanted or deletion.also_at_url, "events had no endpoint"


def settle(org: Org, shape: Shape) -> None:
    """Let overlaps and sweeps end: they must need no more than two runs."""
    for _ in range(2):
        org.clock.advance(hours=30)
        org.apply(*shape.after)


@pytest.mark.parametrize(("shape", "behavior", "pause"), list(cases()))
def test_every_crash_point(
    shape: Shape, behavior: ApiBehavior, pause: timedelta, record_property: Record
) -> None:
    """Whatever moment a run dies at, the next runs converge and nothing is lost, orphaned or doubled."""
    moments = run(prepared(shape, behavior), shape, None)
    assert moments > 5
    record_property("cases", moments)
    for point in range(moments):
        org = prepared(shape, behavior)
        run(org, shape, point)
        try:
            converge(org, shape, pause)
        except AssertionError as error:
            message = f"killed at moment {point} of {moments}: {error}"
            raise AssertionError(message) from error


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_double_crashes(shape: Shape, record_property: Record) -> None:
    """A run that dies while it picks up after another dead run loses nothing either."""
    behavior = ApiBehavior(honours_client_secret=False)
    moments = run(prepared(shape, behavior), shape, None)
    points = list(itertools.product(range(0, moments, 2), range(0, moments + 6, 3)))
    record_property("cases", len(points))
    for first, second in points:
        org = prepared(shape, behavior)
        run(org, shape, first)
        org.clock.advance(minutes=1)
        run(org, shape, second)
        converge(org, shape, PAUSES[0])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize(
    "title", ["faithful", "server makes the secret", "keys forgotten at once", "replay hides the secret"]
)
def test_a_rival_at_every_moment(shape: Shape, title: str, record_property: Record) -> None:
    """Another run that does the whole work in the middle of ours leaves no duplicate and no lost secret."""
    behavior = BEHAVIORS[title]
    calm = prepared(shape, behavior)
    moments = run(calm, shape, None)
    record_property("cases", moments)
    for point in range(moments):
        org = prepared(shape, behavior)
        count = 0

        def interfere(org: Org = org, point: int = point) -> None:
            nonlocal count
            count += 1
            if count - 1 == point:
                org.rival().apply(*shape.after)

        org.store.before = org.store.after = lambda *_: interfere()
        org.api.before = lambda _request: interfere()
        org.api.after = lambda _request, _answer: interfere()
        with contextlib.suppress(ReconcilerError):
            org.apply(*shape.after)
        Bomb(org, None)
        try:
            converge(org, shape, PAUSES[0])
        except AssertionError as error:
            message = f"the rival came at moment {point} of {moments}: {error}"
            raise AssertionError(message) from error
        if behavior.key_lifetime and behavior.replay_shows_secret:
            assert org.api.ever_made == calm.api.ever_made, f"made twice: the rival came at moment {point}"


def test_a_faithful_api_is_never_asked_twice(record_property: Record) -> None:
    """Where keys are remembered, no crash makes one endpoint more than a run without a crash."""
    for shape in SHAPES:
        calm = prepared(shape, ApiBehavior())
        moments = run(calm, shape, None)
        record_property("cases", moments)
        for point in range(moments):
            org = prepared(shape, ApiBehavior())
            run(org, shape, point)
            converge(org, shape, PAUSES[0])
            assert org.api.ever_made == calm.api.ever_made, f"{shape.name}: killed at moment {point}"


class Ahead:
    """This machine's clock, which differs from the servers'."""

    def __init__(self, clock: Clock, by: timedelta) -> None:
        """Be ahead of `clock`."""
        self._clock = clock
        self._by = by
        self.monotonic = clock.monotonic
        self.sleep = clock.sleep

    def now(self) -> datetime:
        """Return the time as this machine sees it."""
        return self._clock.now() + self._by


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("minutes", [(4, 4), (-4, -4), (4, -4), (-4, 4)])
@pytest.mark.parametrize("title", ["faithful", "keys forgotten at once"])
def test_clocks_that_differ_and_jump(
    shape: Shape, minutes: tuple[int, int], title: str, record_property: Record
) -> None:
    """A clock that is minutes off, or jumps between a run that dies and the next, changes nothing."""
    before, after = (timedelta(minutes=each) for each in minutes)
    moments = run(prepared(shape, BEHAVIORS[title]), shape, None)
    record_property("cases", moments)
    for point in range(moments):
        org = prepared(shape, BEHAVIORS[title])
        org.session = replace(org.session, clock=Ahead(org.clock, before))
        run(org, shape, point)
        org.session = replace(org.session, clock=Ahead(org.clock, after))
        try:
            converge(org, shape, PAUSES[0])
        except AssertionError as error:
            message = f"killed at moment {point} of {moments}: {error}"
            raise AssertionError(message) from error


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_an_api_that_cannot_delete(shape: Shape, record_property: Record) -> None:
    """Each endpoint that is to go is named until somebody has removed it; nothing else has to be done."""
    behavior = ApiBehavior(can_delete=False)
    moments = run(prepared(shape, behavior), shape, None)
    record_property("cases", moments)
    for point in range(moments):
        org = prepared(shape, behavior)
        run(org, shape, point)
        outcome = org.apply(*shape.after)
        for _ in range(4):
            named = {word for each in outcome.changes for word in (each.detail or "").split()}
            for endpoint_id in named & org.api.endpoints.keys():
                assert endpoint_id not in org.unmanaged, "an unmanaged endpoint is to go"
                org.api.console_delete(endpoint_id)
            org.clock.advance(hours=30)
            outcome = org.apply(*shape.after)
        assert outcome.complete, f"killed at moment {point}: {outcome}"
        converge(org, shape, PAUSES[0])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("title", [*FAULTY])
def test_a_fault_at_every_request(shape: Shape, title: str, record_property: Record) -> None:
    """One request of either server that fails, before or after it was carried out, is made up for later.

    Unlike a crash, a fault lets the run go on: with the other changes, and with the sweep.
    """
    behavior, answer = FAULTY[title]
    moments = run(prepared(shape, behavior), shape, None)
    record_property("cases", moments)
    for point in range(moments):
        org = prepared(shape, behavior)
        faults = Faults(org, point, answer)
        with contextlib.suppress(ReconcilerError):
            org.apply(*shape.after)
        faults.end()
        try:
            converge(org, shape, PAUSES[0])
        except AssertionError as error:
            message = f"a fault at moment {point} of {moments}: {error}"
            raise AssertionError(message) from error


@pytest.mark.parametrize("title", ["faithful", "replay hides the secret", "keys forgotten at once"])
def test_an_operator_between_the_runs(title: str, record_property: Record) -> None:
    """What somebody makes in the console long after a run died is never taken for that run's leftover."""
    shape = next(shape for shape in SHAPES if shape.name == "create")
    moments = run(prepared(shape, BEHAVIORS[title]), shape, None)
    record_property("cases", moments)
    for point in range(moments):
        org = prepared(shape, BEHAVIORS[title])
        run(org, shape, point)
        org.clock.advance(days=2)
        made_by_hand = org.api.console_create(A.url, A.events)
        for _ in range(3):
            org.apply(*shape.after)
            org.clock.advance(minutes=10)
        assert made_by_hand.id in org.api.endpoints, f"deleted: the run died at moment {point}"


def test_one_webhooks_leftover_may_be_anothers_intent() -> None:
    """While an intent is open nothing is swept: one's leftover may look like the other's endpoint."""
    org = Org()
    org.api.after = lambda request, _answer: Unanswered("no answer") if request == "create" else None
    org.apply(A)
    Bomb(org, None)
    org.apply(A)
    moved, taker = replace(A, url="https://hooks.example.com/moved"), replace(A, name="taker")
    org.apply(moved)
    org.api.after = lambda request, _answer: Unanswered("no answer") if request == "create" else None
    org.apply(moved, taker)
    Bomb(org, None)
    assert [e.url for e in org.api.endpoints.values()].count(A.url) == 1, (
        "swept in the middle of its creation"
    )
    org.apply(moved, taker)
    org.clock.advance(days=2)
    org.apply(moved, taker)
    org.check([moved, taker])


class Faults:
    """Lets one moment of a run fail: the n-th before or after a request of either server."""

    def __init__(self, org: Org, point: int, answer: Unanswered) -> None:
        """Install the hooks; `answer` is what the run gets from the API instead."""
        self._org = org
        self._left = point
        self._answer = answer
        org.store.before = lambda _operation, _name: self._store()
        watch = org.store.after

        def after(operation: str, name: str) -> None:
            watch(operation, name)
            self._store()

        org.store.after = after
        org.api.before = self._api
        org.api.after = lambda request, _answer: self._api(request)

    def _store(self) -> None:
        if self._strikes():
            raise StoreUnavailable("Vault answered HTTP 503")

    def _api(self, request: str) -> Unanswered | None:
        if not self._strikes():
            return None
        if request == "list":
            raise ApiError("the listing broke off")
        return self._answer

    def _strikes(self) -> bool:
        self._left -= 1
        return self._left == -1

    def end(self) -> None:
        """Remove the hooks."""
        Bomb(self._org, None)
