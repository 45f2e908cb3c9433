"""A plan for a pull request: the most dangerous changes first, never longer than a comment may be."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING

from reconciler.plan.live import newest_first
from reconciler.plan.plan import Action
from reconciler.report.format.escape import visible
from reconciler.report.format.markdown import COMMENT_LIMIT, code, fenced, link
from reconciler.report.format.style import count
from reconciler.report.plan import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.plan.guards import Refusal
    from reconciler.plan.plan import Change, Plan
    from reconciler.report.plan.summary import Title, View

_OPEN = 20
"""How many changes are expanded; the others are collapsed."""
_RESERVE = 1_500
"""Characters for the text after the changes: the number of omitted changes, and the digest."""


def plan_markdown(
    plan: Plan,
    refusals: Sequence[Refusal] = (),
    *,
    title: Title = summary.PLAN,
    view: View = summary.DEFAULT_VIEW,
    page: str | None = None,
    limit: int = COMMENT_LIMIT,
    on_cut: Callable[[], object] | None = None,
) -> str:
    """Return the plan as GitHub's Markdown, ending in a newline, of at most about `limit` characters.

    Args:
        plan: the changes.
        refusals: the guards' refusals.
        title: the words for a plan or for a drift report.
        view: the detail.
        page: the URL of the run, whose log has the full plan if this one is cut.
        limit: the plan is cut between two changes, and the number of omitted changes follows.
        on_cut: called if the plan is cut, to print the full plan to the run's log.
    """
    part = summary.shown_part(plan, title)
    blocks = [*_head(plan, part, title, refused=bool(refusals)), *_refusal(refusals, plan.digest)]
    others = [*_due(plan, view)] if title.is_drift else []
    others += [f"> [!WARNING]\n> {code(warning)}" for warning in plan.warnings]
    others += _unmanaged(plan, view, limit // 4)
    room = limit - _RESERVE - sum(len(block) + 2 for block in [*blocks, *others])
    blocks += [*_changes(_ordered(part, title), view, page, room, on_cut), *others]
    if part.changes:
        blocks.append(f"Digest: {code(plan.digest)}")
    return "\n\n".join(blocks) + "\n"


def _head(plan: Plan, part: Plan, title: Title, *, refused: bool) -> Iterator[str]:
    yield f"### {title.some} {code(plan.organization)}"
    yield ", ".join(f"{title}: {code(value)}" for title, value in summary.servers(plan))
    if plan.active_run is not None:
        yield code(summary.in_progress(plan.active_run))
    if not part.changes:
        if title.is_drift and plan.disallowed:
            yield f"**{summary.heading(plan, title)}**; {summary.untouched(plan)}."
        elif not refused:
            yield f"**{title.nothing}** {summary.matching(plan)}"
        return
    requests = f" {summary.cost(part)}." if part.cost.api_requests else ""
    yield f"**{summary.counts(part)}**; {summary.untouched(plan)}.{requests}"
    if part.problems:
        yield f"**{summary.blocked(part)}**"


def _ordered(plan: Plan, title: Title) -> Sequence[Change]:
    """Return the changes in the order of severity; of a plan, conflicts and dangerous actions come first."""
    if title.is_drift:
        return plan.worst_first
    return sorted(plan.worst_first, key=lambda c: (c.problem is None, summary.BY_DANGER.index(c.action)))


def _due(plan: Plan, view: View) -> Iterator[str]:
    """Yield the unmanaged endpoints that are drift, then what is due or in progress."""
    if plan.disallowed:
        yield "**Unmanaged, and `guards.unmanaged` is `drift`:**"
        yield fenced(summary.not_allowed_lines(plan, view))
    for sentence, lines in summary.due_lines(plan):
        yield f"{sentence}:"
        yield fenced(lines)


def _refusal(refusals: Sequence[Refusal], digest: str) -> Iterator[str]:
    """Yield the guards' refusals, and the line that approves exactly this plan."""
    if not refusals:
        return
    yield f"> [!CAUTION]\n> {summary.GUARD_REFUSES}"
    lines = []
    for refusal in refusals[: summary.MOST_LISTED]:
        lines.append(f"{visible(refusal.guard)}: {visible(refusal.message)}")
        if refusal.hint:
            lines.append(f"  hint: {visible(refusal.hint)}")
    yield fenced([*lines, *summary.and_more(refusals)])
    if summary.approvable(refusals):
        yield "To apply exactly this plan, approve it with a reviewed line under the organization:"
        yield fenced([f"guards: {{approve: [{digest}]}}"], "yaml")


