"""The fleet: every webhook and unmanaged endpoint with its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.plan.live import newest_first
from reconciler.plan.plan import Cause
from reconciler.plan.status import StatusRow
from reconciler.usecases.preview import preview

if TYPE_CHECKING:
    from reconciler.ledger.projection import Projection
    from reconciler.plan.plan import Change
    from reconciler.session import Session
    from reconciler.usecases.plan import Planned


def status(session: Session) -> tuple[StatusRow, ...]:
    """Return the fleet, by name; what nobody manages comes last, newest first."""
    return fleet(preview(session))


def fleet(planned: Planned) -> tuple[StatusRow, ...]:
    """Return the fleet as `planned` found it: by name; what nobody manages comes last, newest first."""
    comparison, metadata = planned.comparison, planned.metadata
    wanted = {webhook.name: webhook for webhook in planned.session.desired}
    changes = {change.name: change for change in comparison.plan.changes}
    rows = []
    for name in sorted(wanted.keys() | metadata.keys()):
        webhook = wanted.get(name)
        projection = metadata[name].projection if name in metadata else None
        change = changes.get(name)
        if change is None and webhook is None and (projection is None or projection.state == "deleted"):
            continue
        state = _state(change, projection)
        rows.append(
            StatusRow(
                name=name,
                endpoint_id=projection.endpoint_id if projection else None,
                url=(projection.url if projection else None) or (webhook.url if webhook else None),
                state=state,
                secret_created_at=projection.secret_created_at if projection else None,
                verified_at=projection.verified_at if projection else None,
                owner=(webhook.owner if webhook else None) or (projection.owner if projection else None),
                source=webhook.location if webhook else None,
                webhook=webhook,
                projection=projection,
                endpoint=comparison.live.get(projection.endpoint_id or "") if projection else None,
                change=change,
            )
        )
    shown = {row.endpoint_id for row in rows if row.state == "released"}
    rows += [
        StatusRow(e.id, e.id, e.url, "unmanaged", unmanaged=True, endpoint=e)
        for e in newest_first(comparison.plan.unmanaged)
        if e.id not in shown
    ]
    return tuple(rows)


def _state(change: Change | None, projection: Projection | None) -> str:
    """Return the word that the fleet's table says."""
    recorded = projection.state if projection else None
    if change is None:
        return "released" if recorded == "released" else "in sync"
    match change.cause:
        case Cause.MANIFEST:
            return f"pending {change.action}"
        case Cause.DRIFT:
            return "drifted"
        case Cause.ROTATION:
            return "rotation due"
        case Cause.INTERRUPTED:
            return "unverified" if recorded == "unverified" else "interrupted"
