"""Make a plan from manifests, metadata and the listing: decide for all, describe only what is due."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Self

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.model import DeletionPolicy, Organization
from reconciler.plan.drift import DriftKind
from reconciler.plan.expiry import expiry_warnings
from reconciler.plan.guards import Facts
from reconciler.plan.live import LiveIndex
from reconciler.plan.plan import Action, Change, Cost, Plan, Servers
from reconciler.plan.protocol.decide import Decision, decide_by_metadata
from reconciler.ports import Metadata, VersionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from reconciler.model import Endpoint, Run, VaultPlace, Webhook
    from reconciler.plan.plan import ActiveRun
    from reconciler.plan.scope import PathScope


_MAY_BE_LEFT_OVER = (
    "endpoint {0} may be left over from an interrupted creation of {1}: `reconciler apply` deletes it if it "
    "was created while that request was under way, and otherwise leaves it alone"
)


_ALL_CONFLICTS = (
    "all {0} changes are conflicts, and no ledger at {1} records an endpoint: check the Vault prefix and the "
    "organization first. {2} lists prefixes; `reconciler plan --organization NAME --vault-prefix PREFIX` "
    "shows the plan for one"
)
_IF_PLACE_IS_RIGHT = "if the Vault prefix and the organization are right, "


class Comparison(Struct, frozen=True):
    """A plan, and what the guards and the runner need with it."""

    plan: Plan
    facts: Facts
    live: LiveIndex
    abandoning: tuple[str, ...]
    """The documents whose abandoned attempts are still watched."""
    out_of_scope: frozenset[str] = frozenset()
    """The documents that a run with PATHs does not touch."""


def compare(
    organization: Organization,
    place: VaultPlace,
    desired: Sequence[Webhook],
    metadata: Mapping[str, Metadata],
    endpoints: Iterable[Endpoint],
    now: datetime,
    run: Run,
    *,
    requests_per_minute: int = 100,
    listing_requests: int = 1,
    scope: PathScope | None = None,
    active_run: ActiveRun | None = None,
) -> Comparison:
    """Return the plan that brings live endpoints and ledger to `desired`.

    Args:
        organization: whose webhooks these are.
        place: where its documents are.
        desired: the manifests, names unique.
        metadata: every document's metadata, read before the listing began.
        endpoints: the complete listing.
        now: the current time (aware).
        run: this run.
        requests_per_minute: the API's quota, for the estimate.
        listing_requests: how many requests the listing took; a run lists once.
        scope: the scope that PATHs limit; None: all webhooks.
        active_run: the run that holds the lock.
    """
    live = LiveIndex(endpoints)
    for known in metadata.values():
        if known.projection is not None:
            live.learn(known.projection)
    due: list[tuple[str, Decision]] = []
    abandoning: list[str] = []
    protected: list[str] = []
    wanted = {webhook.name: webhook for webhook in desired}
    elsewhere = _out_of_scope(scope, wanted, metadata)
    ownership = _Ownership.of_others((metadata[name] for name in elsewhere), live)
    # One pass for everything: at 100,000 webhooks, most of the time is spent on fetching them from memory.
    # Manifests and most listings are sorted already; a set of their names would not be.
    for name in sorted(
        [*wanted, *(name for name in metadata if name not in wanted and name not in elsewhere)]
    ):
        webhook, entry = wanted.get(name), metadata.get(name)
        decision = decide_by_metadata(webhook, entry, live, now)
        if decision.action is not None:
            due.append((name, decision))
        if entry is None:
            continue
        if _is_owned(entry):
            ownership.add(entry, live)
        if webhook is None and _is_protected(entry):
            protected.append(name)
        if entry.projection and entry.projection.abandoned:
            abandoning.append(name)
    changes = _described(due, wanted, metadata, organization, place, live, now, run, active_run)
    misplaced = _misplaced(changes, ownership, place)
    if misplaced:
        # Adopting endpoints that another ledger records would do harm.
        changes = tuple(replace(each, hint=_IF_PLACE_IS_RIGHT + (each.hint or "")) for each in changes)
    # A run lists again at its end if an endpoint is replaced because it is listed differently.
    listings = 2 if any(c.drift and DriftKind.ENDPOINT_CHANGED in c.drift.kinds for c in changes) else 1
    requests = listings * listing_requests + sum(change.api_requests for change in changes)
    unmanaged = _unmanaged([*(change.name for change in changes), *elsewhere], wanted, metadata, live)
    watched = _watched(abandoning, unmanaged, wanted, metadata, live)
    unmanaged = tuple(endpoint for endpoint in unmanaged if endpoint.id not in watched)
    plan = Plan(
        organization=organization.name,
        servers=Servers(organization.api_url, place),
        changes=changes,
        unchanged=len(wanted) - sum(change.name in wanted for change in changes),
        owned=ownership.owned - ownership.others,
        out_of_scope=ownership.others,
        unmanaged=unmanaged,
        released=frozenset(e.id for e in unmanaged if live.is_recorded(e.id)),
        commit=run.commit,
        active_run=active_run,
        warnings=(
            *misplaced,
            *expiry_warnings((at, e.name) for e in metadata.values() if (at := e.expires_at) is not None),
            *(_MAY_BE_LEFT_OVER.format(*each) for each in watched.items()),
        ),
        cost=Cost.of(requests, requests_per_minute),
    )
    facts = Facts(
        manifests=len(wanted),
        owned=ownership.owned,
        limited=scope is not None,
        missing=ownership.missing,
        listed=ownership.listed,
        recorded_keys=frozenset(ownership.keys),
        key=run.key_fingerprint,
        resumed_deletes=sum(
            change.action is Action.RESUME and change.after is None and _may_delete(metadata[change.name])
            for change in changes
        ),
        protected=tuple(protected),
    )
    return Comparison(plan, facts, live, tuple(abandoning), elsewhere)


def _described(
    due: Sequence[tuple[str, Decision]],
    wanted: Mapping[str, Webhook],
    metadata: Mapping[str, Metadata],
    organization: Organization,
    place: VaultPlace,
    live: LiveIndex,
    now: datetime,
    run: Run,
    active_run: ActiveRun | None,
) -> tuple[Change, ...]:
    if not due:
        return ()
    # Most previews have no changes.
    from reconciler.plan.changes import Describer  # noqa: PLC0415

    describe = Describer(organization, place, live, now, run, active_run).describe
    return tuple(describe(name, decision, wanted.get(name), metadata.get(name)) for name, decision in due)


def _misplaced(changes: Sequence[Change], ownership: _Ownership, place: VaultPlace) -> tuple[str, ...]:
    """Return a warning if every one of several changes is a conflict and nothing is owned; else nothing."""
    if len(changes) <= 1 or ownership.owned or any(change.problem is None for change in changes):
        return ()
    parent = f"{place.mount}/{place.prefix.rpartition('/')[0]}".rstrip("/")
    command = f"`vault kv list {shlex.quote(parent)}`"
    return (_ALL_CONFLICTS.format(len(changes), f"{place.mount}/{place.prefix}", command),)


def _out_of_scope(
    scope: PathScope | None, wanted: Mapping[str, Webhook], metadata: Mapping[str, Metadata]
) -> frozenset[str]:
    """Return the documents that a run in `scope` does not touch."""
    if scope is None:
        return frozenset()
    undeclared = [entry for entry in metadata.values() if entry.name not in wanted]
    outside = [
        entry
        for entry in undeclared
        if not scope.may_remove(entry.name, entry.projection.manifest if entry.projection else None)
    ]
    withheld = scope.withholds(owns_others=any(map(_is_owned, outside)))
    return frozenset(entry.name for entry in (undeclared if withheld else outside))


def _unmanaged(
    names: Iterable[str],
    wanted: Mapping[str, Webhook],
    metadata: Mapping[str, Metadata],
    live: LiveIndex,
) -> tuple[Endpoint, ...]:
    """Return the endpoints that no ledger owns; not those that `names`, interrupted, may own."""
    unowned = live.unowned()
    interrupted = [each for name in names if (each := metadata.get(name)) is not None and each.is_interrupted]
    if not unowned or not interrupted:
        return tuple(unowned)
    from reconciler.plan.changes import in_question  # noqa: PLC0415 (imported with the changes)

    maybe_ours = {
        endpoint.id for entry in interrupted for endpoint in in_question(wanted.get(entry.name), entry, live)
    }
    return tuple(endpoint for endpoint in unowned if endpoint.id not in maybe_ours)


def _watched(
    abandoning: Iterable[str],
    unmanaged: Iterable[Endpoint],
    wanted: Mapping[str, Webhook],
    metadata: Mapping[str, Metadata],
    live: LiveIndex,
) -> dict[str, str]:
    """Return the unmanaged endpoints that a sweep may delete, and the webhooks whose attempts it is about."""
    names = tuple(abandoning)
    if not names:
        return {}
    from reconciler.plan.changes import in_question  # noqa: PLC0415 (an abandoned attempt is rare)

    found = {
        endpoint.id: name
        for name in names
        for endpoint in in_question(wanted.get(name), metadata[name], live)
        # Without a time of creation there is no evidence, and nothing is deleted.
        if endpoint.created is not None
    }
    return {endpoint.id: found[endpoint.id] for endpoint in unmanaged if endpoint.id in found}


class _Ownership(Struct):
    """Counts the owned webhooks, by whether the listing shows their endpoints."""

    owned: int = 0
    listed: int = 0
    missing: int = 0
    """Without those of interrupted changes, which may explain it."""
    keys: set[str] = field(default_factory=set)
    """The recorded fingerprints of the keys of those that are not listed."""
    others: int = 0
    """Those that are out of scope: they show, too, whether the listing can be trusted."""

    @classmethod
    def of_others(cls, metadata: Iterable[Metadata], live: LiveIndex) -> Self:
        """Count the owned webhooks that are out of scope."""
        counted = cls()
        for entry in metadata:
            if _is_owned(entry):
                counted.add(entry, live)
        counted.others = counted.owned
        return counted

    def add(self, metadata: Metadata, live: LiveIndex) -> None:
        """Count one owned webhook."""
        self.owned += 1
        projection = metadata.projection
        if projection is None or projection.endpoint_id is None:
            return
        if live.get(projection.endpoint_id) is not None:
            self.listed += 1
            return
        self.missing += metadata.is_settled
        if projection.run.key_fingerprint is not None:
            self.keys.add(projection.run.key_fingerprint)


def _is_owned(metadata: Metadata) -> bool:
    """Whether it has an endpoint of ours, or may have one: its metadata may be outdated."""
    projection = metadata.projection
    is_live = metadata.state is VersionState.LIVE
    if projection is None:
        return is_live
    may_have_one = projection.endpoint_id is not None or (is_live and not metadata.is_settled)
    return may_have_one and projection.state not in {"released", "deleted"}


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
    """Whether resuming it without a manifest may delete an endpoint although no removal has begun."""
    projection = metadata.projection
    if projection is None:
        return True
    return projection.state not in {"removing", "deleted", "released"} and (
        projection.deletion_policy is DeletionPolicy.DELETE
    )
