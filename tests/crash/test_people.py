"""People, and an API with its own habits: nobody else's endpoint is touched, nothing is replaced in a loop.

Each case is one run that goes wrong in some way, a person who acts at some moment, and runs afterwards. The
oracle (`people.Watch`) judges every request.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.ports import Refused, Unanswered
from tests.crash.people import CLOSE, KILLED, Crash, Watch, begin, converge, go, run_until_calm
from tests.fakes.api import ApiBehavior, NotCarriedOut
from tests.fakes.world import webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.model import Webhook

    Record = Callable[[str, object], None]

A, B = webhook("a", url="https://hooks.example.com/a?x=1&y=2"), webhook("b")
A2 = replace(A, events=("run.started",))
MARGIN = timedelta(seconds=1)


@dataclass(frozen=True)
class Trouble:
    """What happens to each creation of the first run."""

    title: str
    answer: object = None
    """What the run gets instead of the answer; None: it is killed."""
    is_late: bool = False
    """Whether the request was carried out first."""
    apart: timedelta = timedelta(seconds=1)
    """From then on a person may act: before, nobody could say whose work it is."""

    def befall(self, watch: Watch) -> None:
        """Let it happen from now on."""
        if self.is_late:
            watch.lose = self._happen
        else:
            watch.strike = self._happen

    def _happen(self, request: str) -> object:
        if request != "create":
            return None
        if self.answer is None:
            raise Crash
        return self.answer


CERTAIN = (
    Trouble("only 429", NotCarriedOut("HTTP 429 rate_limit_exceeded")),
    Trouble("no connection", NotCarriedOut("no connection")),
    Trouble("401", Refused(401, "unauthorized", "the key expired")),
    Trouble("403", Refused(403, "forbidden", "the key lacks a permission")),
    Trouble("422", Refused(422, "invalid", "the receiver is not reachable")),
)
"""What certainly was not carried out."""
UNCERTAIN = (
    Trouble("500, nothing done", Unanswered("HTTP 500", stored_error=True), apart=CLOSE),
    Trouble("500, done", Unanswered("HTTP 500", stored_error=True), is_late=True, apart=CLOSE),
    Trouble("no answer, nothing done", Unanswered("no response"), apart=CLOSE),
    Trouble("no answer, done", Unanswered("no response"), is_late=True, apart=CLOSE),
    Trouble("killed, nothing done", apart=KILLED),
    Trouble("killed, done", is_late=True, apart=KILLED),
)
"""What may have been carried out."""
BEHAVIORS = {
    "faithful": ApiBehavior(),
    "keys forgotten at once": ApiBehavior(key_lifetime=0),
    "replay hides the secret": ApiBehavior(honours_client_secret=False, replay_shows_secret=False),
    "one endpoint a URL": ApiBehavior(unique_urls=True),
    "500s are replayed": ApiBehavior(stores_server_errors=True),
    "created is not shown": ApiBehavior(shows_created=False),
    "created is not shown, keys forgotten at once": ApiBehavior(shows_created=False, key_lifetime=0),
}
LATER = (timedelta(0), timedelta(hours=10), timedelta(hours=30))
"""How much later a person acts."""


def situations(troubles: tuple[Trouble, ...]) -> Iterator[object]:
    """Yield each trouble with each behaviour."""
    for trouble, (title, behavior) in itertools.product(troubles, BEHAVIORS.items()):
        yield pytest.param(trouble, behavior, id=f"{trouble.title}, {title}")


@pytest.mark.parametrize(("trouble", "behavior"), list(situations(CERTAIN + UNCERTAIN)))
@pytest.mark.parametrize("before", [(), (A2,)], ids=["create", "replace"])
def test_a_person_makes_the_same_after_a_run_that_failed(
    trouble: Trouble, behavior: ApiBehavior, before: tuple[Webhook, ...], record_property: Record
) -> None:
    """What a person makes after a creation that failed is the person's, whatever became of the creation."""
    record_property("cases", len(LATER))
    for later in LATER:
        watch, wanted = fail(trouble, behavior, before)
        watch.org.clock.advance(seconds=(trouble.apart + later + MARGIN).total_seconds())
        make_the_same(watch)
        # The next run may send the request again, and again nobody could tell.
        run_until_calm(watch, wanted, soon=trouble.apart)
        converge(watch, wanted)


def fail(trouble: Trouble, behavior: ApiBehavior, before: tuple[Webhook, ...]) -> tuple[Watch, Webhook]:
    """Let a run towards `A` fail; return its world, and what it wants."""
    watch = begin(behavior, *before)
    wanted = replace(A, allow_event_gap=behavior.unique_urls)
    trouble.befall(watch)
    go(watch.org, wanted)
    watch.calm()
    return watch, wanted


def make_the_same(watch: Watch) -> None:
    """Let a person make what looks like `A`, if the API takes it."""
    api = watch.org.api
    if not api.behavior.unique_urls or not api.at_url(A.normalized_url):
        watch.make(A.url, A.events)


@pytest.mark.parametrize(("trouble", "behavior"), list(situations((*CERTAIN[:2], *UNCERTAIN))))
def test_a_person_makes_the_same_at_any_moment(
    trouble: Trouble, behavior: ApiBehavior, record_property: Record
) -> None:
    """The same in the middle of the run that goes on with what failed, at every moment of it."""
    apart = KILLED + MARGIN
    moment, done = 0, 0
    while True:
        watch, wanted = fail(trouble, behavior, ())
        watch.org.clock.advance(minutes=1)
        first = watch.moments + moment

        def act(now: int, watch: Watch = watch, first: int = first) -> None:
            if now == first:
                watch.org.clock.advance(seconds=apart.total_seconds())
                make_the_same(watch)
                watch.org.clock.advance(seconds=apart.total_seconds())

        watch.visit = act
        go(watch.org, wanted)
        if watch.moments <= first:
            break
        run_until_calm(watch, wanted)
        converge(watch, wanted)
        moment, done = moment + 1, done + 1
    record_property("cases", done)
    assert done > 5


@pytest.mark.parametrize(("trouble", "behavior"), list(situations((*CERTAIN[:1], *UNCERTAIN))))
def test_a_person_edits_another_endpoint_into_the_same(
    trouble: Trouble, behavior: ApiBehavior, record_property: Record
) -> None:
    """An endpoint that is older than the request is not its work, though it is edited while that is sent."""
    record_property("cases", 1)
    watch = begin(behavior)
    other = watch.make("https://hooks.example.com/other", A.events)
    watch.org.clock.advance(minutes=20)
    trouble.befall(watch)
    go(watch.org, A)
    watch.calm()
    if not behavior.unique_urls or not watch.org.api.at_url(A.normalized_url):
        watch.org.api.console_change(other, url=A.url)
    run_until_calm(watch, A)
    converge(watch, A)
