"""A plan as text: what will be done, why, at what cost, and whether a guard stands in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.credentials.redaction import mask_url
from reconciler.plan.plan import Action
from reconciler.plan.unmanaged import LATE, newest_first
from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, age, count, duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from reconciler.model import Endpoint
    from reconciler.plan.guards import Verdict
    from reconciler.plan.plan import Change, FieldChange, Plan, Shape

_SYMBOLS = {
    Action.CREATE: ("+", Ink.GREEN),
    # Created before destroyed: the new endpoint is live and verified before the old one goes.
    Action.REPLACE: ("+/-", Ink.YELLOW),
    Action.DELETE: ("-", Ink.RED),
    Action.ROTATE: ("↻", Ink.CYAN),
    Action.RESUME: ("»", Ink.MAGENTA),
    Action.RELEASE: ("~", Ink.YELLOW),
    Action.UPDATE: ("~", Ink.YELLOW),
    Action.NONE: ("=", Ink.DIM),
}
_IN_SUMMARY = {
    Action.CREATE: "to create",
    Action.REPLACE: "to replace",
    Action.DELETE: "to delete",
    Action.ROTATE: "to rotate",
    Action.RESUME: "to resume",
    Action.RELEASE: "to release",
    Action.UPDATE: "to update",
}
BY_DANGER = (
    Action.DELETE,
    Action.REPLACE,
    Action.ROTATE,
    Action.RELEASE,
    Action.RESUME,
    Action.UPDATE,
    Action.CREATE,
    Action.NONE,
)
"""What a person must see first comes first."""
_INDENT = "      "
_LISTED = 20
"""New unmanaged endpoints that are listed unasked; of more, the count."""


class Title(Struct, frozen=True):
    """The words in which a plan and a drift report differ."""

    some: str
    nothing: str
    summary: str


PLAN = Title(some="Plan for", nothing="No changes.", summary="Plan")
DRIFT = Title(some="Drift in", nothing="No drift.", summary="Drift")


class View(Struct, frozen=True):
    """How a person wants to see it."""

    requests_per_minute: int = 100
    """The quota that the cost was computed with."""
    verbose: bool = False
    """Show each change's steps, and every unmanaged endpoint."""
    color: bool = False
    """Paint with ANSI sequences."""
    now: datetime | None = None
    """What the ages of unmanaged endpoints are counted to (aware); None: it is not told which are new."""


DEFAULT_VIEW = View()


def plan_text(
    plan: Plan, verdicts: Sequence[Verdict] = (), *, title: Title = PLAN, view: View = DEFAULT_VIEW
) -> str:
    """Return the plan as text, ending in a newline.

    Args:
        plan: what would be done.
        verdicts: why a guard refuses it; empty where none does.
        title: the words for a plan or for a drift report.
        view: the quota, the detail and the colours.
    """
    style = Style(view.color)
    lines: list[str] = []
    if plan.changes:
        heading = f"{title.some} {visible(plan.organization)}: {count(len(plan.changes), 'change')}"
        lines += [style.paint(heading, Ink.BOLD), ""]
        for change in plan.changes:
            lines += [*_change(change, style, verbose=view.verbose), ""]
        lines += _totals(plan, title, view.requests_per_minute, style)
    else:
        nothing = style.paint(title.nothing, Ink.BOLD, Ink.GREEN)
        lines.append(f"{nothing} {_matching(plan.unchanged)} in {visible(plan.organization)}.")
    lines += _unmanaged(plan, style, view)
    if verdicts:
        lines += ["", *_refusal(verdicts, plan.digest, style)]
    return "\n".join(lines) + "\n"


def _matching(unchanged: int) -> str:
    return f"{count(unchanged, 'webhook')} {'matches' if unchanged == 1 else 'match'}"


