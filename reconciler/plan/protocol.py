"""The step function: what is the next step from here?

Pure, and the only place that knows the order of things. A run asks, takes one step, and asks again
with what came back; a killed run's successor asks the same question from what is written. So there
is no recovery path: creation, replacement, rotation, removal and resumption are one walk.

    intent written -> POST -> secret stored -> tested -> predecessor deleted -> its secret dropped
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.model import DeletionPolicy, Webhook
from reconciler.plan.intent import begin, blank, resolve
from reconciler.plan.need import needed
from reconciler.plan.project import document_from_projection, next_due
from reconciler.plan.removal import keep_live, remove
from reconciler.plan.situation import Situation, delete, give_up_on, record, write
from reconciler.plan.steps import (
    DestroyBefore,
    Done,
    Failed,
    Failure,
    Step,
    TestEndpoint,
    Undelete,
    Wait,
)
from reconciler.ports import (
    Delivered,
    NotDelivered,
    VersionState,
)

if TYPE_CHECKING:
    from reconciler.ledger import Current, Document, Ledger

DELIVERY_RETRIES = timedelta(hours=24)
"""How long deliveries signed with a replaced secret may still arrive."""


def next_step(s: Situation) -> Step:
    """Return the next step towards `s.desired` (None: the webhook is to go)."""
    stored = s.stored
    removed = stored.projection is not None and stored.projection.state == "deleted"
    if stored.state is VersionState.DELETED and not removed:
        return Undelete(stored.version)
    if stored.state is VersionState.LIVE and stored.document is not None:
        document: Document | None = stored.document
    elif stored.state is VersionState.DESTROYED and stored.projection is not None and not removed:
        # The secret is lost; the metadata's id still proves whose endpoint it is.
        document = document_from_projection(stored.projection)
    else:
        document = None
    if document is None:
        return Done() if s.desired is None else begin(s, blank(s), s.desired)
    return _step(s, document)


def _step(s: Situation, document: Document) -> Step:
    ledger = document.ledger
    if (ledger.organization, ledger.api_url) != (s.organization.name, s.organization.api_url):
        return Failed(
            f"the document belongs to organization {ledger.organization} at {ledger.api_url}",
            hint="check --organization, ZOF_API_URL and --vault-prefix",
        )
    if s.progress.failed is not None:
        return (None if ledger.pending else record(s, document)) or s.progress.failed
    if stray := _stray(s, ledger):
        return delete(s, stray, "delete the endpoint that lost the race") or give_up_on(s, stray)
    if ledger.pending is not None:
        return resolve(s, document, ledger.pending)
    if s.desired is None and not ledger.removing and ledger.deletion_policy is not DeletionPolicy.DELETE:
        return keep_live(s, document)
    if s.desired is None or ledger.removing:
        return remove(s, document)
    return _converge(s, document, s.desired)


def _stray(s: Situation, ledger: Ledger) -> str | None:
    """Return the endpoint that this run made and that no slot of the document took up.

    It happens when another run wrote first: theirs counts, ours goes.
    """
    made = s.progress.made
    if made is None or (ledger.pending is not None and ledger.pending.idempotency_key == s.progress.key):
        return None
    slots = {p.endpoint_id for p in ledger.previous} | (
        {ledger.current.endpoint_id} if ledger.current else set()
    )
    endpoint_id = made.endpoint.id
    return None if endpoint_id in slots or endpoint_id in s.progress.deleted else endpoint_id


def _converge(s: Situation, document: Document, webhook: Webhook) -> Step:
    ledger = document.ledger
    current = ledger.current
    if ledger.released:
        return _take_up(s, document, webhook)
    need = needed(webhook, document, s.live, s.now)
    if need is not None:
        return begin(s, document, webhook)
    if current is not None and current.verified_at is None and webhook.test:
        return _verify(s, document, current)
    return (
        _retire(s, document)
        or _drop_expired(s, document)
        or _update(s, document, webhook)
        or _settle(s, document)
    )


def _take_up(s: Situation, document: Document, webhook: Webhook) -> Step:
    """A released webhook's manifest came back."""
    current = document.ledger.current
    endpoint = s.live.get(current.endpoint_id) if current else None
    if endpoint is None:
        forgotten = replace(document, ledger=replace(document.ledger, current=None, released=False))
        return begin(s, forgotten, webhook)
    if not endpoint.serves(webhook):
        return Failed(
            f"endpoint {endpoint.id}, released earlier, has another URL or other events",
            hint="give the manifest its URL and events to take it up again, or remove the endpoint",
        )
    ledger = replace(document.ledger, released=False, deletion_policy=webhook.deletion_policy, run=s.run)
    return write(s, replace(document, ledger=ledger), "take the released endpoint up again")


