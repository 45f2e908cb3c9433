"""What the next step depends on, and the few steps that every part of the protocol takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.model import Organization, Run, Webhook
from reconciler.plan.project import project
from reconciler.plan.steps import (
    DeleteEndpoint,
    Failed,
    Failure,
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

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.ledger import Document
    from reconciler.plan.live import LiveIndex

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


def write(
    s: Situation,
    document: Document,
    description: str,
    *,
    begins_attempt: bool = False,
    then: Failed | None = None,
) -> WriteDocument:
    """Return the write of `document` in place of the version that was read."""
    document = replace(document, ledger=replace(document.ledger, nonce=s.fresh.nonce))
    return WriteDocument(document, s.stored.version, description, begins_attempt, then)


def delete(s: Situation, endpoint_id: str, description: str) -> Step | None:
    """Return the deletion, or None when this run has done or tried it."""
    if endpoint_id in s.progress.deleted or endpoint_id in s.progress.undeleted:
        return None
    return DeleteEndpoint(endpoint_id, description)


def give_up_on(s: Situation, endpoint_id: str) -> Failed:
    """Return the failure of a deletion that this run has tried in vain."""
    answer = s.progress.undeleted[endpoint_id]
    if isinstance(answer, Refused) and answer.status in {405, 501}:
        return Failed(f"this organization's API cannot delete endpoint {endpoint_id}", hint=REMOVE_BY_HAND)
    fatal = isinstance(answer, Refused) and answer.status in {401, 403}
    return Failed(
        f"endpoint {endpoint_id} could not be deleted: {answer}",
        hint="run `reconciler apply` again",
        failure=Failure.RUN if fatal else Failure.CHANGE,
    )


def record(s: Situation, document: Document) -> Step | None:
    """Bring the metadata up to date, if it is not."""
    projection = project(document, s.stored.version, tested=s.desired is None or s.desired.test)
    return None if projection == s.stored.projection else WriteProjection(projection)
