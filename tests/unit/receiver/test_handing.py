"""Handing events on: order, back-off, dead letters, and databases that do not answer for a while."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import OperationalError

from reconciler.receiver.handing import Handing, HandlingFailed, retry_delay
from reconciler.receiver.inbox.consumer import Consumer
from reconciler.receiver.inbox.entry import State
from reconciler.receiver.inbox.inbox import Inbox
from tests.fixtures.inbox import an_event
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.receiver.event import Event
    from reconciler.receiver.inbox.consumer import Attempt


class World:
    """An inbox, a handler that a test directs, and a clock that stands."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.now = 1000.0
        self.refuse: Callable[[Event], Exception | None] = lambda _event: None
        self.handled: list[str] = []
        self.results: list[tuple[str, int, str | None, bool]] = []
        self.problems: list[str] = []
        self.ended = threading.Semaphore(0)
        self.failed = threading.Semaphore(0)

    def handle(self, event: Event) -> None:
        """Handle an event as the test wants."""
        self.handled.append(event.id)
        error = self.refuse(event)
        if error is not None:
            raise error

    def handed_on(self, attempt: Attempt, _seconds: float, problem: str | None, *, dead: bool) -> None:
        """Note a result."""
        self.results.append((attempt.event.id, attempt.number, problem, dead))
        self.ended.release()

    def inbox_failed(self, problem: str) -> None:
        """Note a problem."""
        self.problems.append(problem)
        self.failed.release()

    def handing(self, *, workers: int = 1, attempts: int = 10) -> Handing:
        """Return what hands the events of `ci` on."""
        return Handing(
            self.inbox,
            ["ci"],
            self.handle,
            self,
            workers=workers,
            attempts=attempts,
            pause=0.01,
            now=lambda: self.now,
        )


class AwayOnce(Consumer):
    """A consumer whose database is away when the first result is recorded."""

    away = True

    def succeed(self, attempt: Attempt, now: float) -> None:
        """Fail, then succeed."""
        if self.away:
            self.away = False
            raise OperationalError("UPDATE", {}, Exception("down"))
        super().succeed(attempt, now)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give an inbox with three events."""
    with Inbox(f"sqlite:///{tmp_path}/inbox.db") as inbox:
        inbox.store([an_event("a"), an_event("b"), an_event("c")])
        yield World(inbox)


def test_events_are_handed_on_in_order_with_back_off(world: World) -> None:
    """The first event is tried again after 1 s and 4 s; meanwhile nothing overtakes it."""
    handing, consumer = world.handing(), world.inbox.consumer("ci")
    world.refuse = lambda _event: HandlingFailed("the URL answered 500")
    assert handing.step(consumer) == 0.0
    assert handing.step(consumer) == 1.0
    world.now += 1.0
    assert handing.step(consumer) == 0.0
    assert handing.step(consumer) == 4.0
    world.now += 4.0
    world.refuse = lambda _event: None
    assert [handing.step(consumer) for _ in range(4)] == [0.0, 0.0, 0.0, float("inf")]
    assert world.handled == ["a", "a", "a", "b", "c"]
    assert world.results[1:3] == [("a", 2, "the URL answered 500", False), ("a", 3, None, False)]
    consumer.release()


def test_the_last_attempt_makes_a_dead_letter(world: World) -> None:
    """After the last attempt the event is set aside, and the next one is handed on."""
    handing, consumer = world.handing(attempts=2), world.inbox.consumer("ci")
    world.refuse = lambda event: HandlingFailed("no") if event.id == "a" else None
    for _ in range(2):
        handing.step(consumer)
        world.now += 1.0
    handing.step(consumer)
    assert world.results == [("a", 1, "no", False), ("a", 2, "no", True), ("b", 1, None, False)]
    (dead,) = world.inbox.find(states=[State.DEAD])
    assert (dead.event_id, dead.attempts, dead.problem) == ("a", 2, "no")
    consumer.release()


def test_back_off_grows_to_an_hour() -> None:
    """Ten attempts take hours: a night's outage of the handler makes few dead letters."""
    delays = [retry_delay(attempt) for attempt in range(1, 10)]
    assert delays == [1, 4, 16, 64, 256, 1024, 3600, 3600, 3600]


def test_an_error_of_a_handler_is_named_and_not_quoted(world: World) -> None:
    """A handler's exception may quote the event, so only its type and place are kept."""
    handing, consumer = world.handing(), world.inbox.consumer("ci")
    world.refuse = lambda _event: ValueError("whsec_quoted")
    handing.step(consumer)
    ((_, _, problem, _),) = world.results
    assert problem is not None
    assert problem.startswith("the handler raised ValueError at ")
    assert "whsec" not in problem
    consumer.release()


def test_another_process_has_the_right(world: World) -> None:
    """While another process hands on, this one waits and looks again."""
    other = world.inbox.consumer("ci")
    other.acquire()
    assert world.handing().step(world.inbox.consumer("ci")) == 1.0
    assert world.handled == []
    other.release()


def test_several_workers_hand_on_at_a_time(world: World) -> None:
    """With three workers, three events are in progress together, each handled once."""
    together = threading.Barrier(3)

    def meet(_event: Event) -> None:
        together.wait(PATIENCE)

    world.refuse = meet
    handing = world.handing(workers=3)
    handing.start()
    assert all(world.ended.acquire(timeout=PATIENCE) for _ in range(3))
    assert handing.stop(10.0)
    assert sorted(world.handled) == ["a", "b", "c"]


def test_a_new_event_is_handed_on_immediately(world: World) -> None:
    """A thread that waits is woken by a new event."""
    handing = world.handing()
    handing.start()
    assert all(world.ended.acquire(timeout=PATIENCE) for _ in range(3))
    world.inbox.store([an_event("d")])
    handing.notify("ci")
    assert world.ended.acquire(timeout=PATIENCE)
    assert handing.stop(10.0)
    assert world.handled == ["a", "b", "c", "d"]


def test_a_stop_waits_for_the_handler(world: World) -> None:
    """The event in progress is finished, the others stay for the next process."""
    began, go_on = threading.Event(), threading.Event()

    def wait(_event: Event) -> None:
        began.set()
        go_on.wait(PATIENCE)

    world.refuse = wait
    handing = world.handing()
    handing.start()
    began.wait(PATIENCE)
    assert not handing.stop(0.0)
    go_on.set()
    assert handing.stop(10.0)
    assert [(each.event_id, each.state) for each in world.inbox.find()] == [
        ("a", State.DELIVERED),
        ("b", State.PENDING),
        ("c", State.PENDING),
    ]


def test_a_result_is_recorded_when_the_inbox_answers_again(world: World) -> None:
    """An event that was accepted while the database was away is not handed on again."""
    consumer = world.inbox.consumer("ci", AwayOnce)
    world.handing().step(consumer)
    assert world.results == [("a", 1, None, False)]
    assert world.problems == [f"the inbox {world.inbox.place} cannot be used: OperationalError"]
    consumer.release()


def test_an_inbox_that_fails_is_tried_again(tmp_path: Path, world: World) -> None:
    """A thread outlives trouble with the database or its lock, and reports it."""
    lock = tmp_path / "inbox.db.ci.lock"
    lock.mkdir()
    handing = world.handing()
    handing.start()
    assert world.failed.acquire(timeout=PATIENCE)
    lock.rmdir()
    assert all(world.ended.acquire(timeout=PATIENCE) for _ in range(3))
    assert handing.stop(10.0)
    assert world.problems[0].endswith("IsADirectoryError")
