"""Hand stored events on to a handler: at least once, with back-off, in order unless several workers run."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from sqlalchemy.exc import SQLAlchemyError

from reconciler.receiver.inbox.inbox import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.receiver.event import Event
    from reconciler.receiver.inbox.consumer import Attempt, Consumer
    from reconciler.receiver.inbox.inbox import Inbox

    Handler = Callable[[Event], object]

_FIRST_BACKOFF = 1.0
_LONGEST_BACKOFF = 3600.0
_POLL = 1.0
"""Seconds after which events are noticed that another process has stored or retried."""


class HandlingFailed(Exception):
    """A handler did not accept an event. The message is shown, so it contains nothing of the event."""


class Observer(Protocol):
    """Gets the result of each attempt; thread-safe."""

    def handed_on(self, attempt: Attempt, seconds: float, problem: str | None, *, dead: bool) -> None:
        """An attempt ended; `problem` is None if the handler accepted the event."""

    def inbox_failed(self, problem: str) -> None:
        """The inbox does not answer; it is tried again."""


def retry_delay(attempts: int) -> float:
    """Return the seconds between attempts: 1, 4, 16, … up to one hour."""
    return min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 4.0 ** (attempts - 1))


class Handing:
    """Threads that hand the events of some webhooks on."""

    def __init__(
        self,
        inbox: Inbox,
        webhooks: Sequence[str],
        handler: Handler,
        observer: Observer,
        *,
        workers: int = 1,
        attempts: int = 10,
        pause: float = 1.0,
        give_way: Callable[[], object] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Set what is handed on, and how; nothing runs yet.

        Args:
            inbox: where the events are.
            webhooks: the names of the webhooks.
            handler: accepts an event by returning; called by one thread for each webhook and worker.
            observer: gets the results.
            workers: how many events of one webhook are handed on at a time; with one, in order.
            attempts: after so many, an event is set aside.
            pause: the seconds to wait for a database that does not answer.
            give_way: blocks for a moment while something else is more urgent; called before each event.
            now: returns the Unix time.
        """
        self._handler = handler
        self._observer = observer
        self._attempts = attempts
        self._pause = pause
        self._give_way = give_way
        self._now = now
        self._ordered = workers == 1
        self._stop = threading.Event()
        self._consumers = [inbox.consumer(webhook) for webhook in webhooks]
        self._place = inbox.place
        self._woken = {webhook: threading.Condition() for webhook in webhooks}
        self._news = dict.fromkeys(webhooks, 0)
        self._threads = [
            # A handler that does not end must not keep the process alive.
            threading.Thread(
                target=self._run, args=(consumer,), name=f"{consumer.webhook}-{number}", daemon=True
            )
            for consumer in self._consumers
            for number in range(1, workers + 1)
        ]

    def start(self) -> None:
        """Begin with what is left from before."""
        for thread in self._threads:
            thread.start()

    def stop(self, grace: float) -> bool:
        """Finish what is in progress, for at most `grace` seconds; return whether everything has ended."""
        self._stop.set()
        for webhook in self._woken:
            self.notify(webhook)
        deadline = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        ended = not any(thread.is_alive() for thread in self._threads)
        if ended:
            for consumer in self._consumers:
                consumer.release()
        return ended

    def notify(self, webhook: str) -> None:
        """There is a new event of this webhook."""
        with self._woken[webhook]:
            self._news[webhook] += 1
            self._woken[webhook].notify_all()

    def step(self, consumer: Consumer) -> float:
        """Hand one event on, if one is due; return the seconds until there may be another."""
        if not consumer.acquire():
            return _POLL
        taken = consumer.take(self._now(), ordered=self._ordered)
        if isinstance(taken, float):
            return taken
        began = time.monotonic()
        problem = self._handle(taken.event)
        self._record(consumer, taken, problem, time.monotonic() - began)
        return 0.0

    def _run(self, consumer: Consumer) -> None:
        news = 0
        while not self._stop.is_set():
            woken = self._woken[consumer.webhook]
            try:
                self._give_way()
                wait = self.step(consumer)
            except Exception as error:  # noqa: BLE001 (a thread that ends would leave events behind, unseen)
                self._report(error)
                consumer.release()
                wait, news = self._pause, self._news[consumer.webhook]
            with woken:
                if wait > 0 and news == self._news[consumer.webhook]:
                    woken.wait(min(wait, _POLL))
                news = self._news[consumer.webhook]

    def _handle(self, event: Event) -> str | None:
        """Return why the handler did not accept the event; None if it did."""
        try:
            self._handler(event)
        except HandlingFailed as failure:
            return str(failure)
        except Exception as error:  # noqa: BLE001 (a handler of others; its text might quote the event)
            return f"the handler raised {type(error).__name__}{_line_of(error)}"
        return None

    def _record(self, consumer: Consumer, attempt: Attempt, problem: str | None, seconds: float) -> None:
        """Record the result, however long the database does not answer: otherwise it is handed on again."""
        dead = problem is not None and attempt.number >= self._attempts
        while True:
            now = self._now()
            try:
                if problem is None:
                    consumer.succeed(attempt, now)
                elif dead:
                    consumer.give_up(attempt, problem, now)
                else:
                    consumer.fail(attempt, problem, now + retry_delay(attempt.number))
                break
            except SQLAlchemyError as error:
                self._report(error)
                if self._stop.wait(self._pause):
                    return
        self._observer.handed_on(attempt, seconds, problem, dead=dead)

    def _report(self, error: Exception) -> None:
        if isinstance(error, SQLAlchemyError):
            self._observer.inbox_failed(unavailable(self._place, error).message)
        else:
            self._observer.inbox_failed(f"cannot hand events on from {self._place}: {type(error).__name__}")


def _line_of(error: Exception) -> str:
    """Return where an error was raised; empty if that is not known."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
