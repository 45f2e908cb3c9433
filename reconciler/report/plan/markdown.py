"""A plan for a pull request: what is dangerous comes first, and it is never longer than a comment may be."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING

from reconciler.plan.plan import Action
from reconciler.plan.unmanaged import newest_first
from reconciler.report.format.escape import visible
from reconciler.report.format.markdown import COMMENT_LIMIT, code, fenced, link
from reconciler.report.format.style import count
from reconciler.report.plan.text import (
    BY_DANGER,
    DEFAULT_VIEW,
    PLAN,
    appearance,
    counts,
    findings,
    stranger,
    wait,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.plan.guards import Verdict
    from reconciler.plan.plan import Change, FieldChange, Plan, Shape
    from reconciler.report.plan.text import Title, View

_OPEN = 20
"""How many changes are open to view; the others are folded away."""
_RESERVE = 1_500
"""Characters for what is written after the changes: what was left out, and the digest."""
_LISTED = 20
"""Verdicts and unmanaged endpoints; of more, the count."""


def plan_markdown(
    plan: Plan,
    verdicts: Sequence[Verdict] = (),
    *,
    title: Title = PLAN,
    view: View = DEFAULT_VIEW,
    page: str | None = None,
    limit: int = COMMENT_LIMIT,
    on_cut: Callable[[], object] | None = None,
) -> str:
    """Return the plan as GitHub's Markdown, ending in a newline, of at most about `limit` characters.

    Args:
        plan: what would be done.
        verdicts: why a guard refuses it; empty where none does.
        title: the words for a plan or for a drift report.
        view: the quota and the detail.
        page: of the run, whose log has the whole plan, for one that is cut.
        limit: where it is cut: between two changes, with a count of what is left out.
        on_cut: called where it is cut, so that the log has the whole plan.
    """
    blocks = [*_head(plan, title, view), *_refusal(verdicts, plan.digest)]
    others = list(_unmanaged(plan, view, limit // 4))
    room = limit - _RESERVE - sum(len(block) + 2 for block in [*blocks, *others])
    blocks += [*_changes(plan.changes, view, page, room, on_cut), *others]
    if plan.changes:
        blocks.append(f"Digest: {code(plan.digest)}")
    return "\n\n".join(blocks) + "\n"


def _head(plan: Plan, title: Title, view: View) -> Iterator[str]:
    yield f"### {title.some} {code(plan.organization)}"
    if not plan.changes:
        yield f"**{title.nothing}** {count(plan.unchanged, 'webhook')} as declared."
        return
    cost = ""
    if plan.cost.api_requests:
        requests = count(plan.cost.api_requests, "API request")
        cost = f" {requests}, {wait(plan, view.requests_per_minute)}."
    yield f"**{', '.join(counts(plan))}**; {plan.unchanged:,} unchanged.{cost}"
    if plan.problems:
        yield f"**{count(len(plan.problems), 'change')} cannot be done as things are;** the others can."


def _refusal(verdicts: Sequence[Verdict], digest: str) -> Iterator[str]:
    """Yield what the guards say, and the exact line that lets this one plan through."""
    if not verdicts:
        return
    yield "> [!CAUTION]\n> A guard refuses this plan: `apply` would change nothing."
    lines = []
    for verdict in verdicts[:_LISTED]:
        lines.append(f"{visible(verdict.guard)}: {visible(verdict.message)}")
        if verdict.hint:
            lines.append(f"  hint: {visible(verdict.hint)}")
    yield fenced([*lines, *_more(verdicts)])
    if all(verdict.approvable for verdict in verdicts):
        yield "If exactly this plan is right, approve it as a reviewed line of the organization:"
        yield fenced([f"guards: {{approve: [{digest}]}}"], "yaml")


def _changes(
    changes: Sequence[Change],
    view: View,
    page: str | None,
    room: int,
    on_cut: Callable[[], object] | None,
) -> Iterator[str]:
    """Yield the changes, as many as there is room for, and what was left out."""
    ordered = sorted(changes, key=lambda c: (c.problem is None, BY_DANGER.index(c.action), c.name))
    shown: list[str] = []
    for change in ordered:
        block = _change(change, verbose=view.verbose)
        room -= len(block) + 2
        if room < 0:
            break
        shown.append(block)
    yield from shown[:_OPEN]
    if folded := shown[_OPEN:]:
        yield f"<details><summary>{count(len(folded), 'more change')}</summary>"
        yield from folded
        yield "</details>"
    if left_out := ordered[len(shown) :]:
        actions = Counter(change.action for change in left_out)
        listed = ", ".join(f"{actions[action]:,} {action}" for action in BY_DANGER if actions[action])
        whole = link("the run's log", page)
        yield f"**{count(len(left_out), 'change')} not shown here** ({listed}): {whole} has the whole plan."
        if on_cut is not None:
            on_cut()


def _change(change: Change, *, verbose: bool) -> str:
    notes = [code(f"{change.source.path}:{change.source.line}")] if change.source else []
    notes += [code(change.endpoint_id)] if change.endpoint_id else []
    head = " · ".join([f"**{change.action}** {code(change.name)}", *notes])
    return f"{head}\n{fenced(_lines(change, verbose=verbose), 'diff')}"


def _lines(change: Change, *, verbose: bool) -> Iterator[str]:
    """Yield a change in the colours of a diff: `#` is a comment, `!` asks for attention."""
    yield f"# {change.cause}: {visible(change.reason)}"
    for line in findings(change):
        yield f"# {line}"
    if change.problem is not None:
        yield f"! conflict: {visible(change.problem)}"
        if change.hint:
            yield f"!   hint: {visible(change.hint)}"
    yield from _differences(change)
    for warning in change.warnings:
        yield f"! warning: {visible(warning)}"
    if verbose:
        for number, step in enumerate(change.steps, start=1):
            yield f"# {number}. {visible(step)}"


def _differences(change: Change) -> Iterator[str]:
    if change.fields:
        for field in change.fields:
            yield from _field(field)
    elif change.before is None and change.after:
        yield from _shape("+", change.after)
    elif change.action is Action.DELETE and change.before:
        yield from _shape("-", change.before)


def _shape(sign: str, shape: Shape) -> Iterator[str]:
    yield f"{sign} url: {visible(shape.url)}"
    for event in shape.events:
        yield f"{sign} event: {visible(event)}"


def _field(field: FieldChange) -> Iterator[str]:
    """Yield the old and the new value; of lists, what goes, what comes and what stays."""
    old, new = _values(field.old), _values(field.new)
    label = visible(field.path)
    for value in sorted({*old, *new}, key=lambda value: (value not in old, value in new, value)):
        sign = " " if value in old and value in new else "-" if value in old else "+"
        yield f"{sign} {label}: {visible(value)}"


def _values(value: object) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


def _unmanaged(plan: Plan, view: View, room: int) -> Iterator[str]:
    """Yield how many live endpoints are not ours, and of those that are asked for what there is room for."""
    endpoints = plan.unmanaged
    if not endpoints:
        return
    are = "is" if len(endpoints) == 1 else "are"
    yield f"{count(len(endpoints), 'live endpoint')} {are} unmanaged and not touched."
    listed = newest_first(endpoints) if view.verbose else []
    if view.now is not None and (news := appearance(plan, view.now)):
        yield f"{news}."
        listed = listed or plan.appeared(view.now)
    lines = [stranger(endpoint, view.now) for endpoint in listed[:_LISTED]]
    # Somebody else chose these URLs: they must not take the place of what changed.
    shown = [line for line, end in zip(lines, accumulate(map(len, lines)), strict=True) if end <= room]
    if listed:
        yield fenced([*shown, *_more(listed, len(shown))])


def _more(listed: Sequence[object], shown: int = _LISTED) -> list[str]:
    return [f"and {len(listed) - shown:,} more"] if len(listed) > shown else []
