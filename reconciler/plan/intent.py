"""From an intent to an endpoint whose secret is stored: steps 1 to 3, and whatever may become of them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from reconciler.ledger import Current, Document, Ledger, Pending, Previous
from reconciler.model import Secret, Webhook
from reconciler.plan.need import candidates, conflicting
from reconciler.plan.situation import Situation, delete, give_up_on, write
from reconciler.plan.steps import (
    CreateEndpoint,
    Failed,
    Failure,
    ListAgain,
    Step,
)
from reconciler.ports import (
    Created,
    Refused,
    Unanswered,
)

REPLAY_WINDOW = 20 * 3600.0
"""Seconds in which a key is trusted to be remembered: the API is assumed to keep it for 24 hours."""
MAX_ATTEMPTS = 3


def blank(s: Situation) -> Document:
    """Return the document of a webhook that has none; the generation survives in the metadata."""
    generation = s.stored.projection.generation if s.stored.projection else 0
    return Document(Ledger(s.organization.name, s.organization.api_url, generation=generation))


def begin(s: Situation, document: Document, webhook: Webhook, *, gap: bool = False) -> Step:
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
    return write(s, replace(document, ledger=begun), "record the intent", begins_attempt=True)


def resolve(s: Situation, document: Document, pending: Pending) -> Step:
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
                delete(s, endpoint.id, "delete the endpoint whose secret is hidden")
                or (give_up_on(s, endpoint.id) if endpoint.id in s.progress.undeleted else None)
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
            return write(s, replace(document, ledger=stuck), note, then=failed)
        case _:
            msg = "unreachable: a created endpoint has a secret or none"
            raise AssertionError(msg)


def _send(s: Situation, document: Document, pending: Pending) -> Step:
    current = document.ledger.current
    if pending.gap and current is not None and current.endpoint_id in pending.baseline_ids:
        gone = delete(s, current.endpoint_id, "delete the replaced endpoint first (allowEventGap)")
        if gone is not None:
            return gone
        if current.endpoint_id in s.progress.undeleted:
            return _forget(s, document, give_up_on(s, current.endpoint_id))
    return CreateEndpoint(pending.idempotency_key, pending.body)


def _clean_up(s: Situation, document: Document, pending: Pending) -> Step:
    """The key may be forgotten: remove what it may have made, then start over."""
    if not s.listing_current:
        return ListAgain()
    for endpoint in candidates(pending, s.live):
        if endpoint.id in s.progress.undeleted:
            return give_up_on(s, endpoint.id)
        step = delete(s, endpoint.id, "delete what the abandoned attempt made")
        if step is not None:
            return step
    return _abandon(s, document, pending)


def _abandon(s: Situation, document: Document, pending: Pending) -> Step:
    # What was swept once stays a candidate of later sweeps: the server may be slower than we are.
    ledger = replace(
        document.ledger, pending=None, abandoned=(*document.ledger.abandoned, pending.abandon(s.now))
    )
    return write(s, replace(document, ledger=ledger), "abandon the attempt")


def _forget(s: Situation, document: Document, failed: Failed) -> Step:
    """The intent was refused for good: nothing came of it."""
    ledger = replace(document.ledger, pending=None)
    return write(s, replace(document, ledger=ledger), "clear the refused intent", then=failed)


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
        return write(s, replace(document, ledger=stuck), "record that the key is spoilt", then=failed)
    if s.progress.attempts == 0:
        # An earlier run sent this intent: the endpoint in the way may be its own, under a forgotten key.
        stuck = replace(document.ledger, pending=replace(pending, stuck=True))
        return write(s, replace(document, ledger=stuck), "record that the intent may be carried out")
    current = document.ledger.current
    ours = current is not None and current.endpoint_id in pending.baseline_ids
    if s.desired is not None and s.desired.allow_event_gap and ours and not pending.gap:
        cleared = replace(document, ledger=replace(document.ledger, pending=None))
        return begin(s, cleared, s.desired, gap=True)
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
    return write(s, promoted, "store the signing secret")
