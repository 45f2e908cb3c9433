"""What is to be done: plans, and what of a plan is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from reconciler.errors import ForeignDocument, InvalidInput
from reconciler.model import Organization
from reconciler.plan.compare import Comparison, compare
from reconciler.plan.drift import Drift, DriftKind, DriftState
from reconciler.plan.guards import Refusal, disallowed, judge
from reconciler.plan.move import foreign_hint
from reconciler.plan.odd_entries import sort_out, unreadable_entry
from reconciler.plan.plan import IN_PROGRESS, Action, Cause, server_identity
from reconciler.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from reconciler.model import Endpoint, OddEntry, Webhook
    from reconciler.plan.plan import ActiveRun, Change, Plan
    from reconciler.plan.protocol.state import Adoption
    from reconciler.ports import Metadata
    from reconciler.session import Session

_REREADS = 3
"""How often a plan that looks wrong is made again while another run is active."""


class Planned(Struct, frozen=True):
    """A plan, the guards' refusals against it, and what carrying it out starts from."""

    plan: Plan
    refusals: tuple[Refusal, ...]
    comparison: Comparison
    session: Session
    """The session that made the plan, and in which it is applied."""
    listing_began: datetime
    metadata: Mapping[str, Metadata]
    """Every document's, as it was before the listing began."""
    names: frozenset[str] | None = None
    """The only webhooks that are meant; None: all."""
    due: frozenset[DriftState] | None = None
    """The only changes that are meant: those that are due for these reasons; None: all."""
    adoption: Adoption | None = None
    """The endpoint that is taken over, where that is what it is about."""


class Seen(NamedTuple):
    """The state of Vault and of the API."""

    metadata: Mapping[str, Metadata]
    listing_began: datetime
    entries: Sequence[Endpoint | OddEntry]
    pages: int
    """How many requests the listing took."""
    active_run: ActiveRun | None = None
    """The run that held the lock when Vault was read."""


def plan(session: Session) -> Planned:
    """Return what `apply` would do. Reads metadata and the listing; no secret, and writes nothing.

    Raises:
        ApiError: the listing is not complete.
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds another organization's documents.
    """
    planned = plan_once(session)
    for _ in range(_REREADS):
        # What looks wrong may be another run's work, seen half: then the documents have moved on.
        if not looks_wrong(planned) or not has_moved_on(planned):
            return planned
        planned = plan_once(session)
    return _without_moving(planned, read_metadata(session)) if looks_wrong(planned) else planned


def looks_wrong(planned: Planned) -> bool:
    """Whether a plan has what another run at work would explain."""
    plan = planned.plan
    # While a run holds the lock, what looks interrupted is in progress.
    interrupted = any(c.drift is not None and DriftKind.INTERRUPTED in c.drift.kinds for c in plan.changes)
    doubtful = planned.refusals or plan.problems or plan.disallowed or planned.comparison.facts.missing
    return bool(interrupted or doubtful)


def has_moved_on(planned: Planned) -> bool:
    """Whether some document is another one than when `planned` was made."""
    return bool(_moved(planned.metadata, read_metadata(planned.session)))


def _moved(older: Mapping[str, Metadata], newer: Mapping[str, Metadata]) -> set[str]:
    """Return the names of the documents that were written since, or whose change has ended."""
    return {
        name
        for name in older.keys() | newer.keys()
        if name not in older
        or name not in newer
        or (older[name].version, older[name].is_settled) != (newer[name].version, newer[name].is_settled)
    }


