"""The history as a table, as Markdown and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.report.format.escape import visible
from reconciler.report.format.markdown import COMMENT_LIMIT, cell, code, table
from reconciler.report.format.style import Ink, Style, count, pad, width
from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.plan.history import HistoryEntry

_HEADER = ("WHEN (UTC)", "WEBHOOK", "WHAT", "ENDPOINT", "WHO", "COMMIT", "PULL REQUEST", "REQUEST")
_COMMIT_DIGITS = 12


def history_text(organization: str, entries: Sequence[HistoryEntry], *, color: bool = False) -> str:
    """Return the history as a table, newest first as it is given, ending in a newline."""
    style = Style(color)
    if not entries:
        return f"{visible(organization)}: nothing is known of any change.\n"
    table = [_HEADER, *(_cells(entry) for entry in entries)]
    widths = [max(map(width, column)) for column in zip(*table, strict=True)]
    lines = []
    for number, cells in enumerate(table):
        line = "  ".join(pad(text, columns) for text, columns in zip(cells, widths, strict=True)).rstrip()
        failed = number > 0 and not entries[number - 1].ok
        lines.append(
            style.paint(line, Ink.BOLD) if number == 0 else style.paint(line, Ink.RED) if failed else line
        )
        if failed and (detail := entries[number - 1].detail):
            lines.append(f"    {visible(detail)}")
    return (
        "\n".join([*lines, "", f"{visible(organization)}: {count(len(entries), 'entry', 'entries')}"]) + "\n"
    )


def history_markdown(
    organization: str, entries: Sequence[HistoryEntry], *, limit: int = COMMENT_LIMIT
) -> str:
    """Return the history as GitHub's Markdown, cut between two entries at about `limit` characters."""
    heading = f"### History of {code(organization)}\n\n"
    if not entries:
        return f"{heading}Nothing is known of any change.\n"
    rows = [["" if text == "-" else cell(text) for text in _cells(entry)] for entry in entries]
    text, left_out = table(_HEADER, rows, limit)
    more = f"\n\n{count(left_out, 'older entry', 'older entries')} not shown here."
    return heading + text + (more if left_out else "") + "\n"


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
            }
            for entry in entries
        ],
    }


def _cells(entry: HistoryEntry) -> tuple[str, ...]:
    pull_request = entry.pull_request.rpartition("/")[2] if entry.pull_request else None
    return (
        f"{entry.at:%Y-%m-%d %H:%M:%S}" if entry.at else "-",
        visible(entry.name),
        visible(entry.action) + ("" if entry.ok else " (failed)"),
        visible(entry.endpoint_id or "-"),
        visible(entry.actor or "-"),
        visible((entry.commit or "-")[:_COMMIT_DIGITS]),
        f"#{visible(pull_request)}" if pull_request else "-",
        visible(entry.request_id or "-"),
    )
