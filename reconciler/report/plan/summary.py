"""What the text, Markdown and HTML of a plan have in common: order, counts and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.plan.drift import Drift, DriftKind, DriftState
from reconciler.plan.live import RECENT, newest_first
from reconciler.plan.plan import Action
from reconciler.report.format.escape import visible
from reconciler.report.format.style import age, count, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from reconciler.model import Endpoint
    from reconciler.plan.guards import Refusal
    from reconciler.plan.plan import ActiveRun, Change, FieldChange, Plan

BY_DANGER = (
    Action.DELETE,
    Action.NONE,
    Action.REPLACE,
    Action.ROTATE,
    Action.RELEASE,
    Action.RESUME,
    Action.UPDATE,
    Action.CREATE,
)
"""The order in which a person should see the actions."""
MOST_LISTED = 20
"""Refusals and unmanaged endpoints that are listed unasked; the rest is counted."""
GUARD_REFUSES = "A guard refuses this plan: `apply` would change nothing."


class Title(Struct, frozen=True):
    """The words in which a plan and a drift report differ."""

    some: str
    nothing: str
    summary: str
    is_drift: bool = False
    """Only drift is shown in full; what is due or in progress is listed after it."""


PLAN = Title(some="Plan for", nothing="No changes.", summary="Plan")
DRIFT = Title(some="Drift in", nothing="No drift.", summary="Drift", is_drift=True)
_DUE = {
    DriftState.ROTATION_DUE: "Rotation is due for {}; `reconciler apply --cleanup-only --rotate-due` does it",
    DriftState.CLEANUP_DUE: "Cleanup is due for {}; `reconciler apply --cleanup-only` does it",
    DriftState.IN_PROGRESS: "The run in progress is changing {}",
}


class View(Struct, frozen=True):
    """How much detail to show."""

    verbose: bool = False
    """Show each change's steps, and every unmanaged endpoint."""
    color: bool = False
    """Use ANSI colours."""
    now: datetime | None = None
    """The time (aware) that ages of unmanaged endpoints are relative to; None: do not say which are new."""


DEFAULT_VIEW = View()


def counts(plan: Plan) -> str:
    """Return how many changes there are of each action: `1 to create, 2 to delete`."""
    summary = plan.summary
    parts = [f"{summary[action]:,} to {action}" for action in Action if summary.get(action)]
    by_hand = sum(change.action is Action.NONE for change in plan.changes)
    return ", ".join([*parts, f"{by_hand:,} to resolve by hand"] if by_hand else parts)


def servers(plan: Plan) -> list[tuple[str, str]]:
    """Return the plan's servers, each with a title: the API's URL, and Vault's address, mount and prefix."""
    vault = plan.servers.vault
    return [
        ("API", plan.servers.api_url),
        ("Vault", vault.address),
        ("Path", f"{vault.mount}/{vault.prefix}"),
    ]


def shown_part(plan: Plan, title: Title) -> Plan:
    """Return the part of the plan that is shown in full."""
    return plan.restricted_to(plan.in_state(DriftState.DRIFT)) if title.is_drift else plan


def heading(plan: Plan, title: Title, noun: str = "change") -> str:
    """Return how much the report shows: `2 changes, 1 unmanaged endpoint`."""
    changes = len(plan.in_state(DriftState.DRIFT) if title.is_drift else plan.changes)
    parts = [count(changes, noun)] if changes else []
    parts += [count(len(plan.disallowed), "unmanaged endpoint")] if title.is_drift and plan.disallowed else []
    return ", ".join(parts)


