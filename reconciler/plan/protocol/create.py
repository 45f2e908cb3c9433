"""Create an endpoint and store its secret (steps 1 to 3), and handle every outcome of the request."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.ledger.document import Document
from reconciler.ledger.ledger import Current, Ledger, Pending, Previous
from reconciler.model import NO_OVERLAP, Secret, SendingWindow, Webhook
from reconciler.plan.protocol.cleanup import DELIVERY_RETRIES, clear_abandoned, leftovers, lookalikes
from reconciler.plan.protocol.decide import REMOVE, conflict, take_over
from reconciler.plan.protocol.evidence import (
    announced_window,
    evidence_of,
    is_announced,
    is_recorded,
    until_now,
    windows_of,
)
from reconciler.plan.protocol.spelling import suspected, without_successor
from reconciler.plan.protocol.state import State, declared, delete, refuses_key, write
from reconciler.plan.protocol.steps import (
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
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from reconciler.plan.live import LiveIndex

REPLAY_WINDOW = timedelta(hours=20)
"""How long we rely on the API to remember a key; it keeps keys for 24 hours."""
MAX_ATTEMPTS = 3


def blank(s: State) -> Document:
    """Return the document of a webhook that has none; the generation survives in the metadata."""
    generation = s.stored.projection.generation if s.stored.projection else 0
    return Document(Ledger(s.organization.name, s.organization.api_url, name=s.name, generation=generation))


def begin(
    s: State, document: Document, webhook: Webhook, *, gap: bool = False, over_cap: bool = False
) -> Step:
    """Write the intent of a new endpoint, before any request is sent.

    Args:
        s: the state.
        document: the document that gets the intent.
        webhook: the manifest.
        gap: whether our endpoints at its URL are deleted first.
        over_cap: whether the current endpoint is deleted first, whatever its URL: it takes the last place.
    """
    ledger = document.ledger
    if s.progress.attempts >= MAX_ATTEMPTS:
        return _out_of_attempts(s)
    if not s.listing_current:
        return ListAgain()
    current_id = ledger.current.endpoint_id if ledger.current else None
    if found := conflict(
        webhook,
        current_id,
        ledger.owned_ids,
        s.live,
        explained_by(ledger, s.live),
        ambiguous=frozenset(e.id for e in lookalikes(ledger, s.live)),
    ):
        problem, hint = found
        return Failed(problem, hint=hint)
    attempt = s.progress.attempts + 1
    generation = ledger.generation + 1
    body = {"url": webhook.normalized_url, "events": list(webhook.events), "secret": s.fresh.secret.reveal()}
    pending = Pending(
        generation=generation,
        attempt=attempt,
        idempotency_key=f"{s.name}-g{generation}-a{attempt}-{s.fresh.key_suffix}",
        body=Secret(json.dumps(body)),
        digest=webhook.digest,
        baseline_ids=_at(s, ledger, webhook.normalized_url)
        | ({current_id} if over_cap and current_id else set()),
        written_at=s.now,
        gap=gap,
        revoke=webhook.revoke,
        windows=(announced_window(s),),
    )
    begun = replace(
        declared(s, ledger, webhook),
        generation=generation,
        pending=pending,
        suspected=suspected(ledger, webhook, s.live),
        removing=False,
    )
    return write(s, replace(document, ledger=begun), "record the intent", begins_attempt=True)


def _at(s: State, ledger: Ledger, normalized_url: str) -> frozenset[str]:
    """Return the live endpoints with this URL, also our own one if the listing spells it differently."""
    current = ledger.current
    found = frozenset(endpoint.id for endpoint in s.live.at(normalized_url))
    if current is None or s.live.get(current.endpoint_id) is None:
        return found
    return found | {current.endpoint_id} if normalize_url(current.url) == normalized_url else found


def _out_of_attempts(s: State) -> Failed:
    if s.progress.made is not None and s.progress.made.secret is None:
        return Failed(
            f"the API's responses to {MAX_ATTEMPTS} creations contain no usable signing secret (it is absent,"
            " masked, or has control characters inside); the endpoints were deleted",
            hint="`reconciler doctor --probe URL` shows what the API returns; report it to the API's support",
        )
    return Failed(
        f"{MAX_ATTEMPTS} attempts in this run did not yield an endpoint with a known secret",
        hint="look at the API's responses with -v, then run `reconciler apply` again",
    )


def explained_by(ledger: Ledger, live: LiveIndex) -> frozenset[str]:
    """Return the live endpoints that abandoned attempts of this ledger created."""
    return frozenset(e.id for attempt in ledger.abandoned for e in leftovers(attempt, live))


def resolve(s: State, document: Document, pending: Pending) -> Step:
    """Resolve an intent: repeat its request if that is safe, and act on the response."""
    answer = s.progress.created if s.progress.key == pending.idempotency_key else None
    if pending.stuck or (answer is None and not windows_of(pending)):
        return _give_up(s, document, pending)
    match answer:
        case None:
            if _age(s, pending) >= REPLAY_WINDOW or (pending.gap and not _is_wanted(s, pending)):
                return _give_up(s, document, pending)
            return _send(s, document, pending)
        case Created(endpoint=endpoint) if endpoint.id in pending.baseline_ids and not _is_current(
            document, endpoint.id
        ):
            return _forget(
                s,
                document,
                pending,
                Failed(
                    f"the API returned endpoint {endpoint.id}, which existed before",
                    hint=f"take it over with `reconciler adopt {s.name} --id {endpoint.id}`",
                ),
                answer.windows,
            )
        case Created(secret=secret):
            if secret is not None:
                return _promote(s, document, pending, answer, secret)
            # Never assume that the API uses the secret that we sent. Abandon the attempt first: a run that
            # loses the race for this write must not touch the endpoint that the other run continues with.
            return _abandon(
                s, document, pending, s.now, evidence_of(s, pending, until_now(s, pending, answer))
            )
        case Refused():
            return _refused(s, document, pending, answer)
        case Unanswered():
            return _unanswered(s, document, pending, answer)


def _is_current(document: Document, endpoint_id: str) -> bool:
    current = document.ledger.current
    return current is not None and current.endpoint_id == endpoint_id


def _is_wanted(s: State, pending: Pending) -> bool:
    """Whether the manifest still wants the URL. If not, an endpoint there may be another webhook's."""
    return s.desired is not None and s.desired.normalized_url == normalize_url(pending.url)


