"""Why a webhook's endpoint must be made, or made anew: the one rule that plan and protocol share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.plan.plan import Action, Cause
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from reconciler.ledger import Abandoned, Document, Pending
    from reconciler.model import Endpoint, Webhook
    from reconciler.plan.live import LiveIndex


@dataclass(frozen=True, slots=True)
class Need:
    """A new endpoint is needed."""

    action: Action
    reason: str
    cause: Cause


def needed(webhook: Webhook, document: Document | None, live: LiveIndex, now: datetime) -> Need | None:
    """Return why `webhook` needs a new endpoint, or None when its current one is what it asks for.

    | current | live endpoint | manifest against ledger | secret | need |
    |---|---|---|---|---|
    | none | - | - | - | create, manifest |
    | recorded | gone | same | - | replace, drift |
    | recorded | gone | other | - | replace, manifest |
    | recorded | differs | same | - | replace, drift |
    | recorded | differs | other | - | replace, manifest |
    | recorded | as asked | - | missing | replace, drift |
    | recorded | as asked | - | older than `createdAfter` | rotate, rotation |
    | recorded | as asked | - | there | none |
    """
    current = document.ledger.current if document else None
    if document is None or current is None:
        return Need(Action.CREATE, "the manifest is new", Cause.MANIFEST)
    endpoint = live.get(current.endpoint_id)
    if endpoint is None or not endpoint.serves(webhook):
        if webhook.digest != current.digest:
            return Need(Action.REPLACE, "the manifest was changed", Cause.MANIFEST)
        what = "is gone" if endpoint is None else "was changed outside"
        return Need(Action.REPLACE, f"endpoint {current.endpoint_id} {what}", Cause.DRIFT)
    if document.signing_secret is None:
        return Need(Action.REPLACE, "the signing secret is missing in Vault", Cause.DRIFT)
    if webhook.created_after is not None and current.created_at < webhook.created_after <= now:
        return Need(
            Action.ROTATE,
            f"the signing secret is older than {webhook.created_after.isoformat()}",
            Cause.ROTATION,
        )
    return None


def conflicting(webhook: Webhook, document: Document | None, live: LiveIndex) -> Endpoint | None:
    """Return a live endpoint that stands where `webhook` wants to be and that nobody recorded.

    Where one of our own endpoints already serves that URL, a stranger beside it is none of our business.
    What an abandoned attempt of this very document explains is no stranger: the sweep takes it.
    """
    neighbours = live.at(webhook.normalized_url)
    ledger = document.ledger if document else None
    if ledger and any(endpoint.id in ledger.owned_ids for endpoint in neighbours):
        return None
    explained = {e.id for a in (ledger.abandoned if ledger else ()) for e in candidates(a, live)}
    for endpoint in neighbours:
        if not live.is_owned(endpoint.id) and endpoint.id not in explained:
            return endpoint
    return None


def candidates(attempt: Pending | Abandoned, live: LiveIndex) -> Iterator[Endpoint]:
    """Yield the live endpoints that only `attempt` explains.

    They have its normalised URL and exactly its events, were not there before it, are owned by nobody,
    and were not made more than five minutes before it was written (clocks differ).
    """
    events = tuple(sorted(attempt.events))
    for endpoint in live.at(normalize_url(attempt.url)):
        too_old = endpoint.created is not None and (
            (attempt.written_at - endpoint.created).total_seconds() > CLOCK_TOLERANCE
        )
        known = endpoint.id in attempt.baseline_ids or live.is_owned(endpoint.id)
        if endpoint.events == events and not known and not too_old:
            yield endpoint


CLOCK_TOLERANCE = 300.0
"""Seconds that the clocks of the API, of Vault and of this machine may differ."""
