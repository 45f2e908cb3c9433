"""The step function: what is the next step from here?

Pure, and the only place that knows the order of things. A run asks, takes one step, and asks again
with what came back; a killed run's successor asks the same question from what is written. So there
is no recovery path: creation, replacement, rotation, removal and resumption are one walk.

    intent written -> POST -> secret stored -> tested -> predecessor deleted -> its secret dropped
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.ledger import Abandoned, Current, Document, Ledger, Pending, Previous
from reconciler.model import DeletionPolicy, Organization, Run, Secret, Webhook
from reconciler.plan.need import CLOCK_TOLERANCE, candidates, conflicting, needed
from reconciler.plan.project import document_from_projection, next_due, project
from reconciler.plan.steps import (
    CreateEndpoint,
    DeleteEndpoint,
    DestroyBefore,
    Done,
    Failed,
    Failure,
    ListAgain,
    SoftDelete,
    Step,
    TestEndpoint,
    Undelete,
    Wait,
    WriteDocument,
    WriteProjection,
)
from reconciler.ports import (
    CreateAnswer,
    Created,
    DeleteAnswer,
    Delivered,
    Fresh,
    NotDelivered,
    Refused,
    Stored,
    TestAnswer,
    Unanswered,
    VersionState,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.plan.live import LiveIndex

REPLAY_WINDOW = 20 * 3600.0
"""Seconds in which a key is trusted to be remembered: the API is assumed to keep it for 24 hours."""
DELIVERY_RETRIES = timedelta(hours=24)
"""How long deliveries signed with a replaced secret may still arrive."""
MAX_ATTEMPTS = 3
REMOVE_BY_HAND = "remove it in Admin Center > Developer > Webhooks, then run `reconciler apply` again"


@dataclass(frozen=True, slots=True)
class Progress:
    """What this run has learned about one change so far; nothing of it outlives the run."""

    attempts: int = 0
    key: str | None = None
    """The idempotency key that `created` answers."""
    created: CreateAnswer | None = None
    tested: tuple[str, TestAnswer] | None = None
    """The endpoint that was tested, and the answer."""
    deleted: frozenset[str] = frozenset()
    undeleted: Mapping[str, DeleteAnswer] = field(default_factory=dict)
    """Endpoints whose deletion failed, and the answer."""
    purged: bool = False
    failed: Failed | None = None
    """Why the change is over, once its last write is done."""

    @property
    def made(self) -> Created | None:
        """The endpoint that this run's POST made, if it did."""
        return self.created if isinstance(self.created, Created) else None


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the next step depends on."""

    name: str
    organization: Organization
    desired: Webhook | None
    stored: Stored
    live: LiveIndex
    listing_began: datetime
    listing_current: bool
    """The listing began after the document's version was known, so absence counts."""
    now: datetime
    fresh: Fresh
    run: Run = field(default_factory=Run)
    progress: Progress = field(default_factory=Progress)


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
        return Done() if s.desired is None else _begin(s, _blank(s), s.desired)
    return _step(s, document)


def _step(s: Situation, document: Document) -> Step:
    ledger = document.ledger
    if (ledger.organization, ledger.api_url) != (s.organization.name, s.organization.api_url):
        return Failed(
            f"the document belongs to organization {ledger.organization} at {ledger.api_url}",
            hint="check --organization, ZOF_API_URL and --vault-prefix",
        )
    if s.progress.failed is not None:
        return (None if ledger.pending else _record(s, document)) or s.progress.failed
    if stray := _stray(s, ledger):
        return _delete(s, stray, "delete the endpoint that lost the race") or _give_up_on(s, stray)
    if ledger.pending is not None:
        return _resolve(s, document, ledger.pending)
    if s.desired is None and not ledger.removing and ledger.deletion_policy is not DeletionPolicy.DELETE:
        return _keep_live(s, document)
    if s.desired is None or ledger.removing:
        return _remove(s, document)
    return _converge(s, document, s.desired)


# --- an intent ------------------------------------------------------------------------------------


