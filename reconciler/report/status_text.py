"""The fleet as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from reconciler.ledger import to_timestamp
from reconciler.report.escape import visible
from reconciler.report.style import Ink, Style, count, duration, pad, width

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.model import Location

_HEADER = ("NAME", "STATE", "SECRET AGE", "VERIFIED", "OWNER", "ENDPOINT", "URL")
_STATE = 1
_INKS = {
    "in sync": Ink.GREEN,
    "released": Ink.DIM,
    "unmanaged": Ink.DIM,
    "drifted": Ink.RED,
    "interrupted": Ink.YELLOW,
    "unverified": Ink.YELLOW,
}


class StatusLine(Protocol):
    """One webhook, or one unmanaged endpoint, as `workflow.status` tells of it."""

    @property
    def name(self) -> str:
        """The manifest's name; an unmanaged endpoint has none, so there it says nothing."""
        ...

    @property
    def endpoint_id(self) -> str | None:
        """The live endpoint's id, where there is one."""
        ...

    @property
    def url(self) -> str | None:
        """Where deliveries go."""
        ...

    @property
    def state(self) -> str:
        """A word for how it stands."""
        ...

    @property
    def secret_created_at(self) -> datetime | None:
        """Since when the signing secret is the current one."""
        ...

    @property
    def verified_at(self) -> datetime | None:
        """When a test delivery last succeeded."""
        ...

    @property
    def owner(self) -> str | None:
        """Who answers for it."""
        ...

    @property
    def source(self) -> Location | None:
        """The manifest's place."""
        ...

    @property
    def unmanaged(self) -> bool:
        """Whether it is live and not ours."""
        ...


def status_text(organization: str, rows: Sequence[StatusLine], *, now: datetime, color: bool = False) -> str:
    """Return the fleet as a table, ending in a newline; `now` is what ages are counted to."""
    style = Style(color)
    if not rows:
        return f"{visible(organization)}: no webhooks, neither in manifests nor live.\n"
    cells = [_cells(row, now) for row in rows]
    widths = [max(map(width, column)) for column in zip(_HEADER, *cells, strict=True)]
    lines = [style.paint(_line(_HEADER, widths), Ink.BOLD)]
    for row in cells:
        padded = [pad(cell, columns) for cell, columns in zip(row, widths, strict=True)]
        ink = _INKS.get(row[_STATE])
        if ink is not None:
            padded[_STATE] = style.paint(padded[_STATE], ink)
        lines.append("  ".join(padded).rstrip())
    unmanaged = sum(row.unmanaged for row in rows)
    total = count(len(rows) - unmanaged, "webhook")
    lines += ["", f"{visible(organization)}: {total}" + (f", {unmanaged:,} unmanaged" if unmanaged else "")]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(pad(cell, columns) for cell, columns in zip(cells, widths, strict=True)).rstrip()


def _cells(row: StatusLine, now: datetime) -> tuple[str, ...]:
    return (
        "-" if row.unmanaged else visible(row.name),
        visible(row.state),
        _age(row.secret_created_at, now),
        f"{age} ago" if (age := _age(row.verified_at, now)) != "-" else "-",
        visible(row.owner or "-"),
        visible(row.endpoint_id or "-"),
        visible(row.url or "-"),
    )


def _age(since: datetime | None, now: datetime) -> str:
    """Return the age in its largest unit; a moment in the future is a clock's error and counts as now."""
    if since is None:
        return "-"
    return " ".join(duration(max(0, round((now - since).total_seconds()))).split()[:2])


def status_value(organization: str, rows: Sequence[StatusLine]) -> dict[str, Any]:
    """Return the fleet as a JSON object."""
    return {
        "organization": organization,
        "webhooks": [
            {
                "name": None if row.unmanaged else row.name,
                "endpoint_id": row.endpoint_id,
                "url": row.url,
                "state": row.state,
                "secret_created_at": to_timestamp(row.secret_created_at),
                "verified_at": to_timestamp(row.verified_at),
                "owner": row.owner,
                "source": row.source and {"file": row.source.path, "line": row.source.line},
                "unmanaged": row.unmanaged,
            }
            for row in rows
        ],
    }
