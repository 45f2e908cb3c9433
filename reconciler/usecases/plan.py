"""What is to be done: plans, and what of a plan is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from reconciler.errors import ForeignDocument, InvalidInput
from reconciler.model import Organization
from reconciler.plan.compare import Comparison, compare
from reconciler.plan.guards import Refusal, judge
from reconciler.plan.move import foreign_hint
from reconciler.plan.odd_entries import sort_out, unreadable_entry
from reconciler.plan.plan import Action, Cause, server_identity

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from reconciler.model import Endpoint, OddEntry, Webhook
    from reconciler.plan.plan import Change, Plan
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
    adoption: Adoption | None = None
    """The endpoint that is taken over, where that is what it is about."""


class Seen(NamedTuple):
    """The state of Vault and of the API."""

    metadata: Mapping[str, Metadata]
    listing_began: datetime
    entries: Sequence[Endpoint | OddEntry]
    pages: int
    """How many requests the listing took."""


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
            break
        planned = plan_once(session)
    return planned


def looks_wrong(planned: Planned) -> bool:
    """Whether a plan has what another run at work would explain."""
    return bool(planned.refusals or planned.plan.problems or planned.comparison.facts.missing)


def has_moved_on(planned: Planned) -> bool:
    """Whether some document is another one than when `planned` was made."""
    return _versions(read_metadata(planned.session)) != _versions(planned.metadata)


def _versions(metadata: Mapping[str, Metadata]) -> dict[str, int]:
    return {name: entry.version for name, entry in metadata.items()}


def plan_once(session: Session) -> Planned:
    """Return the plan by one reading of Vault and one listing, whatever another run does meanwhile."""
    # Vault first: absence from a listing counts only against documents read before it began.
    metadata = read_metadata(session)
    began = session.clock.now()
    endpoints, pages = list_endpoints(session)
    return planned_from(Seen(metadata, began, endpoints, pages), session)


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
        requests_per_minute=session.requests_per_minute,
        listing_requests=seen.pages,
        scope=session.scope,
    )
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
    unknown = sorted(set(names) - {webhook.name for webhook in desired})
    if unknown:
        raise InvalidInput(
            f"there is no manifest for {', '.join(unknown)}", hint="`reconciler status` lists the names"
        )
    return tuple(
        replace(webhook, created_after=now, revoke=revoke) if webhook.name in names else webhook
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
