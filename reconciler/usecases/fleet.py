"""The fleet: the status of every webhook and unmanaged endpoint, and their export as manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.manifest.export import Export, suggest_names
from reconciler.model import DeletionPolicy, OddEndpoint
from reconciler.plan.drift import DriftState
from reconciler.plan.live import newest_first
from reconciler.plan.plan import Action, Cause
from reconciler.plan.status import StatusRow, worst_first
from reconciler.usecases.plan import list_endpoints, read_metadata, readable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.ledger.projection import Projection
    from reconciler.plan.plan import Change
    from reconciler.ports import Metadata
    from reconciler.session import Session
    from reconciler.usecases.plan import Planned


_DUE = {DriftState.ROTATION_DUE, DriftState.CLEANUP_DUE, DriftState.IN_PROGRESS}


def fleet(planned: Planned) -> tuple[StatusRow, ...]:
    """Return the fleet as `planned` found it: the worst first, unmanaged endpoints last."""
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
        if name in comparison.out_of_scope:
            continue
        state = _state(change, projection)
        rows.append(
            StatusRow(
                name=name,
                endpoint_id=projection.endpoint_id if projection else None,
                url=(projection.url if projection else None) or (webhook.url if webhook else None),
                state=state,
                secret_created_at=projection.secret_created_at if projection else None,
                secret_expires_at=metadata[name].expires_at if name in metadata else None,
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
        StatusRow(
            e.id,
            e.id,
            e.url,
            "unmanaged",
            unmanaged=True,
            endpoint=e,
            disallowed=e.id in comparison.plan.disallowed,
        )
        for e in newest_first(comparison.plan.unmanaged)
        if e.id not in shown
    ]
    return tuple(sorted(rows, key=worst_first))


def _state(change: Change | None, projection: Projection | None) -> str:
    """Return the word that the fleet's table says."""
    recorded = projection.state if projection else None
    if change is None:
        in_overlap = "overlap" if projection is not None and projection.previous_ids else "in sync"
        return recorded if recorded in {"released", "removing"} else in_overlap
    if change.state in _DUE:
        return change.state.value.replace("-", " ")
    match change.cause:
        case Cause.MANIFEST:
            return f"pending {change.action}"
        case Cause.DRIFT:
            return "disabled" if change.action is Action.NONE else "drifted"
        case Cause.ROTATION | Cause.INTERRUPTED:
            return "unverified" if recorded == "unverified" else "interrupted"


def export(session: Session, *, unmanaged: bool = False) -> list[Export]:
    """Return the live endpoints, or only the unmanaged ones, by name.

    A replaced endpoint that stays live until the end of its overlap is left out.

    Raises:
        ApiError: the listing is not complete.
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds another organization's documents.
    """
    metadata = read_metadata(session)
    entries, _ = list_endpoints(session)
    # Of an odd one nothing is known that a manifest could say.
    listed = [e for e in readable(session, entries, metadata) if not isinstance(e, OddEndpoint)]
    recorded = _recorded(metadata)
    replaced = {i for m in metadata.values() if m.projection for i in m.projection.previous_ids}
    endpoints = [each for each in listed if each.id not in replaced - recorded.keys()]
    names = {endpoint_id: name for endpoint_id, (name, _) in recorded.items()}
    unnamed = {each.id: each.url for each in endpoints if each.id not in names}
    live = {names[each.id] for each in endpoints if each.id in names}
    names |= suggest_names(unnamed, live)
    first: dict[str, str] = {}
    exports = []
    # Of endpoints with the same URL, managed ones keep it, then the first by name.
    for endpoint in sorted(
        endpoints, key=lambda each: (not _is_managed(recorded.get(each.id)), names[each.id])
    ):
        name = names[endpoint.id]
        holder = first.setdefault(endpoint.normalized_url, name)
        projection = recorded[endpoint.id][1] if endpoint.id in recorded else None
        if unmanaged and projection is not None:
            continue
        exports.append(
            Export(
                endpoint,
                name,
                session.organization.name,
                managed=_is_managed(recorded.get(endpoint.id)),
                released=projection is not None and projection.state == "released",
                owner=projection.owner if projection else None,
                deletion_policy=projection.deletion_policy if projection else DeletionPolicy.DELETE,
                twin=None if holder == name else holder,
            )
        )
    return sorted(exports, key=lambda each: each.name)


def _recorded(metadata: Mapping[str, Metadata]) -> dict[str, tuple[str, Projection]]:
    """Return the names and projections of the webhooks that have an endpoint, by its id."""
    return {
        projection.endpoint_id: (entry.name, projection)
        for entry in metadata.values()
        if (projection := entry.projection) is not None
        and projection.endpoint_id is not None
        and projection.state != "deleted"
    }


def _is_managed(recorded: tuple[str, Projection] | None) -> bool:
    return recorded is not None and recorded[1].state != "released"
