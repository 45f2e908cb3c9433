"""The status of the fleet as text, Markdown and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.plan.expiry import expiry_warnings
from reconciler.report.format.escape import visible
from reconciler.report.format.markdown import COMMENT_LIMIT, cell, code, table
from reconciler.report.format.style import Ink, Style, age, aligned, count, width
from reconciler.report.plan.summary import in_progress
from reconciler.texts import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from reconciler.plan.plan import ActiveRun
    from reconciler.plan.status import StatusRow

_HEADER = ("NAME", "STATE", "SECRET AGE", "VERIFIED", "OWNER", "ENDPOINT", "URL")
_STATE = _HEADER.index("STATE")
_WRAPPED = _HEADER.index("ENDPOINT")
_INKS = {
    "in sync": Ink.GREEN,
    "overlap": Ink.GREEN,
    "released": Ink.DIM,
    "unmanaged": Ink.DIM,
    "drifted": Ink.RED,
    "disabled": Ink.RED,
    "interrupted": Ink.YELLOW,
    "unverified": Ink.YELLOW,
}


def status_text(
    organization: str,
    rows: Sequence[StatusRow],
    *,
    now: datetime,
    columns: int | None = None,
    color: bool = False,
    run: ActiveRun | None = None,
) -> str:
    """Return the fleet as a table, ending in a newline.

    Args:
        organization: the name of the organization.
        rows: one for each webhook and each unmanaged endpoint.
        now: the time that ages are relative to.
        columns: the terminal's width. In a wider table, endpoint and URL get a line of their own.
        color: whether to use ANSI colours.
        run: the run that holds the lock.
    """
    if not rows:
        return f"{visible(organization)}: no webhooks in manifests or live.\n"
    style = Style(color)
    padded = aligned([_HEADER, *(_cells(row, now) for row in rows)])
    narrow = columns is not None and width("  ".join(padded[0])) > columns
    lines = [style.paint(line, Ink.BOLD) for line in _lines(padded[0], narrow=narrow)]
    for row, cells in zip(rows, padded[1:], strict=True):
        if ink := _INKS.get(row.state):
            cells[_STATE] = style.paint(cells[_STATE], ink)
        lines += _lines(cells, narrow=narrow)
    lines += ["", f"{visible(organization)}: {_total(rows)}"]
    if run is not None:
        lines.append(in_progress(run))
    lines += [f"{style.paint('warning:', Ink.YELLOW)} {visible(warning)}" for warning in _warnings(rows)]
    return "\n".join(lines) + "\n"


def _lines(cells: Sequence[str], *, narrow: bool) -> Iterator[str]:
    """Yield a table row as one line, or as two where it would not fit."""
    for part in (cells[:_WRAPPED], ["  ", *cells[_WRAPPED:]]) if narrow else (cells,):
        yield "  ".join(part).rstrip()


def status_markdown(
    organization: str,
    rows: Sequence[StatusRow],
    *,
    now: datetime,
    limit: int = COMMENT_LIMIT,
    run: ActiveRun | None = None,
) -> str:
    """Return the fleet as a table in GitHub's Markdown, ending in a newline. The rows keep their order.

    Args:
        organization: the name of the organization.
        rows: as for `status_text`.
        now: the time that ages are relative to.
        limit: the table is cut at about this many characters, and the number of omitted rows follows.
        run: the run that holds the lock.
    """
    heading = f"### Webhooks of {code(organization)}\n\n"
    if not rows:
        return f"{heading}No webhooks in manifests or live.\n"
    cells = [[cell(text) for text in _cells(row, now)] for row in rows]
    warnings = "".join(f"> [!WARNING]\n> {code(warning)}\n\n" for warning in _warnings(rows))
    progress = f"{code(in_progress(run))}\n\n" if run is not None else ""
    return (
        f"{heading}{_total(rows)}.\n\n{progress}{warnings}{table(_HEADER, cells, limit, ('row', 'rows'))}\n"
    )


def status_value(
    organization: str,
    rows: Sequence[StatusRow],
    *,
    observed_at: datetime,
    run: ActiveRun | None = None,
    refused: bool = False,
    requests_per_minute: int | None = None,
) -> dict[str, Any]:
    """Return the fleet as a JSON object.

    Args:
        organization: the name of the organization.
        rows: one for each webhook and each unmanaged endpoint.
        observed_at: when it was read.
        run: the run that holds the lock.
        refused: whether a guard doubts what was read, or would refuse the plan.
        requests_per_minute: the API's quota, as it announces it.
    """
    return {
        "organization": organization,
        "observed_at": to_timestamp(observed_at),
        "refused": refused,
        "requests_per_minute": requests_per_minute,
        "in_progress": run and run.to_json(),
        "webhooks": [
            {
                "name": None if row.unmanaged else row.name,
                "endpoint_id": row.endpoint_id,
                "url": mask_unreviewed(row.url) if row.unmanaged and row.url else row.url,
                "state": row.state,
                "secret_created_at": to_timestamp(row.secret_created_at),
                "secret_expires_at": to_timestamp(row.secret_expires_at),
                "verified_at": to_timestamp(row.verified_at),
                "owner": row.owner,
                "source": row.source and {"file": row.source.path, "line": row.source.line},
                "unmanaged": row.unmanaged,
                "drift": row.is_drift,
                "findings": [kind.value for kind in row.findings],
                "needs_action": row.needs_action,
                "events": list(row.events),
                "reason": row.change.reason if row.change else None,
                "last_run": row.projection.run.to_json() if row.projection else None,
                "retiring": list(row.projection.previous_ids) if row.projection else [],
                "overlap_ends": to_timestamp(row.overlap_ends),
            }
            for row in rows
        ],
    }


def _warnings(rows: Sequence[StatusRow]) -> tuple[str, ...]:
    return expiry_warnings((at, row.name) for row in rows if (at := row.secret_expires_at) is not None)


def _total(rows: Sequence[StatusRow]) -> str:
    unmanaged = sum(row.unmanaged for row in rows)
    return count(len(rows) - unmanaged, "webhook") + (f", {unmanaged:,} unmanaged" if unmanaged else "")


def _state(row: StatusRow) -> str:
    """Return the state, and of an overlap its end."""
    until = f" until {row.overlap_ends:%Y-%m-%d %H:%M} UTC" if row.overlap_ends else ""
    return visible(row.state) + (until if row.state == "overlap" else "")


def _cells(row: StatusRow, now: datetime) -> tuple[str, ...]:
    """Return the table cells of a row; an unknown value is empty."""
    url = row.url or ""
    return (
        "" if row.unmanaged else visible(row.name),
        _state(row),
        age(row.secret_created_at, now) if row.secret_created_at else "",
        f"{age(row.verified_at, now)} ago" if row.verified_at else "",
        visible(row.owner or ""),
        visible(row.endpoint_id or ""),
        visible(mask_unreviewed(url) if row.unmanaged else url),
    )
