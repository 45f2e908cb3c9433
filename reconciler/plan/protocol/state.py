"""What the next step depends on, and the few steps that every part of the protocol takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.model import Organization, Run, Webhook
from reconciler.plan.protocol.project import project
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
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.ledger.document import Document
    from reconciler.ledger.ledger import Ledger
    from reconciler.plan.live import LiveIndex
    from reconciler.plan.protocol.adopt import Adoption

REMOVE_BY_HAND = "remove it in Admin Center > Developer > Webhooks, then run `reconciler apply` again"


class Progress(Struct, frozen=True):
    """What this run has learned about one change so far; nothing of it outlives the run."""

    attempts: int = 0
    begun: frozenset[str] = frozenset()
    """The idempotency keys whose intents this run wrote: any other was sent before, by who knows whom."""
    key: str | None = None
    """The idempotency key that `created` answers."""
    created: CreateAnswer | None = None
    baseline_ids: frozenset[str] = frozenset()
    """What was there before the request that `created` answers."""
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


class Situation(Struct, frozen=True):
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
    awaited: Mapping[str, str] = field(default_factory=dict)
    """Normalised URLs that manifests want and do not have yet, and the names of those manifests."""
    adoption: Adoption | None = None
    """The live endpoint that is to become this webhook's own."""


def write(
    s: Situation,
    document: Document,
    description: str,
    *,
    begins_attempt: bool = False,
    then: Failed | None = None,
) -> WriteDocument:
    """Return the write of `document` in place of the version that was read."""
    ledger = replace(document.ledger, name=s.name, nonce=s.fresh.nonce)
    document = replace(document, ledger=ledger)
    return WriteDocument(document, s.stored.version, description, begins_attempt, then)


def declared(s: Situation, ledger: Ledger, webhook: Webhook) -> Ledger:
    """Return `ledger` with what the manifest says beside URL and events, and who says so."""
    return replace(
        ledger,
        released=False,
        deletion_policy=webhook.deletion_policy,
        manifest_path=webhook.location.path,
        manifest_digest=webhook.digest,
        owner=webhook.owner,
        run=s.run,
    )


def delete(s: Situation, endpoint_id: str, description: str) -> Step | None:
    """Return the deletion; why it cannot be done, where this run has tried; None once it is gone."""
    answer = s.progress.undeleted.get(endpoint_id)
    if endpoint_id in s.progress.deleted or (_is_unsupported(answer) and _is_gone(s, endpoint_id)):
        return None
    return DeleteEndpoint(endpoint_id, description) if answer is None else _give_up_on(endpoint_id, answer)


def let_go(s: Situation, endpoint_id: str, url: str, description: str) -> Step | None:
    """Return the deletion of an endpoint that has served `url`, or what it waits for.

    At a URL that another manifest is about to take over it stays until that one serves it: in between,
    events would have no endpoint.
    """
    endpoint = s.live.get(endpoint_id)
    url = endpoint.url if endpoint is not None else url
    taker = s.awaited.get(normalize_url(url), s.name)
    step = delete(s, endpoint_id, description)
    return Hold(taker, url) if taker != s.name and isinstance(step, DeleteEndpoint) else step


def _is_unsupported(answer: DeleteAnswer | None) -> bool:
    return isinstance(answer, Refused) and answer.status in {405, 501}


def _is_gone(s: Situation, endpoint_id: str) -> bool:
    """Whether a listing that counts shows that it is gone: somebody has removed it by hand."""
    return s.listing_current and s.live.get(endpoint_id) is None


def _give_up_on(endpoint_id: str, answer: DeleteAnswer) -> Failed:
    """Return the failure of a deletion that this run has tried in vain."""
    if _is_unsupported(answer):
        return Failed(f"this organization's API cannot delete endpoint {endpoint_id}", hint=REMOVE_BY_HAND)
    return Failed(
        f"endpoint {endpoint_id} could not be deleted: {answer}",
        hint="run `reconciler apply` again",
        failure=Failure.RUN if refuses_key(answer) else Failure.CHANGE,
    )


def refuses_key(answer: object) -> bool:
    """Whether the API refused the key: nothing else will be accepted from it either."""
    return isinstance(answer, Refused) and answer.status in {401, 403}


def record(s: Situation, document: Document) -> Step | None:
    """Bring the metadata up to date, if it is not."""
    projection = project(document, s.stored.version, tested=s.desired is None or s.desired.test)
    return None if projection == s.stored.projection else WriteProjection(projection)
