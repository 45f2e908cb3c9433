"""The real client in a world with people: what is written on the wire decides whose an endpoint is.

Virtual time, the fake store, and `tests.fakes.vendor` behind the client of `reconciler.zof`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

import httpx
import pytest
from msgspec.structs import replace

from reconciler.errors import ReconcilerError
from tests.crash.people import CLOSE, Watch, converge, go, run_until_calm
from tests.fakes.api import ApiBehavior
from tests.fakes.vendor import CreatedAs, Habits, Vendor, refusal
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.plan.outcome import Outcome

    Record = Callable[[str, object], None]

A = webhook("a", url="https://hooks.example.com/a?x=1&y=2")
LATER = (timedelta(0), timedelta(hours=10), timedelta(hours=30))
CREATED_AS = get_args(CreatedAs)


class World(Watch):
    """A watched organization whose run talks to the vendor over HTTP."""

    def __init__(self, habits: Habits | None = None, behavior: ApiBehavior | None = None) -> None:
        """Begin with one endpoint that nobody manages."""
        org = Org(behavior)
        super().__init__(org)
        self.vendor = Vendor(org.api, habits)
        org.session = replace(org.session, api=self.vendor.client(org.reporter))
        org.unmanaged.add(self.make("https://unmanaged.example.com/", ("run.failed",)))
        org.clock.advance(hours=1)

    def calm(self) -> None:
        """From now on nobody acts, and nothing fails."""
        super().calm()
        calm = Vendor(self.org.api)
        self.vendor.strike, self.vendor.lose = calm.strike, calm.lose


@dataclass(frozen=True)
class Phase:
    """What each creation meets for a while."""

    title: str
    happen: Callable[[httpx.Request], httpx.Response]
    """Answers or raises."""
    is_late: bool = False
    """Whether the request is carried out first."""
    apart: timedelta = timedelta(seconds=1)
    """From then on an endpoint of a person can be told apart."""

    def befall(self, vendor: Vendor) -> None:
        """Let it happen from now on."""

        def happen(request: httpx.Request) -> httpx.Response | None:
            is_creation = request.method == "POST" and request.url.path.endswith("/webhooks")
            return self.happen(request) if is_creation else None

        if self.is_late:
            vendor.lose = happen
        else:
            vendor.strike = happen


def _raising(kind: type[httpx.TransportError]) -> Callable[[httpx.Request], httpx.Response]:
    def happen(request: httpx.Request) -> httpx.Response:
        raise kind("the test says so", request=request)

    return happen


def _answering(status: int, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: refusal(status, **headers)


def _page(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, html="<!doctype html><title>Sign in</title>")


CERTAIN = (
    Phase("429", _answering(429)),
    Phase("429 for an hour", _answering(429, Retry_After="3600")),
    Phase("no connection", _raising(httpx.ConnectError)),
    Phase("no connection in time", _raising(httpx.ConnectTimeout)),
    Phase("a proxy that refuses", _raising(httpx.ProxyError)),
    Phase("401", _answering(401)),
    Phase("403", _answering(403)),
    Phase("422", _answering(422)),
)
UNCERTAIN = tuple(
    Phase(f"{title}, {'done' if is_late else 'nothing done'}", happen, is_late=is_late, apart=CLOSE)
    for title, happen in (
        ("500", _answering(500)),
        ("503", _answering(503)),
        ("no answer", _raising(httpx.ReadTimeout)),
        ("a closed connection", _raising(httpx.RemoteProtocolError)),
        ("a web page", _page),
    )
    for is_late in (False, True)
)


@pytest.mark.parametrize("phase", [*CERTAIN, *UNCERTAIN], ids=lambda phase: phase.title)
@pytest.mark.parametrize("created_as", CREATED_AS)
def test_a_person_makes_the_same_after_a_phase(
    phase: Phase, created_as: CreatedAs, record_property: Record
) -> None:
    """What a person makes after a phase in which creations failed is the person's, however it is dated."""
    record_property("cases", len(LATER))
    for later in LATER:
        world = World(Habits(created_as=created_as))
        phase.befall(world.vendor)
        go(world.org, A)
        world.calm()
        world.org.clock.advance(seconds=(phase.apart + later).total_seconds() + 1)
        world.make(A.url, A.events)
        run_until_calm(world, A, soon=phase.apart)
        converge(world, A)


