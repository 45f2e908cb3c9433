"""What the inbox says of stored events, without their content."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class State(StrEnum):
    """What has become of a stored event."""

    PENDING = "pending"
    """To be handed on, for the first time or again."""
    DELIVERED = "delivered"
    """The handler has accepted it. It is kept, so that the same event is recognized."""
    DEAD = "dead"
    """Set aside after the last attempt: a person decides."""


class Entry(Struct, frozen=True):
    """A stored event. Times are Unix times."""

    seq: int
    webhook: str
    event_id: str
    type: str
    state: State
    attempts: int
    size: int
    received_at: float
    due_at: float
    """When the next attempt is due; 0: immediately."""
    ended_at: float | None
    problem: str | None
    """Why the last attempt failed."""


class Count(Struct, frozen=True):
    """How many events of a webhook are in a state, and when the oldest of them arrived."""

    webhook: str
    state: State
    events: int
    oldest: float
