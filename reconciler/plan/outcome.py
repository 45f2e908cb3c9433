"""What became of a plan's changes, and of test deliveries: done, failed, not attempted."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from reconciler.plan.plan import Change, Cost


class Result(StrEnum):
    """What became of one change."""

    DONE = "done"
    WAITING = "waiting"
    """Done for now: the next step is due later (an overlap)."""
    UNVERIFIED = "unverified"
    """Done, but the test delivery failed: the replaced endpoint stays."""
    UNRECORDED = "unrecorded"
    """Done, but Vault did not take the record that plans read: the next apply writes it."""
    FAILED = "failed"
    NOT_ATTEMPTED = "not attempted"
    LEFT_ALONE = "left alone"
    """Only a person can resolve it: nothing was to be done."""


class ChangeOutcome(Struct, frozen=True):
    """What became of one change, and what to do about it."""

    change: Change
    result: Result
    endpoint_id: str | None = None
    detail: str | None = None
    """Why it is not done, with the request id where there is one."""
    hint: str | None = None


class DeliveryResult(StrEnum):
    """What became of one test delivery."""

    DELIVERED = "delivered"
    FAILED = "failed"
    NOT_ATTEMPTED = "not attempted"


class DeliveryOutcome(Struct, frozen=True):
    """What became of one webhook's test delivery, and what to do about it."""

    name: str
    endpoint_id: str
    url: str | None
    result: DeliveryResult
    detail: str | None = None
    """Why it failed, in the API's text."""
    hint: str | None = None
    request_id: str | None = None


class Conflict(Struct, frozen=True):
    """A live endpoint that may be a leftover of ours or a person's: it is left alone."""

    name: str
    """The webhook whose request may have created it."""
    endpoint_id: str
    detail: str
    hint: str


class Outcome(Struct, frozen=True):
    """What one run did."""

    changes: tuple[ChangeOutcome, ...]
    api_requests: int
    """Requests that were really sent, the listing included."""
    seconds: float
    swept: tuple[str, ...] = ()
    """Endpoints that abandoned attempts had left, now deleted."""
    interrupted: bool = False
    sweep_failure: str | None = None
    """Why it is not known that abandoned attempts left nothing: a later run sweeps again."""
    conflicts: tuple[Conflict, ...] = ()
    """Endpoints that resemble what abandoned attempts may have left, without evidence."""
    planned: Cost | None = None
    """What the plan said that it would take; None where there was nothing to do."""

    def of(self, result: Result) -> tuple[ChangeOutcome, ...]:
        """Return the changes that ended with `result`."""
        return tuple(outcome for outcome in self.changes if outcome.result is result)

    @property
    def complete(self) -> bool:
        """Whether every change is done, waits for a time that has not come, or is a person's to resolve."""
        settled = {Result.DONE, Result.WAITING, Result.LEFT_ALONE}
        done = all(outcome.result in settled for outcome in self.changes)
        return done and not self.interrupted and self.sweep_failure is None and not self.conflicts
