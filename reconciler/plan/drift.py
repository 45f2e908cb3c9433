"""Findings: what is due although no manifest asks for it, where, since when, how severe, and how to fix it.

This is the one place that says what counts as drift and which finding is worse than another.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from datetime import datetime


class DriftKind(StrEnum):
    """What was found about a webhook. The worst comes first: every report follows this order."""

    ENDPOINT_REMOVED = "endpoint-removed"
    """Somebody deleted it."""
    ENDPOINT_RECREATED = "endpoint-recreated"
    """It is gone, and an unmanaged endpoint has its URL."""
    ENDPOINT_DISABLED = "endpoint-disabled"
    """A person disabled it, or the API did after failing deliveries."""
    ENDPOINT_CHANGED = "endpoint-changed"
    """Somebody gave it another URL or other events."""
    SECRET_DESTROYED = "secret-destroyed"
    """The secret was destroyed in Vault and cannot be restored."""
    SECRET_MISSING = "secret-missing"
    """No secret is stored: the endpoint was adopted without one and has not been replaced yet."""
    SECRET_DELETED = "secret-deleted"
    """The document was deleted in Vault; it can be undeleted."""
    INTERRUPTED = "interrupted"
    """The document is newer than its metadata: a run was interrupted, or somebody wrote by hand."""
    UNVERIFIED = "unverified"
    """No test delivery has been accepted yet."""
    UNMANAGED = "unmanaged"
    """Somebody created an endpoint by hand, and `guards.unmanaged: drift` asks to report it."""
    ROTATION_DUE = "rotation-due"
    """The date in `createdAfter` has come, and the secret is older."""
    CLEANUP_DUE = "cleanup-due"
    """An overlap has ended, a replaced secret has expired, or a leftover may have to be removed."""
    IN_PROGRESS = "in-progress"
    """A run that holds the lock is changing it."""


class DriftState(StrEnum):
    """What a change is to a drift report. Only drift makes `reconciler drift` exit with 2."""

    DRIFT = "drift"
    ROTATION_DUE = "rotation-due"
    CLEANUP_DUE = "cleanup-due"
    IN_PROGRESS = "in-progress"


class Severity(StrEnum):
    """How urgent a finding is, in the words of GitHub's annotations."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


class Side(StrEnum):
    """Where the difference is."""

    LIVE = "live"
    VAULT = "Vault"
    BOTH = "live and Vault"


_RANK = {kind: rank for rank, kind in enumerate(DriftKind)}
LEAST = len(_RANK)
"""The rank of what is not a finding: a pending change of a manifest."""
_STATES = {
    DriftKind.ROTATION_DUE: DriftState.ROTATION_DUE,
    DriftKind.CLEANUP_DUE: DriftState.CLEANUP_DUE,
    DriftKind.IN_PROGRESS: DriftState.IN_PROGRESS,
}
_LIVE = {
    DriftKind.ENDPOINT_REMOVED,
    DriftKind.ENDPOINT_RECREATED,
    DriftKind.ENDPOINT_DISABLED,
    DriftKind.ENDPOINT_CHANGED,
    DriftKind.UNVERIFIED,
    DriftKind.UNMANAGED,
}
_REMEDIES = {
    DriftKind.ENDPOINT_REMOVED: "`reconciler apply` creates a new one",
    DriftKind.ENDPOINT_RECREATED: "adopt the endpoint or remove it, then `reconciler apply`",
    DriftKind.ENDPOINT_DISABLED: "enable it in Admin Center > Developer > Webhooks, or replace it with "
    "`reconciler rotate NAME`; the API may have disabled it because deliveries failed: check the receiver",
    DriftKind.ENDPOINT_CHANGED: "`reconciler apply` replaces it; "
    "to keep the change, edit the manifest instead",
    DriftKind.SECRET_DELETED: "`reconciler apply` undeletes it",
    DriftKind.SECRET_DESTROYED: "`reconciler apply` replaces the endpoint and its secret",
    DriftKind.SECRET_MISSING: "`reconciler apply` replaces the endpoint and its secret",
    DriftKind.INTERRUPTED: "`reconciler apply` continues from where it stopped; "
    "it does not change a document that somebody else wrote, and says how to repair it",
    DriftKind.UNVERIFIED: "repair the receiver, then `reconciler apply` tests it again",
    DriftKind.UNMANAGED: "find out who created it, then adopt it (`reconciler adopt NAME --id ID`), "
    "remove it in Admin Center > Developer > Webhooks, or add its id to `guards.allowUnmanaged`",
    DriftKind.ROTATION_DUE: "`reconciler apply` replaces the endpoint and its secret",
    DriftKind.CLEANUP_DUE: "`reconciler apply --cleanup-only` cleans up",
    DriftKind.IN_PROGRESS: "wait for the run to end; if it is killed, `reconciler apply` continues it",
}


def rank_of(kind: DriftKind) -> int:
    """Return the position of a finding in the order of severity; the lowest is the worst."""
    return _RANK[kind]


def severity_of(kind: DriftKind) -> Severity:
    """Return how urgent a finding is."""
    rank = _RANK[kind]
    if rank <= _RANK[DriftKind.SECRET_DELETED]:
        return Severity.ERROR
    return Severity.WARNING if rank <= _RANK[DriftKind.UNVERIFIED] else Severity.NOTICE


def state_of(kind: DriftKind) -> DriftState:
    """Return what a finding is to a drift report."""
    return _STATES.get(kind, DriftState.DRIFT)


class Drift(Struct, frozen=True):
    """What is due about one webhook without a change of its manifest."""

    kinds: tuple[DriftKind, ...]
    """The worst first; at least one."""
    since: datetime | None = None
    """Since when, where it is known (aware, UTC)."""
    webhook: str = "NAME"
    """The webhook's name, for the commands of the remedy."""

    @property
    def rank(self) -> int:
        """The position of the worst finding in the order of severity; the lowest is the worst."""
        return min(_RANK[kind] for kind in self.kinds)

    @property
    def severity(self) -> Severity:
        """How urgent it is."""
        return severity_of(self.kinds[0])

    @property
    def state(self) -> DriftState:
        """Whether it is drift, due, or in progress."""
        return state_of(self.kinds[0])

    @property
    def side(self) -> Side:
        """Where the difference is."""
        sides = {Side.LIVE if kind in _LIVE else Side.VAULT for kind in self.kinds}
        return Side.BOTH if len(sides) > 1 else sides.pop()

    @property
    def remedy(self) -> str:
        """How to fix it."""
        return _REMEDIES[self.kinds[0]].replace("NAME", self.webhook)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the plan format."""
        return {
            "found": [kind.value for kind in self.kinds],
            "state": self.state.value,
            "severity": self.severity.value,
            "where": self.side.value,
            "since": to_timestamp(self.since),
            "remedy": self.remedy,
        }
