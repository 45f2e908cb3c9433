"""Take the ledgers over to a moved API or a renamed organization. Secrets and endpoints stay as they are.

A document is written first, then its metadata. So a move that was interrupted continues with what still names
the origin: metadata that names the target belongs to a document that does, too.
"""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.errors import (
    DocumentUnreadable,
    ForeignDocument,
    GuardRefused,
    ReconcilerError,
    StoreUnavailable,
)
from reconciler.model import Organization
from reconciler.plan.guards import Refusal
from reconciler.plan.move import (
    DocumentMove,
    DocumentOutcome,
    Move,
    MoveOutcome,
    Part,
    UnreadableDocument,
    foreign_hint,
    move_command,
    moved,
)
from reconciler.plan.outcome import Result
from reconciler.ports import VersionState
from reconciler.usecases.plan import list_endpoints

if TYPE_CHECKING:
    import threading
    from collections.abc import Collection, Mapping

    from reconciler.apply.lock import Lock
    from reconciler.ledger.ledger import Ledger
    from reconciler.ledger.projection import Projection
    from reconciler.ports import Metadata, Stored
    from reconciler.session import Session

_INTERRUPTED = (
    "its last change was interrupted: the request is not repeated at the new address, and the next "
    "`reconciler apply` looks for what it created"
)


# --- preview ----------------------------------------------------------------------------------------


def plan_move(session: Session, origin: Organization, *, allow_missing: Collection[str] = ()) -> Move:
    """Return what a move from `origin` to the session's organization writes. Writes nothing.

    Documents are read only where their metadata does not describe them.

    Args:
        session: connected to the new API; the documents are below its prefix.
        origin: the name and the API that the ledgers still have.
        allow_missing: the webhooks that are moved although the new API does not list their endpoints.

    Raises:
        ApiError: the listing is not complete.
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds documents of neither `origin` nor the session's organization.
    """
    target = session.organization
    metadata = session.store.list_metadata()
    documents: list[DocumentMove] = []
    unreadable: list[UnreadableDocument] = []
    already_moved = 0
    for name, entry in sorted(metadata.items()):
        try:
            found = _preview(session, origin, entry)
        except DocumentUnreadable as error:
            unreadable.append(UnreadableDocument(name, error.message, error.hint))
            continue
        if isinstance(found, DocumentMove):
            documents.append(found)
        else:
            already_moved += found
    # The API gets the key only after it is certain that these are the organization's documents.
    entries, _ = list_endpoints(session)
    live = {entry.id for entry in entries}
    documents = [replace(each, missing=tuple(sorted({*each.endpoint_ids} - live))) for each in documents]
    return Move(
        origin=origin,
        target=target,
        documents=tuple(documents),
        already_moved=already_moved,
        unreadable=tuple(unreadable),
        refusals=_judge(origin, target, documents, frozenset(allow_missing), is_known=already_moved > 0),
        versions=_versions(metadata),
    )


def _preview(session: Session, origin: Organization, entry: Metadata) -> DocumentMove | bool:
    """Return what is to be written of one document; else whether it was moved before."""
    projection = entry.projection
    if entry.state is VersionState.ABSENT or (projection is None and entry.state is VersionState.DESTROYED):
        return False
    if projection is not None:
        place = _place(projection)
        _require_known(entry.name, place, origin, session.organization)
        if place == session.organization:
            return True
        if entry.state is VersionState.DESTROYED or entry.is_removed:
            return _of_metadata(entry, projection)
    if entry.state is VersionState.DELETED:
        ids = tuple(sorted(projection.owned_ids)) if projection is not None else ()
        return DocumentMove(entry.name, Part.DOCUMENT, ids, note="it was deleted in Vault: it is undeleted")
    if projection is not None and entry.is_settled:
        return DocumentMove(entry.name, Part.DOCUMENT, tuple(sorted(projection.owned_ids)))
    return _preview_document(session, origin, entry)


def _of_metadata(entry: Metadata, projection: Projection) -> DocumentMove:
    if entry.is_removed:
        return DocumentMove(entry.name, Part.METADATA, note="the webhook was removed")
    note = "its secret was destroyed in Vault: the next `reconciler apply` replaces the endpoint"
    return DocumentMove(entry.name, Part.METADATA, tuple(sorted(projection.owned_ids)), note=note)


def _preview_document(session: Session, origin: Organization, entry: Metadata) -> DocumentMove | bool:
    """Return what is to be written of a document that its metadata does not describe."""
    document = session.store.read(entry.name).document
    if document is None:
        # It was deleted since the metadata was listed. `move` refuses what is not as it was.
        return False
    ledger = document.ledger
    _require_known(entry.name, _place(ledger), origin, session.organization)
    ids = tuple(sorted(ledger.owned_ids))
    if _place(ledger) == origin:
        note = _INTERRUPTED if ledger.pending is not None else None
        return DocumentMove(entry.name, Part.DOCUMENT, ids, note=note)
    if entry.projection is None:
        return True
    return DocumentMove(entry.name, Part.METADATA, ids, note="its document was moved before")


