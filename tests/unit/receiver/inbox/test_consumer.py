"""Handing events out: one consumer a webhook, in order, and marks that survive the loss of the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.receiver.inbox.consumer import Attempt, Consumer
from reconciler.receiver.inbox.entry import State
from reconciler.receiver.inbox.inbox import Inbox
from tests.fixtures.inbox import an_event

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def consumer(inbox: Inbox) -> Iterator[Consumer]:
    """Give the consumer of `ci`, with three events to hand out."""
    inbox.store([an_event("a"), an_event("b"), an_event("c"), an_event("x", webhook="other")])
    consumer = inbox.consumer("ci")
    assert consumer.acquire()
    yield consumer
    consumer.release()


def take(consumer: Consumer, now: float = 0.0, *, ordered: bool = True) -> Attempt:
    """Return the next attempt, which must be due."""
    attempt = consumer.take(now, ordered=ordered)
    assert isinstance(attempt, Attempt)
    return attempt


def test_only_one_consumer_has_a_webhook(inbox: Inbox, inbox_url: str, consumer: Consumer) -> None:
    """Another process waits for the same webhook, not for another one, and takes over afterwards."""
    with Inbox(inbox_url) as other:
        second = other.consumer("ci")
        assert not second.acquire()
        assert not second.is_held
        third = other.consumer("other")
        assert third.acquire()
        consumer.release()
        assert second.acquire()
        second.release()
        third.release()


def test_events_are_handed_out_in_order(consumer: Consumer) -> None:
    """The oldest comes first; each is handed out once, and then there is nothing to wait for."""
    for event_id in "abc":
        attempt = take(consumer)
        assert (attempt.event.id, attempt.number) == (event_id, 1)
        consumer.succeed(attempt, 1.0)
    assert consumer.take(0.0, ordered=True) == float("inf")


def test_a_failed_event_holds_up_the_others_in_order(consumer: Consumer) -> None:
    """In order, nothing overtakes an event that waits for its next attempt."""
    consumer.fail(take(consumer), "the URL answered 500", 60.0)
    assert consumer.take(59.0, ordered=True) == 1.0
    attempt = take(consumer, 60.0)
    assert (attempt.event.id, attempt.number) == ("a", 2)


def test_a_failed_event_is_overtaken_without_order(consumer: Consumer) -> None:
    """Without order, the others go on, and the time of the next attempt is known."""
    consumer.fail(take(consumer, ordered=False), "the URL answered 500", 60.0)
    assert [take(consumer, ordered=False).event.id for _ in range(2)] == ["b", "c"]
    assert consumer.take(10.0, ordered=False) == 50.0


def test_events_in_progress_are_not_handed_out_twice(inbox: Inbox, consumer: Consumer) -> None:
    """Several workers of one consumer get different events, also those that arrive meanwhile."""
    first = [take(consumer, ordered=False) for _ in range(3)]
    inbox.store([an_event("d")])
    fourth = take(consumer, ordered=False)
    assert [each.event.id for each in (*first, fourth)] == ["a", "b", "c", "d"]
    assert consumer.take(0.0, ordered=False) == float("inf")


def test_attempts_count_from_their_beginning(inbox: Inbox, inbox_url: str, consumer: Consumer) -> None:
    """An attempt whose process died is counted, so an event that kills its handler does not live for ever."""
    take(consumer)
    consumer.release()
    with Inbox(inbox_url) as other:
        again = other.consumer("ci")
        assert again.acquire()
        assert take(again).number == 2
        again.release()


def test_a_purged_or_ended_event_is_not_handed_out(inbox: Inbox, consumer: Consumer) -> None:
    """What was found before, and is dead by now, is skipped."""
    first = take(consumer, ordered=False)
    consumer.give_up(first, "x" * 600, 5.0)
    (entry,) = inbox.find(states=[State.DEAD])
    assert entry.problem == "x" * 500
    assert inbox.purge(State.DEAD, before=6.0) == 1
    assert [take(consumer, ordered=False).event.id for _ in range(2)] == ["b", "c"]


def test_it_must_be_acquired_first(inbox: Inbox) -> None:
    """Without the right, nothing is handed out."""
    with pytest.raises(RuntimeError, match="acquire"):
        inbox.consumer("ci").take(0.0, ordered=True)
