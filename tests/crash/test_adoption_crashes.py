"""Kill an adoption before and after every request: it has not happened, or the next runs finish it.

The real use case in the simulated world of `test_simulation.py`, and the same oracle. It watches besides that
nothing that was made by hand is deleted before a ledger has it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.errors import GuardRefused, ReconcilerError
from reconciler.model import Secret
from reconciler.plan.protocol.state import Adoption
from reconciler.usecases.adopt import plan_adoption
from reconciler.usecases.apply import apply
from tests.crash.test_simulation import BEHAVIORS, FAULTY, PAUSES, Bomb, Crash, Faults
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.model import Endpoint, Webhook
    from reconciler.plan.outcome import Outcome
    from tests.fakes.api import ApiBehavior

    Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Mode:
    """How an endpoint is adopted."""

    name: str
    wanted: Webhook
    is_known: bool
    """Whether its secret is handed in."""
    before: tuple[Webhook, ...] = ()
    """What the webhook was before somebody deleted its endpoint and made another by hand."""

    @property
    def makes_another(self) -> bool:
        """Whether a new endpoint replaces it."""
        return not self.is_known or self.wanted.created_after is not None


A, B = webhook("a"), webhook("b")
LATER = Org().clock.now() + timedelta(hours=3)
MODES = (
    Mode("secret", A, is_known=True),
    Mode("secret, no test", replace(A, test=False), is_known=True),
    Mode("secret, too old", replace(A, created_after=LATER), is_known=True),
    Mode("secret, in place of one that is gone", A, is_known=True, before=(A,)),
    Mode("rotate", A, is_known=False),
    Mode("rotate, no test", replace(A, test=False), is_known=False),
    Mode("rotate, overlap", replace(A, overlap=timedelta(hours=24)), is_known=False),
    Mode("rotate, in place of one that is gone", A, is_known=False, before=(A,)),
    Mode("rotate with a gap", replace(A, allow_event_gap=True), is_known=False),
)


class Scene:
    """An organization in which somebody has made an endpoint by hand, just as a manifest says it."""

    def __init__(self, mode: Mode, behavior: ApiBehavior) -> None:
        """Let it be made hours ago."""
        self.mode = mode
        self.org = org = Org(behavior)
        Bomb(org, None)
        org.unmanaged.add(org.api.console_create("https://unmanaged.example.com/", ["run.failed"]).id)
        org.apply(*mode.before, B)
        org.clock.advance(hours=1)
        if mode.before:
            org.api.console_delete(org.store.fields("a")["endpoint_id"])
        self.endpoint: Endpoint = org.api.console_create(A.url, A.events)
        org.clock.advance(hours=3)
        self.desired = (mode.wanted, B)
        secret = Secret(org.api.secrets[self.endpoint.id]) if mode.is_known else None
        self.adoption = Adoption("a", self.endpoint.id, secret)
        self.made = org.api.ever_made

    @property
    def is_taken_over(self) -> bool:
        """Whether the webhook's ledger has had the endpoint."""
        texts = self.org.store.texts("a") if "a" in self.org.store.names else []
        return any(self.endpoint.id in _ids(text) for text in texts)

    def watch(self) -> None:
        """See at each deletion that the endpoint is not lost to somebody who does not own it."""
        before = self.org.api.before

        def check(request: str) -> object:
            if request == "delete" and self.org.api.arguments == (self.endpoint.id,):
                assert self.is_taken_over, "deleted before the adoption was written"
                assert self.mode.makes_another, "an endpoint whose secret is known was deleted"
            return before(request)

        self.org.api.before = check

    def adopt(self, org: Org | None = None) -> Outcome:
        """Adopt, as the command does."""
        session = (org or self.org).wanting(self.desired)
        return apply(plan_adoption(session, self.adoption))

    def run(self, point: int | None) -> int:
        """Adopt, killed at `point`; return how many moments there were."""
        bomb = Bomb(self.org, point)
        self.watch()
        with contextlib.suppress(Crash, ReconcilerError):
            assert self.adopt().complete, "nothing was in its way"
        moments = bomb.moments
        Bomb(self.org, None)
        return moments

    def converge(self, pause: timedelta) -> None:
        """Let ordinary runs finish it, after another adoption where there was none; then ask the oracle."""
        self.watch()
        was_taken_over = self.is_taken_over
        self.org.clock.advance(seconds=pause.total_seconds())
        self.org.apply(*self.desired)
        if not was_taken_over:
            assert self.org.api.endpoints.get(self.endpoint.id) == self.endpoint, "touched while unmanaged"
            assert self.org.api.ever_made == self.made, "something was made beside an unmanaged endpoint"
            self.adopt()
        self.settle()

    def settle(self) -> None:
        """Let everything come to its end, and ask the oracle."""
        for _ in range(3):
            self.org.clock.advance(hours=30)
            self.org.apply(*self.desired)
        Bomb(self.org, None)
        self.org.check(self.desired, unmanaged=self.org.unmanaged)
        if not self.mode.makes_another:
            assert self.endpoint.id in self.org.api.endpoints
            assert self.org.api.ever_made == self.made
        for deletion in self.org.api.deletions:
            assert self.mode.wanted.allow_event_gap or deletion.also_at_url or self.mode.before, "a gap"


def _ids(text: str) -> set[str]:
    """Return the endpoints that a version's ledger names as its own."""
    if not text:
        return set()
    ledger = json.loads(json.loads(text)["ledger"])
    current = ledger["current"]
    return {p["endpoint_id"] for p in ledger["previous"]} | ({current["endpoint_id"]} if current else set())


