"""Why a webhook's endpoint must be made, or made anew: the one rule that plan and protocol share."""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.plan.plan import Action, Cause
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from reconciler.ledger.document import Document
    from reconciler.ledger.ledger import Abandoned, Current
    from reconciler.model import Endpoint, Webhook
    from reconciler.plan.live import LiveIndex


CLOCK_TOLERANCE = timedelta(minutes=5)
"""How much the clocks of the API, of Vault and of this machine may differ."""


class Need(Struct, frozen=True):
    """A new endpoint is needed."""

    action: Action
    reason: str
    cause: Cause


def needed(
    webhook: Webhook, current: Current | None, live: LiveIndex, now: datetime, *, has_secret: bool
) -> Need | None:
    """Return why `webhook` needs a new endpoint, or None when its `current` one is what it asks for.

    `has_secret` says whether that one's signing secret is there.

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
    if current is None:
        return Need(Action.CREATE, "the manifest is new", Cause.MANIFEST)
    endpoint = live.get(current.endpoint_id)
    if endpoint is None or not _is_as_asked(endpoint, webhook, current):
        if webhook.digest != current.digest:
            return Need(Action.REPLACE, "the manifest was changed", Cause.MANIFEST)
        what = "is gone" if endpoint is None else "was changed outside"
        return Need(Action.REPLACE, f"endpoint {current.endpoint_id} {what}", Cause.DRIFT)
    if not has_secret:
        return Need(Action.REPLACE, "the signing secret is missing in Vault", Cause.DRIFT)
    if webhook.created_after is not None and current.created_at < webhook.created_after <= now:
        return Need(
            Action.ROTATE,
            f"the signing secret is older than {webhook.created_after.isoformat()}",
            Cause.ROTATION,
        )
    return None


def _is_as_asked(endpoint: Endpoint, webhook: Webhook, current: Current) -> bool:
    """Whether the endpoint is what the manifest asks for, or what the API made of exactly that.

    An API may write a URL or the events in its own way: what has not changed since is no drift.
    """
    if endpoint.serves(webhook):
        return True
    return (
        bool(current.live_digest)
        and webhook.digest == current.digest
        and endpoint.digest == current.live_digest
    )


def is_served(webhook: Webhook, document: Document | None, live: LiveIndex, now: datetime) -> bool:
    """Whether `webhook` has the endpoint that it asks for, tested if it wants a test."""
    current = document.ledger.current if document else None
    if document is None or current is None:
        return False
    if needed(webhook, current, live, now, has_secret=document.signing_secret is not None) is not None:
        return False
    return current.verified_at is not None or not webhook.test


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


def conflict_told(name: str, stranger: Endpoint, *, serving: bool) -> tuple[str, str]:
    """Return what is wrong and what to do where `stranger` stands in the way of the webhook `name`.

    `serving` says whether the webhook has a live endpoint, which it would have to give up for adopting one.
    """
    problem = f"endpoint {stranger.id} is live at {stranger.url} and not in the ledger"
    if serving:
        return problem, f"remove it, or choose another URL: {name} has an endpoint already"
    command = f"reconciler adopt {name} --id {shlex.quote(stranger.id)}"
    return problem, f"take it over with `{command}`, or remove it"


def candidates(
    attempt: Abandoned, live: LiveIndex, *, spared: frozenset[str] = frozenset()
) -> Iterator[Endpoint]:
    """Yield the live endpoints that only `attempt` explains.

    They have its normalised URL and exactly its events, were not there before it, are in no ledger (`spared`
    is what the attempt's own ledger records), and were made while its request may have
    been on its way: not before it was written, not after it was last sent, as far as clocks agree.
    """
    events = tuple(sorted(attempt.events))
    earliest, latest = attempt.written_at - CLOCK_TOLERANCE, attempt.abandoned_at + CLOCK_TOLERANCE
    for endpoint in live.at(normalize_url(attempt.url)):
        known = endpoint.id in attempt.baseline_ids or endpoint.id in spared or live.is_recorded(endpoint.id)
        in_time = endpoint.created is None or earliest <= endpoint.created <= latest
        if endpoint.events == events and in_time and not known:
            yield endpoint
