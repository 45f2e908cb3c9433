"""The outcome of an apply: what is done, what is not, and the next safe command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.plan.outcome import Result
from reconciler.plan.plan import Action
from reconciler.report.format.escape import visible
from reconciler.report.format.markdown import COMMENT_LIMIT, cell, code, table
from reconciler.report.format.style import Ink, Style, count, duration, item, pad, width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.plan.outcome import ChangeOutcome, Outcome

_DONE = {
    Action.CREATE: "created",
    Action.REPLACE: "replaced",
    Action.DELETE: "deleted",
    Action.ROTATE: "rotated",
    Action.RESUME: "resumed",
    Action.RELEASE: "released",
    Action.UPDATE: "updated",
    Action.NONE: "left alone",
}
_MARKS = {
    Result.DONE: ("✓", Ink.GREEN),
    Result.WAITING: ("✓", Ink.GREEN),
    Result.UNVERIFIED: ("!", Ink.YELLOW),
    Result.UNRECORDED: ("!", Ink.YELLOW),
    Result.FAILED: ("✗", Ink.RED),
    Result.NOT_ATTEMPTED: ("○", Ink.DIM),
    Result.LEFT_ALONE: ("!", Ink.YELLOW),
}
_BY_URGENCY = (
    Result.FAILED,
    Result.UNVERIFIED,
    Result.UNRECORDED,
    Result.NOT_ATTEMPTED,
    Result.LEFT_ALONE,
    Result.WAITING,
    Result.DONE,
)
_INTERRUPTED = "Interrupted: the current step was finished and nothing is lost."


def outcome_text(outcome: Outcome, *, color: bool = False) -> str:
    """Return the outcome as text, ending in a newline: each change, the next command, the totals."""
    style = Style(color)
    lines: list[str] = []
    column = max((width(visible(each.change.name)) for each in outcome.changes), default=0)
    for result in Result:
        symbol, ink = _MARKS[result]
        for each in outcome.of(result):
            text = f"{pad(visible(each.change.name), column)}  {style.paint(_words(each), ink)}"
            if each.endpoint_id:
                text += style.paint(f"  {visible(each.endpoint_id)}", Ink.DIM)
            lines += item(style.paint(symbol, ink), text, each.detail, each.hint)
    for endpoint_id in outcome.swept:
        lines.append(f"  {style.paint('✓', Ink.GREEN)} deleted leftover endpoint {visible(endpoint_id)}")
    for conflict in outcome.conflicts:
        lines += item(
            style.paint("✗", Ink.RED),
            f"{pad(visible(conflict.name), column)}  {style.paint('conflict', Ink.RED)}",
            conflict.detail,
            conflict.hint,
        )
    if outcome.sweep_failure is not None:
        lines.append(
            f"  {style.paint('✗', Ink.RED)} could not check for leftover endpoints: "
            f"{visible(outcome.sweep_failure)}"
        )
    if lines:
        lines.append("")
    if outcome.interrupted:
        lines.append(style.paint(_INTERRUPTED, Ink.YELLOW))
    if not outcome.complete:
        lines.append("Next: `reconciler plan` shows what is left; `reconciler apply` safely continues.")
    lines.append(totals(outcome, style))
    return "\n".join(lines) + "\n"


def outcome_markdown(
    organization: str,
    outcome: Outcome,
    *,
    on_cut: Callable[[], object] | None = None,
) -> str:
    """Return the outcome as GitHub's Markdown, ending in a newline, short enough for a comment.

    Args:
        organization: the name of the organization.
        outcome: what the run did.
        on_cut: called if the table is cut between two changes, to print all of them to the run's log.
    """
    parts = [f"### {'Applied' if outcome.complete else 'Partly applied'} to {code(organization)}"]
    parts.append(totals(outcome))
    if outcome.interrupted:
        parts.append(_INTERRUPTED)
    if not outcome.complete:
        parts.append("Next: run the job again; it safely continues.")
    if outcome.swept:
        parts.append(f"Deleted {count(len(outcome.swept), 'leftover endpoint')} of earlier runs.")
    if outcome.sweep_failure is not None:
        parts.append(f"Could not check for leftover endpoints: {code(outcome.sweep_failure)}")
    parts += [f"Conflict of {code(each.name)}: {cell(each.detail, each.hint)}" for each in outcome.conflicts]
    if outcome.changes:
        rows = [
            (cell(each.change.name), _words(each), cell(each.endpoint_id), cell(each.detail, each.hint))
            for result in _BY_URGENCY
            for each in outcome.of(result)
        ]
        room = COMMENT_LIMIT - sum(map(len, parts))
        parts.append(table(("Webhook", "Result", "Endpoint", ""), rows, room, ("change", "changes"), on_cut))
    return "\n\n".join(parts) + "\n"


def outcome_value(organization: str, digest: str, outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as a JSON object; `digest` is that of the applied plan."""
    return {
        "organization": organization,
        "digest": digest,
        "complete": outcome.complete,
        "interrupted": outcome.interrupted,
        "changes": [
            {
                "name": each.change.name,
                "action": each.change.action.value,
                "result": each.result.value,
                "endpoint_id": each.endpoint_id,
                "detail": each.detail,
                "hint": each.hint,
            }
            for each in outcome.changes
        ],
        "swept": list(outcome.swept),
        "sweep_failure": outcome.sweep_failure,
        "conflicts": [
            {
                "name": each.name,
                "endpoint_id": each.endpoint_id,
                "detail": each.detail,
                "hint": each.hint,
            }
            for each in outcome.conflicts
        ],
        "api_requests": outcome.api_requests,
        "seconds": round(outcome.seconds, 3),
    }


def totals(outcome: Outcome, style: Style | None = None) -> str:
    """Return how many changes ended with each result, and what the run took beside its estimate."""
    head = (style or Style()).paint("Done:" if outcome.complete else "Partly done:", Ink.BOLD)
    taken = f"{count(outcome.api_requests, 'API request')} in {duration(outcome.seconds)}"
    if outcome.planned is not None:
        least = outcome.planned.minimum_seconds
        time = f" in {duration(least)} or more" if least else ""
        taken += f" (planned: {outcome.planned.api_requests:,}{time})"
    return f"{head} {', '.join(_counts(outcome)) or 'no changes'}; {taken}."


def _counts(outcome: Outcome) -> Iterator[str]:
    """Yield how many changes ended with each result; one that waits for a later cleanup is done."""
    waiting = len(outcome.of(Result.WAITING))
    if done := len(outcome.of(Result.DONE)) + waiting:
        yield f"{done:,} done" + (f" ({waiting:,} with a later cleanup)" if waiting else "")
    for result in (
        Result.UNVERIFIED,
        Result.UNRECORDED,
        Result.FAILED,
        Result.NOT_ATTEMPTED,
        Result.LEFT_ALONE,
    ):
        if found := outcome.of(result):
            yield f"{len(found):,} {result.value}"


def _words(each: ChangeOutcome) -> str:
    """Return the result in words: `created`, `replace failed`, `replaced, not verified`."""
    done = "adopted" if each.change.is_adoption else _DONE[each.change.action]
    match each.result:
        case Result.DONE | Result.WAITING:
            return done
        case Result.UNVERIFIED:
            return f"{done}, not verified"
        case Result.UNRECORDED:
            return f"{done}, not recorded"
        case Result.LEFT_ALONE:
            return each.result.value
        case Result.FAILED | Result.NOT_ATTEMPTED:
            return f"{each.change.verb} {each.result.value}"
