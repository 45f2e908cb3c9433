"""A whole receiver: secrets, inbox, handler and the ASGI application, started and stopped together."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from reconciler.errors import ReconcilerError, UsageError
from reconciler.receiver.app import DeliveryApp
from reconciler.receiver.event import NAME
from reconciler.receiver.group_commit import GroupCommit
from reconciler.receiver.handing import Handing
from reconciler.receiver.inbox.entry import State
from reconciler.receiver.inbox.inbox import Inbox
from reconciler.receiver.limits import LIMITS
from reconciler.receiver.logs import write_log
from reconciler.receiver.metrics import Metrics
from reconciler.receiver.secrets import KnownSecrets

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from reconciler.receiver.app import Receive, Send
    from reconciler.receiver.event import Event
    from reconciler.receiver.handing import Handler
    from reconciler.receiver.inbox.consumer import Attempt
    from reconciler.receiver.limits import Limits
    from reconciler.receiver.secrets import Source

_RESERVED = {"healthz", "metrics"}
_DAY = 86_400.0
_TIDY_SECONDS = 3600.0


class Receiver:
    """Receives deliveries for some webhooks. An ASGI application, and a context manager.

        receiver = Receiver(
            ["ci-run-results"], secrets=source, inbox="sqlite:////var/lib/app/inbox.db", handler=handle
        )

    A server that supports the lifespan protocol starts and stops it. Mounted in another application, it is
    started by `with receiver:` in that application's lifespan, or otherwise by the first request.
    """

    def __init__(
        self,
        webhooks: Sequence[str],
        *,
        secrets: Source,
        inbox: str,
        handler: Handler,
        workers: int = 1,
        attempts: int = 10,
        keep_days: float = 7.0,
        read_secrets_every: float = 60.0,
        grace: float = 30.0,
        limits: Limits = LIMITS,
    ) -> None:
        """Set everything; nothing is opened yet.

        Args:
            webhooks: the names; each accepts deliveries at `POST /NAME`.
            secrets: returns the fields of a webhook's Vault document by its name; called again and again.
            inbox: `sqlite:///PATH` or `postgresql://…`.
            handler: accepts an event by returning, and does not by raising. It gets an event at least once.
            workers: how many events of one webhook are handed on at a time; with one, in order of arrival.
            attempts: after so many, an event is set aside as a dead letter.
            keep_days: for how long an event that was handed on is recognized when it is delivered again.
            read_secrets_every: the seconds between reads of the secrets.
            grace: the seconds that handlers get to finish when the receiver stops.
            limits: what it takes from strangers at most.

        Raises:
            UsageError: a name or the inbox is not usable.
        """
        for webhook in webhooks:
            if not NAME.fullmatch(webhook) or webhook in _RESERVED:
                raise UsageError(f"{webhook} cannot be received", hint="name webhooks as in their manifests")
        if not webhooks:
            raise UsageError("no webhook is named", hint="name at least one")
        names = tuple(dict.fromkeys(webhooks))
        self.inbox = Inbox(inbox)
        """Where the events are stored."""
        self.limits = limits
        self.metrics = Metrics(names, self.inbox.counts)
        """What is counted."""
        self._keep = keep_days * _DAY
        self._grace = grace
        self._secrets = KnownSecrets(secrets, names, every=read_secrets_every, on_read=self._secrets_read)
        self._commit = GroupCommit(self._store)
        self._handing = Handing(
            self.inbox,
            names,
            handler,
            self,
            workers=workers,
            attempts=attempts,
            give_way=self._commit.give_way,
        )
        self._app = DeliveryApp(self._secrets, self._commit, self.metrics, limits)
        self._stale: set[str] = set()
        self._started = False
        self._mutex = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Open the inbox, read the secrets, and hand on what is left from before. Safe to repeat.

        Raises:
            InboxUnavailable: the inbox cannot be opened.
        """
        with self._mutex:
            if self._started:
                return
            self.inbox.open()
            self._secrets.start()
            self._handing.start()
            threading.Thread(target=self._tidy, name="tidy", daemon=True).start()
            self._started = True

    def stop(self) -> None:
        """Store what was accepted, let handlers finish, and close the inbox. It cannot be started again."""
        with self._mutex:
            if self._stop.is_set():
                return
            self._stop.set()
            self._commit.close()
            self._secrets.stop()
            if self._started and not self._handing.stop(self._grace):
                write_log(logging.WARNING, "a handler did not finish: its event will be handed on again")
            self.inbox.close()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, or take part in the server's start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            if not self._started:
                await asyncio.to_thread(self.start)
            await self._app.respond(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await asyncio.to_thread(self.start)
        except ReconcilerError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self.stop)
        await send({"type": "lifespan.shutdown.complete"})

    def _store(self, events: Sequence[Event]) -> int:
        new = self.inbox.store(events)
        self.metrics.stored.inc(new)
        self.metrics.duplicates.inc(len(events) - new)
        for webhook in {event.webhook for event in events}:
            self._handing.notify(webhook)
        return new

    def _tidy(self) -> None:
        """Forget events that were handed on long ago."""
        while True:
            try:
                self.inbox.purge(State.DELIVERED, before=time.time() - self._keep)
            except ReconcilerError as error:
                self.inbox_failed(error.message)
            if self._stop.wait(_TIDY_SECONDS):
                return

    def handed_on(self, attempt: Attempt, seconds: float, problem: str | None, *, dead: bool) -> None:
        """As `Observer` says."""
        event = attempt.event
        result = "delivered" if problem is None else "dead" if dead else "failed"
        self.metrics.handed_on(event.webhook, result, seconds)
        fields = {
            "webhook": event.webhook,
            "event_id": event.id,
            "event_type": event.type,
            "attempt": attempt.number,
            "seconds": round(seconds, 3),
        }
        if problem is None:
            write_log(logging.DEBUG, "event handed on", **fields)
        elif dead:
            write_log(
                logging.ERROR, "event set aside: `reconciler inbox retry` tries again", why=problem, **fields
            )
        else:
            write_log(logging.WARNING, "event not handed on", why=problem, **fields)

    def inbox_failed(self, problem: str) -> None:
        """As `Observer` says."""
        self.metrics.store_failures.inc()
        write_log(logging.ERROR, "inbox failed", problem=problem)

    def _secrets_read(self, webhook: str, problem: str | None) -> None:
        self.metrics.secrets_read(webhook, ok=problem is None)
        if problem is not None:
            self._stale.add(webhook)
            write_log(
                logging.ERROR, "secrets not read: those read before stay in use", webhook=webhook, why=problem
            )
        elif webhook in self._stale:
            self._stale.discard(webhook)
            write_log(logging.INFO, "secrets read again", webhook=webhook)
