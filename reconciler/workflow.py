"""The use cases. They see ports only: what is real is decided by the command line."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from reconciler.apply.journal import Recorder
from reconciler.apply.runner import Runner
from reconciler.apply.taker import World
from reconciler.errors import ForeignDocument, GuardRefused, InvalidInput
from reconciler.plan.diff import Comparison, compare
from reconciler.plan.guards import GuardLimits, Verdict, judge
from reconciler.plan.outcome import Outcome
from reconciler.plan.plan import Action, Cause, Plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from reconciler.apply.journal import Journal
    from reconciler.apply.lock import Lock
    from reconciler.ledger import Projection
    from reconciler.model import Endpoint, Location, Webhook
    from reconciler.plan.plan import Change
    from reconciler.ports import Metadata

_REREADS = 3
"""How often a plan that looks wrong is made anew while another run is at work."""
_STALE_SECONDS = 60.0
"""How old a plan may be when it is carried out: somebody may have thought about it for an hour."""

__all__ = [
    "Planned",
    "StatusRow",
    "World",
    "apply",
    "bounded_by",
    "drift",
    "fleet",
    "only",
    "plan",
    "rotation",
    "status",
]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, the guards' verdicts against it, and what carrying it out starts from."""

    plan: Plan
    verdicts: tuple[Verdict, ...]
    comparison: Comparison
    desired: tuple[Webhook, ...]
    limits: GuardLimits
    requests_per_minute: int
    listing_began: datetime
    names: frozenset[str] | None = None
    """The only webhooks that are meant; None: all."""
    metadata: Mapping[str, Metadata] = field(default_factory=dict)
    """What Vault said of each document."""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One webhook of the fleet."""

    name: str
    endpoint_id: str | None
    url: str | None
    state: str
    secret_created_at: datetime | None = None
    verified_at: datetime | None = None
    owner: str | None = None
    source: Location | None = None
    unmanaged: bool = False
    webhook: Webhook | None = None
    """What its manifest says."""
    projection: Projection | None = None
    """What the ledger's public part says."""
    endpoint: Endpoint | None = None
    """What is live."""
    change: Change | None = None
    """What is due."""


def plan(
    world: World, desired: Sequence[Webhook], limits: GuardLimits, requests_per_minute: int = 100
) -> Planned:
    """Return what `apply` would do. Reads metadata and the listing; no secret, and writes nothing.

    Raises:
        ApiError: the listing is not complete.
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds another organization's documents.
    """
    planned, metadata = _plan_once(world, desired, limits, requests_per_minute)
    for _ in range(_REREADS):
        # What looks wrong may be another run's work, seen half: then the documents have moved on.
        if not _looks_wrong(planned) or _versions(_metadata(world)) == _versions(metadata):
            break
        planned, metadata = _plan_once(world, desired, limits, requests_per_minute)
    return planned


def _looks_wrong(planned: Planned) -> bool:
    return bool(planned.verdicts or planned.plan.problems or planned.comparison.facts.missing)


def _versions(metadata: Mapping[str, Metadata]) -> dict[str, int]:
    return {name: entry.version for name, entry in metadata.items()}


def _plan_once(
    world: World, desired: Sequence[Webhook], limits: GuardLimits, requests_per_minute: int
) -> tuple[Planned, Mapping[str, Metadata]]:
    # Vault first: absence from a listing counts only against documents read before it began.
    metadata = _metadata(world)
    began = world.clock.now()
    endpoints, pages = _listing(world)
    comparison = compare(
        world.organization,
        desired,
        metadata,
        endpoints,
        began,
        world.run,
        requests_per_minute=requests_per_minute,
        listing_requests=pages,
    )
    verdicts = judge(comparison.plan, comparison.facts, limits)
    planned = Planned(
        comparison.plan,
        verdicts,
        comparison,
        tuple(desired),
        limits,
        requests_per_minute,
        began,
        metadata=metadata,
    )
    return planned, metadata


