"""What requests that were given up may have left, and when it is certain that they left nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.plan.protocol.need import CLOCK_TOLERANCE, candidates
from reconciler.plan.protocol.state import Situation, delete, record, write
from reconciler.plan.protocol.steps import Done, Step

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.ledger.ledger import Abandoned, Ledger


def sweep_step(s: Situation) -> Step:
    """Return the next step of clearing what abandoned attempts may have left.

    It is asked after every intent of the run is resolved: one document's abandoned URL may be
    another's pending one.
    """
    document = s.stored.document
    if document is None or document.ledger.pending is not None:
        return Done()
    ledger = document.ledger
    if step := clear_abandoned(s, ledger):
        return step
    kept = tuple(a for a in ledger.abandoned if not attempt_is_over(a, s.listing_began))
    if kept != ledger.abandoned:
        swept = replace(document, ledger=replace(ledger, abandoned=kept))
        return write(s, swept, "forget the abandoned attempt")
    return record(s, document) or Done()


def clear_abandoned(s: Situation, ledger: Ledger, *, among: frozenset[str] | None = None) -> Step | None:
    """Return the next deletion of what an abandoned attempt made, or its failure; None: all clear.

    `among` are the only endpoints that may go; None: all.
    """
    for attempt in ledger.abandoned:
        for endpoint in candidates(attempt, s.live, spared=ledger.recorded_ids):
            if among is not None and endpoint.id not in among:
                continue
            if step := delete(s, endpoint.id, "delete what an abandoned attempt made"):
                return step
    return None


def attempt_is_over(attempt: Abandoned, listing_began: datetime) -> bool:
    """Whether a listing that began then shows everything that `attempt` can have made."""
    return listing_began >= attempt.abandoned_at + CLOCK_TOLERANCE
