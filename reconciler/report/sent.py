"""The deliveries that the sandbox has sent, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, aligned, count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEADER = ("EVENT", "ENDPOINT", "URL", "ANSWER")


def sent_text(deliveries: Sequence[Mapping[str, Any]], wrong: Sequence[bool], *, color: bool = False) -> str:
    """Return deliveries as a table in their order, ending in a newline; the answers that are wrong in red."""
    style = Style(color)
    header, *rows = ["  ".join(cells).rstrip() for cells in aligned([_HEADER, *map(_cells, deliveries)])]
    lines = [style.paint(header, Ink.BOLD)]
    lines += [
        style.paint(row, Ink.RED) if is_wrong else row for row, is_wrong in zip(rows, wrong, strict=True)
    ]
    failures = sum(wrong)
    total = count(len(deliveries), "delivery", "deliveries")
    lines += ["", f"{total}, {count(failures, 'wrong answer') if failures else 'each answered as it should'}"]
    return "\n".join(lines) + "\n"


def _cells(delivery: Mapping[str, Any]) -> tuple[str, ...]:
    status = delivery["status_code"]
    answer = delivery["error"] or "not sent" if status is None else status
    return tuple(
        visible(str(cell))
        for cell in (delivery["event_id"], delivery["endpoint_id"], delivery["url"], answer)
    )