def _change(change: Change, style: Style, *, verbose: bool) -> Iterator[str]:
    """Yield one change: its headline, why, what differs, the steps, warnings, and what prevents it."""
    yield _headline(change, style)
    yield f"{_INDENT}{change.cause.value}: {visible(change.reason)}"
    for line in findings(change):
        yield _INDENT + line
    for line in _differences(change, style):
        yield _INDENT + line
    if verbose:
        for number, step in enumerate(change.steps, start=1):
            yield style.paint(f"{_INDENT}{number}. {visible(step)}", Ink.DIM)
    for warning in change.warnings:
        yield f"{_INDENT}{style.paint('warning:', Ink.YELLOW)} {visible(warning)}"
    if change.problem is not None:
        yield f"{_INDENT}{style.paint('conflict:', Ink.RED, Ink.BOLD)} {visible(change.problem)}"
        if change.hint:
            yield f"{_INDENT}hint: {visible(change.hint)}"


def findings(change: Change) -> Iterator[str]:
    """Yield what was found and what heals it, where no manifest asks for the change."""
    finding = change.finding
    if finding is None:
        return
    since = f" since {finding.since:%Y-%m-%d %H:%M} UTC" if finding.since else ""
    owner = f"; owner: {visible(change.owner)}" if change.owner else ""
    yield f"found: {', '.join(finding.found)} ({finding.where}){since}{owner}"
    yield f"heals: {finding.remedy}"


def _headline(change: Change, style: Style) -> str:
    symbol, ink = _SYMBOLS[change.action]
    if change.problem is not None:
        symbol, ink = "✗", Ink.RED
    notes = [visible(change.endpoint_id)] if change.endpoint_id else []
    if change.source:
        notes.append(f"{visible(change.source.path)}:{change.source.line}")
    what = style.paint(f"{symbol:>3} {change.action.value}", ink)
    name = style.paint(visible(change.name), Ink.BOLD)
    return f"{what} {name}" + (style.paint(f"  ({', '.join(notes)})", Ink.DIM) if notes else "")


def _differences(change: Change, style: Style) -> Iterator[str]:
    """Yield what differs; where nothing is told field by field, what comes or goes as a whole."""
    if change.fields:
        column = max(len(visible(field.path)) for field in change.fields)
        for field in change.fields:
            yield from _field(field, column, style)
    elif change.before is None and change.after:
        yield from _shape(change.after, "+", Ink.GREEN, style)
    elif change.action is Action.DELETE and change.before:
        yield from _shape(change.before, "-", Ink.RED, style)


def _shape(shape: Shape, symbol: str, ink: Ink, style: Style) -> Iterator[str]:
    yield f"{style.paint(symbol, ink)} url:    {visible(shape.url)}"
    yield f"{style.paint(symbol, ink)} events: {', '.join(visible(event) for event in shape.events)}"


def _field(field: FieldChange, column: int, style: Style) -> Iterator[str]:
    """Yield `~ url: old -> new`, or for lists one line for each element that comes or goes."""
    label = f"{visible(field.path)}:".ljust(column + 1)
    if _is_list(field.old) or _is_list(field.new):
        lines = list(_elements(field.old or (), field.new or (), style))
        for number, line in enumerate(lines):
            head = f"{style.paint('~', Ink.YELLOW)} {label}" if number == 0 else " " * (column + 3)
            yield f"{head} {line}"
        return
    yield f"{style.paint('~', Ink.YELLOW)} {label} {_value(field.old)} → {_value(field.new)}"


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _elements(old: Iterable[Any], new: Iterable[Any], style: Style) -> Iterator[str]:
    """Yield the elements of both lists in one order, marked `+`, `-` or unmarked."""
    before, after = [str(value) for value in old], [str(value) for value in new]
    for value in sorted({*before, *after}):
        if value not in before:
            yield style.paint(f"+ {visible(value)}", Ink.GREEN)
        elif value not in after:
            yield style.paint(f"- {visible(value)}", Ink.RED)
        else:
            yield f"  {visible(value)}"


def _value(value: Any) -> str:
    return "(none)" if value is None else visible(value)


