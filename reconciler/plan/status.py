"""The fleet's status: one row for each webhook and each unmanaged endpoint."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.plan.drift import LEAST, DriftKind, DriftState, rank_of
from reconciler.plan.plan import severity_key

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.ledger.projection import Projection
    from reconciler.model import Endpoint, Location, Webhook
    from reconciler.plan.plan import Change


class FleetState(StrEnum):
    """The state of a webhook, most urgent first. Every `pending …` of the status is one."""

    DRIFTED = "drifted"
    DISABLED = "disabled"
    INTERRUPTED = "interrupted"
    UNVERIFIED = "unverified"
    ROTATION_DUE = "rotation due"
    CLEANUP_DUE = "cleanup due"
    IN_PROGRESS = "in progress"
    PENDING = "pending"
    OVERLAP = "overlap"
    IN_SYNC = "in sync"
    RELEASED = "released"
    UNMANAGED = "unmanaged"

    @classmethod
    def of(cls, state: str) -> FleetState:
        """Return which one a row's `state` is."""
        return cls(state) if state in set(cls) else cls.PENDING

    @property
    def slug(self) -> str:
        """The state as one word, with hyphens."""
        return self.value.replace(" ", "-")


class StatusRow(Struct, frozen=True):
    """One webhook, or one unmanaged endpoint."""

    name: str
    """The webhook's name; of an unmanaged endpoint its id."""
    endpoint_id: str | None
    url: str | None
    state: str
    secret_created_at: datetime | None = None
    verified_at: datetime | None = None
    """When a test delivery last succeeded."""
    owner: str | None = None
    source: Location | None = None
    """Where the manifest is."""
    unmanaged: bool = False
    webhook: Webhook | None = None
    """The manifest."""
    projection: Projection | None = None
    endpoint: Endpoint | None = None
    """The live endpoint."""
    change: Change | None = None
    """The pending change."""
    secret_expires_at: datetime | None = None
    """When Vault will delete the stored secret by itself; None: never."""
    disallowed: bool = False
    """Whether it is an unmanaged endpoint that counts as drift."""

    @property
    def is_drift(self) -> bool:
        """Whether somebody changed it outside, or an interrupted change was not resumed."""
        is_drift = self.change is not None and self.change.state is DriftState.DRIFT
        return is_drift or self.disallowed

    @property
    def findings(self) -> tuple[DriftKind, ...]:
        """What was found about it."""
        if self.disallowed:
            return (DriftKind.UNMANAGED,)
        drift = self.change.drift if self.change is not None else None
        return drift.kinds if drift is not None else ()

    @property
    def needs_action(self) -> bool:
        """Whether a person must look at it: neither a merge nor a scheduled job settles it."""
        return self.is_drift or (self.change is not None and self.change.problem is not None)

    @property
    def overlap_ends(self) -> datetime | None:
        """When the old endpoint, which is still live beside the current one, may be deleted."""
        in_overlap = self.projection is not None and self.projection.previous_ids
        return self.projection.next_due if self.projection is not None and in_overlap else None

    @property
    def events(self) -> tuple[str, ...]:
        """The live endpoint's events; without one, those of the manifest."""
        source = self.endpoint or self.webhook
        return source.events if source else ()


_CALM = ("overlap", "in sync", "released", "unmanaged")
"""States in which nothing is to be done, after all others."""


def worst_first(row: StatusRow) -> tuple[int, str]:
    """Return what rows are sorted by: the order of severity, then what is pending, then what is calm."""
    if row.disallowed:
        return rank_of(DriftKind.UNMANAGED), ""
    if row.change is not None:
        return severity_key(row.change)
    calm = _CALM.index(row.state) + 1 if row.state in _CALM else 0
    # Unmanaged endpoints stay in the order in which they come.
    return LEAST + calm, "" if row.unmanaged else row.name


def state_of(row: StatusRow) -> FleetState:
    """Return the state of a webhook."""
    return FleetState.of(row.state)