def drift(
    world: World, desired: Sequence[Webhook], limits: GuardLimits, requests_per_minute: int = 100
) -> Planned:
    """Return the plan restricted to what changed without a manifest having changed."""
    planned = plan(world, desired, limits, requests_per_minute)
    changes = tuple(c for c in planned.plan.changes if c.cause is not Cause.MANIFEST)
    return replace(planned, plan=planned.plan.restricted_to(changes), verdicts=())


def rotation(
    desired: Sequence[Webhook], names: Collection[str], now: datetime, *, revoke: bool
) -> tuple[Webhook, ...]:
    """Return `desired` with the webhooks `names` asking for a secret newer than `now`.

    So a rotation is a plan like any other: it shows in the preview, and is resumed when it is cut off.

    Args:
        desired: what manifests say.
        names: whose secrets are to be replaced.
        now: the current time (aware).
        revoke: whether the old secret is known to others: then it goes with its endpoint, without overlap.

    Raises:
        InvalidInput: there is no manifest for one of `names`.
    """
    unknown = sorted(set(names) - {webhook.name for webhook in desired})
    if unknown:
        raise InvalidInput(
            f"there is no manifest for {', '.join(unknown)}", hint="`reconciler status` lists the names"
        )
    return tuple(
        replace(webhook, created_after=now, revoke=revoke) if webhook.name in names else webhook
        for webhook in desired
    )


def only(planned: Planned, names: Collection[str]) -> Planned:
    """Return `planned` restricted to the changes of `names`, and judged as such."""
    changes = tuple(change for change in planned.plan.changes if change.name in names)
    restricted = planned.plan.restricted_to(changes)
    facts = replace(planned.comparison.facts, protected=(), resumed_deletes=0)
    verdicts = judge(restricted, facts, planned.limits)
    return replace(planned, plan=restricted, verdicts=verdicts, names=frozenset(names))


def apply(
    world: World,
    planned: Planned,
    *,
    jobs: int = 1,
    lock: Lock | None = None,
    stop: threading.Event | None = None,
    journal: Journal | None = None,
) -> Outcome:
    """Carry `planned` out, under `lock` and into `journal`, until done or until `stop` is set.

    Nothing is written, not even the lock, when there is nothing to do. When the lock had to be waited
    for, or somebody took long to decide, the world may have changed and the plan is made anew.

    Raises:
        GuardRefused: a verdict stands against the plan, or it is another one after the wait.
        LockHeld: another run kept the lock for too long.
        StoreError: Vault refused everything and nothing was changed.
    """
    _refuse(planned)
    if not planned.plan.changes:
        return Outcome((), world.api.requests_sent, 0.0)
    with _held(lock) as waited, journal or nullcontext():
        age = (world.clock.now() - planned.listing_began).total_seconds()
        if waited or age > _STALE_SECONDS:
            renewed = plan(world, planned.desired, planned.limits, planned.requests_per_minute)
            if planned.names is not None:
                renewed = only(renewed, planned.names)
            _refuse(renewed)
            if bounded_by(renewed, planned.plan.to_json()):
                raise GuardRefused(
                    "what is to be done changed while this run waited",
                    hint="look at `reconciler plan`, then run `reconciler apply` again",
                )
            planned = renewed
        if journal is not None:
            journal.began(planned.plan, world.run.actor)
            world = replace(world, reporter=Recorder(journal, world.reporter))
        world.reporter.planned(planned.plan.cost.api_requests)
        desired = {webhook.name: webhook for webhook in planned.desired}
        # Of everything that is pending, also of what this run is not about.
        pending = [w for c in planned.comparison.plan.changes if (w := desired.get(c.name)) is not None]
        runner = Runner(
            world,
            planned.comparison.live,
            desired,
            planned.listing_began,
            stop or threading.Event(),
            {webhook.normalized_url: webhook.name for webhook in pending},
        )
        return runner.run(planned.plan.changes, jobs, planned.comparison.abandoning)


def status(world: World, desired: Sequence[Webhook]) -> tuple[StatusRow, ...]:
    """Return the fleet, by name; what nobody manages comes last, by id."""
    planned, _ = _plan_once(world, desired, GuardLimits(), requests_per_minute=100)
    return fleet(planned)


