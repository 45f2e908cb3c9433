"""Guards: what a single run may not do without a person saying so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from reconciler.plan.plan import Plan


EMPTY = "empty"
"""The guard against a run without any manifests."""


class GuardLimits(Struct, frozen=True, rename="camel"):
    """How much one run may delete, which plans a review approved, and which endpoints may be unmanaged."""

    max_deletes: int = 10
    max_delete_percent: int = 30
    approve: tuple[str, ...] = ()
    """The digests of the plans that a review approved."""
    unmanaged: Literal["report", "drift"] = "report"
    """Whether unmanaged endpoints are only listed, or are drift."""
    allow_unmanaged: tuple[str, ...] = ()
    """The ids of the unmanaged endpoints that are not drift."""


class Refusal(Struct, frozen=True):
    """A guard's refusal of a whole plan."""

    guard: str
    message: str
    hint: str | None = None
    approvable: bool = True
    """Whether the plan's digest, said by a person, lets it through."""


class Facts(Struct, frozen=True):
    """What guards look at beside the plan itself."""

    manifests: int
    owned: int
    """Owned webhooks, also those that are out of scope: a listing is judged by all of them."""
    missing: int
    """Owned endpoints that the listing does not show, those of interrupted changes left out."""
    listed: int = 0
    """Owned endpoints that the listing shows."""
    recorded_keys: frozenset[str] = frozenset()
    """The fingerprints of the API keys that applied the webhooks whose endpoints are missing."""
    key: str | None = None
    """The fingerprint of this run's API key, where it is known."""
    resumed_deletes: int = 0
    """Interrupted changes without a manifest whose end may be a deletion that nobody has planned yet."""
    protected: tuple[str, ...] = ()
    """Protected webhooks whose manifest is gone."""
    limited: bool = False
    """Whether PATHs limit the scope."""


def deletes_allowed(limits: GuardLimits, owned: int) -> int:
    """Return min(`max_deletes`, max(1, floor of `max_delete_percent` % of `owned`))."""
    return min(limits.max_deletes, max(1, limits.max_delete_percent * owned // 100))


def missing_allowed(owned: int) -> int:
    """Return how many owned endpoints a listing may lack before it is doubted: max(1, 30 %)."""
    return max(1, 30 * owned // 100)


def disallowed(plan: Plan, limits: GuardLimits) -> frozenset[str]:
    """Return the ids of the unmanaged endpoints that are drift: not those that we released."""
    if limits.unmanaged == "report":
        return frozenset()
    ids = frozenset(endpoint.id for endpoint in plan.unmanaged)
    return ids - plan.released - frozenset(limits.allow_unmanaged)


def judge(plan: Plan, facts: Facts, limits: GuardLimits) -> tuple[Refusal, ...]:
    """Return the refusals against `plan`; those that `limits.approve` overrides are left out."""
    refusals = []
    if facts.manifests == 0 and plan.owned:
        refusals.append(
            Refusal(
                EMPTY,
                f"there are no manifests at all{' in the PATHs' if facts.limited else ''} while "
                f"{plan.owned} {_webhooks(plan.owned)} owned{' there' if facts.limited else ''}",
                "check the manifests' path; approve the plan if everything is really to go",
            )
        )
    deletes = plan.deletes + facts.resumed_deletes
    allowed = deletes_allowed(limits, plan.owned)
    if deletes > allowed:
        refusals.append(
            Refusal(
                "deletes",
                f"the plan deletes {deletes} of {plan.owned} owned webhooks, one run may delete {allowed}",
                "delete fewer at a time, or approve exactly this plan",
            )
        )
    if facts.missing > missing_allowed(facts.owned):
        refusals.append(
            Refusal(
                "missing",
                f"{facts.missing} of {facts.owned} owned endpoints are missing from the API's listing",
                "check whose API key this is; approve the plan if they are really gone",
            )
        )
    if foreign := _foreign_key(plan, facts):
        refusals.append(foreign)
    if plan.digest in limits.approve:
        refusals = []
    refusals += [
        Refusal(
            "protected",
            f"{name} is protected (deletionPolicy: Protect), and its manifest is gone",
            "bring the manifest back, or merge a change of its deletionPolicy first",
            approvable=False,
        )
        for name in facts.protected
    ]
    return tuple(refusals)


def _webhooks(number: int) -> str:
    return "webhook is" if number == 1 else "webhooks are"


def _foreign_key(plan: Plan, facts: Facts) -> Refusal | None:
    """Return the refusal of a key that sees none of the owned endpoints and is not known to belong to them.

    Another organization's key looks like that: a creation would go to that organization, and its 404 for a
    deletion would count as success. If the metadata has no fingerprint (an earlier version wrote it), nothing
    shows that the key is right. Then it is refused, too: approving takes one command, and a secret that was
    replaced by another organization's does not come back.
    """
    if facts.listed or facts.key in facts.recorded_keys:
        return None
    if facts.recorded_keys:
        recorded = ", ".join(sorted(facts.recorded_keys))
        why = (
            f"this API key (fingerprint {facts.key or 'unknown'}) is not the one that created them (recorded "
            f"fingerprint {recorded}): it probably belongs to another organization"
        )
    elif facts.missing:
        why = (
            "no key fingerprint is recorded that would show that this API key"
            f"{f' (fingerprint {facts.key})' if facts.key else ''} belongs to their organization"
        )
    else:
        return None
    number = f"all {plan.owned} owned endpoints are" if plan.owned > 1 else "the only owned endpoint is"
    return Refusal(
        "key",
        f"{number} missing from the API's listing, and {why}",
        f"set ZOF_API_KEY (or what `keyEnv` names) to a key of {plan.organization} and run `reconciler plan` "
        "again; if the key was renewed and the endpoints are really gone, approve the plan",
    )
