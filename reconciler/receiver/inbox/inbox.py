"""The inbox: store events so that they survive a crash, look at them, retry and purge them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from reconciler.errors import ReconcilerError
from reconciler.receiver.inbox.consumer import AdvisoryLock, Consumer, FileLock
from reconciler.receiver.inbox.engine import free_space, open_engine, parse_url
from reconciler.receiver.inbox.entry import Count, Entry, State
from reconciler.receiver.inbox.table import events, to_event

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Engine, Row

    from reconciler.receiver.event import Event

_PURGED_AT_ONCE = 1000
_DEADLOCK_ATTEMPTS = 3
_SET_UP_LOCK = 0x5A4F4621
RESERVED_SPACE = 16_000_000
"""Bytes that no new event may use, so that on a full disk the results of stored ones can be recorded.

SQLite's log of changes grows to 4 MB, then its pages are copied to the database (sqlite.org/wal.html).
"""


class InboxUnavailable(ReconcilerError):
    """The inbox cannot be read or written."""


class Inbox:
    """Events in a database that several processes may use. Thread-safe, and a context manager."""

    def __init__(self, url: str) -> None:
        """Set the place: `sqlite:///PATH` or `postgresql://…`; nothing is opened yet.

        Raises:
            UsageError: the URL is not supported, or its driver is not installed.
        """
        parsed = parse_url(url)
        self.place = parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=True)
        """The URL without its password."""
        self._durable = open_engine(parsed, durable=True)
        # A mark that a power failure takes back only lets an event be handed on again.
        self._quick = open_engine(parsed, durable=False)
        self._path = Path(parsed.database or "") if self._durable.dialect.name == "sqlite" else None
        # SQLite has one writer at a time: threads of this process queue here instead of polling there.
        self._writing = threading.Lock() if self._path else None
        dialect: Any = sqlite if self._path else postgresql
        self._insert = dialect.insert(events).on_conflict_do_nothing(index_elements=["webhook", "event_id"])

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Create the table, if it does not exist.

        Raises:
            InboxUnavailable: the database cannot be opened.
        """
        with self._writes(self._durable) as connection:
            if self._path is None:
                # Two machines that start for the first time.
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_SET_UP_LOCK})"))
            connection.execute(CreateTable(events, if_not_exists=True))
            for index in events.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))

    def close(self) -> None:
        """Close all connections."""
        self._durable.dispose()
        self._quick.dispose()

    def store(self, stored: Sequence[Event]) -> int:
        """Store events in one transaction, which is on disk at the end; return how many were new.

        An event is known by its webhook and its id. One that is stored already stays as it is.

        Raises:
            InboxUnavailable: nothing, or everything, was stored: store it again.
        """
        if self._path is not None and free_space(self._path) < RESERVED_SPACE:
            least = f"{RESERVED_SPACE // 10**6} MB"
            raise InboxUnavailable(
                f"the inbox {self.place} accepts no new event: less than {least} is left",
                hint="free space on its disk, or raise the limit for the size of a file; "
                "the events that it has are still handed on",
            )
        rows = [
            {
                "webhook": each.webhook,
                "event_id": each.id,
                "type": each.type,
                "body": each.body,
                "signature": each.signature,
                "received_at": each.received_at,
            }
            for each in stored
        ]
        for attempt in range(1, _DEADLOCK_ATTEMPTS + 1):
            try:
                with self._writes(self._durable) as connection:
                    done = connection.execute(
                        self._insert, rows, execution_options={"preserve_rowcount": True}
                    )
                    return int(done.rowcount)
            except InboxUnavailable as error:
                if not (_is_deadlock(error) and attempt < _DEADLOCK_ATTEMPTS):
                    raise
        raise AssertionError  # pragma: no cover (the last attempt returns or raises)

    def consumer(self, webhook: str, kind: type[Consumer] = Consumer) -> Consumer:
        """Return the way to hand the events of a webhook on; it holds nothing yet."""
        if self._path is not None:
            lock: FileLock | AdvisoryLock = FileLock(
                self._path.with_name(f"{self._path.name}.{webhook}.lock")
            )
        else:
            lock = AdvisoryLock(webhook)
        return kind(webhook, self._quick, lock, self._writing)

    def counts(self) -> list[Count]:
        """Return how many events are pending and dead, by webhook.

        Raises:
            InboxUnavailable: the database does not answer.
        """
        query = (
            select(events.c.webhook, events.c.state, func.count(), func.min(events.c.received_at))
            .where(events.c.state != State.DELIVERED.value)
            .group_by(events.c.webhook, events.c.state)
            .order_by(events.c.webhook, events.c.state)
        )
        with self._reads() as connection:
            return [
                Count(webhook, State(state), number, oldest)
                for webhook, state, number, oldest in connection.execute(query)
            ]

    def find(
        self,
        *,
        webhooks: Sequence[str] = (),
        states: Sequence[State] = (),
        ids: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[Entry]:
        """Return the newest events that match all of what is given, oldest first.

        Raises:
            InboxUnavailable: the database does not answer.
        """
        columns = [column for column in events.c if column.name not in {"body", "signature"}]
        query = (
            select(*columns, func.length(events.c.body).label("size"))
            .where(*_matching(webhooks, states, ids))
            .order_by(events.c.seq.desc())
            .limit(limit)
        )
        with self._reads() as connection:
            return [_entry(row) for row in connection.execute(query)][::-1]

    def event(self, seq: int) -> Event | None:
        """Return an event with its content, by its number; None if it was purged.

        Raises:
            InboxUnavailable: the database does not answer.
        """
        with self._reads() as connection:
            row = connection.execute(select(events).where(events.c.seq == seq)).one_or_none()
        return None if row is None else to_event(row)

    def retry(self, *, webhooks: Sequence[str] = (), ids: Sequence[str] = ()) -> int:
        """Make dead events pending again, and those that wait for an attempt due; return how many.

        Raises:
            InboxUnavailable: the database does not answer.
        """
        dead = events.c.state == State.DEAD.value
        waiting = (events.c.state == State.PENDING.value) & (events.c.attempts > 0)
        change = (
            update(events)
            .where(*_matching(webhooks, (), ids), dead | waiting)
            .values(state=State.PENDING.value, attempts=0, due_at=0.0, ended_at=None)
        )
        with self._writes(self._durable) as connection:
            return int(connection.execute(change).rowcount)

    def purge(
        self, state: State, *, before: float, webhooks: Sequence[str] = (), ids: Sequence[str] = ()
    ) -> int:
        """Delete events that were delivered, or set aside, before a time; return how many.

        Raises:
            InboxUnavailable: the database does not answer.
        """
        doomed = (
            select(events.c.seq)
            .where(*_matching(webhooks, (state,), ids), events.c.ended_at < before)
            .limit(_PURGED_AT_ONCE)
        )
        purged = 0
        while True:
            # Small transactions, so that deliveries need not wait.
            with self._writes(self._durable) as connection:
                count = int(connection.execute(delete(events).where(events.c.seq.in_(doomed))).rowcount)
            purged += count
            if count < _PURGED_AT_ONCE:
                return purged

    @contextmanager
    def _writes(self, engine: Engine) -> Iterator[Connection]:
        """A transaction that is committed at the end of the block."""
        with _translated(self.place):
            if self._writing is None:
                with engine.begin() as connection:
                    yield connection
            else:
                with self._writing, engine.begin() as connection:
                    yield connection

    @contextmanager
    def _reads(self) -> Iterator[Connection]:
        with _translated(self.place), self._quick.connect() as connection:
            yield connection


@contextmanager
def _translated(place: str) -> Iterator[None]:
    """Turn the database's errors into ours, by their type: their texts might quote an event."""
    try:
        yield
    except SQLAlchemyError as error:
        raise unavailable(place, error) from error


def unavailable(place: str, error: SQLAlchemyError) -> InboxUnavailable:
    """Return the error for an inbox that does not answer."""
    cause = getattr(error, "orig", None)
    why = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or type(error).__name__
    return InboxUnavailable(
        f"the inbox {place} cannot be used: {why}",
        hint="check that its server runs, that its disk has space, and that you may write there",
    )


def _is_deadlock(error: InboxUnavailable) -> bool:
    """Whether two machines stored the same events in another order."""
    return getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) == "40P01"


def _matching(
    webhooks: Sequence[str], states: Sequence[State], ids: Sequence[str]
) -> list[ColumnElement[bool]]:
    chosen = {
        events.c.webhook: webhooks,
        events.c.state: [state.value for state in states],
        events.c.event_id: ids,
    }
    return [column.in_(values) for column, values in chosen.items() if values]


def _entry(row: Row[*tuple[Any, ...]]) -> Entry:
    return Entry(
        row.seq,
        row.webhook,
        row.event_id,
        row.type,
        State(row.state),
        row.attempts,
        row.size,
        row.received_at,
        row.due_at,
        row.ended_at,
        row.problem,
    )
