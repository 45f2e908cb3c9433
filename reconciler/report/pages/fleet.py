"""The page itself: what is known of the fleets, put in order for the templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.plan.plan import Cause
from reconciler.report.pages.coverage import Coverage, coverage_of
from reconciler.report.pages.links import key_of
from reconciler.report.pages.posture import (
    Posture,
    counts_of,
    drift_headline,
    headline,
    managed_of,
    posture_of,
)
from reconciler.report.pages.risks import TOLD_BY_DRIFT, Kind, Risk, risks_of
from reconciler.report.pages.templates import environment
from reconciler.report.receivers import receivers_in_short
from reconciler.report.status.text import events_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.plan.history import HistoryEntry
    from reconciler.plan.plan import Change
    from reconciler.report.pages.occasion import Occasion
    from reconciler.report.receivers import Receiver
    from reconciler.report.status.text import StatusLine


class Fleet(Struct, frozen=True):
    """One organization's part of the page."""

    organization: str
    lines: Sequence[StatusLine]
    history: Sequence[HistoryEntry] = ()
    """Newest first."""
    receivers: Sequence[Receiver] | None = None
    """What was seen where manifests deliver to; None: nobody looked."""


class Entry(Struct, frozen=True):
    """One webhook, or unmanaged endpoint, with what the page derives of it."""

    key: str
    organization: str
    line: StatusLine
    posture: Posture
    events: tuple[str, ...]
    risks: tuple[Risk, ...]
    last: HistoryEntry | None
    receiver: Receiver | None = None

    @property
    def urgency(self) -> int:
        """The place of its state in the order of `Posture`."""
        return list(Posture).index(self.posture)

    @property
    def has_old_secret(self) -> bool:
        """Whether its secret ought to be replaced by now."""
        return any(risk.kind in {Kind.OLD_SECRET, Kind.ROTATION_DUE} for risk in self.risks)

    @property
    def drift(self) -> Change | None:
        """What changed without a manifest having changed."""
        change = self.line.change
        return change if change is not None and change.cause is not Cause.MANIFEST else None


class Segment(Struct, frozen=True):
    """A part of the proportional bar, in thousandths of its length."""

    posture: Posture
    count: int
    start: int
    length: int


class Section(Struct, frozen=True):
    """What the page says of each organization apart."""

    organization: str
    coverage: tuple[Coverage, ...]
    history: Sequence[HistoryEntry]
    keys: frozenset[str]
    """The webhooks that can be linked to."""


def fleet_html(
    fleets: Sequence[Fleet],
    occasion: Occasion,
    *,
    known_events: Sequence[str],
    unread: Sequence[str] = (),
    drift: bool = False,
) -> str:
    """Return one HTML document that needs nothing else.

    Args:
        fleets: the organizations.
        occasion: when and by whom it is made.
        known_events: the event types that the API has.
        unread: organizations that could not be read; the page says so.
        drift: the page is about drift: it comes first.
    """
    several = len(fleets) + len(unread) > 1
    entries = [
        entry
        for fleet in fleets
        for entry in _entries(fleet, occasion.now, known_events=known_events, several=several)
    ]
    if drift:
        entries.sort(key=lambda entry: (entry.drift is None, entry.urgency if entry.drift else 0))
    drifted = [entry for entry in entries if entry.drift is not None]
    counts = counts_of(entry.posture for entry in entries)
    page = environment().get_template("fleet.html")
    return page.render(
        occasion=occasion,
        organizations=[fleet.organization for fleet in fleets],
        unread=unread,
        several=several,
        entries=entries,
        drifted=drifted,
        headline=drift_headline(len(drifted), managed_of(counts)) if drift else headline(counts),
        segments=_segments(counts),
        risks=_by_kind(entries, said=TOLD_BY_DRIFT if drift else frozenset()),
        sections=[_section(fleet, known_events, several=several) for fleet in fleets],
        owners=sorted({entry.line.owner for entry in entries if entry.line.owner}),
        postures=list(counts),
        drift=drift,
        receivers=_receivers(fleets, occasion.now),
    )


def _receivers(fleets: Sequence[Fleet], now: datetime) -> str | None:
    """Return what was seen of the receivers in a sentence, if anybody looked."""
    looked = [fleet.receivers for fleet in fleets if fleet.receivers is not None]
    return receivers_in_short((each for some in looked for each in some), now) if looked else None


def _entries(fleet: Fleet, now: datetime, *, known_events: Sequence[str], several: bool) -> list[Entry]:
    last: dict[str, HistoryEntry] = {}
    for each in fleet.history:
        last.setdefault(each.name, each)
    receivers = {name: receiver for receiver in fleet.receivers or () for name in receiver.names}
    return [
        Entry(
            key=key_of(fleet.organization, line.name, several=several, unmanaged=line.unmanaged),
            organization=fleet.organization,
            line=line,
            posture=posture_of(line),
            events=events_of(line),
            risks=risks_of(line, now=now, known_events=known_events, receiver=receiver),
            last=None if line.unmanaged else last.get(line.name),
            receiver=receiver,
        )
        for line in fleet.lines
        for receiver in [None if line.unmanaged else receivers.get(line.name)]
    ]


def _section(fleet: Fleet, known_events: Sequence[str], *, several: bool) -> Section:
    return Section(
        fleet.organization,
        coverage_of(fleet.lines, known_events),
        fleet.history,
        frozenset(
            key_of(fleet.organization, line.name, several=several)
            for line in fleet.lines
            if not line.unmanaged
        ),
    )


def _segments(counts: dict[Posture, int]) -> list[Segment]:
    """Return the bar; where there are few of many they are still to be seen."""
    total, start, segments = sum(counts.values()), 0, []
    weights = {posture: max(8, round(1000 * number / total)) for posture, number in counts.items()}
    for posture, number in counts.items():
        length = round(1000 * weights[posture] / sum(weights.values()))
        segments.append(Segment(posture, number, start, length))
        start += length
    return segments


def _by_kind(
    entries: Sequence[Entry], *, said: frozenset[Kind]
) -> list[tuple[Kind, list[tuple[Entry, Risk]]]]:
    """Return the risks by kind, the most urgent first; left out are kinds without any, and those `said`."""
    found: dict[Kind, list[tuple[Entry, Risk]]] = {kind: [] for kind in Kind}
    for entry in entries:
        for risk in entry.risks:
            found[risk.kind].append((entry, risk))
    return [(kind, risks) for kind, risks in found.items() if risks and kind not in said]
