"""Which event types reach whom, and which reach nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.report.status.text import StatusLine


class Coverage(Struct, frozen=True):
    """Who listens to one event type now: only live endpoints count."""

    event: str
    known: bool
    """Whether the API's documentation lists it."""
    webhooks: tuple[str, ...]
    """The names of ours, sorted."""
    unmanaged: int


def coverage_of(lines: Iterable[StatusLine], known_events: Sequence[str]) -> tuple[Coverage, ...]:
    """Return every event type that is known or subscribed to, by name."""
    ours: dict[str, list[str]] = {event: [] for event in known_events}
    unmanaged = dict.fromkeys(known_events, 0)
    for line in lines:
        if line.endpoint is None:
            continue
        for event in line.endpoint.events:
            ours.setdefault(event, [])
            unmanaged.setdefault(event, 0)
            if line.unmanaged:
                unmanaged[event] += 1
            else:
                ours[event].append(line.name)
    known = frozenset(known_events)
    return tuple(
        Coverage(event, event in known, tuple(sorted(ours[event])), unmanaged[event])
        for event in sorted(ours)
    )
