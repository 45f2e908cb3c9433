"""The exclusive right to hand the events of one webhook on, and the marks that it leaves.

The right is a lock that ends with its holder: of the operating system for SQLite, of the session for
PostgreSQL. So whichever process is killed, another takes over without waiting for a lease to expire, and two
never hand on the same webhook.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from reconciler.receiver.inbox.entry import State
from reconciler.receiver.inbox.table import events, to_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import ColumnElement, Connection, Engine

    from reconciler.receiver.event import Event

_FETCHED = 500
_PROBLEM_LENGTH = 500

# Made once: to make a statement takes longer than to execute it.
_IS_PENDING = (events.c.seq == bindparam("this"), events.c.state == State.PENDING.value)
_BEGIN = update(events).where(*_IS_PENDING).values(attempts=events.c.attempts + 1).returning(events)
_END = (
    update(events)
    .where(*_IS_PENDING)
    .values(
        state=bindparam("new_state"),
        ended_at=bindparam("new_ended_at"),
        due_at=bindparam("new_due_at"),
        problem=bindparam("new_problem"),
    )
)


class Attempt(Struct, frozen=True):
    """An event that is being handed on."""

    seq: int
    event: Event
    number: int
    """The number of this attempt, from 1."""


class ConsumerLock(Protocol):
    """What makes a consumer the only one of its webhook."""

    def acquire(self, connection: Connection) -> bool:
        """Take the lock and return True; False if another holds it."""
        ...

    def release(self) -> None:
        """Let go of it; the connection is closed anyway."""
        ...


class FileLock:
    """A lock of the operating system on a file beside a SQLite database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self, connection: Connection) -> bool:  # noqa: ARG002 (the protocol's)
        """Lock the file, without waiting."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Close the file; it stays, because another process may have opened it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class AdvisoryLock:
    """A lock of the connection's session in PostgreSQL."""

    def __init__(self, webhook: str) -> None:
        self._key = f"{events.name}/{webhook}"

    def acquire(self, connection: Connection) -> bool:
        """Ask the server, without waiting."""
        asked = text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))")
        held = bool(connection.execute(asked, {"key": self._key}).scalar())
        connection.commit()
        return held

    def release(self) -> None:
        """Do nothing: the session ends with its connection."""


class Consumer:
    """Hands out the events of one webhook, each to one caller. Thread-safe.

    Every method but `is_held` raises `SQLAlchemyError` if the database does not answer.
    """

    def __init__(
        self, webhook: str, engine: Engine, lock: ConsumerLock, writing: threading.Lock | None
    ) -> None:
        """Hold nothing yet. `writing` is held during each write, if the database has only one writer."""
        self.webhook = webhook
        self._engine = engine
        self._lock = lock
        self._writing = writing or contextlib.nullcontext()
        self._connection: Connection | None = None
        self._waiting: deque[tuple[int, float]] = deque()
        """The numbers of events that were found, and when they are due."""
        self._in_progress: set[int] = set()
        self._mutex = threading.Lock()

    @property
    def is_held(self) -> bool:
        """Whether this consumer has the right."""
        return self._connection is not None

    def acquire(self) -> bool:
        """Take the right to hand on and return True; False if another process has it."""
        with self._mutex:
            if self._connection is not None:
                return True
            connection = self._engine.connect()
            # It must not return to the pool: its next user would hold the lock.
            connection.detach()
            try:
                held = self._lock.acquire(connection)
            except BaseException:
                connection.close()
                raise
            if not held:
                connection.close()
                return False
            self._connection = connection
            self._waiting.clear()
            return True

    def release(self) -> None:
        """Give the right up."""
        with self._mutex:
            connection, self._connection = self._connection, None
            if connection is not None:
                # It may be what has failed.
                with contextlib.suppress(SQLAlchemyError):
                    connection.close()
                self._lock.release()

    def take(self, now: float, *, ordered: bool) -> Attempt | float:
        """Return the next event that is due, or the seconds until one may be.

        The attempt counts from here, so an event that kills its handler becomes a dead letter, too.

        Args:
            now: Unix time.
            ordered: only the oldest event is handed out, however long it must wait.
        """
        with self._mutex:
            if self._connection is None:
                raise RuntimeError("acquire() first")
            while True:
                if not self._waiting:
                    self._find(self._connection, now, ordered=ordered)
                if not self._waiting:
                    return self._next_due(self._connection, now)
                seq, due_at = self._waiting[0]
                if due_at > now:
                    # By the time that it is due, a person may have retried or purged it.
                    self._waiting.clear()
                    return due_at - now
                self._waiting.popleft()
                attempt = self._begin(self._connection, seq)
                if attempt is not None:
                    self._in_progress.add(seq)
                    return attempt

    def succeed(self, attempt: Attempt, now: float) -> None:
        """Record that the handler has accepted the event."""
        self._end(attempt, State.DELIVERED, ended_at=now)

    def fail(self, attempt: Attempt, problem: str, due_at: float) -> None:
        """Record that the attempt failed, and when the next one is due."""
        self._end(attempt, State.PENDING, due_at=due_at, problem=problem)

    def give_up(self, attempt: Attempt, problem: str, now: float) -> None:
        """Set the event aside: it was the last attempt."""
        self._end(attempt, State.DEAD, ended_at=now, problem=problem)

    def _find(self, connection: Connection, now: float, *, ordered: bool) -> None:
        query = select(events.c.seq, events.c.due_at).where(*self._pending()).order_by(events.c.seq)
        if not ordered:
            query = query.where(events.c.due_at <= now)
        self._waiting.extend((row.seq, row.due_at) for row in connection.execute(query.limit(_FETCHED)))
        connection.rollback()

    def _next_due(self, connection: Connection, now: float) -> float:
        earliest = connection.execute(select(func.min(events.c.due_at)).where(*self._pending())).scalar()
        connection.rollback()
        return float("inf") if earliest is None else max(0.0, earliest - now)

    def _pending(self) -> Iterator[ColumnElement[bool]]:
        yield events.c.webhook == self.webhook
        yield events.c.state == State.PENDING.value
        if self._in_progress:
            yield events.c.seq.not_in(self._in_progress)

    def _begin(self, connection: Connection, seq: int) -> Attempt | None:
        """Count the attempt and return the event; None if it is not pending any more."""
        with self._writing, connection.begin():
            row = connection.execute(_BEGIN, {"this": seq}).one_or_none()
        return None if row is None else Attempt(seq, to_event(row), row.attempts)

    def _end_with_lock(self, values: dict[str, object]) -> bool:
        """Record a result through the lock's connection, which takes half as long; False if it is broken."""
        with self._mutex, self._writing:
            if self._connection is None:
                return False
            try:
                with self._connection.begin():
                    self._connection.execute(_END, values)
            except SQLAlchemyError:
                return False
            return True

    def _end(
        self,
        attempt: Attempt,
        state: State,
        *,
        ended_at: float | None = None,
        due_at: float = 0.0,
        problem: str | None = None,
    ) -> None:
        """Record a result, also if the lock's connection broke meanwhile."""
        values: dict[str, object] = {
            "this": attempt.seq,
            "new_state": state.value,
            "new_ended_at": ended_at,
            "new_due_at": due_at,
            "new_problem": problem and problem[:_PROBLEM_LENGTH],
        }
        if not self._end_with_lock(values):
            with self._writing, self._engine.begin() as connection:
                connection.execute(_END, values)
        with self._mutex:
            self._in_progress.discard(attempt.seq)
            if state is State.PENDING:
                # Without order, others go on; in order, this event is the next again.
                self._waiting.clear()
