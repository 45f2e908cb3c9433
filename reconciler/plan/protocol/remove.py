"""The manifest is gone: release the endpoint, or remove it and its secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.model import DeletionPolicy
from reconciler.plan.protocol.create import begin
from reconciler.plan.protocol.need import CLOCK_TOLERANCE
from reconciler.plan.protocol.project import next_due, project
from reconciler.plan.protocol.retire import drop_expired, retire
from reconciler.plan.protocol.state import Situation, let_go, record, write
from reconciler.plan.protocol.steps import (
    Done,
    Failed,
    Hold,
    ListAgain,
    SoftDelete,
    Step,
    Wait,
    WriteProjection,
)
from reconciler.plan.protocol.sweep import attempt_is_over, clear_abandoned

if TYPE_CHECKING:
    from reconciler.ledger.document import Document


def keep_live(s: Situation, document: Document) -> Step:
    """The manifest is gone, and its policy says that the endpoint is not to go with it."""
    ledger = document.ledger
    if ledger.deletion_policy is DeletionPolicy.PROTECT:
        return Failed(
            "the webhook is protected (deletionPolicy: Protect)",
            hint="bring its manifest back, or merge a change of its deletionPolicy first",
        )
    # What it replaced is nobody's to keep: no later run looks after it.
    if step := retire(s, document, at_once=True):
        return step
    if not ledger.released:
        released = replace(ledger, released=True, run=s.run)
        return write(s, replace(document, ledger=released), "release the endpoint")
    due = next_due(ledger)
    return (
        drop_expired(s, document)
        or record(s, document)
        or (Wait(due) if due is not None and due > s.now else Done())
    )


def remove(s: Situation, document: Document) -> Step:
    """Delete every endpoint that is ours, then the secret; the metadata keeps the generation."""
    ledger = document.ledger
    if (ledger.current or ledger.previous) and not ledger.removing:
        removing = replace(ledger, removing=True, run=s.run)
        return write(s, replace(document, ledger=removing), "record the removal")
    urls = {p.endpoint_id: p.url for p in ledger.previous}
    if ledger.current is not None:
        urls[ledger.current.endpoint_id] = ledger.current.url
    for endpoint_id in sorted(ledger.recorded_ids):
        step = let_go(s, endpoint_id, urls[endpoint_id], "delete the endpoint")
        if isinstance(step, Hold) and s.desired is not None:
            # The manifest is back, and whoever takes the URL over may be waiting for this very webhook.
            return write(
                s, replace(document, ledger=replace(ledger, removing=False)), "take the removal back"
            )
        if step is not None:
            return step
    if ledger.abandoned and not s.listing_current:
        return ListAgain()
    if step := clear_abandoned(s, ledger):
        return step
    if ledger.current is not None or ledger.previous:
        emptied = replace(ledger, current=None, previous=())
        return write(s, replace(document, ledger=emptied), "record that it is gone")
    if remaining := tuple(a for a in ledger.abandoned if not attempt_is_over(a, s.listing_began)):
        if s.desired is not None:
            # The manifest is back: what is still watched does not keep it waiting.
            return begin(s, replace(document, ledger=replace(ledger, removing=False)), s.desired)
        # A request that was given up may still be carried out: watch for it a little longer.
        return record(s, document) or Wait(max(a.abandoned_at for a in remaining) + CLOCK_TOLERANCE)
    gone = project(document, s.stored.version, tested=True, state="deleted")
    if s.stored.projection != gone:
        return WriteProjection(gone)
    # Last of all: a write after it would revive the secret.
    return SoftDelete(s.stored.version)
