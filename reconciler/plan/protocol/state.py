"""Inputs of the step function, and steps that its parts share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.ledger.ledger import Ledger, Manifest
from reconciler.ledger.projection import project
from reconciler.model import Organization, Run, Secret, Webhook
from reconciler.plan.protocol.steps import (
    DeleteEndpoint,
    Failed,
    Failure,
    Hold,
    Step,
    WriteDocument,
    WriteProjection,
)
from reconciler.ports import (
    CreateAnswer,
    Created,
    DeleteAnswer,
    Fresh,
    Refused,
    Stored,
    TestAnswer,
)
from reconciler.urls import normalize_url, spelling_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.ledger.document import Document
    from reconciler.model import SendingWindow
    from reconciler.plan.live import LiveIndex

NOT_OURS = (
    "give the webhook another name, or remove the document with all its versions and its metadata in Vault; "
    "then run `reconciler apply` again"
)
REMOVE_BY_HAND = "remove it in Admin Center > Developer > Webhooks, then run `reconciler apply` again"


class Adoption(Struct, frozen=True):
    """A request to make an unmanaged endpoint a webhook's own."""

    name: str
    """The webhook, as its manifest names it."""
    endpoint_id: str
    secret: Secret | None = None
    """The endpoint's signing secret; None: nobody knows it, so the endpoint is replaced."""


class Progress(Struct, frozen=True):
    """What this run has learned about one change so far. It is not stored."""

    attempts: int = 0
    begun: frozenset[str] = frozenset()
    """The idempotency keys whose intents this run wrote. Another run may have sent any other key."""
    opened: tuple[str, SendingWindow] | None = None
    """The window that this run has opened in an intent before it sends its request, and the intent's key."""
    key: str | None = None
    """The idempotency key of the request that got the response `created`."""
    created: CreateAnswer | None = None
    baseline_ids: frozenset[str] = frozenset()
    """The endpoints that existed before that request."""
    tested: tuple[str, TestAnswer] | None = None
    """The endpoint that was tested, and the response."""
    deleted: frozenset[str] = frozenset()
    undeleted: Mapping[str, DeleteAnswer] = field(default_factory=dict)
    """Endpoints that could not be deleted, and the response."""
    purged: bool = False
    revived: int | None = None
    """The version that this run undeleted to see whose it is."""
    failed: Failed | None = None
    """Why the change ends after its last write."""

    def after_write(self, step: WriteDocument) -> Progress:
        """Return the progress once `step` is done."""
        progress, pending = self, step.document.ledger.pending
        if step.begins_attempt and pending is not None:
            begun = self.begun | {pending.idempotency_key}
            progress = replace(progress, attempts=self.attempts + 1, begun=begun)
        if (step.begins_attempt or step.announces) and pending is not None and pending.windows:
            progress = replace(progress, opened=(pending.idempotency_key, pending.windows[-1]))
        return progress if step.then is None else replace(progress, failed=step.then)

    @property
    def made(self) -> Created | None:
        """The endpoint that this run's POST created, if it did."""
        return self.created if isinstance(self.created, Created) else None


class State(Struct, frozen=True):
    """Everything that the next step depends on."""

    name: str
    organization: Organization
    desired: Webhook | None
    stored: Stored
    live: LiveIndex
    listing_began: datetime
    listing_current: bool
    """The listing began after the document's version was known: an endpoint that it lacks is gone."""
    now: datetime
    fresh: Fresh
    run: Run = field(default_factory=Run)
    progress: Progress = field(default_factory=Progress)
    awaited: Mapping[str, str] = field(default_factory=dict)
    """Normalised URLs that manifests want and do not have yet, and the names of those manifests."""
    adoption: Adoption | None = None
    api_now: datetime | None = None
    """`now` by the API's clock; None: the two agree."""

    @property
    def api_time(self) -> datetime:
        """The current time by the API's clock, which sending windows are on."""
        return self.now if self.api_now is None else self.api_now


def write(
    s: State,
    document: Document,
    description: str,
    *,
    begins_attempt: bool = False,
    announces: bool = False,
    then: Failed | None = None,
) -> WriteDocument:
    """Return the write that replaces the version that was read with `document`."""
    ledger = replace(document.ledger, name=s.name, nonce=s.fresh.nonce)
    document = replace(document, ledger=ledger)
    return WriteDocument(document, s.stored.version, description, begins_attempt, announces, then)


def declared(s: State, ledger: Ledger, webhook: Webhook) -> Ledger:
    """Return `ledger` with what the manifest declares apart from URL and events, and with this run."""
    return replace(
        ledger,
        released=False,
        deletion_policy=webhook.deletion_policy,
        manifest=Manifest(webhook.recorded_path, webhook.digest),
        owner=webhook.owner,
        run=s.run,
    )


def delete(s: State, endpoint_id: str, description: str) -> Step | None:
    """Return the deletion, or the failure if this run has tried it; None once the endpoint is gone."""
    answer = s.progress.undeleted.get(endpoint_id)
    if endpoint_id in s.progress.deleted or (_is_unsupported(answer) and _is_gone(s, endpoint_id)):
        return None
    return DeleteEndpoint(endpoint_id, description) if answer is None else _give_up_on(endpoint_id, answer)


def let_go(s: State, endpoint_id: str, url: str, description: str) -> Step | None:
    """Return the deletion of an endpoint that has served `url`, or the `Hold` that comes before it.

    If another manifest is about to take over the URL, the endpoint stays until that one serves it: in
    between, events would have no endpoint.
    """
    url = served_url(s, endpoint_id, url)
    successor = s.awaited.get(normalize_url(url), s.name)
    step = delete(s, endpoint_id, description)
    return Hold(successor, url) if successor != s.name and isinstance(step, DeleteEndpoint) else step


def served_url(s: State, endpoint_id: str, recorded: str) -> str:
    """Return the URL that an endpoint serves: the recorded one, unless somebody has changed it.

    The listing may spell the recorded one in its own way; manifests do not.
    """
    endpoint = s.live.get(endpoint_id)
    if endpoint is None or spelling_key(endpoint.url) == spelling_key(recorded):
        return recorded
    return endpoint.url


def _is_unsupported(answer: DeleteAnswer | None) -> bool:
    return isinstance(answer, Refused) and answer.status in {405, 501}


def _is_gone(s: State, endpoint_id: str) -> bool:
    """Whether a current listing lacks it: somebody removed it by hand."""
    return s.listing_current and s.live.get(endpoint_id) is None


def _give_up_on(endpoint_id: str, answer: DeleteAnswer) -> Failed:
    if _is_unsupported(answer):
        return Failed(f"this organization's API cannot delete endpoint {endpoint_id}", hint=REMOVE_BY_HAND)
    return Failed(
        f"endpoint {endpoint_id} could not be deleted: {answer}",
        hint="run `reconciler apply` again",
        failure=Failure.RUN if refuses_key(answer) else Failure.CHANGE,
    )


def refuses_key(answer: object) -> bool:
    """Whether the API refused the key: it will refuse every other request, too."""
    return isinstance(answer, Refused) and answer.status in {401, 403} and not answer.is_cap


def is_not_found(answer: object) -> bool:
    """Whether the API itself does not know the endpoint: it is gone, or not known everywhere yet."""
    return isinstance(answer, Refused) and answer.status == 404  # noqa: PLR2004 - HTTP's number for not found


def record(s: State, document: Document) -> Step | None:
    """Return the write that brings the metadata up to date; None if it is."""
    projection = project(document, s.stored.version, tested=s.desired is None or s.desired.test)
    return None if projection == s.stored.projection else WriteProjection(projection)