def _judge(
    origin: Organization,
    target: Organization,
    documents: list[DocumentMove],
    allowed: frozenset[str],
    *,
    is_known: bool,
) -> tuple[Refusal, ...]:
    """Refuse a move to an API that does not list the recorded endpoints: it may be another tenant's.

    `is_known`: earlier documents were moved there.
    """
    lost = [each for each in documents if each.missing and each.name not in allowed]
    if not lost:
        return ()
    recorded = sum(len(each.endpoint_ids) for each in documents)
    missing = sum(len(each.missing) for each in documents)
    names = ", ".join(f"{each.name} ({', '.join(each.missing)})" for each in lost)
    command = move_command(origin, target)
    for each in lost:
        command += f" --allow-missing {shlex.quote(each.name)}"
    hint = "check ZOF_API_URL and the API key: they may be another organization's"
    if missing < recorded or is_known:
        hint = (
            "if they were deleted, run `reconciler apply` with the old settings first, or move these "
            f"webhooks without their endpoints: `{command}`; the next apply creates them again"
        )
    message = f"{missing} of {recorded} recorded endpoints are not listed by {target.api_url}: {names}"
    return (Refusal("missing", message, hint, approvable=False),)


# --- move -------------------------------------------------------------------------------------------


def move(
    session: Session, planned: Move, *, lock: Lock | None = None, stop: threading.Event | None = None
) -> MoveOutcome:
    """Write the documents of `planned`, under `lock`, until done or until `stop` is set.

    Raises:
        GuardRefused: something forbids the move, or the documents have changed since the preview.
        LockHeld: another run kept the lock for too long.
        ReconcilerError: no document could be moved.
    """
    if planned.refusals:
        raise GuardRefused(planned.refusals[0].message, hint=planned.refusals[0].hint)
    if not planned.documents:
        return MoveOutcome(())
    with lock or nullcontext():
        if _versions(session.store.list_metadata()) != planned.versions:
            raise GuardRefused(
                "another run changed the documents after the preview; nothing was moved",
                hint=f"look at the new preview: `{move_command(planned.origin, planned.target)}`",
            )
        return _move_all(session, planned, stop)


def _move_all(session: Session, planned: Move, stop: threading.Event | None) -> MoveOutcome:
    outcomes: list[DocumentOutcome] = []
    first_error: ReconcilerError | None = None
    unavailable = False
    for each in planned.documents:
        if unavailable or (stop is not None and stop.is_set()):
            outcomes.append(DocumentOutcome(each.name, Result.NOT_ATTEMPTED))
            continue
        session.reporter.step(each.name, f"move the {each.part.value}", 0)
        try:
            _move_document(session, planned.origin, each.name)
        except ReconcilerError as error:
            first_error = first_error or error
            unavailable = isinstance(error, StoreUnavailable)
            outcomes.append(DocumentOutcome(each.name, Result.FAILED, error.message, error.hint))
            session.reporter.finished(each.name, "move", ok=False, detail=error.message)
        else:
            outcomes.append(DocumentOutcome(each.name, Result.DONE))
            session.reporter.finished(each.name, "move", ok=True)
    outcome = MoveOutcome(tuple(outcomes))
    if first_error is not None and not outcome.of(Result.DONE):
        raise first_error
    return outcome


def _move_document(session: Session, origin: Organization, name: str) -> None:
    """Move what still names `origin`: the document, then its metadata."""
    stored, target = session.store.read(name), session.organization
    if stored.state is VersionState.DELETED and not stored.is_removed:
        stored = _undelete(session, origin, stored)
    version = stored.version
    projection = stored.projection
    is_described = projection is not None and projection.version == version
    run = session.run
    if stored.document is not None:
        ledger = stored.document.ledger
        _require_known(name, _place(ledger), origin, target)
        if _place(ledger) == origin:
            document = replace(
                stored.document, ledger=moved(ledger, target, session.fresh().nonce, session.run)
            )
            version = session.store.write(name, document, cas=version)
        elif projection is not None and ledger.pending is None:
            # An interrupted move wrote the version after the one that the metadata describes. After an
            # interrupted change, the metadata would be two versions behind.
            is_described = projection.version in {version, version - 1}
            run = ledger.run
    if projection is not None and _place(projection) == origin:
        # If the metadata does not describe the document, it must not begin to: the next apply resumes.
        shown = version if is_described else projection.version
        session.store.write_projection(
            name,
            replace(projection, organization=target.name, api_url=target.api_url, version=shown, run=run),
        )


def _undelete(session: Session, origin: Organization, stored: Stored) -> Stored:
    """Undelete a document that somebody deleted in Vault; delete it again if it is not ours to move."""
    session.store.undelete(stored.name, stored.version)
    try:
        found = session.store.read(stored.name)
        if found.document is not None:
            _require_known(stored.name, _place(found.document.ledger), origin, session.organization)
    except (DocumentUnreadable, ForeignDocument):
        session.store.soft_delete(stored.name, stored.version)
        raise
    return found


def _place(record: Ledger | Projection) -> Organization:
    """Return the organization and the API that a record names."""
    return Organization(record.organization, record.api_url)


def _require_known(name: str, place: Organization, origin: Organization, target: Organization) -> None:
    """Refuse a document of neither the origin nor the target.

    Raises:
        ForeignDocument: it is another's.
    """
    if place not in {origin, target}:
        raise ForeignDocument(
            f"the document {name} belongs to organization {place.name} at {place.api_url}, not to"
            f" {origin.name} at {origin.api_url}",
            hint=foreign_hint(place, target),
        )


def _versions(metadata: Mapping[str, Metadata]) -> dict[str, int]:
    return {name: entry.version for name, entry in metadata.items()}
