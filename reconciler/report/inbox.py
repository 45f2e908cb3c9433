"""The events of a receiver's inbox as text and JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, aligned, count
from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.receiver.inbox.entry import Entry

_HEADER = ("RECEIVED (UTC)", "WEBHOOK", "EVENT", "ID", "STATE", "ATTEMPTS", "NEXT ATTEMPT (UTC)")


def entries_text(entries: Sequence[Entry], *, color: bool = False) -> str:
    """Return events as a table in the given order, ending in a newline."""
    if not entries:
        return "No events.\n"
    style = Style(color)
    header, *rows = ["  ".join(cells).rstrip() for cells in aligned([_HEADER, *map(_cells, entries)])]
    lines = [style.paint(header, Ink.BOLD)]
    for entry, row in zip(entries, rows, strict=True):
        lines.append(style.paint(row, Ink.RED) if entry.state == "dead" else row)
        if entry.problem:
            lines.append(f"    {visible(entry.problem)}")
    return "\n".join([*lines, "", count(len(entries), "event")]) + "\n"


def entry_value(entry: Entry) -> dict[str, Any]:
    """Return an event without its content as a JSON object."""
    return {
        "id": entry.event_id,
        "webhook": entry.webhook,
        "type": entry.type,
        "state": str(entry.state),
        "attempts": entry.attempts,
        "size": entry.size,
        "received_at": _timestamp(entry.received_at),
        "next_attempt_at": _timestamp(entry.due_at) if _waits(entry) else None,
        "ended_at": _timestamp(entry.ended_at),
        "problem": entry.problem,
    }


def event_text(entry: Entry, body: bytes) -> str:
    """Return an event with its content, ending in a newline."""
    facts = {
        "event": entry.event_id,
        "webhook": entry.webhook,
        "type": entry.type,
        "state": str(entry.state),
        "attempts": str(entry.attempts),
        "received": _short(entry.received_at),
        "next attempt": _short(entry.due_at) if _waits(entry) else "",
        "ended": _short(entry.ended_at),
        "problem": entry.problem or "",
    }
    lines = [f"{name + ':':<14}{visible(value)}" for name, value in facts.items() if value]
    content = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    return "\n".join([*lines, "", *map(visible, content.splitlines())]) + "\n"


def event_value(entry: Entry, body: bytes) -> dict[str, Any]:
    """Return an event with its content as a JSON object."""
    return {**entry_value(entry), "event": json.loads(body)}


def _cells(entry: Entry) -> tuple[str, ...]:
    return (
        _short(entry.received_at),
        visible(entry.webhook),
        visible(entry.type),
        visible(entry.event_id),
        str(entry.state),
        str(entry.attempts),
        _short(entry.due_at) if _waits(entry) else "",
    )


def _waits(entry: Entry) -> bool:
    return entry.state == "pending" and entry.due_at > 0


def _short(at: float | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def _timestamp(at: float | None) -> str | None:
    return to_timestamp(None if at is None else datetime.fromtimestamp(at, UTC))
