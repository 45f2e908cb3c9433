"""An outcome as text and JSON: what is done, what is not, and the next safe command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.plan.outcome import Result
from reconciler.plan.plan import Action
from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, count, duration, pad, width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.plan.outcome import ChangeOutcome, Outcome

_DONE = {
    Action.CREATE: "created",
    Action.REPLACE: "replaced",
    Action.DELETE: "deleted",
    Action.ROTATE: "rotated",
    Action.RESUME: "resumed",
    Action.RELEASE: "released",
    Action.UPDATE: "updated",
    Action.NONE: "unchanged",
}
_MARKS = {
    Result.DONE: ("✓", Ink.GREEN),
    Result.WAITING: ("✓", Ink.GREEN),
    Result.UNVERIFIED: ("!", Ink.YELLOW),
    Result.FAILED: ("✗", Ink.RED),
    Result.NOT_ATTEMPTED: ("○", Ink.DIM),
}

PLAIN = Style()


def outcome_text(outcome: Outcome, *, color: bool = False) -> str:
    """Return the outcome as text, ending in a newline: each change, the next command, the totals."""
    style = Style(color)
    lines: list[str] = []
    column = max((width(visible(each.change.name)) for each in outcome.changes), default=0)
    for result in Result:
        for each in outcome.of(result):
            lines += _change(each, column, style)
    for endpoint_id in outcome.swept:
        lines.append(f"  {style.paint('✓', Ink.GREEN)} swept the leftover endpoint {visible(endpoint_id)}")
    if outcome.sweep_failure is not None:
        mark = style.paint("✗", Ink.RED)
        lines.append(f"  {mark} leftovers could not be looked for: {visible(outcome.sweep_failure)}")
    if lines:
        lines.append("")
    lines += _next(outcome, style)
    lines.append(totals(outcome, style))
    return "\n".join(lines) + "\n"


def _change(each: ChangeOutcome, column: int, style: Style) -> Iterator[str]:
    mark, ink = _MARKS[each.result]
    name = pad(visible(each.change.name), column)
    end = f"  {visible(each.endpoint_id)}" if each.endpoint_id else ""
    yield f"  {style.paint(mark, ink)} {name}  {style.paint(said(each), ink)}{style.paint(end, Ink.DIM)}"
    if each.detail:
        yield f"      {visible(each.detail)}"
    if each.hint:
        yield f"      hint: {visible(each.hint)}"


def said(each: ChangeOutcome) -> str:
    """Return what became of it: `created`, `replace failed`, `replaced, not verified`."""
    done = _DONE[each.change.action]
    match each.result:
        case Result.DONE | Result.WAITING:
            return done
        case Result.UNVERIFIED:
            return f"{done}, not verified"
        case Result.FAILED | Result.NOT_ATTEMPTED:
            return f"{each.change.action.value} {each.result.value}"


def _next(outcome: Outcome, style: Style) -> Iterator[str]:
    """Yield the next safe command, where something is left to do."""
    if outcome.interrupted:
        yield style.paint("Interrupted: the step in hand was finished, nothing is lost.", Ink.YELLOW)
    if not outcome.complete:
        yield "Next: `reconciler plan` shows what is left; `reconciler apply` goes on from there, safely."


def totals(outcome: Outcome, style: Style = PLAIN) -> str:
    """Return how many changes ended in which way, and what it took."""
    head = style.paint("Done:" if outcome.complete else "Partly done:", Ink.BOLD)
    return f"{head} {', '.join(_counts(outcome)) or 'nothing to do'}; {_taken(outcome)}."


def _taken(outcome: Outcome) -> str:
    """Return what it took, beside what it was said to take."""
    taken = f"{count(outcome.api_requests, 'API request')} in {duration(outcome.seconds)}"
    if outcome.planned is None:
        return taken
    least = outcome.planned.minimum_seconds
    time = f" in {duration(least)} or more" if least else ""
    return f"{taken} (planned: {outcome.planned.api_requests:,}{time})"


def _counts(outcome: Outcome) -> Iterator[str]:
    """Yield how many changes ended in which way; what waits for its time is done for now."""
    waiting = len(outcome.of(Result.WAITING))
    if done := len(outcome.of(Result.DONE)) + waiting:
        later = f" ({waiting:,} with a step that is due later)" if waiting else ""
        yield f"{done:,} done{later}"
    for result in (Result.UNVERIFIED, Result.FAILED, Result.NOT_ATTEMPTED):
        if found := outcome.of(result):
            yield f"{len(found):,} {result.value}"


def outcome_value(organization: str, digest: str, outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as a JSON object; `digest` is the plan's that was carried out."""
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
        "api_requests": outcome.api_requests,
        "seconds": round(outcome.seconds, 3),
    }