def _is_ours(s: State, pending: Pending) -> bool:
    """Whether only this run can have sent the intent. Otherwise its outcome is unknown."""
    return pending.idempotency_key in s.progress.begun and not pending.resent


def _age(s: State, pending: Pending) -> timedelta:
    """Return how long ago the intent was written, by the clock that makes it older."""
    return max(timedelta(seconds=s.stored.age), s.now - pending.written_at)


def _send(s: State, document: Document, pending: Pending) -> Step:
    if not is_announced(s, pending):
        if _belongs_to_others(s, document, pending):
            return _give_up(s, document, pending)
        return _announce(s, document, pending)
    # The intent is ours: earlier attempts' endpoints in its baseline cannot be recorded any more.
    if step := clear_abandoned(s, document.ledger, among=pending.baseline_ids):
        return step
    if pending.gap:
        # Only this manifest wants the URL: an owned endpoint here is ours or that of a webhook being removed.
        for endpoint_id in sorted(pending.baseline_ids):
            if _is_current(document, endpoint_id) or s.live.is_owned(endpoint_id):
                step = delete(s, endpoint_id, "delete the replaced endpoint first (allowEventGap)")
                if isinstance(step, Failed):
                    return _forget(s, document, pending, step)
                if step is not None:
                    return step
    return CreateEndpoint(pending.idempotency_key, pending.body, pending.baseline_ids)


def _announce(s: State, document: Document, pending: Pending) -> Step:
    """Open a window before the request is sent: what it creates is known by the time of its creation.

    If another run wrote the intent, it may still be running, and must learn that there may soon be two
    endpoints.
    """
    resent = pending.resent or pending.idempotency_key not in s.progress.begun
    windows = (*evidence_of(s, pending), announced_window(s))
    ledger = replace(document.ledger, pending=replace(pending, resent=resent, windows=windows))
    announced = replace(document, ledger=ledger)
    return write(s, announced, "record that the intent is sent again", announces=True)


def _belongs_to_others(s: State, document: Document, pending: Pending) -> bool:
    """Whether somebody has created an endpoint at the URL meanwhile, and nothing shows that we did.

    To send the request again would then put a second endpoint beside that one.
    """
    if s.desired is None or not _is_wanted(s, pending):
        return False
    ledger, windows = document.ledger, windows_of(pending)
    attempt = pending.abandon(s.now, windows)
    explained = set(explained_by(ledger, s.live)) | pending.baseline_ids
    for endpoint in s.live.at(normalize_url(pending.url)):
        if attempt.resembles(endpoint) and (endpoint.created is None or attempt.may_have_made(endpoint)):
            return False
    current_id = ledger.current.endpoint_id if ledger.current else None
    return conflict(s.desired, current_id, ledger.owned_ids, s.live, explained) is not None


