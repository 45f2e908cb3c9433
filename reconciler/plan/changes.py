"""The changes of a plan: what each shows, and the steps that it takes if nothing goes wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.ledger.ledger import Previous
from reconciler.ledger.projection import document_from_projection
from reconciler.model import Endpoint, Secret, body_digest
from reconciler.plan.drift import Drift, DriftKind
from reconciler.plan.plan import IN_PROGRESS, Action, Cause, Change, FieldChange, Shape
from reconciler.plan.protocol.next_step import next_step
from reconciler.plan.protocol.state import Progress, State
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
from reconciler.texts import span
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.ledger.document import Document
    from reconciler.ledger.projection import Projection
    from reconciler.model import Organization, Run, VaultPlace, Webhook
    from reconciler.plan.live import LiveIndex
    from reconciler.plan.plan import ActiveRun
    from reconciler.plan.protocol.decide import Decision
    from reconciler.plan.protocol.state import Adoption

_RESUME_STEPS = ("read the ledger", "continue from where it stopped")
_RESUME_REQUESTS = 2
"""The estimate for an interrupted change: its ledger holds a secret, so a plan does not read it."""
_FRESH = Fresh(nonce="", key_suffix="", secret=Secret("simulated"))
_NEW_ID = "(new)"
_MOST = 60
_LONGEST_CREATION = timedelta(minutes=10)
"""From the write of an intent to the end of its request: a wait for the quota, and all retries."""
_LEFT_ALONE = "`reconciler apply` does not change this"


class Describer(Struct, frozen=True):
    """Turns decisions into changes that can be shown."""

    organization: Organization
    place: VaultPlace
    live: LiveIndex
    now: datetime
    run: Run
    active_run: ActiveRun | None = None
    """The run that holds the lock."""

    def describe(
        self, name: str, decision: Decision, webhook: Webhook | None, metadata: Metadata | None
    ) -> Change:
        """Return everything that the change of `name` shows; something is due by `decision`."""
        assert decision.action is not None, "only what is due is described"  # noqa: S101 - an invariant
        projection = metadata.projection if metadata is not None else None
        change = Change(
            name=name,
            action=decision.action,
            reason=decision.reason,
            cause=decision.cause,
            before=self._before(projection, webhook),
            after=Shape(webhook.url, webhook.events) if webhook else None,
            source=webhook.location if webhook else None,
            endpoint_id=projection.endpoint_id if projection else None,
            policy=webhook.deletion_policy.value if webhook else None,
            problem=decision.problem,
            hint=decision.hint,
            owner=(webhook.owner if webhook else None) or (projection.owner if projection else None),
            version=metadata.version if metadata else 0,
        )
        if webhook is None or not webhook.rotate or change.cause is not Cause.ROTATION:
            change = replace(change, drift=drift_of(change, metadata, self.live, self.active_run))
        if change.drift is not None and DriftKind.IN_PROGRESS in change.drift.kinds:
            change = replace(change, reason=IN_PROGRESS)
        if change.action is Action.NONE:
            return replace(change, after=change.before, warnings=(_LEFT_ALONE,))
        if metadata is not None and metadata.is_interrupted:
            maybe_ours = in_question(webhook, metadata, self.live)
            warnings = tuple(
                f"endpoint {each.id} may belong to this change: `apply` reads its ledger"
                for each in maybe_ours
            )
            return replace(
                change,
                fields=differences(change.before, change.after),
                steps=_RESUME_STEPS,
                api_requests=_RESUME_REQUESTS,
                warnings=warnings,
            )
        steps = steps_of(self.organization, name, webhook, metadata, self.live, self.now, self.run)
        if webhook is None and projection is not None:
            change = replace(change, policy=projection.deletion_policy.value)
        return replace(
            change,
            fields=differences(change.before, change.after) if change.action is not Action.CREATE else (),
            steps=tuple(step.description for step in steps),
            warnings=warnings_of(change, webhook) if change.before is not None else (),
            receivers=receivers_of(change, webhook, self.place, self.now),
            api_requests=0 if change.problem else sum(step.api_requests for step in steps),
        )

    def _before(self, projection: Projection | None, webhook: Webhook | None) -> Shape | None:
        """Return the live endpoint; None if there is none, or it is gone.

        What somebody put into its URL without review is masked: it may be a credential.
        """
        if projection is None or projection.endpoint_id is None or projection.state == "deleted":
            return None
        endpoint = self.live.get(projection.endpoint_id)
        if endpoint is None:
            return None
        url = mask_unreviewed(endpoint.url, webhook.url if webhook else None, projection.url)
        return Shape(url, endpoint.events)


def in_question(webhook: Webhook | None, metadata: Metadata, live: LiveIndex) -> tuple[Endpoint, ...]:
    """Return the live endpoints that an unfinished change may have created: only its ledger shows it.

    They are at a URL of the webhook. If none is, the manifest may have been edited or removed after the
    interruption: then it may be any that was created within minutes of the last write.
    """
    urls = {webhook.normalized_url} if webhook is not None else set()
    if metadata.projection is not None and metadata.projection.url is not None:
        urls.add(normalize_url(metadata.projection.url))
    at_urls = [e for url in sorted(urls) for e in live.at(url) if not live.is_recorded(e.id)]
    wrote = metadata.changed_at
    if at_urls or wrote is None or not metadata.is_interrupted:
        return tuple(at_urls)
    return tuple(
        endpoint
        for endpoint in live.unowned()
        if endpoint.created is not None
        and abs(endpoint.created - wrote) <= _LONGEST_CREATION
        and not live.is_recorded(endpoint.id)
    )


def drift_of(
    change: Change, metadata: Metadata | None, live: LiveIndex, active_run: ActiveRun | None = None
) -> Drift | None:
    """Return what makes `change` due; None if only the manifest does.

    While `active_run` holds the lock, what looks interrupted is its work.
    """
    if metadata is None:
        return None
    projection = metadata.projection
    match change.cause:
        case Cause.MANIFEST:
            return None
        case Cause.DRIFT:
            return _drifted(change, metadata, live)
        case Cause.ROTATION if change.action is Action.RESUME:
            return Drift((DriftKind.CLEANUP_DUE,), projection.next_due if projection else None)
        case Cause.ROTATION:
            return Drift((DriftKind.ROTATION_DUE,))
        case Cause.INTERRUPTED:
            return _interrupted(metadata, active_run)


def _interrupted(metadata: Metadata, active_run: ActiveRun | None) -> Drift:
    projection = metadata.projection
    if metadata.is_settled and projection is not None and projection.state == "unverified":
        return Drift((DriftKind.UNVERIFIED,), metadata.changed_at)
    if active_run is not None:
        return Drift((DriftKind.IN_PROGRESS,), active_run.since)
    return Drift((DriftKind.INTERRUPTED,), metadata.changed_at)


def _drifted(change: Change, metadata: Metadata, live: LiveIndex) -> Drift:
    kinds: list[DriftKind] = []
    if change.before is None:
        kinds.append(DriftKind.ENDPOINT_RECREATED if change.problem else DriftKind.ENDPOINT_REMOVED)
    elif change.action in {Action.NONE, Action.UPDATE} and _is_disabled(change.endpoint_id, live):
        # If it is replaced for another reason, its successor is enabled.
        kinds.append(DriftKind.ENDPOINT_DISABLED)
    elif _is_changed(live.get(change.endpoint_id or "") or change.before, metadata.projection):
        kinds.append(DriftKind.ENDPOINT_CHANGED)
    since = None
    if metadata.state is VersionState.DELETED:
        kinds.append(DriftKind.SECRET_DELETED)
        since = metadata.changed_at
    elif metadata.state is VersionState.DESTROYED:
        kinds.append(DriftKind.SECRET_DESTROYED)
    elif not kinds:
        kinds.append(DriftKind.SECRET_MISSING)
    found = Drift(tuple(kinds), since)
    # Its remedy is a command for this webhook alone.
    return replace(found, webhook=change.name) if DriftKind.ENDPOINT_DISABLED in kinds else found


def _is_disabled(endpoint_id: str | None, live: LiveIndex) -> bool:
    endpoint = live.get(endpoint_id) if endpoint_id is not None else None
    return endpoint is not None and not endpoint.enabled


def _is_changed(live: Endpoint | Shape, projection: Projection | None) -> bool:
    """Whether the endpoint differs from what the API made of our request."""
    if projection is None:
        return True
    known = {projection.live_digest or projection.digest, projection.spelled_digest}
    return body_digest(live.url, live.events) not in known


def differences(before: Shape | None, after: Shape | None) -> tuple[FieldChange, ...]:
    """Return the differences between two shapes by path; none if either is absent or both are equal."""
    if before is None or after is None or before == after:
        return ()
    # Importing it costs more than planning a thousand unchanged webhooks.
    from deepdiff import DeepDiff  # noqa: PLC0415 - lazy on purpose

    old, new = before.to_json(), after.to_json()
    delta = DeepDiff(old, new, ignore_order=True)
    touched = sorted(
        {str(level.path(output_format="list")[0]) for group in delta.tree.values() for level in group}
    )
    return tuple(FieldChange(path, old[path], new[path]) for path in touched)


def warnings_of(change: Change, webhook: Webhook | None) -> tuple[str, ...]:
    """Return the risks of `change`, which replaces a live endpoint."""
    if webhook is None or change.action not in {Action.REPLACE, Action.ROTATE}:
        return ()
    if webhook.revoke:
        return ("deliveries signed with the old secret are refused from then on (--now)",)
    if webhook.allow_event_gap:
        return ("events may be lost if the API refuses two endpoints with one URL (allowEventGap)",)
    return ()


def receivers_of(
    change: Change, webhook: Webhook | None, place: VaultPlace, now: datetime
) -> tuple[str, ...]:
    """Return what receivers will notice of `change`, if it is applied at `now`."""
    if webhook is None or change.problem or change.action not in {Action.REPLACE, Action.ROTATE}:
        return ()
    path = f"{place.mount}/{place.prefix}/{change.name}"
    new = f"the new secret will be `signing_secret` at {path} in Vault"
    if change.before is None or webhook.revoke or webhook.allow_event_gap:
        return (new,)
    if webhook.overlap:
        until = f"{now + webhook.overlap:%Y-%m-%d %H:%M} UTC"
        applied_now = f"if it is applied now (overlap {span(webhook.overlap)})"
        return (
            f"{new}, beside the old one as `previous_signing_secret`",
            f"events are delivered twice, by the old and by the new endpoint, until {until}, {applied_now}",
        )
    twice = "events may be delivered twice for seconds, until the old endpoint is deleted"
    return (new, twice)


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
    """Return the steps that a change takes if nothing goes wrong, from the metadata or `document`."""
    live = live.fork()
    stored = _stored(name, metadata, document)
    progress = Progress()
    steps: list[Step] = []
    for _ in range(_MOST):
        current = State(name, organization, webhook, stored, live, now, True, now, _FRESH, run, progress)
        step = next_step(replace(current, adoption=adoption))
        match step:
            case Done() | Wait() | Failed():
                break
            case WriteDocument(document=document):
                stored = replace(
                    stored, version=stored.version + 1, state=VersionState.LIVE, document=document
                )
                progress = progress.after_write(step)
                live.learn(document.ledger)
            case CreateEndpoint(key=key) if webhook is not None:
                endpoint = Endpoint(_NEW_ID, webhook.url, webhook.events, now)
                live.add(endpoint)
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
    projection = stored.projection
    document = document_from_projection(projection, secret=_FRESH.secret)
    due = projection.next_due
    if due is not None and not projection.previous_ids and not projection.abandoned:
        # Only a replaced secret can be due: its endpoint is gone.
        replaced = Previous("", projection.generation, due, deleted_at=due, expire_at=due)
        document = replace(document, ledger=replace(document.ledger, previous=(replaced,)))
    return replace(stored, state=VersionState.LIVE, document=document)
