"""A ledger to its public part, and back as far as that goes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.ledger.document import Document
from reconciler.ledger.ledger import Abandoned, Current, Ledger, Previous
from reconciler.ledger.projection import Projection
from reconciler.plan.protocol.need import CLOCK_TOLERANCE

if TYPE_CHECKING:
    from reconciler.model import Secret

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def next_due(ledger: Ledger) -> datetime | None:
    """Return when the next step of an overlap or of a sweep is due, if one is."""
    moments = [p.expire_at if p.deleted_at else p.retire_after for p in ledger.previous]
    moments += [a.abandoned_at + CLOCK_TOLERANCE for a in ledger.abandoned]
    return min((moment for moment in moments if moment is not None), default=None)


def project(document: Document, version: int, *, tested: bool, state: str | None = None) -> Projection:
    """Return the projection of `document` at `version`.

    `tested` says whether the manifest wants a test delivery; without one, nothing is unverified.
    """
    ledger, current = document.ledger, document.ledger.current
    return Projection(
        version=version,
        organization=ledger.organization,
        api_url=ledger.api_url,
        generation=ledger.generation,
        state=state or _state(ledger, tested=tested),
        endpoint_id=current.endpoint_id if current else None,
        url=current.url if current else None,
        digest=current.digest if current else None,
        live_digest=_live_digest(current) if current else None,
        previous_ids=tuple(p.endpoint_id for p in ledger.previous if p.deleted_at is None),
        next_due=next_due(ledger),
        abandoned=len(ledger.abandoned),
        # A secret that is not there has no age: so the metadata tells that it is missing.
        secret_created_at=current.created_at if current and document.signing_secret is not None else None,
        verified_at=current.verified_at if current else None,
        deletion_policy=ledger.deletion_policy,
        owner=ledger.owner,
        manifest=ledger.manifest_path,
        run=ledger.run,
    )


def _live_digest(current: Current) -> str | None:
    """Return the digest of what the API made of the request, where it is another one."""
    return current.live_digest if current.live_digest not in {"", current.digest} else None


def _state(ledger: Ledger, *, tested: bool) -> str:
    if ledger.removing:
        return "removing"
    if ledger.current is None:
        return "empty"
    if ledger.released:
        return "released"
    return "unverified" if tested and ledger.current.verified_at is None else "active"


def current_from_projection(projection: Projection) -> Current | None:
    """Return as much of the current endpoint as the metadata tells."""
    if projection.endpoint_id is None or projection.state == "deleted":
        return None
    return Current(
        endpoint_id=projection.endpoint_id,
        generation=projection.generation,
        digest=projection.digest or "",
        url=projection.url or "",
        source="server",
        live_digest=projection.live_digest or projection.digest or "",
        created_at=projection.secret_created_at or _LONG_AGO,
        verified_at=projection.verified_at,
    )


def document_from_projection(projection: Projection, *, secret: Secret | None = None) -> Document:
    """Return as much of the document as the metadata tells; `secret` stands for the one not read, if any."""
    retire = projection.next_due or _LONG_AGO
    return Document(
        Ledger(
            organization=projection.organization,
            api_url=projection.api_url,
            generation=projection.generation,
            current=current_from_projection(projection),
            previous=tuple(Previous(i, projection.generation, retire) for i in projection.previous_ids),
            abandoned=tuple(
                Abandoned("", "", (), frozenset(), retire, retire)
                for _ in range(min(projection.abandoned, 1))
            ),
            removing=projection.state == "removing",
            released=projection.state == "released",
            deletion_policy=projection.deletion_policy,
            owner=projection.owner,
            run=projection.run,
        ),
        signing_secret=secret if projection.secret_created_at is not None else None,
    )