@pytest.mark.parametrize("phase", UNCERTAIN[1::2], ids=lambda phase: phase.title)
def test_a_phase_in_which_requests_were_carried_out_leaves_one_endpoint(
    phase: Phase, record_property: Record
) -> None:
    """Where creations were carried out and nobody else was there, no run leaves a duplicate."""
    record_property("cases", 1)
    world = World(behavior=ApiBehavior(key_lifetime=0))
    phase.befall(world.vendor)
    go(world.org, A)
    world.calm()
    for _ in range(4):
        world.org.clock.advance(minutes=6)
        world.org.apply(A)
    assert len(world.org.api.at_url(A.normalized_url)) == 1
    world.check()


# --- answers that are not about this request --------------------------------------------------------------


def test_a_long_pause_is_said() -> None:
    """A 429 that asks for an hour says until when to wait, not to check the network."""
    world = World()
    Phase("", _answering(429, Retry_After="3600")).befall(world.vendor)
    words = _words(world)
    assert "check the network" not in words
    assert "14:00" in words or "1 h" in words or "60 min" in words or "3600" in words, words


def test_a_secondary_limit_is_not_a_missing_permission() -> None:
    """A 403 that is about the rate of requests does not send anybody to look at permissions."""
    world = World()
    limited = _json(403, "rate_limited", "You have exceeded a secondary rate limit")
    Phase("", lambda _request: limited()).befall(world.vendor)
    words = _words(world)
    assert "rate limit" in words
    assert "permission" not in words
    assert "check the API key" not in words


def _json(status: int, code: str, message: str) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(status, json={"error": {"code": code, "message": message}})


def _words(world: World) -> str:
    """Return everything that a run says about `A`."""
    try:
        outcome = world.org.apply(A)
    except ReconcilerError as error:
        return f"{error.message} {error.hint} {world.org.reporter.warnings}"
    return f"{[(each.detail, each.hint) for each in outcome.changes]} {world.org.reporter.warnings}"


def _run(world: World) -> tuple[Outcome | None, ReconcilerError | None]:
    """Return the outcome of a run, or why it gave up."""
    try:
        return world.org.apply(A), None
    except ReconcilerError as error:
        return None, error


# --- odd entries ------------------------------------------------------------------------------------------

ODD: dict[str, Any] = {
    "events null": {"id": "we_odd", "url": "https://odd.example.com/", "events": None},
    "an integer id and no events": {"id": 4711, "url": "https://odd.example.com/"},
    "no url": {"id": "we_odd", "events": ["run.failed"]},
}


@pytest.mark.parametrize("title", ODD)
def test_an_odd_entry_that_cannot_be_ours_is_skipped(title: str) -> None:
    """One odd entry does not stop the others; a warning names it."""
    world = World(Habits(odd_entries=(ODD[title],)))
    outcome, refused = _run(world)
    assert outcome is not None, f"the run gave up: {refused}"
    assert outcome.complete
    assert any("we_odd" in warning or "4711" in warning for warning in world.org.reporter.warnings)
    assert not world.org.plan(A).plan.changes
    world.check()


def test_an_integer_id_is_an_id() -> None:
    """Such an endpoint is listed as unmanaged like any other, and never touched."""
    world = World(
        Habits(odd_entries=({"id": 4711, "url": "https://odd.example.com/", "events": ["run.failed"]},))
    )
    assert world.org.apply(A).complete
    assert "4711" in [endpoint.id for endpoint in world.org.plan(A).plan.unmanaged]
    world.check()


def test_an_odd_entry_with_our_id_is_not_skipped() -> None:
    """An entry that may be our own endpoint stops the run: it must not count as gone."""
    world = World()
    world.org.apply(A)
    ours = world.current("a")
    world.vendor.habits = Habits(odd_entries=({"id": ours, "url": A.url, "events": None},))
    del world.org.api.endpoints[ours]
    outcome, _ = _run(world)
    assert outcome is None, "an endpoint that may be ours counts as gone"


# --- secrets ----------------------------------------------------------------------------------------------


def test_a_secret_with_a_line_break_is_stored_as_it_was_returned() -> None:
    """What verifies deliveries is stored, to the last character."""
    world = World(Habits(after_secret="\n"), ApiBehavior(honours_client_secret=False))
    words = _words(world)
    stored = world.org.store.fields("a").get("signing_secret")
    assert stored == world.org.api.secrets[world.current("a")], words
