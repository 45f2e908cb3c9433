"""The steps that a change would take, were nothing to go wrong: the step function in an ideal world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.model import Endpoint, Secret
from reconciler.plan.protocol.next_step import next_step
from reconciler.plan.protocol.project import document_from_projection
from reconciler.plan.protocol.state import Progress, Situation
from reconciler.plan.protocol.steps import (
    CreateEndpoint,
    DeleteEndpoint,
    DestroyBefore,
    Done,
    Failed,
    SoftDelete,
    Step,
    TestEndpoint,
    Undelete,
    Wait,
    WriteDocument,
    WriteProjection,
)
from reconciler.ports import Created, Delivered, Fresh, Metadata, Stored, VersionState

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.ledger.document import Document
    from reconciler.model import Organization, Run, Webhook
    from reconciler.plan.live import LiveIndex
    from reconciler.plan.protocol.adopt import Adoption

_FRESH = Fresh(nonce="", key_suffix="", secret=Secret("simulated"))
_NEW_ID = "(new)"
_MOST = 60


def steps_of(
    organization: Organization,
    name: str,
    webhook: Webhook | None,
    metadata: Metadata | None,
    live: LiveIndex,
    now: datetime,
    run: Run,
    adoption: Adoption | None = None,
    document: Document | None = None,
) -> tuple[Step, ...]:
    """Return the steps from what the metadata, or `document`, tells to the end, without the end itself."""
    live = live.fork()
    stored = _stored(name, metadata, document)
    progress = Progress()
    steps: list[Step] = []
    for _ in range(_MOST):
        situation = Situation(
            name, organization, webhook, stored, live, now, True, now, _FRESH, run, progress
        )
        step = next_step(replace(situation, adoption=adoption))
        match step:
            case Done() | Wait() | Failed():
                break
            case WriteDocument(document=document):
                stored = replace(
                    stored, version=stored.version + 1, state=VersionState.LIVE, document=document
                )
                if step.begins_attempt:
                    progress = replace(progress, attempts=progress.attempts + 1)
            case CreateEndpoint(key=key) if webhook is not None:
                endpoint = Endpoint(_NEW_ID, webhook.url, webhook.events, now)
                live.add(endpoint)
                live.own([_NEW_ID])
                progress = replace(progress, key=key, created=Created(endpoint, _FRESH.secret))
            case TestEndpoint(endpoint_id=endpoint_id):
                progress = replace(progress, tested=(endpoint_id, Delivered()))
            case DeleteEndpoint(endpoint_id=endpoint_id):
                live.remove(endpoint_id)
                progress = replace(progress, deleted=progress.deleted | {endpoint_id})
            case WriteProjection(projection=projection):
                stored = replace(stored, projection=projection)
            case Undelete():
                stored = _revived(stored)
            case SoftDelete():
                stored = replace(stored, state=VersionState.DELETED, document=None)
            case DestroyBefore():
                progress = replace(progress, purged=True)
            case _:
                break
        steps.append(step)
    return tuple(steps)


def _stored(name: str, metadata: Metadata | None, document: Document | None) -> Stored:
    if metadata is None:
        return Stored(name, 0, VersionState.ABSENT, None)
    stored = Stored(name, metadata.version, metadata.state, None, projection=metadata.projection)
    if metadata.state is not VersionState.LIVE:
        return stored
    return _revived(stored) if document is None else replace(stored, document=document)


def _revived(stored: Stored) -> Stored:
    if stored.projection is None:
        return replace(stored, state=VersionState.LIVE)
    document = document_from_projection(stored.projection, secret=_FRESH.secret)
    return replace(stored, state=VersionState.LIVE, document=document)