def due_lines(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """Yield what is due or in progress and is not drift: a sentence, and the escaped lines below it."""
    for state, sentence in _DUE.items():
        if changes := plan.in_state(state):
            lines = [f"{visible(c.name)}: {visible(c.reason)}" for c in changes[:MOST_LISTED]]
            yield sentence.format(count(len(changes), "webhook")), [*lines, *and_more(changes)]


def not_allowed_lines(plan: Plan, view: View) -> Iterator[str]:
    """Yield the unmanaged endpoints that are drift, escaped, and how to fix them; none: nothing."""
    if endpoints := newest_first(plan.not_allowed):
        listed = endpoints if view.verbose else endpoints[:MOST_LISTED]
        yield from (endpoint_line(endpoint, view.now) for endpoint in listed)
        yield from and_more(endpoints, len(listed))
        yield f"fix: {Drift((DriftKind.UNMANAGED,)).remedy}"


def matching(plan: Plan, place: str = "") -> str:
    """Return how many webhooks, in `place`, match their manifests."""
    match = "matches its manifest" if plan.unchanged == 1 else "match their manifests"
    others = f" {out_of_scope(plan)}." if plan.out_of_scope else ""
    return f"{count(plan.unchanged, 'webhook')}{place} {match}.{others}"


def out_of_scope(plan: Plan) -> str:
    """Return how many webhooks are out of scope, and why."""
    are, them = ("is", "it") if plan.out_of_scope == 1 else ("are", "them")
    return (
        f"{count(plan.out_of_scope, 'webhook')} {are} out of scope: no manifest in the PATHs declares {them}"
    )


def untouched(plan: Plan) -> str:
    """Return how many webhooks are unchanged and, if PATHs limit the scope, out of scope."""
    others = f", {plan.out_of_scope:,} out of scope" if plan.out_of_scope else ""
    return f"{plan.unchanged:,} unchanged{others}"


def cost(plan: Plan) -> str:
    """Return the number of API requests and the time that the quota requires; empty for no requests."""
    if not plan.cost.api_requests:
        return ""
    quota = f"{plan.cost.requests_per_minute:,} requests a minute"
    least = plan.cost.minimum_seconds
    time = f"at least {duration(least)} at {quota}" if least else f"within the quota of {quota}"
    return f"{count(plan.cost.api_requests, 'API request')}, {time}"


def blocked(plan: Plan) -> str:
    """Return how many changes a conflict blocks, of a plan with at least one."""
    number = len(plan.problems)
    are = "is blocked by a conflict" if number == 1 else "are blocked by conflicts"
    others = "; the other changes can be applied" if number < len(plan.changes) else ""
    return f"{count(number, 'change')} {are}{others}."


def approvable(refusals: Sequence[Refusal]) -> bool:
    """Whether a guard refuses the plan and a person may approve it."""
    return bool(refusals) and all(refusal.approvable for refusal in refusals)


def in_progress(run: ActiveRun) -> str:
    """Return who holds the lock, on one escaped line."""
    since = f" since {run.since:%Y-%m-%d %H:%M} UTC" if run.since else ""
    page = f" ({visible(run.url)})" if run.url else ""
    return f"In progress: a run by {visible(run.by)} on {visible(run.host)}{since}{page}"


def drift_lines(change: Change) -> Iterator[str]:
    """Yield what drifted and how to fix it, escaped, if no manifest asks for the change."""
    finding = change.drift
    if finding is None:
        return
    since = f" since {finding.since:%Y-%m-%d %H:%M} UTC" if finding.since else ""
    owner = f"; owner: {visible(change.owner)}" if change.owner else ""
    yield f"found: {', '.join(finding.kinds)} ({finding.side}){since}{owner}"
    yield f"fix: {finding.remedy}"


def elements(field: FieldChange) -> list[tuple[str, str]]:
    """Return a field's elements with a sign: `-` only old, `+` only new, empty for both.

    The elements of lists are sorted; of a single value, the old one comes first.
    """
    old, new = _values(field.old), _values(field.new)
    ordered = sorted({*old, *new}) if is_list(field) else [*old, *new]
    return [("+" if each not in old else "-" if each not in new else "", each) for each in ordered]


def is_list(field: FieldChange) -> bool:
    """Whether a field holds several values."""
    return isinstance(field.old, list | tuple) or isinstance(field.new, list | tuple)


def _values(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


def unmanaged_count(plan: Plan) -> str:
    """Return how many live endpoints are unmanaged."""
    are = "is unmanaged and is" if len(plan.unmanaged) == 1 else "are unmanaged and are"
    return f"{count(len(plan.unmanaged), 'live endpoint')} {are} not changed"


def new_unmanaged(plan: Plan, now: datetime) -> str:
    """Return how many unmanaged endpoints are new, and how many are of unknown age; empty for neither."""
    new = len(plan.appeared(now))
    undated = sum(e.created is None and e.id not in plan.released for e in plan.unmanaged)
    parts = [f"the API does not say when {undated:,} of them appeared"] if undated else []
    parts += [f"{new:,} of them appeared in the last {count(RECENT.days, 'day')}"] if new else []
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def endpoint_line(endpoint: Endpoint, now: datetime | None) -> str:
    """Return an unmanaged endpoint on one escaped line, with its age if `now` is given and it is known."""
    events = ", ".join(visible(event) for event in endpoint.events)
    since = f"  created {age(endpoint.created, now)} ago" if now and endpoint.created else ""
    return f"{visible(endpoint.id)}  {visible(mask_unreviewed(endpoint.url))}  {events}{since}"


def and_more(listed: Sequence[object], shown: int = MOST_LISTED) -> list[str]:
    """Return a line that counts what is not listed, if anything is not."""
    return [f"and {len(listed) - shown:,} more"] if len(listed) > shown else []