def _blank(s: Situation) -> Document:
    """Return the document of a webhook that has none; the generation survives in the metadata."""
    generation = s.stored.projection.generation if s.stored.projection else 0
    return Document(Ledger(s.organization.name, s.organization.api_url, generation=generation))


def _begin(s: Situation, document: Document, webhook: Webhook, *, gap: bool = False) -> Step:
    """Write the intent of a new endpoint, before any request is sent."""
    ledger = document.ledger
    if s.progress.attempts >= MAX_ATTEMPTS:
        return Failed(
            f"{MAX_ATTEMPTS} attempts in this run did not yield an endpoint with a known secret",
            hint="look at the API's answers with -v, then run `reconciler apply` again",
        )
    if not s.listing_current:
        return ListAgain()
    if stranger := conflicting(webhook, document, s.live):
        return Failed(
            f"endpoint {stranger.id} is live at {webhook.url} and not in the ledger",
            hint=f"take it over with `reconciler adopt {s.name} --id {stranger.id}`, or remove it",
        )
    attempt = s.progress.attempts + 1
    generation = ledger.generation + 1
    body = {"url": webhook.url, "events": list(webhook.events), "secret": s.fresh.secret.reveal()}
    pending = Pending(
        generation=generation,
        attempt=attempt,
        idempotency_key=f"{s.name}-g{generation}-a{attempt}-{s.fresh.key_suffix}",
        body=Secret(json.dumps(body)),
        digest=webhook.digest,
        baseline_ids=frozenset(endpoint.id for endpoint in s.live.at(webhook.normalized_url)),
        written_at=s.now,
        gap=gap,
    )
    begun = replace(
        ledger,
        generation=generation,
        pending=pending,
        released=False,
        removing=False,
        deletion_policy=webhook.deletion_policy,
        manifest_path=webhook.location.path,
        manifest_digest=webhook.digest,
        owner=webhook.owner,
        run=s.run,
    )
    return _write(s, replace(document, ledger=begun), "record the intent", begins_attempt=True)


def _resolve(s: Situation, document: Document, pending: Pending) -> Step:
    """Find out what became of an intent, by its own request if that can be repeated."""
    if pending.stuck:
        return _clean_up(s, document, pending)
    answer = s.progress.created if s.progress.key == pending.idempotency_key else None
    match answer:
        case None:
            if s.stored.age >= REPLAY_WINDOW:
                return _clean_up(s, document, pending)
            return _send(s, document, pending)
        case Created(endpoint=endpoint, secret=None):
            # It is never assumed that the secret that we proposed was honoured.
            if endpoint.id in pending.baseline_ids:
                return _forget(
                    s, document, Failed(f"the API answered with the existing endpoint {endpoint.id}")
                )
            return (
                _delete(s, endpoint.id, "delete the endpoint whose secret is hidden")
                or (_give_up_on(s, endpoint.id) if endpoint.id in s.progress.undeleted else None)
                or _abandon(s, document, pending)
            )
        case Created(endpoint=endpoint, secret=secret) if secret is not None:
            current = document.ledger.current
            ours = current is not None and current.endpoint_id == endpoint.id
            if endpoint.id in pending.baseline_ids and not ours:
                return _forget(
                    s,
                    document,
                    Failed(
                        f"the API answered with endpoint {endpoint.id}, which was there before",
                        hint=f"take it over with `reconciler adopt {s.name} --id {endpoint.id}`",
                    ),
                )
            return _promote(s, document, pending, answer, secret)
        case Refused():
            return _refused(s, document, pending, answer)
        case Unanswered(stored_error=stored_error):
            failed = Failed(
                f"the creation had no usable answer: {answer}", hint="run `reconciler apply` again"
            )
            if not stored_error:
                return failed
            stuck = replace(document.ledger, pending=replace(pending, stuck=True))
            note = "record that the server may replay its error"
            return _write(s, replace(document, ledger=stuck), note, then=failed)
        case _:
            msg = "unreachable: a created endpoint has a secret or none"
            raise AssertionError(msg)