def _verify(s: Situation, document: Document, current: Current) -> Step:
    tested = s.progress.tested
    if tested is None or tested[0] != current.endpoint_id:
        return TestEndpoint(current.endpoint_id)
    answer = tested[1]
    if isinstance(answer, Delivered):
        verified = replace(document.ledger, current=replace(current, verified_at=s.now))
        return write(s, replace(document, ledger=verified), "record that the delivery was accepted")
    words = answer.reason if isinstance(answer, NotDelivered) else str(answer)
    request = (
        f" [request {answer.request_id}]" if isinstance(answer, NotDelivered) and answer.request_id else ""
    )
    failed = Failed(
        f"the test delivery to endpoint {current.endpoint_id} failed: {words}{request}",
        hint="repair the receiver and run `reconciler apply` again, or set `test: false`",
        failure=Failure.UNVERIFIED,
    )
    return record(s, document) or failed


def _retire(s: Situation, document: Document) -> Step | None:
    """Delete the replaced endpoints whose time has come."""
    due = [p for p in document.ledger.previous if p.deleted_at is None and p.retire_after <= s.now]
    for previous in due:
        if previous.endpoint_id in s.progress.undeleted:
            return record(s, document) or give_up_on(s, previous.endpoint_id)
        step = delete(s, previous.endpoint_id, "delete the replaced endpoint")
        if step is not None:
            return step
    if not due:
        return None
    gone = {p.endpoint_id for p in due}
    previous_now = tuple(
        replace(p, deleted_at=s.now, expire_at=s.now + DELIVERY_RETRIES) if p.endpoint_id in gone else p
        for p in document.ledger.previous
    )
    ledger = replace(document.ledger, previous=previous_now)
    return write(s, replace(document, ledger=ledger), "record that it is gone")


def _drop_expired(s: Situation, document: Document) -> Step | None:
    """Drop the secrets that no delivery can be signed with any more, and destroy their versions."""
    ledger = document.ledger
    expired = {p.endpoint_id for p in ledger.previous if p.expire_at is not None and p.expire_at <= s.now}
    if expired:
        kept = tuple(p for p in ledger.previous if p.endpoint_id not in expired)
        secrets = {k: v for k, v in document.previous_secrets.items() if k not in expired}
        dropped = replace(document, ledger=replace(ledger, previous=kept), previous_secrets=secrets)
        return write(s, dropped, "drop the expired secret")
    announced = s.stored.projection.next_due if s.stored.projection else None
    if announced is not None and announced <= s.now and not ledger.previous and not s.progress.purged:
        # The metadata still announces an expiry that the ledger no longer has.
        return DestroyBefore(s.stored.version)
    return None


def _update(s: Situation, document: Document, webhook: Webhook) -> Step | None:
    """Write down what the manifest says and the API does not know."""
    ledger = document.ledger
    if s.stored.state is VersionState.LIVE and ledger.deletion_policy is webhook.deletion_policy:
        return None
    ledger = replace(ledger, deletion_policy=webhook.deletion_policy, owner=webhook.owner, run=s.run)
    return write(s, replace(document, ledger=ledger), "record the deletion policy")


def _settle(s: Situation, document: Document) -> Step:
    due = next_due(document.ledger)
    return record(s, document) or (Wait(due) if due is not None and due > s.now else Done())
