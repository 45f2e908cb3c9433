"""The fleet as a table, as Markdown and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from reconciler.credentials.redaction import mask_url
from reconciler.report.format.escape import visible
from reconciler.report.format.markdown import COMMENT_LIMIT, cell, code, table
from reconciler.report.format.style import Ink, Style, age, count, pad, width
from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.ledger.projection import Projection
    from reconciler.model import Endpoint, Location, Webhook
    from reconciler.plan.plan import Change

_HEADER = ("NAME", "STATE", "SECRET AGE", "VERIFIED", "OWNER", "ENDPOINT", "URL")
_STATE = 1
_WRAPPED = _HEADER.index("ENDPOINT")
_INKS = {
    "in sync": Ink.GREEN,
    "released": Ink.DIM,
    "unmanaged": Ink.DIM,
    "drifted": Ink.RED,
    "interrupted": Ink.YELLOW,
    "unverified": Ink.YELLOW,
}


class StatusLine(Protocol):
    """One webhook, or one unmanaged endpoint, as `usecases.status` tells of it."""

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

    @property
    def webhook(self) -> Webhook | None:
        """What its manifest says."""
        ...

    @property
    def projection(self) -> Projection | None:
        """What the ledger's public part says."""
        ...

    @property
    def endpoint(self) -> Endpoint | None:
        """What is live."""
        ...

    @property
    def change(self) -> Change | None:
        """What is due."""
        ...


def status_text(
    organization: str,
    rows: Sequence[StatusLine],
    *,
    now: datetime,
    columns: int | None = None,
    color: bool = False,
) -> str:
    """Return the fleet as a table, ending in a newline.

    Args:
        organization: whose fleet it is.
        rows: one for each webhook and each unmanaged endpoint.
        now: what ages are counted to.
        columns: the terminal's width. Where the table is wider, endpoint and URL take a line of their own.
        color: paint with ANSI sequences.
    """
    style = Style(color)
    if not rows:
        return f"{visible(organization)}: no webhooks, neither in manifests nor live.\n"
    table = [_HEADER, *(_cells(row, now) for row in rows)]
    widths = [max(map(width, column)) for column in zip(*table, strict=True)]
    narrow = columns is not None and sum(widths) + 2 * (len(widths) - 1) > columns
    lines = [line for cells in table for line in _lines(cells, widths, style, narrow=narrow)]
    lines += ["", f"{visible(organization)}: {_total(rows)}"]
    return "\n".join(lines) + "\n"


def status_markdown(
    organization: str, rows: Sequence[StatusLine], *, now: datetime, limit: int = COMMENT_LIMIT
) -> str:
    """Return the fleet as a table in GitHub's Markdown, what is not in sync first, ending in a newline.

    Args:
        organization: whose fleet it is.
        rows: as for `status_text`.
        now: what ages are counted to.
        limit: how many characters it may have, about; the count of what is left out follows.
    """
    heading = f"### Webhooks of {code(organization)}\n\n"
    if not rows:
        return f"{heading}No webhooks, neither in manifests nor live.\n"
    ordered = sorted(rows, key=lambda row: (row.unmanaged, row.state == "in sync"))
    cells = [["" if text == "-" else cell(text) for text in _cells(row, now)] for row in ordered]
    text, left_out = table(_HEADER, cells, limit)
    more = f"\n\n{left_out:,} of them not shown here."
    return f"{heading}{_total(rows)}.\n\n{text}{more if left_out else ''}\n"


def _total(rows: Sequence[StatusLine]) -> str:
    unmanaged = sum(row.unmanaged for row in rows)
    return count(len(rows) - unmanaged, "webhook") + (f", {unmanaged:,} unmanaged" if unmanaged else "")


def _lines(cells: Sequence[str], widths: Sequence[int], style: Style, *, narrow: bool) -> list[str]:
    """Return a row as one line, or as two where it would not fit."""
    padded = [pad(cell, columns) for cell, columns in zip(cells, widths, strict=True)]
    heading = cells is _HEADER
    if not heading and (ink := _INKS.get(cells[_STATE])):
        padded[_STATE] = style.paint(padded[_STATE], ink)
    rows = [padded[:_WRAPPED], ["  ", *padded[_WRAPPED:]]] if narrow else [padded]
    lines = ["  ".join(row).rstrip() for row in rows]
    return [style.paint(line, Ink.BOLD) for line in lines] if heading else lines


def _cells(row: StatusLine, now: datetime) -> tuple[str, ...]:
    return (
        "-" if row.unmanaged else visible(row.name),
        visible(row.state),
        _age(row.secret_created_at, now),
        f"{age(row.verified_at, now)} ago" if row.verified_at else "-",
        visible(row.owner or "-"),
        visible(row.endpoint_id or "-"),
        visible((mask_url(row.url) if row.unmanaged else row.url) if row.url else "-"),
    )


def _age(since: datetime | None, now: datetime) -> str:
    return "-" if since is None else age(since, now)


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
                "events": list(events_of(row)),
                "reason": row.change.reason if row.change else None,
                "last_run": row.projection.run.to_json() if row.projection else None,
                "retiring": list(row.projection.previous_ids) if row.projection else [],
            }
            for row in rows
        ],
    }


def events_of(row: StatusLine) -> tuple[str, ...]:
    """Return the events that are delivered now; where nothing is live, those that its manifest asks for."""
    if row.endpoint is not None:
        return row.endpoint.events
    return row.webhook.events if row.webhook is not None else ()
