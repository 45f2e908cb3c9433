"""The step function: what is the next step from here?

Pure, and the only place that knows the order of things. A run asks, takes one step, and asks again
with what came back; a killed run's successor asks the same question from what is written. So there
is no recovery path: creation, replacement, rotation, removal and resumption are one walk.

    intent written -> POST -> secret stored -> tested -> predecessor deleted -> its secret dropped
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.model import DeletionPolicy, Webhook
from reconciler.plan.protocol.adopt import adopt
from reconciler.plan.protocol.create import begin, blank, resolve
from reconciler.plan.protocol.need import needed
from reconciler.plan.protocol.project import document_from_projection, next_due
from reconciler.plan.protocol.remove import keep_live, remove
from reconciler.plan.protocol.retire import drop_expired, retire
from reconciler.plan.protocol.state import Situation, delete, record, refuses_key, write
from reconciler.plan.protocol.steps import (
    Done,
    Failed,
    Failure,
    Hold,
    ListAgain,
    Step,
    TestEndpoint,
    Undelete,
    Wait,
)
from reconciler.ports import (
    Delivered,
    NotDelivered,
    Refused,
    VersionState,
)

if TYPE_CHECKING:
    from reconciler.ledger.document import Document
    from reconciler.ledger.ledger import Current, Ledger


def next_step(s: Situation) -> Step:
    """Return the next step towards `s.desired` (None: the webhook is to go)."""
    stored = s.stored
    projection = stored.projection
    removed = (
        projection is not None and projection.state == "deleted" and projection.version == stored.version
    )
    if stored.state is VersionState.DELETED and not removed:
        return _undelete(s)
    if stored.state is VersionState.LIVE and stored.document is not None:
        document: Document | None = stored.document
    elif stored.state is VersionState.DESTROYED and projection is not None and not removed:
        # The secret is lost; the metadata's id still proves whose endpoint it is.
        document = document_from_projection(projection)
    else:
        document = None
    if document is not None and (foreign := _foreign(s, document.ledger)):
        return foreign
    if s.adoption is not None and s.desired is not None:
        taking_over = adopt(s, document, s.desired, s.adoption)
        if taking_over is not None:
            return taking_over
    if document is None:
        return Done() if s.desired is None else begin(s, blank(s), s.desired)
    step = _step(s, document)
    # Whatever ends the change for now, the metadata says how far it came: the next plan goes by that.
    if isinstance(step, Failed | Hold) and document.ledger.pending is None:
        return record(s, document) or step
    return step


def _undelete(s: Situation) -> Step:
    if s.stored.projection is None:
        return Failed(
            "the document was deleted in Vault, and nothing tells whose it was",
            hint=f"undelete version {s.stored.version} or destroy it, then run `reconciler apply` again",
        )
    return Undelete(s.stored.version)


def _foreign(s: Situation, ledger: Ledger) -> Failed | None:
    """Return why this document is none of ours to change."""
    if (ledger.organization, ledger.api_url) != (s.organization.name, s.organization.api_url):
        return Failed(
            f"the document belongs to organization {ledger.organization} at {ledger.api_url}",
            hint="check --organization, ZOF_API_URL and --vault-prefix",
        )
    if ledger.name not in {"", s.name}:
        return Failed(
            f"the document is a copy of {ledger.name}'s: its endpoints are not its own",
            hint="remove the copy in Vault, metadata and all, then run `reconciler apply` again",
        )
    return None


def _step(s: Situation, document: Document) -> Step:
    ledger = document.ledger
    if s.progress.failed is not None:
        return s.progress.failed
    if (stray := _stray(s, ledger)) and (step := delete(s, stray, "delete the endpoint in no ledger")):
        return step
    if ledger.pending is not None:
        return resolve(s, document, ledger.pending)
    if ledger.removing or (s.desired is None and _may_go(ledger)):
        return remove(s, document)
    return keep_live(s, document) if s.desired is None else _converge(s, document, s.desired)


def _may_go(ledger: Ledger) -> bool:
    """Whether the webhook goes with its manifest: nothing is to be kept where nothing was ever made."""
    return ledger.deletion_policy is DeletionPolicy.DELETE or not (ledger.current or ledger.previous)


def _stray(s: Situation, ledger: Ledger) -> str | None:
    """Return the endpoint that this run made and that no slot of the document took up.

    It happens when another run wrote first: theirs counts, ours goes. And where the API hides a secret.
    """
    made = s.progress.made
    if made is None or (ledger.pending is not None and ledger.pending.idempotency_key == s.progress.key):
        return None
    endpoint_id = made.endpoint.id
    slots = {p.endpoint_id for p in ledger.previous} | s.progress.baseline_ids | s.progress.deleted
    if ledger.current is not None:
        slots |= {ledger.current.endpoint_id}
    return None if endpoint_id in slots else endpoint_id


def _converge(s: Situation, document: Document, webhook: Webhook) -> Step:
    ledger = document.ledger
    current = ledger.current
    if ledger.released:
        return _take_up(s, document, webhook)
    need = needed(webhook, current, s.live, s.now, has_secret=document.signing_secret is not None)
    if need is not None:
        return _retire_overdue(s, document, webhook) or begin(s, document, webhook)
    if step := _update(s, document, webhook):
        return step
    if current is not None and current.verified_at is None and webhook.test:
        return _verify(s, document, current)
    return retire(s, document) or drop_expired(s, document) or _settle(s, document)


def _retire_overdue(s: Situation, document: Document, webhook: Webhook) -> Step | None:
    """Delete what is overdue first: it is not to stay for as long as creations fail.

    But not what the manifest comes back to, as long as nothing else serves that URL.
    """
    current = document.ledger.current
    serving = s.live.get(current.endpoint_id) if current is not None else None
    if current is None or current.verified_at is None or serving is None:
        return None
    wanted = webhook.normalized_url
    return retire(s, document, except_at=None if serving.normalized_url == wanted else wanted)


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
    if refuses_key(answer):
        return Failed(f"the API refused the key: {answer}", hint="check the API key", failure=Failure.RUN)
    if isinstance(answer, Refused) and answer.status == 404 and not s.listing_current:  # noqa: PLR2004 - not found
        # If it is gone, it is made anew; if it is still there, the API cannot test it.
        return ListAgain()
    words = answer.reason if isinstance(answer, NotDelivered) else str(answer)
    request = (
        f" [request {answer.request_id}]" if isinstance(answer, NotDelivered) and answer.request_id else ""
    )
    return Failed(
        f"the test delivery to endpoint {current.endpoint_id} failed: {words}{request}",
        hint="repair the receiver and run `reconciler apply` again, or set `test: false`",
        failure=Failure.UNVERIFIED,
    )


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