def fleet(planned: Planned) -> tuple[StatusRow, ...]:
    """Return the fleet as `planned` found it: by name; what nobody manages comes last, by id."""
    comparison, metadata = planned.comparison, planned.metadata
    wanted = {webhook.name: webhook for webhook in planned.desired}
    changes = {change.name: change for change in comparison.plan.changes}
    rows = []
    for name in sorted(wanted.keys() | metadata.keys()):
        webhook = wanted.get(name)
        projection = metadata[name].projection if name in metadata else None
        change = changes.get(name)
        if change is None and webhook is None and (projection is None or projection.state == "deleted"):
            continue
        state = _state(change, projection)
        rows.append(
            StatusRow(
                name=name,
                endpoint_id=projection.endpoint_id if projection else None,
                url=(projection.url if projection else None) or (webhook.url if webhook else None),
                state=state,
                secret_created_at=projection.secret_created_at if projection else None,
                verified_at=projection.verified_at if projection else None,
                owner=(webhook.owner if webhook else None) or (projection.owner if projection else None),
                source=webhook.location if webhook else None,
                webhook=webhook,
                projection=projection,
                endpoint=comparison.live.get(projection.endpoint_id or "") if projection else None,
                change=change,
            )
        )
    rows += [
        StatusRow(e.id, e.id, e.url, "unmanaged", unmanaged=True, endpoint=e)
        for e in comparison.plan.unmanaged
    ]
    return tuple(rows)


def _state(change: Change | None, projection: Projection | None) -> str:
    """Return the word that the fleet's table says."""
    recorded = projection.state if projection else None
    if change is None:
        return "released" if recorded == "released" else "in sync"
    match change.cause:
        case Cause.MANIFEST:
            return f"pending {change.action}"
        case Cause.DRIFT:
            return "drifted"
        case Cause.ROTATION:
            return "rotation due"
        case Cause.INTERRUPTED:
            return "unverified" if recorded == "unverified" else "interrupted"


def bounded_by(planned: Planned, reviewed: Mapping[str, Any]) -> list[str]:
    """Return how `planned` goes beyond the `reviewed` plan; nothing when it is that plan or a part of it.

    A resumption goes on towards what was reviewed, so it counts as reviewed when it ends there.
    """
    if reviewed["organization"] != planned.plan.organization:
        return [f"the reviewed plan is for organization {reviewed['organization']}"]
    known = {change["name"]: change for change in reviewed["changes"]}
    beyond = []
    for change in planned.plan.changes:
        was = known.get(change.name)
        now = change.identity()
        if was is None:
            beyond.append(f"{change.name}: {change.action} was not reviewed")
        elif change.action is Action.RESUME:
            if now["after"] != was["after"]:
                beyond.append(f"{change.name}: what it resumes towards was not reviewed")
        elif any(was.get(key) != value for key, value in now.items()):
            beyond.append(f"{change.name}: {change.action} is not the reviewed {was['action']}")
    return beyond


def _refuse(planned: Planned) -> None:
    if planned.verdicts:
        verdict = planned.verdicts[0]
        raise GuardRefused(verdict.message, hint=verdict.hint)


@contextmanager
def _held(lock: Lock | None) -> Iterator[bool]:
    """Hold the lock, if there is one; tell whether it had to be waited for."""
    if lock is None:
        yield False
        return
    waited = lock.acquire()
    try:
        yield waited
    finally:
        lock.release()


def _metadata(world: World) -> Mapping[str, Metadata]:
    metadata = world.store.list_metadata()
    ours = (world.organization.name, world.organization.api_url)
    for entry in metadata.values():
        projection = entry.projection
        if projection is not None and (projection.organization, projection.api_url) != ours:
            raise ForeignDocument(
                f"the document {entry.name} belongs to organization {projection.organization}"
                f" at {projection.api_url}",
                hint="check --organization, ZOF_API_URL and --vault-prefix; nothing was done",
            )
    return metadata


def _listing(world: World) -> tuple[list[Endpoint], int]:
    """Return all live endpoints and how many pages they took."""
    endpoints: list[Endpoint] = []
    pages = 0
    for page in world.api.list_pages():
        endpoints.extend(page)
        pages += 1
        world.reporter.listed(len(endpoints), pages)
    return endpoints, max(1, pages)