def _without_moving(planned: Planned, newer: Mapping[str, Metadata]) -> Planned:
    """Return `planned` with what a run was changing all the time, by `newer` metadata, as in progress."""
    plan, moved = planned.plan, _moved(planned.metadata, newer)
    since = plan.active_run.since if plan.active_run is not None else None
    changes = tuple(
        replace(
            change,
            action=Action.RESUME,
            cause=Cause.INTERRUPTED,
            reason=IN_PROGRESS,
            problem=None,
            hint=None,
            drift=Drift((DriftKind.IN_PROGRESS,), since),
        )
        if change.name in moved
        else change
        for change in plan.changes
    )
    owned = {i for entry in newer.values() if entry.projection for i in entry.projection.recorded_ids}
    unmanaged = tuple(endpoint for endpoint in plan.unmanaged if endpoint.id not in owned)
    plan = replace(plan, changes=changes, unmanaged=unmanaged, disallowed=plan.disallowed - owned)
    return replace(planned, plan=plan, comparison=replace(planned.comparison, plan=plan))


def plan_once(session: Session) -> Planned:
    """Return the plan by one reading of Vault and one listing, whatever another run does meanwhile."""
    # Vault first: absence from a listing counts only against documents read before it began.
    metadata, run = look_at_vault(session)
    began = session.clock.now()
    endpoints, pages = list_endpoints(session)
    return planned_from(Seen(metadata, began, endpoints, pages, run), session)


def planned_from(seen: Seen, session: Session) -> Planned:
    """Return the plan for what was read.

    Raises:
        ApiError: an entry of the listing cannot be read, and may be ours.
    """
    comparison = compare(
        session.organization,
        session.place,
        session.desired,
        seen.metadata,
        readable(session, seen.entries, seen.metadata),
        seen.listing_began,
        session.run,
        requests_per_minute=session.quota,
        listing_requests=seen.pages,
        scope=session.scope,
        active_run=seen.active_run,
    )
    outside = disallowed(comparison.plan, session.limits)
    comparison = replace(comparison, plan=replace(comparison.plan, disallowed=outside))
    refusals = judge(comparison.plan, comparison.facts, session.limits)
    return Planned(comparison.plan, refusals, comparison, session, seen.listing_began, seen.metadata)


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
    known = {webhook.name for webhook in desired}
    if unknown := sorted(set(names) - known):
        raise InvalidInput(
            f"no manifest for {', '.join(unknown)}",
            hint=did_you_mean(unknown, known, "`reconciler status` lists the names"),
        )
    return tuple(
        replace(webhook, created_after=now, rotate=True, revoke=revoke) if webhook.name in names else webhook
        for webhook in desired
    )


def plan_rotation(session: Session, names: Collection[str], *, revoke: bool) -> Planned:
    """Return the plan that replaces the secrets of `names` only; the arguments are those of `rotation`.

    Raises:
        InvalidInput: there is no manifest for one of `names`.
    """
    desired = rotation(session.desired, names, session.clock.now(), revoke=revoke)
    return only(plan(replace(session, desired=desired)), names)


def only(planned: Planned, names: Collection[str]) -> Planned:
    """Return `planned` restricted to the changes of `names`, and judged as such."""
    changes = tuple(change for change in planned.plan.changes if change.name in names)
    return replace(restricted(planned, changes), names=frozenset(names))


def only_due(planned: Planned, due: frozenset[DriftState]) -> Planned:
    """Return `planned` restricted to what is due for these reasons: an earlier review approved it."""
    changes = tuple(change for change in planned.plan.changes if change.state in due)
    return replace(restricted(planned, changes), due=due)


def restricted(planned: Planned, changes: tuple[Change, ...]) -> Planned:
    """Return `planned` with nothing but `changes`, and judged as such."""
    plan = planned.plan.restricted_to(changes)
    facts = replace(planned.comparison.facts, protected=(), resumed_deletes=0)
    return replace(planned, plan=plan, refusals=judge(plan, facts, planned.session.limits))


def held_to_review(planned: Planned, reviewed: Mapping[str, Any]) -> Planned:
    """Return `planned` with a refusal against each change that goes beyond the `reviewed` plan.

    A digest does not override it: make a new plan and have that one reviewed.
    """
    hint = "make a new plan, and have it reviewed: reconciler plan --out FILE"
    beyond = (Refusal("review", each, hint, approvable=False) for each in bounded_by(planned, reviewed))
    return replace(planned, refusals=(*planned.refusals, *beyond))


