"""The history of changes as text, Markdown and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.report.format.escape import visible
from reconciler.report.format.markdown import COMMENT_LIMIT, cell, code, table
from reconciler.report.format.style import Ink, Style, aligned, count
from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.plan.history import HistoryEntry

_HEADER = ("WHEN (UTC)", "WEBHOOK", "WHAT", "ENDPOINT", "WHO", "COMMIT", "PULL REQUEST", "REQUEST")
_COMMIT_DIGITS = 12


def history_text(organization: str, entries: Sequence[HistoryEntry], *, color: bool = False) -> str:
    """Return the history as a table in the given order, ending in a newline."""
    style = Style(color)
    if not entries:
        return f"{visible(organization)}: no recorded changes.\n"
    header, *rows = ["  ".join(cells).rstrip() for cells in aligned([_HEADER, *map(_cells, entries)])]
    lines = [style.paint(header, Ink.BOLD)]
    for entry, row in zip(entries, rows, strict=True):
        lines.append(row if entry.ok else style.paint(row, Ink.RED))
        if entry.detail and not entry.ok:
            lines.append(f"    {visible(entry.detail)}")
    lines += ["", f"{visible(organization)}: {count(len(entries), 'entry', 'entries')}"]
    return "\n".join(lines) + "\n"


def history_markdown(organization: str, entries: Sequence[HistoryEntry]) -> str:
    """Return the history as GitHub's Markdown, cut between two entries if it is too long for a comment."""
    heading = f"### History of {code(organization)}\n\n"
    if not entries:
        return f"{heading}No recorded changes.\n"
    rows = [[cell(text) for text in _cells(entry)] for entry in entries]
    return heading + table(_HEADER, rows, COMMENT_LIMIT, ("older entry", "older entries")) + "\n"


def history_value(organization: str, entries: Sequence[HistoryEntry]) -> dict[str, Any]:
    """Return the history as a JSON object."""
    return {
        "organization": organization,
        "entries": [
            {
                "at": to_timestamp(entry.at),
                "name": entry.name,
                "event": entry.action,
                "ok": entry.ok,
                "endpoint_id": entry.endpoint_id,
                "request_id": entry.request_id,
                "detail": entry.detail,
                "actor": entry.actor,
                "commit": entry.commit,
                "pull_request": entry.pull_request,
                "run": entry.url,
                "requests": [
                    {
                        "at": to_timestamp(each.at),
                        "event": each.action,
                        "ok": each.ok,
                        "endpoint_id": each.endpoint_id,
                        "request_id": each.request_id,
                    }
                    for each in entry.requests
                ],
            }
            for entry in entries
        ],
    }


def _cells(entry: HistoryEntry) -> tuple[str, ...]:
    """Return the table cells of an entry; an unknown value is empty."""
    pull_request = entry.pull_request.rpartition("/")[2] if entry.pull_request else ""
    return (
        f"{entry.at:%Y-%m-%d %H:%M:%S}" if entry.at else "",
        visible(entry.name),
        visible(entry.action) + ("" if entry.ok else " (failed)"),
        visible(entry.endpoint_id or ""),
        visible(entry.actor or ""),
        visible((entry.commit or "")[:_COMMIT_DIGITS]),
        pull_request and f"#{visible(pull_request)}",
        visible(entry.request_id or ""),
    )
