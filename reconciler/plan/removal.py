"""The manifest is gone: release the endpoint, or remove it and its secret."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.model import DeletionPolicy
from reconciler.plan.need import candidates
from reconciler.plan.project import project
from reconciler.plan.situation import Situation, delete, give_up_on, record, write
from reconciler.plan.steps import (
    Done,
    Failed,
    ListAgain,
    SoftDelete,
    Step,
    Wait,
    WriteProjection,
)
from reconciler.plan.sweep import TOLERANCE, attempt_is_over

if TYPE_CHECKING:
    from reconciler.ledger import Document


def keep_live(s: Situation, document: Document) -> Step:
    """The manifest is gone, and its policy says that the endpoint is not to go with it."""
    ledger = document.ledger
    if ledger.deletion_policy is DeletionPolicy.PROTECT:
        return Failed(
            "the webhook is protected (deletionPolicy: Protect)",
            hint="bring its manifest back, or merge a change of its deletionPolicy first",
        )
    if not ledger.released:
        released = replace(ledger, released=True, run=s.run)
        return write(s, replace(document, ledger=released), "release the endpoint")
    return record(s, document) or Done()


def remove(s: Situation, document: Document) -> Step:
    """Delete every endpoint that is ours, then the secret; the metadata keeps the generation."""
    ledger = document.ledger
    if (ledger.current or ledger.previous) and not ledger.removing:
        removing = replace(ledger, removing=True, run=s.run)
        return write(s, replace(document, ledger=removing), "record the removal")
    for endpoint_id in sorted(ledger.owned_ids):
        if endpoint_id in s.progress.undeleted:
            return give_up_on(s, endpoint_id)
        step = delete(s, endpoint_id, "delete the endpoint")
        if step is not None:
            return step
    if ledger.abandoned and not s.listing_current:
        return ListAgain()
    for attempt in ledger.abandoned:
        for endpoint in candidates(attempt, s.live):
            step = delete(s, endpoint.id, "delete what an abandoned attempt made")
            if step is not None:
                return step
    if ledger.current is not None or ledger.previous:
        emptied = replace(ledger, current=None, previous=())
        return write(s, replace(document, ledger=emptied), "record that it is gone")
    if remaining := tuple(a for a in ledger.abandoned if not attempt_is_over(a, s.listing_began)):
        # A request that was given up may still be carried out: watch for it a little longer.
        return record(s, document) or Wait(max(a.abandoned_at for a in remaining) + TOLERANCE)
    gone = project(document, s.stored.version, tested=True, state="deleted")
    if s.stored.projection != gone:
        return WriteProjection(gone)
    # Last of all: a write after it would revive the secret.
    return SoftDelete(s.stored.version)
