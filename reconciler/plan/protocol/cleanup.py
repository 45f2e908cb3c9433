"""Clean up: replaced endpoints, expired secrets, and leftovers of abandoned attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.plan.outcome import Conflict
from reconciler.plan.protocol.decide import EITHER_WAY, REMOVE, take_over
from reconciler.plan.protocol.state import State, delete, let_go, record, served_url, write
from reconciler.plan.protocol.steps import DestroyBefore, Done, Step
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.ledger.document import Document
    from reconciler.ledger.ledger import Abandoned, Ledger, Previous
    from reconciler.model import Endpoint
    from reconciler.plan.live import LiveIndex

DELIVERY_RETRIES = timedelta(hours=24)
"""How long deliveries signed with a replaced secret may still arrive."""


def retire(
    s: State, document: Document, *, except_at: str | None = None, all_due: bool = False
) -> Step | None:
    """Return the next step of deleting the replaced endpoints that are due; None: there are none.

    Args:
        s: the state.
        document: the document with the replaced endpoints.
        except_at: endpoints at this normalised URL stay.
        all_due: whether all of them are due now.
    """
    due = [
        p
        for p in document.ledger.previous
        if p.deleted_at is None and (all_due or p.retire_after <= s.now) and not _is_at(s, p, except_at)
    ]
    for previous in due:
        if step := let_go(s, previous.endpoint_id, previous.url, "delete the replaced endpoint"):
            return step
    if not due:
        return None
    gone = {p.endpoint_id for p in due}
    previous_now = tuple(
        replace(p, deleted_at=s.now, expire_at=p.expire_at or s.now + DELIVERY_RETRIES)
        if p.endpoint_id in gone
        else p
        for p in document.ledger.previous
    )
    ledger = replace(document.ledger, previous=previous_now)
    return write(s, replace(document, ledger=ledger), "record the deletion")


def _is_at(s: State, previous: Previous, normalized_url: str | None) -> bool:
    if s.live.get(previous.endpoint_id) is None:
        return False
    return normalize_url(served_url(s, previous.endpoint_id, previous.url)) == normalized_url


def drop_expired(s: State, document: Document) -> Step | None:
    """Return the next step of dropping the secrets whose deliveries can no longer arrive.

    The metadata announces an expiry before the ledger forgets it: if a run is killed in between, the next one
    still destroys the versions that hold the secret.
    """
    ledger = document.ledger
    expired = {
        p.endpoint_id for p in ledger.previous if p.deleted_at and p.expire_at and p.expire_at <= s.now
    }
    if expired:
        kept = tuple(p for p in ledger.previous if p.endpoint_id not in expired)
        secrets = {k: v for k, v in document.previous_secrets.items() if k not in expired}
        dropped = replace(document, ledger=replace(ledger, previous=kept), previous_secrets=secrets)
        return record(s, document) or write(s, dropped, "drop the expired secret")
    announced = s.stored.projection.next_due if s.stored.projection else None
    is_due = any(p.next_due is not None and p.next_due <= s.now for p in ledger.previous)
    is_over = announced is not None and announced <= s.now and not is_due
    # The newest version holds every secret that is still needed.
    return DestroyBefore(s.stored.version) if is_over and not s.progress.purged else None


def sweep_step(s: State) -> Step:
    """Return the next step of deleting the endpoints that abandoned attempts may have left.

    Call it only when every intent of the run is resolved: one document's abandoned URL may be another's
    pending one.
    """
    document = s.stored.document
    if document is None or document.ledger.pending is not None:
        return Done()
    ledger = document.ledger
    if step := clear_abandoned(s, ledger):
        return step
    kept = tuple(
        a
        for a in ledger.abandoned
        if a.watched_until > s.listing_began or (ledger.current is None and _may_explain(a, s.live))
    )
    if kept != ledger.abandoned:
        swept = replace(document, ledger=replace(ledger, abandoned=kept))
        return write(s, swept, "forget the abandoned attempt")
    return record(s, document) or Done()


def clear_abandoned(s: State, ledger: Ledger, *, among: frozenset[str] | None = None) -> Step | None:
    """Return the next deletion of an abandoned attempt's endpoint, or its failure; None: there is none left.

    Only endpoints in `among` are deleted; None: all.
    """
    for attempt in ledger.abandoned:
        for endpoint in leftovers(attempt, s.live, spared=ledger.recorded_ids):
            if among is not None and endpoint.id not in among:
                continue
            if step := delete(s, endpoint.id, "delete the leftover of an abandoned attempt"):
                return step
    return None


def leftovers(
    attempt: Abandoned, live: LiveIndex, *, spared: frozenset[str] = frozenset()
) -> Iterator[Endpoint]:
    """Yield the live endpoints that only `attempt` can have created.

    They have its normalised URL and exactly its events, did not exist before it, are not in any ledger
    (`spared` is what the attempt's own ledger records), and were created while its request was under way.
    """
    for endpoint in _resembling(attempt, live, spared):
        if attempt.may_have_made(endpoint):
            yield endpoint


def lookalikes(ledger: Ledger, live: LiveIndex) -> list[Endpoint]:
    """Return the live endpoints that abandoned attempts may have created, but without evidence, by id.

    They are like leftovers, except that the API does not say when they were created, says another time than
    that of a request, or spells URL or events differently. They may be a person's: nothing is done to them.
    """
    found: dict[str, Endpoint] = {}
    explained: set[str] = set()
    for attempt in ledger.abandoned:
        for endpoint in live.spelled_like(attempt.url):
            if not attempt.may_be_spelled(endpoint) or _is_known(endpoint, live, ledger.recorded_ids):
                continue
            found[endpoint.id] = endpoint
            if attempt.may_have_made(endpoint):
                explained.add(endpoint.id)
    return [found[endpoint_id] for endpoint_id in sorted(found.keys() - explained)]


def describe_lookalike(name: str, ledger: Ledger, endpoint: Endpoint) -> Conflict:
    """Return the conflict for an endpoint that is like a leftover of `name`, with what to do about it."""
    if ledger.current is None:
        hint = f"{take_over(name, endpoint)}, or {REMOVE}"
    else:
        hint = f"if nobody needs it, {REMOVE}; {name} has endpoint {ledger.current.endpoint_id}"
    url = mask_unreviewed(endpoint.url, *(attempt.url for attempt in ledger.abandoned))
    return Conflict(name, endpoint.id, f"endpoint {endpoint.id} is live at {url}{EITHER_WAY}", hint)


def _may_explain(attempt: Abandoned, live: LiveIndex) -> bool:
    """Whether a live endpoint may be this attempt's: the conflict with it must name both possibilities."""
    return any(True for _ in _resembling(attempt, live, frozenset()))


def _resembling(attempt: Abandoned, live: LiveIndex, spared: frozenset[str]) -> Iterator[Endpoint]:
    for endpoint in live.at(normalize_url(attempt.url)):
        if attempt.resembles(endpoint) and not _is_known(endpoint, live, spared):
            yield endpoint


def _is_known(endpoint: Endpoint, live: LiveIndex, spared: frozenset[str]) -> bool:
    return endpoint.id in spared or live.is_recorded(endpoint.id)