def _give_up(s: State, document: Document, pending: Pending) -> Step:
    """Give up an attempt whose key may be forgotten. The next attempt or the sweep cleans up after it."""
    # No run sends it once it is stuck (the version's age shows since when), nor after its window.
    since = timedelta(seconds=s.stored.age) if pending.stuck else _age(s, pending) - REPLAY_WINDOW
    return _abandon(s, document, pending, s.now - max(since, timedelta(0)), windows_of(pending))


def _abandon(
    s: State,
    document: Document,
    pending: Pending,
    last_sent: datetime,
    windows: tuple[SendingWindow, ...],
) -> Step:
    ledger = without_successor(document.ledger, s.live)
    if not windows:
        ledger = replace(ledger, pending=None)
        return write(s, replace(document, ledger=ledger), "clear the intent, which was never carried out")
    # Later sweeps look again: the listing may lag behind.
    abandoned = (*ledger.abandoned, pending.abandon(last_sent, windows))
    ledger = replace(ledger, pending=None, abandoned=abandoned)
    return write(s, replace(document, ledger=ledger), "abandon the attempt")


def _forget(
    s: State,
    document: Document,
    pending: Pending,
    failed: Failed,
    windows: tuple[SendingWindow, ...] = (),
) -> Step:
    """Clear an intent that was refused for good. An earlier request may still have created an endpoint."""
    ledger = replace(without_successor(document.ledger, s.live), pending=None)
    secrets = dict(document.previous_secrets)
    if evidence := evidence_of(s, pending, windows):
        ledger = replace(ledger, abandoned=(*ledger.abandoned, pending.abandon(s.now, evidence)))
    current = ledger.current
    if pending.gap and current is not None and current.endpoint_id in s.progress.deleted:
        # It was deleted for a new endpoint that was refused: record that, so that it does not count as lost.
        expire_at = s.now + DELIVERY_RETRIES
        gone = Previous(current.endpoint_id, current.generation, s.now, s.now, expire_at, url=current.url)
        ledger = replace(ledger, current=None, previous=(*ledger.previous, gone))
        if document.signing_secret is not None:
            secrets[current.endpoint_id] = document.signing_secret
        document = replace(document, signing_secret=None)
    forgotten = replace(document, ledger=ledger, previous_secrets=secrets)
    return write(s, forgotten, "clear the refused intent", then=_after_gap(pending, failed))


def _after_gap(pending: Pending, failed: Failed) -> Failed:
    """End the run if a creation fails after its deletion: the next change would leave a gap, too."""
    return replace(failed, failure=Failure.RUN) if pending.gap else failed


def _mark_stuck(
    s: State,
    document: Document,
    pending: Pending,
    answer: Refused | Unanswered,
    why: str,
    then: Failed | None = None,
) -> Step:
    """Record that the key is useless: an endpoint that it created is cleaned up, not requested again."""
    return _record_end(s, document, replace(pending, stuck=True), answer, why, then)


def _record_end(
    s: State,
    document: Document,
    pending: Pending,
    answer: Refused | Unanswered,
    why: str,
    then: Failed | None,
) -> Step:
    """Record when the request was under way, now that it has ended."""
    pending = replace(pending, windows=evidence_of(s, pending, answer.windows))
    return write(s, replace(document, ledger=replace(document.ledger, pending=pending)), why, then=then)


def _unanswered(s: State, document: Document, pending: Pending, answer: Unanswered) -> Step:
    failed = _after_gap(
        pending,
        Failed(f"the creation had no usable response: {answer}", hint="run `reconciler apply` again"),
    )
    if not evidence_of(s, pending, answer.windows):
        # Certainly nothing was created: what appears at the URL from now on is not ours.
        return _forget(s, document, pending, failed)
    if answer.stored_error:
        why = "record that the server may replay its error"
        return _mark_stuck(s, document, pending, answer, why, failed)
    if is_recorded(s, pending):
        return failed
    return _record_end(s, document, pending, answer, "record when the request was under way", failed)


