"""Drift with its causes: what was found, where, since when, and what heals it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.model import body_digest
from reconciler.plan.plan import Action, Cause
from reconciler.ports import VersionState
from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.ledger.projection import Projection
    from reconciler.plan.plan import Change, Shape
    from reconciler.ports import Metadata


class Found(StrEnum):
    """What was found that no manifest asked for."""

    ENDPOINT_REMOVED = "endpoint-removed"
    """Somebody deleted it."""
    ENDPOINT_RECREATED = "endpoint-recreated"
    """It is gone, and at its URL is another one that is not ours."""
    ENDPOINT_CHANGED = "endpoint-changed"
    """Somebody gave it another URL or other events."""
    SECRET_DELETED = "secret-deleted"
    """The document was deleted in Vault and can be undeleted."""
    SECRET_DESTROYED = "secret-destroyed"
    """The secret is lost: nobody can read it again."""
    SECRET_MISSING = "secret-missing"
    """No secret is stored: the endpoint was taken over without one, and is still to be replaced."""
    INTERRUPTED = "interrupted"
    """The document is newer than its metadata: a run was cut off, or somebody wrote by hand."""
    UNVERIFIED = "unverified"
    """No test delivery has been accepted yet."""
    OVERLAP_DUE = "overlap-due"
    """What was replaced is still there, though its time is over."""
    ROTATION_DUE = "rotation-due"
    """The secret is older than the manifest allows."""


class Where(StrEnum):
    """Which side it was found on."""

    LIVE = "live"
    VAULT = "Vault"
    BOTH = "live and Vault"


_LIVE = {Found.ENDPOINT_REMOVED, Found.ENDPOINT_RECREATED, Found.ENDPOINT_CHANGED, Found.UNVERIFIED}
_REMEDIES = {
    Found.ENDPOINT_REMOVED: "`reconciler apply` makes it anew and stores its new secret",
    Found.ENDPOINT_RECREATED: "adopt the endpoint or remove it, then `reconciler apply`",
    Found.ENDPOINT_CHANGED: "`reconciler apply` replaces it; to keep the change, edit the manifest instead",
    Found.SECRET_DELETED: "`reconciler apply` undeletes it",
    Found.SECRET_DESTROYED: "`reconciler apply` replaces the endpoint and stores its new secret",
    Found.SECRET_MISSING: "`reconciler apply` replaces the endpoint and stores its new secret",
    Found.INTERRUPTED: "`reconciler apply` goes on from where it stopped; what somebody else wrote it leaves "
    "alone, and says how to mend it",
    Found.UNVERIFIED: "repair the receiver, then `reconciler apply` tests it again",
    Found.OVERLAP_DUE: "`reconciler apply` removes what was replaced",
    Found.ROTATION_DUE: "`reconciler apply` replaces the endpoint and its secret",
}


class Finding(Struct, frozen=True):
    """What was found about one webhook."""

    found: tuple[Found, ...]
    """The most telling first; at least one."""
    since: datetime | None = None
    """Since when, where it is known (aware, UTC)."""

    @property
    def where(self) -> Where:
        """Which side it was found on."""
        sides = {Where.LIVE if found in _LIVE else Where.VAULT for found in self.found}
        return Where.BOTH if len(sides) > 1 else sides.pop()

    @property
    def remedy(self) -> str:
        """What heals it."""
        return _REMEDIES[self.found[0]]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the plan format."""
        return {
            "found": [found.value for found in self.found],
            "where": self.where.value,
            "since": to_timestamp(self.since),
            "remedy": self.remedy,
        }


def finding_of(change: Change, metadata: Metadata | None) -> Finding | None:
    """Return what was found that makes `change` due; None where a manifest does, and nothing else."""
    if metadata is None:
        return None
    projection = metadata.projection
    match change.cause:
        case Cause.MANIFEST:
            return None
        case Cause.DRIFT:
            return _drifted(change, metadata)
        case Cause.ROTATION if change.action is Action.RESUME:
            return Finding((Found.OVERLAP_DUE,), projection.next_due if projection else None)
        case Cause.ROTATION:
            return Finding((Found.ROTATION_DUE,))
        case Cause.INTERRUPTED:
            settled = projection is not None and projection.version == metadata.version
            tested = settled and projection is not None and projection.state == "unverified"
            return Finding((Found.UNVERIFIED if tested else Found.INTERRUPTED,), metadata.changed_at)


def _drifted(change: Change, metadata: Metadata) -> Finding:
    found: list[Found] = []
    if change.before is None:
        found.append(Found.ENDPOINT_RECREATED if change.problem else Found.ENDPOINT_REMOVED)
    elif _is_changed(change.before, metadata.projection):
        found.append(Found.ENDPOINT_CHANGED)
    since = None
    if metadata.state is VersionState.DELETED:
        found.append(Found.SECRET_DELETED)
        since = metadata.changed_at
    elif metadata.state is VersionState.DESTROYED:
        found.append(Found.SECRET_DESTROYED)
    elif not found:
        found.append(Found.SECRET_MISSING)
    return Finding(tuple(found), since)


def _is_changed(live: Shape, projection: Projection | None) -> bool:
    """Whether the endpoint is not any more what the API had made of our request."""
    recorded = (projection.live_digest or projection.digest) if projection else None
    return body_digest(live.url, live.events) != recorded