def _changes(
    changes: Sequence[Change],
    view: View,
    page: str | None,
    room: int,
    on_cut: Callable[[], object] | None,
) -> Iterator[str]:
    """Yield as many changes as fit, and count those that do not."""
    shown: list[str] = []
    for change in changes:
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
    if left_out := changes[len(shown) :]:
        actions = Counter(change.action for change in left_out)
        listed = ", ".join(f"{actions[action]:,} {action}" for action in summary.BY_DANGER if actions[action])
        log = link("the run's log", page)
        yield f"**{count(len(left_out), 'change')} not shown here** ({listed}): {log} has the full plan."
        if on_cut is not None:
            on_cut()


def _change(change: Change, *, verbose: bool) -> str:
    notes = [code(f"{change.source.path}:{change.source.line}")] if change.source else []
    notes += [code(change.endpoint_id)] if change.endpoint_id else []
    head = " · ".join([f"**{change.action}** {code(change.name)}", *notes])
    return f"{head}\n{fenced(_lines(change, verbose=verbose), 'diff')}"


def _lines(change: Change, *, verbose: bool) -> Iterator[str]:
    """Yield a change as a diff: `#` starts a comment, `!` a line that needs attention."""
    yield f"# {change.cause}: {visible(change.reason)}"
    for line in summary.drift_lines(change):
        yield f"# {line}"
    if change.problem is not None:
        yield f"! conflict: {visible(change.problem)}"
        if change.hint:
            yield f"!   hint: {visible(change.hint)}"
    yield from _differences(change)
    for line in change.receivers:
        yield f"# receivers: {visible(line)}"
    for warning in change.warnings:
        yield f"! warning: {visible(warning)}"
    if verbose:
        for number, step in enumerate(change.steps, start=1):
            yield f"# {number}. {visible(step)}"


def _differences(change: Change) -> Iterator[str]:
    """Yield the changed fields, removed values first; without any, what is created or deleted."""
    for field in change.fields:
        for sign, text in sorted(summary.elements(field), key=lambda each: ("-", "", "+").index(each[0])):
            yield f"{sign or ' '} {visible(field.path)}: {visible(text)}"
    created = change.after if change.before is None else None
    sign, shape = ("-", change.before) if change.action is Action.DELETE else ("+", created)
    if shape and not change.fields:
        yield f"{sign} url: {visible(shape.url)}"
        for event in shape.events:
            yield f"{sign} event: {visible(event)}"


def _unmanaged(plan: Plan, view: View, room: int) -> Iterator[str]:
    """Yield the number of unmanaged endpoints, then as many of the listed ones as fit."""
    if not plan.unmanaged:
        return
    yield f"{summary.unmanaged_count(plan)}."
    listed = newest_first(plan.unmanaged) if view.verbose else []
    if view.now is not None and (news := summary.new_unmanaged(plan, view.now)):
        yield f"{news}."
        listed = listed or plan.appeared(view.now)
    lines = [summary.endpoint_line(endpoint, view.now) for endpoint in listed[: summary.MOST_LISTED]]
    # Their URLs are of any length, and must not push out the changes.
    shown = [line for line, end in zip(lines, accumulate(map(len, lines)), strict=True) if end <= room]
    if listed:
        yield fenced([*shown, *summary.and_more(listed, len(shown))])
