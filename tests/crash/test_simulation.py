"""Kill the run before and after every single request, and see the next runs converge.

The real step function and the real runner in a simulated world with virtual time. After each crash
at most two further runs must reach "no changes", and a third must write nothing.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ReconcilerError
from tests.fakes.api import ApiBehavior
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model import Webhook


class Crash(BaseException):
    """The process is killed here."""


@dataclass(frozen=True)
class Shape:
    """What is there before, and what is asked for."""

    name: str
    before: tuple[Webhook, ...]
    after: tuple[Webhook, ...]
    twin: Webhook | None = None
    """Somebody makes an endpoint just like this one in the console, right before the run."""

    @property
    def replaces(self) -> bool:
        """Whether some endpoint is followed by another at the same URL."""
        return any(old.url == new.url and old != new for old in self.before for new in self.after)


A, B = webhook("a"), webhook("b")
A2 = replace(A, events=("run.started",))
SHAPES = (
    Shape("create", (B,), (A, B)),
    Shape("replace", (A,), (A2,)),
    Shape("move", (A,), (replace(A, url="https://hooks.example.com/moved"),)),
    Shape("delete", (A, B), (B,)),
    Shape("mixed", (A, B), (A2, webhook("c"))),
    Shape("stranger", (A,), (A2,), twin=A2),
    Shape("gap", (A,), (replace(A2, allow_event_gap=True),)),
)
BEHAVIORS = {
    "faithful": ApiBehavior(),
    "server makes the secret": ApiBehavior(honours_client_secret=False),
    "replay hides the secret": ApiBehavior(honours_client_secret=False, replay_shows_secret=False),
    "keys forgotten at once": ApiBehavior(key_lifetime=0),
    "one endpoint a URL": ApiBehavior(unique_urls=True),
    "one endpoint a URL, keys forgotten at once": ApiBehavior(unique_urls=True, key_lifetime=0),
}
# How long the next run lets wait: a retry at once, after the sweep's patience, after the replay window.
PAUSES = (timedelta(seconds=1), timedelta(minutes=6), timedelta(hours=30))


class Bomb:
    """Raises at one point of a run: the n-th moment before or after a request of either server."""

    def __init__(self, org: Org, point: int | None) -> None:
        """Lay it; without a `point` it only counts."""
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
    org = Org(behavior)
    Bomb(org, None)
    org.unmanaged.add(org.api.console_create("https://unmanaged.example.com/", ["run.failed"]).id)
    if shape.before:
        org.apply(*shape.before)
    org.clock.advance(hours=1)
    if shape.twin is not None:
        org.unmanaged.add(org.api.console_create(shape.twin.url, shape.twin.events).id)
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
    return not (behavior.unique_urls and shape.name in {"replace", "mixed", "stranger"})


def cases() -> Iterator[object]:
    """Yield every shape with every behaviour and pause."""
    for shape, (title, behavior), pause in itertools.product(SHAPES, BEHAVIORS.items(), PAUSES):
        if applicable(shape, behavior):
            yield pytest.param(shape, behavior, pause, id=f"{shape.name}, {title}, {pause}")


def converge(org: Org, shape: Shape, pause: timedelta) -> None:
    """Let two further runs happen, then ask the oracle."""
    for _ in range(2):
        org.clock.advance(seconds=pause.total_seconds())
        org.apply(*shape.after)
    org.clock.advance(seconds=pause.total_seconds())
    settle(org, shape)
    org.check(shape.after, unmanaged=org.unmanaged)
    if org.api.behavior.key_lifetime and shape.twin is None:
        # The sweep would heal it later, and until then every event would come twice.
        assert org.api.most_at_one_url <= (2 if shape.replaces else 1), "an orphan was left live"
    gap = any(wanted.allow_event_gap for wanted in shape.after)
    for deletion in org.api.deletions:
        # What no ledger ever recorded was never anybody's endpoint: an orphan of a forgotten key, say.
        replaced = deletion.endpoint.id in org.recorded
        wanted = any(deletion.endpoint.url == webhook.url for webhook in shape.after)
        assert gap or not replaced or not wanted or deletion.also_at_url, "events had no endpoint"


def settle(org: Org, shape: Shape) -> None:
    """Let what is only waiting for its time come to its end: it must need no more than two runs."""
    for _ in range(2):
        org.clock.advance(hours=30)
        org.apply(*shape.after)


@pytest.mark.parametrize(("shape", "behavior", "pause"), list(cases()))
def test_every_crash_point(shape: Shape, behavior: ApiBehavior, pause: timedelta) -> None:
    """Whatever moment a run dies at, the next runs converge and nothing is lost, orphaned or doubled."""
    moments = run(prepared(shape, behavior), shape, None)
    assert moments > 5
    for point in range(moments):
        org = prepared(shape, behavior)
        run(org, shape, point)
        try:
            converge(org, shape, pause)
        except AssertionError as error:
            message = f"killed at moment {point} of {moments}: {error}"
            raise AssertionError(message) from error


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_double_crashes(shape: Shape) -> None:
    """A run that dies while it picks up after another dead run loses nothing either."""
    behavior = ApiBehavior(honours_client_secret=False)
    moments = run(prepared(shape, behavior), shape, None)
    for first, second in itertools.product(range(0, moments, 2), range(0, moments + 6, 3)):
        org = prepared(shape, behavior)
        run(org, shape, first)
        org.clock.advance(minutes=1)
        run(org, shape, second)
        converge(org, shape, PAUSES[0])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("title", ["faithful", "server makes the secret", "keys forgotten at once"])
def test_a_rival_at_every_moment(shape: Shape, title: str) -> None:
    """Another run that does the whole work in the middle of ours leaves no duplicate and no lost secret."""
    behavior = BEHAVIORS[title]
    calm = prepared(shape, behavior)
    moments = run(calm, shape, None)
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
        if behavior.key_lifetime:
            assert org.api.ever_made == calm.api.ever_made, f"made twice: the rival came at moment {point}"


def test_a_faithful_api_is_never_asked_twice() -> None:
    """Where keys are remembered, no crash makes one endpoint more than a run without a crash."""
    for shape in SHAPES:
        calm = prepared(shape, ApiBehavior())
        moments = run(calm, shape, None)
        for point in range(moments):
            org = prepared(shape, ApiBehavior())
            run(org, shape, point)
            converge(org, shape, PAUSES[0])
            assert org.api.ever_made == calm.api.ever_made, f"{shape.name}: killed at moment {point}"