def _refused(s: State, document: Document, pending: Pending, answer: Refused) -> Step:
    if refuses_key(answer):
        # The key is at fault, not the intent, which stays until a valid key is used.
        failed = Failed(f"the API refused the key: {answer}", hint="check the API key", failure=Failure.RUN)
        if is_recorded(s, pending):
            return failed
        return _record_end(s, document, pending, answer, "record when the request was under way", failed)
    if answer.is_cap:
        return _capped(s, document, pending, answer)
    if answer.status != 409:  # noqa: PLR2004 - HTTP's own number for a conflict
        failed = Failed(
            f"the API refused the endpoint: {answer}",
            hint="correct the manifest, then run `reconciler apply` again",
        )
        return _forget(s, document, pending, failed, answer.windows)
    neighbours = _at(s, document.ledger, s.desired.normalized_url if s.desired else "")
    if answer.param != "url" and not (answer.param is None and neighbours):
        failed = Failed(
            f"the API holds another request under our key: {answer}", hint="run `reconciler apply` again"
        )
        return _mark_stuck(s, document, pending, answer, "record that the key is useless", failed)
    if not _is_ours(s, pending):
        # An earlier run sent this intent: the endpoint at the URL may be its own, under a forgotten key.
        return _mark_stuck(s, document, pending, answer, "record that the intent may be carried out")
    ours = bool(neighbours) and all(s.live.is_owned(endpoint_id) for endpoint_id in neighbours)
    if s.desired is not None and s.desired.allow_event_gap and ours and not pending.gap:
        cleared = replace(document, ledger=replace(document.ledger, pending=None))
        return begin(s, cleared, s.desired, gap=True)
    return _forget(s, document, pending, _taken(s, pending, answer), answer.windows)


def _taken(s: State, pending: Pending, answer: Refused) -> Failed:
    """Return the failure of a creation at a URL that an endpoint has."""
    problem = f"the API refuses a second endpoint with this URL: {answer}"
    for endpoint in s.live.spelled_like(pending.url):
        if not s.live.is_recorded(endpoint.id):
            url = mask_unreviewed(endpoint.url, pending.url)
            problem += f"; unmanaged endpoint {endpoint.id} is listed at {url}"
            return Failed(problem, hint=f"{take_over(s.name, endpoint)}, or {REMOVE}")
    return Failed(
        problem, hint="set `allowEventGap: true` to delete before creating (events in between are lost)"
    )


def _capped(s: State, document: Document, pending: Pending, answer: Refused) -> Step:
    """Handle the cap on endpoints: the replaced endpoint can make room, if the manifest permits it."""
    if not _is_ours(s, pending):
        # An earlier run sent this intent: the endpoint that is one too many may be its own.
        return _mark_stuck(s, document, pending, answer, "record that the intent may be carried out")
    current = document.ledger.current
    replaceable = current is not None and s.live.get(current.endpoint_id) is not None
    if s.desired is not None and s.desired.allow_event_gap and replaceable and not pending.gap:
        cleared = replace(document, ledger=replace(document.ledger, pending=None))
        return begin(s, cleared, s.desired, gap=True, over_cap=True)
    hint = "remove endpoints that are not needed (`reconciler status` lists them) or have the limit raised"
    if replaceable:
        hint += ", or set `allowEventGap: true` to delete before creating (events in between are lost)"
    return _forget(
        s,
        document,
        pending,
        Failed(
            f"the organization has reached the API's cap on endpoints: {answer}",
            hint=f"{hint}; then run `reconciler apply` again",
        ),
        answer.windows,
    )


def _promote(s: State, document: Document, pending: Pending, made: Created, secret: Secret) -> Step:
    """Store the secret that the response returned; the current endpoint becomes a previous one."""
    ledger = document.ledger
    old = ledger.current
    previous, secrets = ledger.previous, dict(document.previous_secrets)
    if old is not None and old.endpoint_id != made.endpoint.id:
        previous = (*previous, _replaced(s, old, pending))
        if document.signing_secret is not None:
            secrets[old.endpoint_id] = document.signing_secret
    abandoned = ledger.abandoned
    if windows := evidence_of(s, pending, made.windows):
        # A server that had forgotten the key has created two endpoints: the sweep looks for the other one.
        abandoned = (*abandoned, pending.abandon(s.now, windows, also=frozenset({made.endpoint.id})))
    current = Current(
        endpoint_id=made.endpoint.id,
        generation=pending.generation,
        digest=pending.digest,
        url=pending.url,
        source="client" if secret == pending.client_secret else "server",
        live_digest=made.endpoint.digest,
        created_at=s.now,
    )
    ledger = replace(ledger, pending=None, current=current, previous=previous, abandoned=abandoned, run=s.run)
    promoted = replace(document, ledger=ledger, signing_secret=secret, previous_secrets=secrets)
    return write(s, promoted, "store the signing secret")


def _replaced(s: State, old: Current, pending: Pending) -> Previous:
    """Return the replaced endpoint with how long it and its secret stay valid."""
    if pending.revoke:
        return Previous(old.endpoint_id, old.generation, s.now, expire_at=s.now, url=old.url)
    overlap = s.desired.overlap if s.desired else NO_OVERLAP
    return Previous(old.endpoint_id, old.generation, s.now + overlap, url=old.url)
