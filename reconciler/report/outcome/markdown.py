"""An outcome for a job summary: what was planned, what became of it, and the next safe command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.plan.outcome import Result
from reconciler.report.format.markdown import COMMENT_LIMIT, cell, code, table
from reconciler.report.format.style import count
from reconciler.report.outcome.text import said, totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.plan.outcome import ChangeOutcome, Outcome

_BY_URGENCY = (Result.FAILED, Result.UNVERIFIED, Result.NOT_ATTEMPTED, Result.WAITING, Result.DONE)


def outcome_markdown(
    organization: str,
    outcome: Outcome,
    *,
    limit: int = COMMENT_LIMIT,
    on_cut: Callable[[], object] | None = None,
) -> str:
    """Return the outcome as GitHub's Markdown, ending in a newline, of at most about `limit` characters.

    Args:
        organization: whose webhooks they are.
        outcome: what the run did.
        limit: where it is cut: between two changes, with a count of what is left out.
        on_cut: called where it is cut, so that the log has all of it.
    """
    parts = [f"### {'Applied' if outcome.complete else 'Partly applied'} to {code(organization)}"]
    parts.append(totals(outcome))
    parts += _notes(outcome)
    if outcome.changes:
        parts.append(_table(outcome, limit - sum(map(len, parts)), on_cut))
    return "\n\n".join(parts) + "\n"


def _notes(outcome: Outcome) -> Iterator[str]:
    if outcome.interrupted:
        yield "Interrupted: the step in hand was finished, nothing is lost."
    if not outcome.complete:
        yield "Next: run the job again; it goes on from there, safely."
    if outcome.swept:
        yield f"{count(len(outcome.swept), 'leftover endpoint')} of abandoned attempts swept."
    if outcome.sweep_failure is not None:
        yield f"Leftovers could not be looked for: {code(outcome.sweep_failure)}"


def _table(outcome: Outcome, room: int, on_cut: Callable[[], object] | None) -> str:
    """Return the changes as a table, what needs somebody first."""
    rows = [_row(each) for result in _BY_URGENCY for each in outcome.of(result)]
    text, left_out = table(("Webhook", "Result", "Endpoint", ""), rows, room)
    if not left_out:
        return text
    if on_cut is not None:
        on_cut()
    return f"{text}\n\n{count(left_out, 'change')} not shown here; the run's log has them."


def _row(each: ChangeOutcome) -> tuple[str, ...]:
    told = [cell(part) for part in (each.detail, each.hint) if part]
    endpoint = cell(each.endpoint_id) if each.endpoint_id else ""
    return cell(each.change.name), said(each), endpoint, "<br>".join(told)