def _totals(plan: Plan, title: Title, requests_per_minute: int, style: Style) -> Iterator[str]:
    """Yield the summary, what it costs, and the digest."""
    summary = style.paint(title.summary + ":", Ink.BOLD)
    yield f"{summary} {', '.join(counts(plan))}; {plan.unchanged:,} unchanged."
    if plan.problems:
        prevented = count(len(plan.problems), "change")
        yield style.paint(f"{prevented} cannot be done as things are (✗); the others can.", Ink.RED)
    if plan.cost.api_requests:
        yield f"Cost: {count(plan.cost.api_requests, 'API request')}, {wait(plan, requests_per_minute)}."
    yield f"Digest: {plan.digest}"


def counts(plan: Plan) -> list[str]:
    """Return how many changes there are of each action, in words."""
    summary = plan.summary
    return [f"{summary[action]:,} {words}" for action, words in _IN_SUMMARY.items() if summary[action]]


def wait(plan: Plan, requests_per_minute: int) -> str:
    """Return what the quota does to the time that it takes."""
    quota = f"{requests_per_minute:,} requests a minute"
    if plan.cost.minimum_seconds == 0:
        return f"within the quota of {quota}"
    return f"at least {duration(plan.cost.minimum_seconds)} at {quota}"


def _unmanaged(plan: Plan, style: Style, view: View) -> Iterator[str]:
    """Yield how many live endpoints are not ours, and those that are new; all of them where asked for."""
    endpoints = plan.unmanaged
    if not endpoints:
        return
    are = "is" if len(endpoints) == 1 else "are"
    stay = "stays as it is" if len(endpoints) == 1 else "stay as they are"
    text = f"{count(len(endpoints), 'live endpoint')} {are} unmanaged and {stay}"
    yield text + (":" if view.verbose else " (-v lists them).")
    if view.verbose:
        for endpoint in newest_first(endpoints):
            yield style.paint(f"  {stranger(endpoint, view.now)}", Ink.DIM)
    if view.now is None or not (news := appearance(plan, view.now)):
        return
    new = [] if view.verbose else plan.appeared(view.now)
    yield style.paint(news + (":" if new else "."), Ink.YELLOW)
    for endpoint in new[:_LISTED]:
        yield f"  {stranger(endpoint, view.now)}"
    if len(new) > _LISTED:
        yield f"  and {len(new) - _LISTED:,} more"


def appearance(plan: Plan, now: datetime) -> str:
    """Return how many unmanaged endpoints are new, and of how many that is not known; empty for neither."""
    new = len(plan.appeared(now))
    undated = sum(e.created is None and e.id not in plan.released for e in plan.unmanaged)
    parts = [f"the API does not say when {undated:,} of them appeared"] if undated else []
    parts += [f"{new:,} of them appeared in the last {count(LATE.days, 'day')}"] if new else []
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def stranger(endpoint: Endpoint, now: datetime | None) -> str:
    """Return an unmanaged endpoint on one line, with its age where that is known and asked for."""
    events = ", ".join(visible(event) for event in endpoint.events)
    since = f"  made {age(endpoint.created, now)} ago" if now and endpoint.created else ""
    return f"{visible(endpoint.id)}  {visible(mask_url(endpoint.url))}  {events}{since}"


def _refusal(verdicts: Sequence[Verdict], digest: str, style: Style) -> Iterator[str]:
    """Yield what the guards say, and the exact line that lets this one plan through."""
    for verdict in verdicts:
        head = style.paint(f"refused[{visible(verdict.guard)}]:", Ink.RED, Ink.BOLD)
        yield f"{head} {visible(verdict.message)}"
        if verdict.hint:
            yield f"  hint: {visible(verdict.hint)}"
    if all(verdict.approvable for verdict in verdicts):
        yield "If exactly this plan is right, approve it:"
        yield f"  reconciler apply --approve {digest}"
        yield "or as a reviewed line of the organization in reconciler.yaml:"
        yield f"  guards: {{approve: [{digest}]}}"
