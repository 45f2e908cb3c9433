"""Desired, ledger and live to a plan: compare first, explain only what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.model import DeletionPolicy, Organization
from reconciler.plan.guards import Facts
from reconciler.plan.live import LiveIndex
from reconciler.plan.plan import Action, Change, Cost, Plan
from reconciler.plan.planner import Planner
from reconciler.ports import Metadata, VersionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from reconciler.model import Endpoint, Run, Webhook


class Comparison(Struct, frozen=True):
    """A plan, and what the guards and the runner need beside it."""

    plan: Plan
    facts: Facts
    live: LiveIndex
    abandoning: tuple[str, ...]
    """The documents whose abandoned attempts are still watched."""


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
    # What is owned counts as recorded anyhow.
    live.record(endpoint_id for p in projections if p.state == "released" for endpoint_id in p.recorded_ids)
    planner = Planner(organization, live, now, run)
    changes: list[Change] = []
    abandoning: list[str] = []
    protected: list[str] = []
    owned = missing = 0
    wanted = {webhook.name: webhook for webhook in desired}
    # One walk for all of it: at 100,000 webhooks, fetching them from memory is what takes the time. Manifests
    # and most listings are sorted already, as a set of their names would not be.
    for name in sorted([*wanted, *(name for name in metadata if name not in wanted)]):
        webhook, entry = wanted.get(name), metadata.get(name)
        if change := planner.change(name, webhook, entry):
            changes.append(change)
        if entry is None:
            continue
        if _is_owned(entry):
            owned += 1
            missing += _is_missing(entry, live)
        if webhook is None and _is_protected(entry):
            protected.append(name)
        if entry.projection and entry.projection.abandoned:
            abandoning.append(name)
    requests = listing_requests + sum(change.api_requests for change in changes)
    unmanaged = tuple(live.unowned())
    plan = Plan(
        organization=organization.name,
        changes=tuple(changes),
        unchanged=len(wanted) - sum(change.name in wanted for change in changes),
        owned=owned,
        unmanaged=unmanaged,
        released=frozenset(e.id for e in unmanaged if live.is_recorded(e.id)),
        commit=run.commit,
        cost=Cost.of(requests, requests_per_minute),
    )
    facts = Facts(
        manifests=len(wanted),
        missing=missing,
        resumed_deletes=sum(
            change.action is Action.RESUME and change.after is None and _may_delete(metadata[change.name])
            for change in changes
        ),
        protected=tuple(protected),
    )
    return Comparison(plan, facts, live, tuple(abandoning))


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


def _is_protected(metadata: Metadata) -> bool:
    """Whether it has an endpoint that must not be deleted."""
    projection = metadata.projection
    return (
        projection is not None
        and projection.endpoint_id is not None
        and projection.state not in {"released", "deleted"}
        and projection.deletion_policy is DeletionPolicy.PROTECT
    )


def _may_delete(metadata: Metadata) -> bool:
    """Whether resuming it without a manifest may delete an endpoint, though no removal has begun."""
    projection = metadata.projection
    if projection is None:
        return True
    return projection.state not in {"removing", "deleted", "released"} and (
        projection.deletion_policy is DeletionPolicy.DELETE
    )
