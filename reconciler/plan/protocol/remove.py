"""Remove a webhook: its endpoints, then its secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.ledger.projection import project
from reconciler.plan.protocol.cleanup import clear_abandoned
from reconciler.plan.protocol.create import begin
from reconciler.plan.protocol.state import State, let_go, record, write
from reconciler.plan.protocol.steps import (
    Hold,
    ListAgain,
    SoftDelete,
    Step,
    Wait,
    WriteProjection,
)

if TYPE_CHECKING:
    from reconciler.ledger.document import Document


def remove(s: State, document: Document) -> Step:
    """Delete every owned endpoint, then the secret; the metadata keeps the generation."""
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
            # The manifest is back, and the webhook that takes over the URL may be waiting for this one.
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
        return write(s, replace(document, ledger=emptied), "record the deletion")
    if remaining := tuple(a for a in ledger.abandoned if a.watched_until > s.listing_began):
        if s.desired is not None:
            # The manifest is back: it need not wait until abandoned attempts are no longer watched.
            return begin(s, replace(document, ledger=replace(ledger, removing=False)), s.desired)
        # The API may still carry out an abandoned request: watch for its endpoint a little longer.
        return record(s, document) or Wait(max(a.watched_until for a in remaining))
    gone = project(document, s.stored.version, tested=True, state="deleted")
    if s.stored.projection != gone:
        return WriteProjection(gone)
    # This comes last: a write after it would revive the secret.
    return SoftDelete(s.stored.version)
