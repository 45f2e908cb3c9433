"""One webhook's change: what its manifest, its metadata and its endpoint ask for, and everything it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.model import DeletionPolicy
from reconciler.plan.drift import finding_of
from reconciler.plan.fields import differences
from reconciler.plan.plan import Action, Cause, Change, Shape
from reconciler.plan.protocol.need import conflict_told, conflicting, needed
from reconciler.plan.protocol.project import current_from_projection, document_from_projection
from reconciler.ports import VersionState

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from reconciler.ledger.projection import Projection
    from reconciler.model import Organization, Run, Webhook
    from reconciler.plan.live import LiveIndex
    from reconciler.ports import Metadata

_RESUME_REQUESTS = 2
"""What an interrupted change is assumed to take: its ledger, a secret, is not read for a plan."""


class Planner(Struct, frozen=True):
    """What is to be done with one webhook after another."""

    organization: Organization
    live: LiveIndex
    now: datetime
    run: Run

    def change(self, name: str, webhook: Webhook | None, metadata: Metadata | None) -> Change | None:
        """Return what is to be done with `name`, by its manifest and metadata; None: nothing."""
        change = self._change(name, webhook, metadata)
        if change is None:
            return None
        recorded = metadata.projection.owner if metadata and metadata.projection else None
        owner = (webhook.owner if webhook else None) or recorded
        return replace(change, owner=owner, finding=finding_of(change, metadata))

    def _change(self, name: str, webhook: Webhook | None, metadata: Metadata | None) -> Change | None:
        if metadata is None or metadata.state is VersionState.ABSENT:
            return None if webhook is None else self._new(webhook, metadata)
        projection = metadata.projection
        if projection is None:
            reason = "its first creation was interrupted, or somebody else wrote the document"
            return self._resume(name, webhook, metadata, reason)
        if projection.version != metadata.version:
            reason = "the last change was interrupted, or somebody else wrote the document"
            return self._resume(name, webhook, metadata, reason)
        if projection.state == "deleted":
            if metadata.state is VersionState.LIVE:
                return self._resume(name, webhook, metadata, "the removal was interrupted")
            return None if webhook is None else self._new(webhook, metadata)
        return (
            self._gone(name, metadata, projection)
            if webhook is None
            else self._kept(webhook, metadata, projection)
        )

    def _new(self, webhook: Webhook, metadata: Metadata | None) -> Change:
        return self._finish(
            Change(
                webhook.name,
                Action.CREATE,
                "the manifest is new",
                Cause.MANIFEST,
                policy=webhook.deletion_policy,
            ),
            webhook,
            metadata,
            None,
        )

    def _resume(self, name: str, webhook: Webhook | None, metadata: Metadata, reason: str) -> Change:
        projection = metadata.projection
        return Change(
            name=name,
            action=Action.RESUME,
            reason=reason,
            cause=Cause.INTERRUPTED,
            before=self._before(projection),
            after=Shape(webhook.url, webhook.events) if webhook else None,
            source=webhook.location if webhook else None,
            endpoint_id=projection.endpoint_id if projection else None,
            policy=webhook.deletion_policy.value if webhook else None,
            steps=("read the ledger", "go on from where it stopped"),
            api_requests=_RESUME_REQUESTS,
            version=metadata.version,
        )

    def _gone(self, name: str, metadata: Metadata, projection: Projection) -> Change | None:
        """The manifest is gone."""
        if projection.state == "released":
            due = projection.next_due is not None and projection.next_due <= self.now
            return self._resume(name, None, metadata, "an expired secret is to be dropped") if due else None
        if projection.state == "removing":
            due = projection.next_due is None or projection.next_due <= self.now
            return self._resume(name, None, metadata, "a removal is to be finished") if due else None
        if projection.endpoint_id is None:
            action, reason = Action.UPDATE, "the manifest is gone, and no endpoint was ever made"
        elif projection.deletion_policy is DeletionPolicy.RETAIN:
            action, reason = Action.RELEASE, "the manifest is gone, and its policy is Retain"
        else:
            action, reason = Action.DELETE, "the manifest is gone"
        change = Change(name, action, reason, Cause.MANIFEST, policy=projection.deletion_policy.value)
        return self._finish(change, None, metadata, projection)

    def _kept(self, webhook: Webhook, metadata: Metadata, projection: Projection) -> Change | None:
        """The manifest is there, and so is the ledger."""
        if projection.state == "removing":
            return self._resume(webhook.name, webhook, metadata, "a removal is to be finished first")
        policy = webhook.deletion_policy.value
        has_secret = projection.secret_created_at is not None and metadata.state is not VersionState.DESTROYED
        current = current_from_projection(projection)
        need = needed(webhook, current, self.live, self.now, has_secret=has_secret)
        if projection.state == "released":
            change = self._returned(webhook, projection)
        elif need is not None:
            change = Change(webhook.name, need.action, need.reason, need.cause, policy=policy)
        elif metadata.state is VersionState.DELETED:
            reason = "the secret was deleted in Vault: it is undeleted"
            change = Change(webhook.name, Action.UPDATE, reason, Cause.DRIFT, policy=policy)
        elif projection.verified_at is None and webhook.test:
            reason = "no test delivery has been accepted yet"
            change = Change(webhook.name, Action.RESUME, reason, Cause.INTERRUPTED, policy=policy)
        elif projection.next_due is not None and projection.next_due <= self.now:
            reason = "an overlap or a sweep is due"
            change = Change(webhook.name, Action.RESUME, reason, Cause.ROTATION, policy=policy)
        elif projection.deletion_policy is not webhook.deletion_policy:
            reason = f"deletionPolicy: {projection.deletion_policy} becomes {policy}"
            change = Change(webhook.name, Action.UPDATE, reason, Cause.MANIFEST, policy=policy)
        else:
            return None
        return self._finish(change, webhook, metadata, projection)

    def _returned(self, webhook: Webhook, projection: Projection) -> Change:
        """A released webhook's manifest came back."""
        endpoint = self.live.get(projection.endpoint_id or "")
        action = Action.CREATE if endpoint is None else Action.UPDATE
        change = Change(
            webhook.name,
            action,
            "the manifest came back",
            Cause.MANIFEST,
            policy=webhook.deletion_policy.value,
        )
        if endpoint is None or endpoint.serves(webhook):
            return change
        return replace(
            change,
            problem=f"endpoint {endpoint.id}, released earlier, has another URL or other events",
            hint="give the manifest its URL and events to take it up again, or remove the endpoint",
        )

    def _finish(
        self,
        change: Change,
        webhook: Webhook | None,
        metadata: Metadata | None,
        projection: Projection | None,
    ) -> Change:
        """Fill in what every change shows: before, after, differences, steps, cost, conflicts."""
        before = self._before(projection)
        after = Shape(webhook.url, webhook.events) if webhook else None
        from reconciler.plan.simulate import steps_of  # noqa: PLC0415 (most previews explain no change)

        steps = steps_of(self.organization, change.name, webhook, metadata, self.live, self.now, self.run)
        problem, hint = change.problem, change.hint
        if webhook is not None and change.action in {Action.CREATE, Action.REPLACE}:
            document = document_from_projection(projection) if projection is not None else None
            stranger = conflicting(webhook, document, self.live)
            if stranger is not None:
                problem, hint = conflict_told(change.name, stranger, serving=before is not None)
        return replace(
            change,
            before=before,
            after=after,
            fields=differences(before, after) if change.action is not Action.CREATE else (),
            source=webhook.location if webhook else None,
            endpoint_id=projection.endpoint_id if projection else None,
            steps=tuple(step.description for step in steps),
            warnings=warnings_of(change, webhook) if before is not None else (),
            problem=problem,
            hint=hint,
            api_requests=0 if problem else sum(step.api_requests for step in steps),
            version=metadata.version if metadata else 0,
        )

    def _before(self, projection: Projection | None) -> Shape | None:
        """Return what is live now; None where the endpoint is gone."""
        if projection is None or projection.endpoint_id is None or projection.state == "deleted":
            return None
        endpoint = self.live.get(projection.endpoint_id)
        return None if endpoint is None else Shape(endpoint.url, endpoint.events)


def warnings_of(change: Change, webhook: Webhook | None) -> tuple[str, ...]:
    """Return what receivers will notice of `change`, which takes the place of a live endpoint."""
    if webhook is None or change.action not in {Action.REPLACE, Action.ROTATE}:
        return ()
    if webhook.revoke:
        return ("deliveries signed with the old secret are refused from then on (--now)",)
    if webhook.allow_event_gap:
        return ("events may be lost if the API refuses two endpoints with one URL (allowEventGap)",)
    if webhook.overlap:
        overlap = _span(webhook.overlap)
        return (f"for {overlap} events are delivered twice: by the old and by the new endpoint",)
    return ()


def _span(time: timedelta) -> str:
    """Return a span as manifests write it: `1d`, `36h`, `90m`, `5s`."""
    seconds = round(time.total_seconds())
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"
