"""Drift: what differs without a change of the manifest, where, since when, and how to fix it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from datetime import datetime


class DriftKind(StrEnum):
    """How a webhook differs from what was applied."""

    ENDPOINT_REMOVED = "endpoint-removed"
    """Somebody deleted it."""
    ENDPOINT_RECREATED = "endpoint-recreated"
    """It is gone, and an unmanaged endpoint has its URL."""
    ENDPOINT_DISABLED = "endpoint-disabled"
    """A person disabled it, or the API did after failing deliveries."""
    ENDPOINT_CHANGED = "endpoint-changed"
    """Somebody gave it another URL or other events."""
    SECRET_DELETED = "secret-deleted"
    """The document was deleted in Vault; it can be undeleted."""
    SECRET_DESTROYED = "secret-destroyed"
    """The secret was destroyed in Vault and cannot be restored."""
    SECRET_MISSING = "secret-missing"
    """No secret is stored: the endpoint was adopted without one and has not been replaced yet."""
    INTERRUPTED = "interrupted"
    """The document is newer than its metadata: a run was interrupted, or somebody wrote by hand."""
    UNVERIFIED = "unverified"
    """No test delivery has been accepted yet."""
    OVERLAP_DUE = "overlap-due"
    """Cleanup is due: an overlap has ended, or a replaced secret has expired."""
    ROTATION_DUE = "rotation-due"
    """The secret is older than the manifest allows."""


class Side(StrEnum):
    """Where the difference is."""

    LIVE = "live"
    VAULT = "Vault"
    BOTH = "live and Vault"


_LIVE = {
    DriftKind.ENDPOINT_REMOVED,
    DriftKind.ENDPOINT_RECREATED,
    DriftKind.ENDPOINT_DISABLED,
    DriftKind.ENDPOINT_CHANGED,
    DriftKind.UNVERIFIED,
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
    DriftKind.OVERLAP_DUE: "`reconciler apply` cleans up",
    DriftKind.ROTATION_DUE: "`reconciler apply` replaces the endpoint and its secret",
}


class Drift(Struct, frozen=True):
    """How one webhook differs without a change of its manifest."""

    kinds: tuple[DriftKind, ...]
    """The most important first; at least one."""
    since: datetime | None = None
    """Since when, where it is known (aware, UTC)."""
    webhook: str = "NAME"
    """The webhook's name, for the commands of the remedy."""

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
            "where": self.side.value,
            "since": to_timestamp(self.since),
            "remedy": self.remedy,
        }
