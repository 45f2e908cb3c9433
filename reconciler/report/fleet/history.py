"""What happened to the fleet: one entry for each change that is known of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.ports import Metadata

_ACTIONS = {
    "active": "applied",
    "unverified": "applied, not verified",
    "released": "released",
    "removing": "being removed",
    "deleted": "removed",
    "empty": "creation refused",
}


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change: to which webhook, what, when, by whom, from which commit."""

    name: str
    action: str
    at: datetime | None = None
    """None where it is unknown."""
    actor: str | None = None
    commit: str | None = None
    url: str | None = None
    """The page of the run."""


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
        )
        for entry in metadata.values()
        if entry.projection is not None
    ]
    return newest_first(entries)


def newest_first(entries: list[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """Return `entries` in the order in which a person looks for them."""
    return tuple(sorted(entries, key=lambda e: (-e.at.timestamp() if e.at else 0.0, e.name)))
