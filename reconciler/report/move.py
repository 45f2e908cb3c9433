"""The preview of a move, and its outcome: as text and as JSON values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.plan.move import move_command
from reconciler.plan.outcome import Result
from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, count, item, pad, width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.plan.move import DocumentMove, Move, MoveOutcome

_MARKS = {
    Result.DONE: ("✓", Ink.GREEN),
    Result.FAILED: ("✗", Ink.RED),
    Result.NOT_ATTEMPTED: ("○", Ink.DIM),
}


def move_text(move: Move, *, color: bool = False) -> str:
    """Return the preview as text, ending in a newline."""
    style = Style(color)
    if not move.documents:
        place = f"{visible(move.target.name)} at {visible(move.target.api_url)}"
        lines = [f"Nothing to move: {count(move.already_moved, 'document')} of {place}."]
    else:
        heading = f"Move of {visible(move.target.name)}: {count(len(move.documents), 'document')}"
        lines = [style.paint(heading, Ink.BOLD), *_changes(move), ""]
        column = max(width(visible(each.name)) for each in move.documents)
        for each in move.documents:
            text = f"{pad(visible(each.name), column)}  {_endpoints(each)}"
            lines += item(style.paint("~", Ink.YELLOW), text, each.note)
        if move.already_moved:
            lines += ["", f"{count(move.already_moved, 'document')} moved before."]
    for unreadable in move.unreadable:
        text = f"{visible(unreadable.name)}  not moved: {visible(unreadable.message)}"
        lines += item(style.paint("✗", Ink.RED), text, hint=unreadable.hint)
    for refusal in move.refusals:
        lines.append("")
        lines += item(style.paint("✗", Ink.RED), f"refused: {visible(refusal.message)}", hint=refusal.hint)
    return "\n".join(lines) + "\n"


def _changes(move: Move) -> Iterator[str]:
    """Yield what changes in every ledger."""
    if move.origin.name != move.target.name:
        yield f"  organization  {visible(move.origin.name)} → {visible(move.target.name)}"
    if move.origin.api_url != move.target.api_url:
        yield f"  API           {visible(move.origin.api_url)} → {visible(move.target.api_url)}"


def _endpoints(document: DocumentMove) -> str:
    """Return a document's endpoints, and whether they are live."""
    if not document.endpoint_ids:
        return "no endpoint"
    return ", ".join(
        f"{visible(endpoint_id)} {'not listed' if endpoint_id in document.missing else 'live'}"
        for endpoint_id in document.endpoint_ids
    )


def move_outcome_text(move: Move, outcome: MoveOutcome, *, color: bool = False) -> str:
    """Return the outcome as text, ending in a newline: what was not moved, the totals, the next command."""
    style = Style(color)
    lines: list[str] = []
    for result in (Result.FAILED, Result.NOT_ATTEMPTED):
        symbol, ink = _MARKS[result]
        for each in outcome.of(result):
            text = f"{visible(each.name)}  {style.paint(f'move {result.value}', ink)}"
            lines += item(style.paint(symbol, ink), text, each.detail, each.hint)
    done = count(len(outcome.of(Result.DONE)), "document")
    left = len(outcome.documents) - len(outcome.of(Result.DONE))
    if left:
        lines.append(f"Partly done: {done} moved, {left:,} left.")
        lines.append(f"Next: `{visible(move_command(move.origin, move.target))}` moves the rest.")
    else:
        lines.append(f"Done: {done} moved. Next: `reconciler plan` with the new settings.")
    return "\n".join(lines) + "\n"


def move_value(move: Move, outcome: MoveOutcome | None) -> dict[str, Any]:
    """Return the preview and, once there is one, the outcome as a JSON object."""
    return {
        "organization": move.target.name,
        "from": {"organization": move.origin.name, "api_url": move.origin.api_url},
        "to": {"organization": move.target.name, "api_url": move.target.api_url},
        "documents": [
            {
                "name": each.name,
                "writes": each.part.value,
                "endpoint_ids": list(each.endpoint_ids),
                "missing": list(each.missing),
                "note": each.note,
            }
            for each in move.documents
        ],
        "already_moved": move.already_moved,
        "unreadable": [
            {"name": each.name, "message": each.message, "hint": each.hint} for each in move.unreadable
        ],
        "refused": [
            {"guard": each.guard, "message": each.message, "hint": each.hint} for each in move.refusals
        ],
        "outcome": None
        if outcome is None
        else {
            "complete": outcome.complete,
            "documents": [
                {"name": each.name, "result": each.result.value, "detail": each.detail, "hint": each.hint}
                for each in outcome.documents
            ],
        },
    }