def bounded_by(planned: Planned, reviewed: Mapping[str, Any]) -> list[str]:
    """Return how `planned` goes beyond the `reviewed` plan; nothing when it is that plan or a part of it.

    A resumption goes on towards what was reviewed, so it counts as reviewed when it ends there. What has come
    due since, such as the end of an overlap, was reviewed with the change that began it.
    """
    if reviewed["organization"] != planned.plan.organization:
        return [f"the reviewed plan is for organization {reviewed['organization']}"]
    here, there = server_identity(planned.plan.servers.to_json()), server_identity(reviewed["servers"])
    if here != there:
        return [f"the reviewed plan is for {_servers_text(there)}, this one for {_servers_text(here)}"]
    known = {change["name"]: change for change in reviewed["changes"]}
    beyond = []
    for change in planned.plan.changes:
        was = known.get(change.name)
        now = change.identity()
        if change.action is Action.NONE:
            continue
        if was is None and change.action is Action.RESUME and change.cause is Cause.ROTATION:
            continue
        if was is None:
            beyond.append(f"{change.name}: {change.action} was not reviewed")
        elif change.action is Action.RESUME:
            if now["after"] != was["after"]:
                beyond.append(f"{change.name}: what it resumes towards was not reviewed")
        elif any(was.get(key) != value for key, value in now.items()):
            beyond.append(f"{change.name}: {change.action} is not the reviewed {was['action']}")
    return beyond


def _servers_text(servers: Mapping[str, str]) -> str:
    return f"{servers['api_url']} and {servers['vault_mount']}/{servers['vault_prefix']} in Vault"


def look_at_vault(session: Session) -> tuple[Mapping[str, Metadata], ActiveRun | None]:
    """Return every document's metadata, and the run that holds the lock, if another process does.

    Raises:
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds another organization's documents.
    """
    metadata = read_metadata(session)
    seen = session.store.seen_lock()
    if seen is None or not seen.note:
        return metadata, None
    # Mostly, the lock is free, and a plan needs nothing of what applies.
    from reconciler.apply.holder import Holder, active_run  # noqa: PLC0415

    return metadata, active_run(seen, Holder.here(session.run))


def read_metadata(session: Session) -> Mapping[str, Metadata]:
    """Return every document's metadata.

    Raises:
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds another organization's documents.
    """
    metadata = session.store.list_metadata()
    require_own(metadata, session.organization)
    return metadata


def require_own(metadata: Mapping[str, Metadata], ours: Organization) -> None:
    """Refuse documents of another organization or of another API.

    Raises:
        ForeignDocument: there is one; the message names both.
    """
    for entry in metadata.values():
        projection = entry.projection
        if projection is not None and (projection.organization, projection.api_url) != (
            ours.name,
            ours.api_url,
        ):
            theirs = Organization(projection.organization, projection.api_url)
            raise ForeignDocument(
                f"the document {entry.name} belongs to organization {theirs.name} at {theirs.api_url};"
                " nothing was done",
                hint=foreign_hint(theirs, ours),
            )


def list_endpoints(session: Session) -> tuple[list[Endpoint | OddEntry], int]:
    """Return all entries of the listing and how many pages they took.

    Raises:
        ApiError: the listing is not complete.
    """
    entries: list[Endpoint | OddEntry] = []
    pages = 0
    for page in session.api.list_pages():
        entries.extend(page)
        pages += 1
        session.reporter.listed(len(entries), pages)
    return entries, max(1, pages)


def readable(
    session: Session, entries: Sequence[Endpoint | OddEntry], metadata: Mapping[str, Metadata]
) -> Sequence[Endpoint]:
    """Return the endpoints of the listing, and warn of entries that cannot be read and cannot be ours.

    Raises:
        ApiError: an entry cannot be read, and may be ours.
    """
    found = sort_out(entries, metadata, session.desired)
    if found.refusal is not None:
        raise unreadable_entry(found.refusal)
    if found.warning is not None:
        session.reporter.warn(found.warning)
    return found.endpoints
