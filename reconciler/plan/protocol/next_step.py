"""The step function: what is the next step from here?

Pure, and the only place that knows the order of steps. A run asks for a step, takes it, and asks again with
the result. The run after a killed one asks the same question from what is stored. So there is no recovery
path: creation, replacement, rotation, removal and resumption are one protocol.

    intent written -> POST -> secret stored -> tested -> predecessor deleted -> its secret dropped
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.ledger.projection import document_from_projection, project
from reconciler.model import Organization
from reconciler.plan.move import foreign_hint
from reconciler.plan.protocol.adopt import ADOPTED, adopt
from reconciler.plan.protocol.cleanup import drop_expired, retire
from reconciler.plan.protocol.create import begin, blank, explained_by, resolve
from reconciler.plan.protocol.decide import Branch, Decision, decide
from reconciler.plan.protocol.remove import remove
from reconciler.plan.protocol.spelling import settle_suspicion
from reconciler.plan.protocol.state import NOT_OURS, State, delete, is_not_found, record, refuses_key, write
from reconciler.plan.protocol.steps import (
    Done,
    Failed,
    Failure,
    Hold,
    ListAgain,
    SoftDelete,
    Step,
    TestEndpoint,
    Undelete,
    Wait,
)
from reconciler.ports import Delivered, NotDelivered, VersionState

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.ledger.document import Document
    from reconciler.ledger.ledger import Current, Ledger
    from reconciler.model import Webhook
    from reconciler.plan.live import LiveIndex


def next_step(s: State) -> Step:
    """Return the next step towards `s.desired` (None: the webhook must go)."""
    stored, projection = s.stored, s.stored.projection
    if stored.state is VersionState.DELETED and not stored.is_removed:
        return _undelete(s)
    document: Document | None = None
    if stored.state is VersionState.LIVE:
        document = stored.document
    elif stored.state is VersionState.DESTROYED and projection is not None and not stored.is_removed:
        # The secret is lost; the metadata's id still proves who owns the endpoint.
        document = document_from_projection(projection)
    if document is not None and (foreign := _foreign(s, document.ledger)):
        # Without metadata, only its content shows that a deleted document is somebody else's.
        return SoftDelete(stored.version) if s.progress.revived == stored.version else foreign
    if s.adoption is not None and s.desired is not None:
        adopting = adopt(s, document, s.desired, s.adoption)
        if adopting is not None:
            return adopting
    if document is None:
        return Done() if s.desired is None else begin(s, blank(s), s.desired)
    step = _step(s, document)
    # Whatever ends the change for now, the metadata records how far it came: the next plan depends on that.
    if isinstance(step, Failed | Hold) and document.ledger.pending is None:
        return record(s, document) or step
    return step


def is_served(webhook: Webhook, document: Document | None, live: LiveIndex, now: datetime) -> bool:
    """Whether `webhook` has the endpoint that it asks for, tested if it wants a test."""
    if document is None:
        return False
    projection = project(document, 0, tested=webhook.test)
    branch = decide(webhook, projection, VersionState.LIVE, live, now).branch
    return branch in {Branch.KEEP, Branch.SPELLING}


def _undelete(s: State) -> Step:
    if s.progress.revived is not None:
        return Failed(
            "the document was deleted in Vault, and it is not this webhook's: it was read and deleted again",
            hint=NOT_OURS,
        )
    return Undelete(s.stored.version, is_known=s.stored.projection is not None)


def _foreign(s: State, ledger: Ledger) -> Failed | None:
    """Return why this document is not ours to change."""
    if (ledger.organization, ledger.api_url) != (s.organization.name, s.organization.api_url):
        return Failed(
            f"the document belongs to organization {ledger.organization} at {ledger.api_url}",
            hint=foreign_hint(Organization(ledger.organization, ledger.api_url), s.organization),
        )
    if ledger.name not in {"", s.name}:
        return Failed(
            f"the document is a copy of that of {ledger.name}: its endpoints belong to {ledger.name}",
            hint="remove the copy in Vault, including its metadata, then run `reconciler apply` again",
        )
    return None


def _step(s: State, document: Document) -> Step:
    """Finish what an earlier step of the change left open, then carry the decision out."""
    ledger = document.ledger
    if s.progress.failed is not None:
        return s.progress.failed
    if (stray := _stray(s, ledger)) and (step := delete(s, stray, "delete the endpoint that no ledger has")):
        return step
    if ledger.pending is not None:
        return resolve(s, document, ledger.pending)
    tested = s.desired is None or s.desired.test
    decision = decide(
        s.desired,
        project(document, s.stored.version, tested=tested),
        s.stored.state,
        s.live,
        s.now,
        explained=explained_by(ledger, s.live),
    )
    return _carry_out(s, document, decision)


def _stray(s: State, ledger: Ledger) -> str | None:
    """Return the endpoint that this run created and the document does not mention.

    This happens when another run wrote first (its endpoint counts, ours is deleted), and where the API hides
    the secret.
    """
    made = s.progress.made
    if made is None or (ledger.pending is not None and ledger.pending.idempotency_key == s.progress.key):
        return None
    endpoint_id = made.endpoint.id
    slots = {p.endpoint_id for p in ledger.previous} | s.progress.baseline_ids | s.progress.deleted
    if ledger.current is not None:
        slots |= {ledger.current.endpoint_id}
    return None if endpoint_id in slots else endpoint_id


def _carry_out(s: State, document: Document, decision: Decision) -> Step:
    webhook = s.desired
    match decision.branch:
        case Branch.REMOVE:
            return remove(s, document)
        case Branch.RELEASE:
            return _release(s, document)
        case Branch.TAKE_BACK if webhook is not None:
            if decision.problem is not None:
                return Failed(decision.problem, hint=decision.hint)
            return _declare(s, document, webhook, "take the released endpoint back")
        case Branch.SPELLING if webhook is not None:
            # What this run created is known from the response so far, not from a listing.
            created_now = _is_made_now(s, document)
            return _settle(s, document) if created_now else settle_suspicion(s, document, webhook)
        case Branch.BEGIN if webhook is not None:
            if document.ledger.released:
                document = replace(document, ledger=replace(document.ledger, current=None, released=False))
            return _retire_overdue(s, document, webhook) or begin(s, document, webhook)
        case Branch.VERIFY | Branch.KEEP | Branch.LEAVE if webhook is not None:
            current = document.ledger.current
            if document.ledger.deletion_policy is not webhook.deletion_policy:
                return _declare(s, document, webhook, "record the deletion policy")
            if decision.branch is Branch.LEAVE:
                return record(s, document) or _left(s, document)
            if decision.branch is Branch.VERIFY and current is not None:
                return _verify(s, document, current)
            return retire(s, document) or _settle(s, document)
        case _:
            return Failed(
                "the webhook is protected (deletionPolicy: Protect)",
                hint="bring its manifest back, or merge a change of its deletionPolicy first",
            )


def _declare(s: State, document: Document, webhook: Webhook, description: str) -> Step:
    """Record what the manifest declares and the API does not know."""
    policy, owner = webhook.deletion_policy, webhook.owner
    # The manifest may have moved since.
    manifest = replace(document.ledger.manifest, path=webhook.recorded_path)
    ledger = replace(
        document.ledger, released=False, deletion_policy=policy, owner=owner, manifest=manifest, run=s.run
    )
    return write(s, replace(document, ledger=ledger), description)


def _retire_overdue(s: State, document: Document, webhook: Webhook) -> Step | None:
    """Delete replaced endpoints that are overdue first: they must not stay for as long as creations fail.

    An endpoint at the URL that the manifest returns to stays while no other endpoint serves that URL.
    """
    current = document.ledger.current
    serving = s.live.get(current.endpoint_id) if current is not None else None
    if current is None or current.verified_at is None or serving is None:
        return None
    wanted = webhook.normalized_url
    return retire(s, document, except_at=None if serving.normalized_url == wanted else wanted)


def _verify(s: State, document: Document, current: Current) -> Step:
    tested = s.progress.tested
    if tested is None or tested[0] != current.endpoint_id:
        return TestEndpoint(current.endpoint_id)
    answer = tested[1]
    if isinstance(answer, Delivered):
        verified = replace(document.ledger, current=replace(current, verified_at=s.now))
        return write(s, replace(document, ledger=verified), "record that the delivery was accepted")
    if refuses_key(answer):
        return Failed(f"the API refused the key: {answer}", hint="check the API key", failure=Failure.RUN)
    if is_not_found(answer) and s.progress.made and s.progress.made.endpoint.id == current.endpoint_id:
        # This is lag: a second endpoint would not be known any sooner.
        return Failed(
            f"the API does not know endpoint {current.endpoint_id} yet, which this run created: {answer}",
            hint="its secret is in Vault; run `reconciler apply` again in a few minutes to test it",
            failure=Failure.UNVERIFIED,
        )
    if is_not_found(answer) and not s.listing_current:
        # If it is gone, it is created again; if it is still listed, the API cannot test it.
        return ListAgain()
    words = answer.reason if isinstance(answer, NotDelivered) else str(answer)
    request = (
        f" [request {answer.request_id}]" if isinstance(answer, NotDelivered) and answer.request_id else ""
    )
    return Failed(
        f"the test delivery to endpoint {current.endpoint_id} failed: {words}{request}",
        hint=_untested(s.name, current),
        failure=Failure.UNVERIFIED,
    )


def _untested(name: str, current: Current) -> str:
    """Return what to do about a failed test delivery, the likely cause first."""
    if current.source == ADOPTED:
        again = f"reconciler adopt {name} --id {shlex.quote(current.endpoint_id)} --secret-stdin"
        return (
            f"the secret that was handed in is probably not this endpoint's: run `{again}` with the right "
            f"one, or `reconciler rotate {name}`; if it is right, repair the receiver and run "
            "`reconciler apply`"
        )
    return (
        "repair the receiver: it must accept the new secret in Vault and answer 2xx within 10 seconds; then "
        "run `reconciler apply` again (`test: false` sends no test deliveries)"
    )


def _is_made_now(s: State, document: Document) -> bool:
    """Whether this run created the current endpoint."""
    current, made = document.ledger.current, s.progress.made
    return current is not None and made is not None and made.endpoint.id == current.endpoint_id


def _left(s: State, document: Document) -> Step:
    """End a change whose endpoint is disabled. It is a failure only if this run created the endpoint."""
    current = document.ledger.current
    if current is None or not _is_made_now(s, document):
        return Done()
    return Failed(
        f"the API created endpoint {current.endpoint_id} disabled: it receives no events",
        hint="enable it in Admin Center > Developer > Webhooks, then run `reconciler apply` again",
        failure=Failure.UNVERIFIED,
    )


def _release(s: State, document: Document) -> Step:
    """Stop managing the endpoint; its replaced endpoints go, since no later run would clean them up."""
    if step := retire(s, document, all_due=True):
        return step
    if not document.ledger.released:
        released = replace(document.ledger, released=True, run=s.run)
        return write(s, replace(document, ledger=released), "release the endpoint")
    return _settle(s, document)


def _settle(s: State, document: Document) -> Step:
    """Drop expired secrets and bring the metadata up to date; then nothing is left but to wait."""
    due = document.ledger.next_due
    return (
        drop_expired(s, document)
        or record(s, document)
        or (Wait(due) if due is not None and due > s.now else Done())
    )
