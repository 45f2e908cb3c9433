"""The one table of the inbox, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from reconciler.receiver.event import Event
from reconciler.receiver.inbox.entry import State

if TYPE_CHECKING:
    from sqlalchemy import Row


metadata = MetaData()
events = Table(
    "webhook_events",
    metadata,
    # SQLite increments only this spelling by itself.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("webhook", String(63), nullable=False),
    Column("event_id", String(255), nullable=False),
    Column("type", String(255), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("signature", String(64), nullable=False),
    Column("received_at", Float(53), nullable=False),
    Column("state", String(9), nullable=False, default=State.PENDING.value),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", Float(53), nullable=False, default=0.0),
    Column("ended_at", Float(53)),
    Column("problem", String(500)),
    UniqueConstraint("webhook", "event_id", name="webhook_events_once"),
    Index("webhook_events_waiting", "webhook", "state", "seq"),
    # A number is never used again, so that the order survives a purge.
    sqlite_autoincrement=True,
)


def to_event(row: Row[*tuple[Any, ...]]) -> Event:
    """Return the event of a row with all columns."""
    return Event(row.webhook, row.event_id, row.type, bytes(row.body), row.signature, row.received_at)
