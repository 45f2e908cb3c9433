"""The fleet: what there is, how each webhook stands, and what could be declared of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.model import DeletionPolicy
from reconciler.plan.live import newest_first
from reconciler.plan.plan import Cause
from reconciler.plan.status import StatusRow
from reconciler.usecases.plan import list_endpoints, read_metadata
from reconciler.usecases.preview import preview

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.ledger.projection import Projection
    from reconciler.model import Endpoint
    from reconciler.plan.plan import Change
    from reconciler.ports import Metadata
    from reconciler.session import Session
    from reconciler.usecases.plan import Planned


class ExportRow(Struct, frozen=True):
    """One live endpoint, and whose it is."""

    endpoint: Endpoint
    name: str | None = None
    """The webhook whose ledger has it; None: it is unmanaged."""
    released: bool = False
    """The ledger has it, and it is no longer managed."""
    owner: str | None = None
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE


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
    told = {row.endpoint_id for row in rows if row.state == "released"}
    rows += [
        StatusRow(e.id, e.id, e.url, "unmanaged", unmanaged=True, endpoint=e)
        for e in newest_first(comparison.plan.unmanaged)
        if e.id not in told
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


def export(session: Session) -> tuple[ExportRow, ...]:
    """Return the live endpoints by id; one that is only waiting for the end of an overlap is left out.

    Raises:
        ApiError: the listing is not complete.
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds another organization's documents.
    """
    metadata = read_metadata(session)
    endpoints, _ = list_endpoints(session)
    recorded = _recorded(metadata)
    replaced = {i for m in metadata.values() if m.projection for i in m.projection.previous_ids}
    return tuple(
        _exported(endpoint, recorded.get(endpoint.id))
        for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.id)
        if endpoint.id not in replaced - recorded.keys()
    )


def _recorded(metadata: Mapping[str, Metadata]) -> dict[str, tuple[str, Projection]]:
    """Return the names and projections of the webhooks that are live, by endpoint id."""
    return {
        projection.endpoint_id: (entry.name, projection)
        for entry in metadata.values()
        if (projection := entry.projection) is not None
        and projection.endpoint_id is not None
        and projection.state != "deleted"
    }


def _exported(endpoint: Endpoint, recorded: tuple[str, Projection] | None) -> ExportRow:
    if recorded is None:
        return ExportRow(endpoint)
    name, projection = recorded
    return ExportRow(
        endpoint, name, projection.state == "released", projection.owner, projection.deletion_policy
    )
