"""The end of what was replaced: its endpoint is deleted, and later its secret is dropped and destroyed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.plan.protocol.create import DELIVERY_RETRIES
from reconciler.plan.protocol.state import Situation, let_go, record, write
from reconciler.plan.protocol.steps import DestroyBefore, Step

if TYPE_CHECKING:
    from reconciler.ledger.document import Document
    from reconciler.ledger.ledger import Previous


def retire(
    s: Situation, document: Document, *, except_at: str | None = None, at_once: bool = False
) -> Step | None:
    """Return the next step of deleting the replaced endpoints whose time has come; None: there is none.

    Args:
        s: the situation.
        document: whose previous endpoints are meant.
        except_at: endpoints at this normalised URL stay.
        at_once: whether they are all due now.
    """
    due = [
        p
        for p in document.ledger.previous
        if p.deleted_at is None
        and (at_once or p.retire_after <= s.now)
        and not _stands_at(s, p.endpoint_id, except_at)
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
    return write(s, replace(document, ledger=ledger), "record that it is gone")


def _stands_at(s: Situation, endpoint_id: str, normalized_url: str | None) -> bool:
    endpoint = s.live.get(endpoint_id)
    return endpoint is not None and endpoint.normalized_url == normalized_url


def drop_expired(s: Situation, document: Document) -> Step | None:
    """Return the next step of dropping the secrets that nothing can be signed with any more.

    The metadata announces an expiry before the ledger forgets it: so a run that is killed in between still
    destroys the versions that hold the secret.
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
    is_over = announced is not None and announced <= s.now and not any(_is_due(p, s) for p in ledger.previous)
    # The newest version holds every secret that is still of use.
    return DestroyBefore(s.stored.version) if is_over and not s.progress.purged else None


def _is_due(previous: Previous, s: Situation) -> bool:
    moment = previous.expire_at if previous.deleted_at else previous.retire_after
    return moment is not None and moment <= s.now
