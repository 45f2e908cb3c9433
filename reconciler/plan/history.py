"""What happened to the fleet: one entry for each change that is known of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.ledger.ledger import CLOCK_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.ports import Metadata

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_ACTIONS = {
    "active": "applied",
    "unverified": "applied, not verified",
    "released": "released",
    "removing": "being removed",
    "deleted": "removed",
    "empty": "creation refused",
}


class HistoryEntry(Struct, frozen=True):
    """One change: to which webhook, what, when, by whom, from which commit."""

    name: str
    action: str
    at: datetime | None = None
    """None where it is unknown."""
    actor: str | None = None
    commit: str | None = None
    url: str | None = None
    """The page of the run."""
    pull_request: str | None = None
    """The page of the pull request that was merged."""
    endpoint_id: str | None = None
    is_request: bool = False
    """Whether it is one request of a change, not the change as a whole."""
    request_id: str | None = None
    """The API's own id of the request."""
    ok: bool = True
    detail: str | None = None
    """Why it is not done."""
    requests: tuple[HistoryEntry, ...] = ()
    """The change's requests, in their order, if they are known."""


def by_change(entries: Iterable[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """Return an audit log's entries with one for each change, which has its requests, in their order.

    Requests without the end of their change stay entries of their own: that run was cut off.
    """
    found: list[HistoryEntry] = []
    open_requests: dict[str, list[HistoryEntry]] = {}
    for entry in entries:
        if entry.is_request:
            open_requests.setdefault(entry.name, []).append(entry)
            continue
        requests = open_requests.pop(entry.name, [])
        # A replacement creates and deletes: the new endpoint says more.
        shown = next((each for each in requests if "create" in each.action and each.ok), None)
        shown = shown or (requests[-1] if requests else entry)
        found.append(
            replace(
                entry,
                endpoint_id=entry.endpoint_id or shown.endpoint_id,
                request_id=shown.request_id,
                requests=tuple(requests),
            )
        )
    return (*found, *(each for requests in open_requests.values() for each in requests))


def last_changes(metadata: Mapping[str, Metadata]) -> tuple[HistoryEntry, ...]:
    """Return the last change of each document, also of removed ones: newest first, unknown times last.

    The metadata names the run that made the change; the moment is when the document was last written, so
    the end of an overlap moves it.
    """
    entries = [
        HistoryEntry(
            entry.name,
            _ACTIONS[entry.projection.state],
            entry.changed_at,
            entry.projection.run.actor,
            entry.projection.run.commit,
            entry.projection.run.url,
            entry.projection.run.pull_request,
            entry.projection.endpoint_id,
        )
        for entry in metadata.values()
        if entry.projection is not None
    ]
    return newest_first(entries)


def merged(audited: Iterable[HistoryEntry], recorded: Iterable[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """Return an audit log's entries and what Vault knows beyond them, newest first.

    Vault knows only the last change of each webhook. It adds the changes that another machine made.
    """
    entries = list(audited)
    newest = {entry.name: entry.at for entry in sorted(entries, key=lambda e: e.at or _LONG_AGO) if entry.at}
    for entry in recorded:
        known = newest.get(entry.name)
        if known is None or entry.at is None or entry.at > known + CLOCK_TOLERANCE:
            entries.append(entry)
    return newest_first(entries)


def newest_first(entries: list[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """Return `entries` in the order in which a person looks for them."""
    return tuple(sorted(entries, key=lambda e: (-e.at.timestamp() if e.at else 0.0, e.name)))
