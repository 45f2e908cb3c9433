"""A plan as text: each change with its reason, the cost, and the guards' refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.plan.live import newest_first
from reconciler.plan.plan import Action
from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style
from reconciler.report.plan import summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.plan.guards import Refusal
    from reconciler.plan.plan import Change, FieldChange, Plan, Shape
    from reconciler.report.plan.summary import Title, View

_SYMBOLS = {
    Action.CREATE: ("+", Ink.GREEN),
    # In this order: the new endpoint is live and verified before the old one is deleted.
    Action.REPLACE: ("+/-", Ink.YELLOW),
    Action.DELETE: ("-", Ink.RED),
    Action.ROTATE: ("↻", Ink.CYAN),
    Action.RESUME: ("»", Ink.MAGENTA),
    Action.RELEASE: ("~", Ink.YELLOW),
    Action.UPDATE: ("~", Ink.YELLOW),
    Action.NONE: ("!", Ink.RED),
}
_SIGNS = {"+": Ink.GREEN, "-": Ink.RED}
_INDENT = "      "


def plan_text(
    plan: Plan,
    refusals: Sequence[Refusal] = (),
    *,
    title: Title = summary.PLAN,
    view: View = summary.DEFAULT_VIEW,
) -> str:
    """Return the plan as text, ending in a newline.

    Args:
        plan: the changes.
        refusals: the guards' refusals.
        title: the words for a plan or for a drift report.
        view: the detail and the colours.
    """
    style = Style(view.color)
    lines: list[str] = []
    part = summary.shown_part(plan, title)
    if heading := summary.heading(plan, title):
        lines = [style.paint(f"{title.some} {visible(plan.organization)}: {heading}", Ink.BOLD)]
        lines += [_servers(plan, style), ""]
        for change in part.worst_first:
            lines += [*_change(change, style, verbose=view.verbose), ""]
        lines += _totals(part, title, style, plan.digest) if part.changes else []
    elif not refusals:
        nothing = style.paint(title.nothing, Ink.BOLD, Ink.GREEN)
        matching = summary.matching(plan, f" in {visible(plan.organization)}")
        lines = [f"{nothing} {matching}", _servers(plan, style)]
    else:
        lines = [_servers(plan, style)]
    if title.is_drift:
        lines += _due(plan, style, view)
    if plan.active_run is not None:
        lines.append(style.paint(summary.in_progress(plan.active_run), Ink.CYAN))
    if plan.unmanaged:
        lines += _unmanaged(plan, style, view)
    lines += [f"{style.paint('warning:', Ink.YELLOW)} {visible(warning)}" for warning in plan.warnings]
    if refusals:
        lines += [*([""] if lines else []), *_refusal(refusals, plan.digest, style)]
    return "\n".join(lines) + "\n"


def _servers(plan: Plan, style: Style) -> str:
    parts = (f"{title}: {visible(value)}" for title, value in summary.servers(plan))
    return style.paint("  ".join(parts), Ink.DIM)


def _change(change: Change, style: Style, *, verbose: bool) -> Iterator[str]:
    """Yield one change: headline, reason, differences, steps, warnings and conflict."""
    yield _headline(change, style)
    yield f"{_INDENT}{change.cause.value}: {visible(change.reason)}"
    for line in (*summary.drift_lines(change), *_differences(change, style)):
        yield _INDENT + line
    if verbose:
        for number, step in enumerate(change.steps, start=1):
            yield style.paint(f"{_INDENT}{number}. {visible(step)}", Ink.DIM)
    for line in change.receivers:
        yield f"{_INDENT}receivers: {visible(line)}"
    for warning in change.warnings:
        yield f"{_INDENT}{style.paint('warning:', Ink.YELLOW)} {visible(warning)}"
    if change.problem is not None:
        yield f"{_INDENT}{style.paint('conflict:', Ink.RED, Ink.BOLD)} {visible(change.problem)}"
        if change.hint:
            yield f"{_INDENT}hint: {visible(change.hint)}"


def _headline(change: Change, style: Style) -> str:
    symbol, ink = ("✗", Ink.RED) if change.problem is not None else _SYMBOLS[change.action]
    notes = [visible(change.endpoint_id)] if change.endpoint_id else []
    if change.source:
        notes.append(f"{visible(change.source.path)}:{change.source.line}")
    what = style.paint(f"{symbol:>3} {change.action.value}", ink)
    name = style.paint(visible(change.name), Ink.BOLD)
    return f"{what} {name}" + (style.paint(f"  ({', '.join(notes)})", Ink.DIM) if notes else "")


def _differences(change: Change, style: Style) -> Iterator[str]:
    """Yield the changed fields; without any, what is created or deleted."""
    if change.fields:
        column = max(len(visible(field.path)) for field in change.fields)
        for field in change.fields:
            yield from _field(field, column, style)
    elif change.before is None and change.after:
        yield from _shape(change.after, style.paint("+", Ink.GREEN))
    elif change.action is Action.DELETE and change.before:
        yield from _shape(change.before, style.paint("-", Ink.RED))


def _shape(shape: Shape, sign: str) -> Iterator[str]:
    yield f"{sign} url:    {visible(shape.url)}"
    yield f"{sign} events: {', '.join(visible(event) for event in shape.events)}"


def _field(field: FieldChange, column: int, style: Style) -> Iterator[str]:
    """Yield `~ url: old → new`; for lists, one line for each element."""
    head = f"{style.paint('~', Ink.YELLOW)} {f'{visible(field.path)}:'.ljust(column + 1)}"
    if not summary.is_list(field):
        yield f"{head} {_value(field.old)} → {_value(field.new)}"
        return
    for sign, text in summary.elements(field):
        line = f"{sign or ' '} {visible(text)}"
        yield f"{head} {style.paint(line, _SIGNS[sign]) if sign else line}"
        head = " " * (column + 3)


def _value(value: Any) -> str:
    return "(none)" if value is None else visible(value)


def _due(plan: Plan, style: Style, view: View) -> Iterator[str]:
    """Yield the unmanaged endpoints that are drift, then what is due or in progress."""
    if plan.disallowed:
        yield style.paint("Unmanaged, and `guards.unmanaged` is `drift`:", Ink.YELLOW)
        yield from (f"  {line}" for line in summary.not_allowed_lines(plan, view))
    for sentence, lines in summary.due_lines(plan):
        yield f"{sentence}:"
        yield from (f"  {line}" for line in lines)


def _totals(plan: Plan, title: Title, style: Style, digest: str) -> Iterator[str]:
    """Yield the summary, the cost and the digest."""
    head = style.paint(f"{title.summary}:", Ink.BOLD)
    yield f"{head} {summary.counts(plan)}; {summary.untouched(plan)}."
    if plan.problems:
        yield style.paint(f"✗ {summary.blocked(plan)}", Ink.RED)
    if plan.cost.api_requests:
        yield f"Cost: {summary.cost(plan)}."
    yield f"Digest: {digest}"


def _unmanaged(plan: Plan, style: Style, view: View) -> Iterator[str]:
    """Yield the number of unmanaged endpoints, then the new ones, or all in the verbose view."""
    yield summary.unmanaged_count(plan) + (":" if view.verbose else " (-v lists them).")
    if view.verbose:
        for endpoint in newest_first(plan.unmanaged):
            yield style.paint(f"  {summary.endpoint_line(endpoint, view.now)}", Ink.DIM)
    if view.now is None or not (news := summary.new_unmanaged(plan, view.now)):
        return
    new = [] if view.verbose else plan.appeared(view.now)
    yield style.paint(news + (":" if new else "."), Ink.YELLOW)
    lines = [summary.endpoint_line(endpoint, view.now) for endpoint in new[: summary.MOST_LISTED]]
    for line in (*lines, *summary.and_more(new)):
        yield f"  {line}"


def _refusal(refusals: Sequence[Refusal], digest: str, style: Style) -> Iterator[str]:
    """Yield the guards' refusals, and how to approve exactly this plan."""
    for refusal in refusals:
        head = style.paint(f"refused[{visible(refusal.guard)}]:", Ink.RED, Ink.BOLD)
        yield f"{head} {visible(refusal.message)}"
        if refusal.hint:
            yield f"  hint: {visible(refusal.hint)}"
    if summary.approvable(refusals):
        yield "To apply exactly this plan, approve it for one run:"
        yield f"  reconciler apply --approve {digest}"
        yield "or with a reviewed line under the organization in reconciler.yaml:"
        yield f"  guards: {{approve: [{digest}]}}"