def cases() -> Iterator[object]:
    """Yield every mode with every behaviour and pause."""
    for mode, (title, behavior), pause in itertools.product(MODES, BEHAVIORS.items(), PAUSES):
        # Where the API allows one endpoint a URL, nothing is replaced without a gap.
        if behavior.unique_urls and mode.makes_another and not mode.wanted.allow_event_gap:
            continue
        if pause.total_seconds() > behavior.listing_lag:
            yield pytest.param(mode, behavior, pause, id=f"{mode.name}, {title}, {pause}")


@pytest.mark.parametrize(("mode", "behavior", "pause"), list(cases()))
def test_every_crash_point(
    mode: Mode, behavior: ApiBehavior, pause: timedelta, record_property: Record
) -> None:
    """Whatever moment an adoption dies at, it has not happened or the next runs finish it."""
    moments = Scene(mode, behavior).run(None)
    assert moments > 5
    record_property("cases", moments)
    for point in range(moments):
        scene = Scene(mode, behavior)
        scene.run(point)
        try:
            scene.converge(pause)
        except AssertionError as error:
            message = f"killed at moment {point} of {moments}: {error}"
            raise AssertionError(message) from error


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("title", ["faithful", "replay hides the secret", "keys forgotten at once"])
def test_the_same_command_again(mode: Mode, title: str, record_property: Record) -> None:
    """Repeating the command after a crash finishes the adoption, or says to run apply, which does."""
    moments = Scene(mode, BEHAVIORS[title]).run(None)
    record_property("cases", moments)
    for point in range(moments):
        scene = Scene(mode, BEHAVIORS[title])
        scene.run(point)
        scene.watch()
        scene.org.clock.advance(minutes=1)
        refusal = _adopted_again(scene)
        try:
            if refusal is not None:
                assert scene.is_taken_over, refusal
                assert "reconciler apply" in (refusal.hint or "") or "already" in refusal.message, refusal
            scene.settle()
        except AssertionError as error:
            message = f"killed at moment {point} of {moments}: {error}"
            raise AssertionError(message) from error


def _adopted_again(scene: Scene) -> GuardRefused | None:
    """Adopt; return why that was refused."""
    try:
        scene.adopt()
    except GuardRefused as refused:
        return refused
    return None


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("title", [*FAULTY])
def test_a_fault_at_every_request(mode: Mode, title: str, record_property: Record) -> None:
    """One request of either server that fails, before or after it was carried out, is made up for later."""
    behavior, answer = FAULTY[title]
    moments = Scene(mode, behavior).run(None)
    record_property("cases", moments)
    for point in range(moments):
        scene = Scene(mode, behavior)
        faults = Faults(scene.org, point, answer)
        with contextlib.suppress(ReconcilerError):
            scene.adopt()
        faults.end()
        try:
            scene.converge(PAUSES[0])
        except AssertionError as error:
            message = f"a fault at moment {point} of {moments}: {error}"
            raise AssertionError(message) from error


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("rival", ["adopts", "adopts in the other way", "applies", "dies at once"])
@pytest.mark.parametrize("title", ["faithful", "replay hides the secret"])
def test_a_rival_at_every_moment(mode: Mode, rival: str, title: str, record_property: Record) -> None:
    """Another run at any moment of ours, without a lock, leaves one endpoint, one owner and its secret."""
    moments = Scene(mode, BEHAVIORS[title]).run(None)
    record_property("cases", moments)
    for point in range(moments):
        scene = Scene(mode, BEHAVIORS[title])
        count = 0

        def interfere(scene: Scene = scene, point: int = point) -> None:
            nonlocal count
            count += 1
            if count - 1 == point:
                _interfere(scene, rival)

        scene.org.store.before = scene.org.store.after = lambda *_: interfere()
        scene.org.api.before = lambda _request: interfere()
        scene.org.api.after = lambda _request, _answer: interfere()
        with contextlib.suppress(ReconcilerError):
            scene.adopt()
        Bomb(scene.org, None)
        try:
            if rival == "adopts in the other way":
                scene.org.apply(*scene.desired)
                scene.org.clock.advance(hours=30)
                scene.org.apply(*scene.desired)
                scene.org.check(scene.desired, unmanaged=scene.org.unmanaged)
            else:
                scene.converge(PAUSES[0])
        except AssertionError as error:
            message = f"the rival came at moment {point} of {moments}: {error}"
            raise AssertionError(message) from error


def _interfere(scene: Scene, how: str) -> None:
    """Let another run do something in the middle of ours."""
    other = scene.org.rival()
    with contextlib.suppress(ReconcilerError):
        match how:
            case "applies":
                other.apply(*scene.desired)
            case "adopts":
                scene.adopt(other)
            case "adopts in the other way":
                known = scene.adoption.secret is not None
                secret = None if known else Secret(scene.org.api.secrets[scene.endpoint.id])
                adoption = replace(scene.adoption, secret=secret)
                apply(plan_adoption(other.wanting(scene.desired), adoption))
            case _:
                # It writes the adoption and is gone.
                other.session = replace(other.session, api=_Mute(scene.org.api))
                with contextlib.suppress(Crash):
                    scene.adopt(other)


class _Mute:
    """An API that lists endpoints, and kills the run at any other request."""

    def __init__(self, api: object) -> None:
        """List what `api` lists."""
        self._api = api

    def __getattr__(self, name: str) -> object:
        if name in {"list_pages", "requests_sent"}:
            return getattr(self._api, name)
        raise Crash