def _send(s: Situation, document: Document, pending: Pending) -> Step:
    current = document.ledger.current
    if pending.gap and current is not None and current.endpoint_id in pending.baseline_ids:
        gone = _delete(s, current.endpoint_id, "delete the replaced endpoint first (allowEventGap)")
        if gone is not None:
            return gone
        if current.endpoint_id in s.progress.undeleted:
            return _forget(s, document, _give_up_on(s, current.endpoint_id))
    return CreateEndpoint(pending.idempotency_key, pending.body)


def _clean_up(s: Situation, document: Document, pending: Pending) -> Step:
    """The key may be forgotten: remove what it may have made, then start over."""
    if not s.listing_current:
        return ListAgain()
    for endpoint in candidates(pending, s.live):
        if endpoint.id in s.progress.undeleted:
            return _give_up_on(s, endpoint.id)
        step = _delete(s, endpoint.id, "delete what the abandoned attempt made")
        if step is not None:
            return step
    return _abandon(s, document, pending)


def _abandon(s: Situation, document: Document, pending: Pending) -> Step:
    # What was swept once stays a candidate of later sweeps: the server may be slower than we are.
    ledger = replace(
        document.ledger, pending=None, abandoned=(*document.ledger.abandoned, pending.abandon(s.now))
    )
    return _write(s, replace(document, ledger=ledger), "abandon the attempt")


def _forget(s: Situation, document: Document, failed: Failed) -> Step:
    """The intent was refused for good: nothing came of it."""
    ledger = replace(document.ledger, pending=None)
    return _write(s, replace(document, ledger=ledger), "clear the refused intent", then=failed)


def _refused(s: Situation, document: Document, pending: Pending, answer: Refused) -> Step:
    if answer.status in {401, 403}:
        # The key is at fault, not the intent: it stands until a good key comes.
        return Failed(f"the API refused the key: {answer}", hint="check the API key", failure=Failure.RUN)
    if answer.status != 409:  # noqa: PLR2004 - HTTP's own number for a conflict
        return _forget(
            s, document, Failed(f"the API refused the endpoint: {answer}", hint="correct the manifest")
        )
    if answer.param != "url":
        stuck = replace(document.ledger, pending=replace(pending, stuck=True))
        failed = Failed(
            f"the API holds another request under our key: {answer}", hint="run `reconciler apply` again"
        )
        return _write(s, replace(document, ledger=stuck), "record that the key is spoilt", then=failed)
    if s.progress.attempts == 0:
        # An earlier run sent this intent: the endpoint in the way may be its own, under a forgotten key.
        stuck = replace(document.ledger, pending=replace(pending, stuck=True))
        return _write(s, replace(document, ledger=stuck), "record that the intent may be carried out")
    current = document.ledger.current
    ours = current is not None and current.endpoint_id in pending.baseline_ids
    if s.desired is not None and s.desired.allow_event_gap and ours and not pending.gap:
        cleared = replace(document, ledger=replace(document.ledger, pending=None))
        return _begin(s, cleared, s.desired, gap=True)
    return _forget(
        s,
        document,
        Failed(
            f"the API refuses a second endpoint with this URL: {answer}",
            hint="set `allowEventGap: true` to delete before creating (events in between are lost)",
        ),
    )


def _promote(s: Situation, document: Document, pending: Pending, made: Created, secret: Secret) -> Step:
    """Store the secret that the answer returned; the endpoint before becomes the previous one."""
    ledger = document.ledger
    old = ledger.current
    previous, secrets = ledger.previous, dict(document.previous_secrets)
    if old is not None and old.endpoint_id != made.endpoint.id:
        overlap = s.desired.overlap if s.desired else timedelta(0)
        previous = (*previous, Previous(old.endpoint_id, old.generation, s.now + overlap))
        if document.signing_secret is not None:
            secrets[old.endpoint_id] = document.signing_secret
    abandoned = ledger.abandoned
    if made.uncertain or s.progress.attempts == 0:
        # A server that had forgotten the key has made two: the sweep looks for the other one.
        abandoned = (*abandoned, pending.abandon(s.now, also=frozenset({made.endpoint.id})))
    current = Current(
        endpoint_id=made.endpoint.id,
        generation=pending.generation,
        digest=pending.digest,
        url=pending.url,
        source="client" if secret == pending.client_secret else "server",
        created_at=s.now,
    )
    ledger = replace(ledger, pending=None, current=current, previous=previous, abandoned=abandoned, run=s.run)
    promoted = replace(document, ledger=ledger, signing_secret=secret, previous_secrets=secrets)
    return _write(s, promoted, "store the signing secret")


