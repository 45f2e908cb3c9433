"""Learn how the API spells an endpoint: a difference that its successor shows, too, is not anybody's change.

The listing of an API may write URL or events differently from what was sent. The first time that an endpoint
differs, it looks as if somebody had changed it, so it is replaced, and what was listed is kept as a
suspicion. If the listing shows the successor in the same way, that is how this API writes it: no drift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.ledger.ledger import Spelling
from reconciler.plan.protocol.state import State, record, write
from reconciler.plan.protocol.steps import Done, Step

if TYPE_CHECKING:
    from reconciler.ledger.document import Document
    from reconciler.ledger.ledger import Ledger
    from reconciler.model import Endpoint, Webhook
    from reconciler.plan.live import LiveIndex


def suspected(ledger: Ledger, webhook: Webhook, live: LiveIndex) -> Spelling | None:
    """Return the spelling that the endpoint shows, which is to be replaced; None: it is as asked, or gone."""
    current = ledger.current
    endpoint = live.get(current.endpoint_id) if current is not None else None
    if current is None or webhook.digest != current.digest:
        return None
    if endpoint is None or is_as_asked(ledger, webhook, endpoint):
        return ledger.suspected if ledger.suspected and ledger.suspected.digest == webhook.digest else None
    return Spelling(current.digest, endpoint.digest)


def without_successor(ledger: Ledger, live: LiveIndex) -> Ledger:
    """Return the ledger after a replacement that failed: only a successor can confirm a suspicion.

    The endpoint that raised it is still the current one, and would confirm itself.
    """
    is_live = ledger.current is not None and live.get(ledger.current.endpoint_id) is not None
    return replace(ledger, suspected=None) if is_live else ledger


def is_as_asked(ledger: Ledger, webhook: Webhook, endpoint: Endpoint) -> bool:
    """Whether the endpoint is as the manifest asks, or what the API is known to make of exactly that."""
    current = ledger.current
    if endpoint.serves(webhook):
        return True
    if current is None or webhook.digest != current.digest:
        return False
    made = {current.live_digest or current.digest}
    if ledger.spelling is not None and ledger.spelling.digest == webhook.digest:
        made.add(ledger.spelling.listed)
    return endpoint.digest in made


def settle_suspicion(s: State, document: Document, webhook: Webhook) -> Step:
    """Record whether the API spells the endpoint so; the suspicion is over in both cases."""
    ledger, current = document.ledger, document.ledger.current
    endpoint = s.live.get(current.endpoint_id) if current is not None else None
    if ledger.suspected is None or endpoint is None:
        return record(s, document) or Done()
    if is_as_asked(ledger, webhook, endpoint):
        forgotten = replace(document, ledger=replace(ledger, suspected=None))
        return write(s, forgotten, "record that the difference was not the API's spelling")
    if endpoint.digest == ledger.suspected.listed:
        learned = replace(ledger, spelling=ledger.suspected, suspected=None)
        return write(s, replace(document, ledger=learned), "record the API's spelling")
    # Another difference: the next plan shows it.
    return record(s, document) or Done()
