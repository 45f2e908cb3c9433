"""Desired, ledger and live to a plan: compare first, explain only what differs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.model import DeletionPolicy, Organization
from reconciler.plan.fields import differences
from reconciler.plan.findings import finding_of
from reconciler.plan.guards import Facts
from reconciler.plan.live import LiveIndex
from reconciler.plan.need import conflict_told, conflicting, needed
from reconciler.plan.plan import Action, Cause, Change, Cost, Plan, Shape
from reconciler.plan.project import current_from_projection, document_from_projection
from reconciler.ports import Metadata, VersionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from reconciler.ledger import Projection
    from reconciler.model import Endpoint, Run, Webhook

_RESUME_REQUESTS = 2
"""What an interrupted change is assumed to take: its ledger, a secret, is not read for a plan."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A plan, and what the guards and the runner need beside it."""

    plan: Plan
    facts: Facts
    live: LiveIndex
    abandoning: tuple[str, ...]
    """The documents whose abandoned attempts are still watched."""
    missing: tuple[Metadata, ...]
    """The documents whose endpoint ought to be listed and is not."""


def compare(
    organization: Organization,
    desired: Sequence[Webhook],
    metadata: Mapping[str, Metadata],
    endpoints: Iterable[Endpoint],
    now: datetime,
    run: Run,
    *,
    requests_per_minute: int = 100,
    listing_requests: int = 1,
) -> Comparison:
    """Return what is to be done so that live and ledger are as `desired` says.

    Args:
        organization: whose webhooks these are.
        desired: the manifests, names unique.
        metadata: every document's metadata, read before the listing began.
        endpoints: the complete listing.
        now: the current time (aware).
        run: who plans.
        requests_per_minute: the API's quota, for the estimate.
        listing_requests: what the listing took; a run takes it once.
    """
    projections = [m.projection for m in metadata.values() if m.projection is not None]
    live = LiveIndex(endpoints, (endpoint_id for p in projections for endpoint_id in p.owned_ids))
    live.record(endpoint_id for p in projections for endpoint_id in p.recorded_ids)
    planner = _Planner(organization, live, now, run)
    changes: list[Change] = []
    wanted = {webhook.name: webhook for webhook in desired}
    for name in sorted(wanted.keys() | metadata.keys()):
        change = planner.change(name, wanted.get(name), metadata.get(name))
        if change is not None:
            changes.append(change)
    changed = {change.name for change in changes}
    requests = listing_requests + sum(change.api_requests for change in changes)
    owned = [m for m in metadata.values() if _is_owned(m)]
    unmanaged = tuple(sorted((e for e in live if not live.is_owned(e.id)), key=lambda e: e.id))
    plan = Plan(
        organization=organization.name,
        changes=tuple(changes),
        unchanged=len(wanted.keys() - changed),
        owned=len(owned),
        unmanaged=unmanaged,
        released=frozenset(e.id for e in unmanaged if live.is_recorded(e.id)),
        commit=run.commit,
        cost=Cost.of(requests, requests_per_minute),
    )
    missing = tuple(m for m in owned if _is_missing(m, live))
    facts = Facts(
        manifests=len(wanted),
        missing=len(missing),
        resumed_deletes=sum(
            change.action is Action.RESUME and change.after is None and _may_delete(metadata[change.name])
            for change in changes
        ),
        protected=tuple(
            m.name
            for m in metadata.values()
            if m.name not in wanted
            and m.projection is not None
            and m.projection.endpoint_id is not None
            and m.projection.state not in {"released", "deleted"}
            and m.projection.deletion_policy is DeletionPolicy.PROTECT
        ),
    )
    abandoning = tuple(m.name for m in metadata.values() if m.projection and m.projection.abandoned)
    return Comparison(plan, facts, live, abandoning, missing)


def _is_owned(metadata: Metadata) -> bool:
    """Whether an endpoint of ours belongs to it, or may: the metadata of a live document may lag behind."""
    projection = metadata.projection
    is_live = metadata.state is VersionState.LIVE
    if projection is None:
        return is_live
    may_have_one = projection.endpoint_id is not None or (is_live and projection.version != metadata.version)
    return may_have_one and projection.state not in {"released", "deleted"}


def _is_missing(metadata: Metadata, live: LiveIndex) -> bool:
    """Whether its endpoint ought to be listed and is not. In the middle of a change nothing is sure."""
    projection = metadata.projection
    if projection is None or projection.endpoint_id is None or projection.version != metadata.version:
        return False
    return live.get(projection.endpoint_id) is None


def _may_delete(metadata: Metadata) -> bool:
    """Whether resuming it without a manifest may delete an endpoint, though no removal has begun."""
    projection = metadata.projection
    if projection is None:
        return True
    return projection.state not in {"removing", "deleted", "released"} and (
        projection.deletion_policy is DeletionPolicy.DELETE
    )


@dataclass(frozen=True, slots=True)
class _Planner:
    organization: Organization
    live: LiveIndex
    now: datetime
    run: Run

    def change(self, name: str, webhook: Webhook | None, metadata: Metadata | None) -> Change | None:
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
            return self._resume(name, webhook, metadata, "the last change was interrupted")
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
        # The protocol is a third of the plan's modules, and most previews have no change to explain.
        from reconciler.plan.simulate import steps_of  # noqa: PLC0415

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
            warnings=warnings_of(change, webhook),
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
    """Return what receivers will notice of `change`."""
    if webhook is None or change.action not in {Action.REPLACE, Action.ROTATE}:
        return ()
    if webhook.revoke:
        return ("deliveries signed with the old secret are refused from then on (--now)",)
    if webhook.allow_event_gap:
        return ("events may be lost if the API refuses two endpoints with one URL (allowEventGap)",)
    if webhook.overlap:
        return (f"for {webhook.overlap} events are delivered twice: by the old and by the new endpoint",)
    return ()