# --- towards the manifest -------------------------------------------------------------------------


def _converge(s: Situation, document: Document, webhook: Webhook) -> Step:
    ledger = document.ledger
    current = ledger.current
    if ledger.released:
        return _take_up(s, document, webhook)
    need = needed(webhook, document, s.live, s.now)
    if need is not None:
        return _begin(s, document, webhook)
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
        return _begin(s, forgotten, webhook)
    if not endpoint.serves(webhook):
        return Failed(
            f"endpoint {endpoint.id}, released earlier, has another URL or other events",
            hint="give the manifest its URL and events to take it up again, or remove the endpoint",
        )
    ledger = replace(document.ledger, released=False, deletion_policy=webhook.deletion_policy, run=s.run)
    return _write(s, replace(document, ledger=ledger), "take the released endpoint up again")


def _verify(s: Situation, document: Document, current: Current) -> Step:
    tested = s.progress.tested
    if tested is None or tested[0] != current.endpoint_id:
        return TestEndpoint(current.endpoint_id)
    answer = tested[1]
    if isinstance(answer, Delivered):
        verified = replace(document.ledger, current=replace(current, verified_at=s.now))
        return _write(s, replace(document, ledger=verified), "record that the delivery was accepted")
    words = answer.reason if isinstance(answer, NotDelivered) else str(answer)
    request = (
        f" [request {answer.request_id}]" if isinstance(answer, NotDelivered) and answer.request_id else ""
    )
    failed = Failed(
        f"the test delivery to endpoint {current.endpoint_id} failed: {words}{request}",
        hint="repair the receiver and run `reconciler apply` again, or set `test: false`",
        failure=Failure.UNVERIFIED,
    )
    return _record(s, document) or failed


def _retire(s: Situation, document: Document) -> Step | None:
    """Delete the replaced endpoints whose time has come."""
    due = [p for p in document.ledger.previous if p.deleted_at is None and p.retire_after <= s.now]
    for previous in due:
        if previous.endpoint_id in s.progress.undeleted:
            return _record(s, document) or _give_up_on(s, previous.endpoint_id)
        step = _delete(s, previous.endpoint_id, "delete the replaced endpoint")
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
    return _write(s, replace(document, ledger=ledger), "record that it is gone")


def _drop_expired(s: Situation, document: Document) -> Step | None:
    """Drop the secrets that no delivery can be signed with any more, and destroy their versions."""
    ledger = document.ledger
    expired = {p.endpoint_id for p in ledger.previous if p.expire_at is not None and p.expire_at <= s.now}
    if expired:
        kept = tuple(p for p in ledger.previous if p.endpoint_id not in expired)
        secrets = {k: v for k, v in document.previous_secrets.items() if k not in expired}
        dropped = replace(document, ledger=replace(ledger, previous=kept), previous_secrets=secrets)
        return _write(s, dropped, "drop the expired secret")
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
    return _write(s, replace(document, ledger=ledger), "record the deletion policy")


def _settle(s: Situation, document: Document) -> Step:
    due = next_due(document.ledger)
    return _record(s, document) or (Wait(due) if due is not None and due > s.now else Done())


def _record(s: Situation, document: Document) -> Step | None:
    """Bring the metadata up to date, if it is not."""
    projection = project(document, s.stored.version, tested=s.desired is None or s.desired.test)
    return None if projection == s.stored.projection else WriteProjection(projection)


# --- away from it ---------------------------------------------------------------------------------


def _keep_live(s: Situation, document: Document) -> Step:
    """The manifest is gone, and its policy says that the endpoint is not to go with it."""
    ledger = document.ledger
    if ledger.deletion_policy is DeletionPolicy.PROTECT:
        return Failed(
            "the webhook is protected (deletionPolicy: Protect)",
            hint="bring its manifest back, or merge a change of its deletionPolicy first",
        )
    if not ledger.released:
        released = replace(ledger, released=True, run=s.run)
        return _write(s, replace(document, ledger=released), "release the endpoint")
    return _record(s, document) or Done()


def _remove(s: Situation, document: Document) -> Step:
    ledger = document.ledger
    if (ledger.current or ledger.previous) and not ledger.removing:
        removing = replace(ledger, removing=True, run=s.run)
        return _write(s, replace(document, ledger=removing), "record the removal")
    for endpoint_id in sorted(ledger.owned_ids):
        if endpoint_id in s.progress.undeleted:
            return _give_up_on(s, endpoint_id)
        step = _delete(s, endpoint_id, "delete the endpoint")
        if step is not None:
            return step
    if ledger.abandoned and not s.listing_current:
        return ListAgain()
    for attempt in ledger.abandoned:
        for endpoint in candidates(attempt, s.live):
            step = _delete(s, endpoint.id, "delete what an abandoned attempt made")
            if step is not None:
                return step
    if ledger.current is not None or ledger.previous:
        emptied = replace(ledger, current=None, previous=())
        return _write(s, replace(document, ledger=emptied), "record that it is gone")
    if remaining := tuple(a for a in ledger.abandoned if not attempt_is_over(a, s.listing_began)):
        # A request that was given up may still be carried out: watch for it a little longer.
        return _record(s, document) or Wait(max(a.abandoned_at for a in remaining) + _TOLERANCE)
    gone = project(document, s.stored.version, tested=True, state="deleted")
    if s.stored.projection != gone:
        return WriteProjection(gone)
    # Last of all: a write after it would revive the secret.
    return SoftDelete(s.stored.version)


def sweep_step(s: Situation) -> Step:
    """Return the next step of clearing what abandoned attempts may have left.

    It is asked after every intent of the run is resolved: one document's abandoned URL may be
    another's pending one.
    """
    document = s.stored.document
    if document is None or document.ledger.removing or document.ledger.pending is not None:
        return Done()
    ledger = document.ledger
    for attempt in ledger.abandoned:
        for endpoint in candidates(attempt, s.live):
            step = _delete(s, endpoint.id, "delete what an abandoned attempt made")
            if step is not None:
                return step
    kept = tuple(
        a for a in ledger.abandoned if not attempt_is_over(a, s.listing_began) or any(candidates(a, s.live))
    )
    if kept != ledger.abandoned:
        swept = replace(document, ledger=replace(ledger, abandoned=kept))
        return _write(s, swept, "forget the abandoned attempt")
    return _record(s, document) or Done()


_TOLERANCE = timedelta(seconds=CLOCK_TOLERANCE)


def attempt_is_over(attempt: Abandoned, listing_began: datetime) -> bool:
    """Whether a listing that began then shows everything that `attempt` can have made."""
    return listing_began >= attempt.abandoned_at + _TOLERANCE


# --- shared ---------------------------------------------------------------------------------------


def _write(
    s: Situation,
    document: Document,
    description: str,
    *,
    begins_attempt: bool = False,
    then: Failed | None = None,
) -> WriteDocument:
    document = replace(document, ledger=replace(document.ledger, nonce=s.fresh.nonce))
    return WriteDocument(document, s.stored.version, description, begins_attempt, then)


def _delete(s: Situation, endpoint_id: str, description: str) -> Step | None:
    """Return the deletion, or None when this run has done or tried it."""
    if endpoint_id in s.progress.deleted or endpoint_id in s.progress.undeleted:
        return None
    return DeleteEndpoint(endpoint_id, description)


def _give_up_on(s: Situation, endpoint_id: str) -> Failed:
    answer = s.progress.undeleted[endpoint_id]
    if isinstance(answer, Refused) and answer.status in {405, 501}:
        return Failed(f"this organization's API cannot delete endpoint {endpoint_id}", hint=REMOVE_BY_HAND)
    fatal = isinstance(answer, Refused) and answer.status in {401, 403}
    return Failed(
        f"endpoint {endpoint_id} could not be deleted: {answer}",
        hint="run `reconciler apply` again",
        failure=Failure.RUN if fatal else Failure.CHANGE,
    )


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
