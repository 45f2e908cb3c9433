"""The fleet's page: the state, risks, coverage and history of the webhooks of all organizations."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.plan.drift import Drift, DriftKind, DriftState
from reconciler.plan.status import FleetState, state_of, worst_first
from reconciler.report.checks import receivers_summary
from reconciler.report.format.style import count
from reconciler.report.pages.graphics import (
    changes_over_time,
    heat_map,
    problems_by_owner,
    secret_ages,
    timeline,
)
from reconciler.report.pages.risks import SHOWN_AS_DRIFT, RiskKind, risks_of
from reconciler.report.pages.templates import environment, key_of
from reconciler.report.plan.summary import in_progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from reconciler.plan.history import HistoryEntry
    from reconciler.plan.plan import ActiveRun, Change
    from reconciler.plan.status import StatusRow
    from reconciler.report.checks import ReceiverCheck
    from reconciler.report.pages.risks import Risk
    from reconciler.report.pages.templates import PageContext


_NOT_MANAGED = {FleetState.RELEASED, FleetState.UNMANAGED}


class Fleet(Struct, frozen=True):
    """One organization's part of the page."""

    organization: str
    rows: Sequence[StatusRow]
    history: Sequence[HistoryEntry] = ()
    """Newest first."""
    receivers: Sequence[ReceiverCheck] | None = None
    """None: not checked."""
    active_run: ActiveRun | None = None
    """The run that held the lock when the organization was read."""


class Entry(Struct, frozen=True):
    """One webhook or unmanaged endpoint on the page."""

    key: str
    organization: str
    row: StatusRow
    state: FleetState
    risks: tuple[Risk, ...]
    last: HistoryEntry | None
    receiver: ReceiverCheck | None = None

    @property
    def urgency(self) -> int:
        """The position of its state in `FleetState`."""
        return list(FleetState).index(self.state)

    @property
    def has_old_secret(self) -> bool:
        """Whether its secret should be replaced."""
        return any(risk.kind in {RiskKind.OLD_SECRET, RiskKind.ROTATION_DUE} for risk in self.risks)

    @property
    def drift(self) -> Change | None:
        """The pending change, if the webhook has drifted."""
        change = self.row.change
        return change if change is not None and change.state is DriftState.DRIFT else None

    @property
    def is_due(self) -> bool:
        """Whether its time has come or a run is changing it: nobody has to do anything."""
        change = self.row.change
        return change is not None and change.state not in {None, DriftState.DRIFT}


class Segment(Struct, frozen=True):
    """A part of the proportional bar, in thousandths of its length."""

    state: FleetState
    count: int
    start: int
    length: int


class Coverage(Struct, frozen=True):
    """The live endpoints that receive one event type."""

    event: str
    known: bool
    """Whether the API's documentation lists it."""
    webhooks: tuple[str, ...]
    """The names of managed webhooks, sorted."""
    unmanaged: int


class Section(Struct, frozen=True):
    """Coverage and history of one organization."""

    organization: str
    coverage: tuple[Coverage, ...]
    history: Sequence[HistoryEntry]
    keys: frozenset[str]
    """The webhooks that can be linked to."""


def fleet_html(
    fleets: Sequence[Fleet],
    page: PageContext,
    *,
    known_events: Sequence[str],
    unread: Sequence[str] = (),
    drift: bool = False,
) -> str:
    """Return one self-contained HTML document.

    Args:
        fleets: the organizations.
        page: when and by whom the page is made.
        known_events: the event types that the API has.
        unread: organizations that could not be read; the page names them.
        drift: whether the page is about drift, which then comes first.
    """
    several = len(fleets) + len(unread) > 1
    entries = [
        entry
        for fleet in fleets
        for entry in _entries(fleet, page.now, known_events=known_events, several=several)
    ]
    # Of several organizations, too.
    entries.sort(key=lambda entry: worst_first(entry.row)[0])
    drifted = [entry for entry in entries if entry.drift is not None or entry.row.disallowed]
    rows = [entry.row for entry in entries]
    states = state_counts(rows)
    checked = [each for fleet in fleets for each in fleet.receivers or ()]
    was_checked = any(fleet.receivers is not None for fleet in fleets)
    template = environment().get_template("fleet.html")
    return template.render(
        page=page,
        organizations=[fleet.organization for fleet in fleets],
        unread=unread,
        several=several,
        entries=entries,
        drifted=drifted,
        due=[entry for entry in entries if entry.is_due],
        active=[(fleet.organization, in_progress(run)) for fleet in fleets if (run := fleet.active_run)],
        unmanaged_remedy=Drift((DriftKind.UNMANAGED,)).remedy,
        headline=drift_headline(len(drifted), _managed(states)) if drift else headline(states),
        segments=_segments(states),
        risks=_by_kind(entries, without=SHOWN_AS_DRIFT if drift else frozenset()),
        sections=[_section(fleet, known_events, several=several) for fleet in fleets],
        problems=problems_by_owner(rows),
        ages=secret_ages(rows, page.now),
        timeline=timeline(((entry.organization, entry.row) for entry in entries), page.now),
        changes=changes_over_time((each for fleet in fleets for each in fleet.history), page.now)
        if any(fleet.history for fleet in fleets)
        else None,
        heat=heat_map(rows, known_events),
        owners=sorted({entry.row.owner for entry in entries if entry.row.owner}),
        states=list(states),
        drift=drift,
        receivers=receivers_summary(checked, page.now) if was_checked else None,
    )


def state_counts(rows: Iterable[StatusRow]) -> dict[FleetState, int]:
    """Return how many rows have each state, most urgent first, without zeros."""
    counts = Counter(map(state_of, rows))
    return {state: counts[state] for state in FleetState if counts[state]}


def headline(counts: Mapping[FleetState, int]) -> str:
    """Return the first sentence of the status page."""
    total = _managed(counts)
    if not total:
        return "No webhook is managed here yet."
    # In an overlap everything is as declared, and the old endpoint is still live beside it.
    settled = {FleetState.IN_SYNC, FleetState.OVERLAP, *_NOT_MANAGED}
    unsettled = {state: number for state, number in counts.items() if state not in settled}
    if not unsettled:
        return "The one webhook is in sync." if total == 1 else f"All {total:,} webhooks are in sync."
    number = sum(unsettled.values())
    listed = ", ".join(f"{each:,} {state}" for state, each in unsettled.items())
    return f"{number:,} of {count(total, 'webhook')} {'is' if number == 1 else 'are'} not in sync: {listed}."


def drift_headline(drifted: int, total: int) -> str:
    """Return the first sentence of the drift page."""
    if not total and not drifted:
        return "No webhook is managed here yet."
    if not drifted:
        return f"No drift: {count(total, 'webhook')} as applied."
    need = "needs" if drifted == 1 else "need"
    return f"{drifted:,} of {count(total, 'webhook')} {need} attention although no manifest changed."


def coverage_of(rows: Iterable[StatusRow], known_events: Sequence[str]) -> tuple[Coverage, ...]:
    """Return the coverage of every event type that is known or subscribed to, by name."""
    managed: dict[str, list[str]] = {event: [] for event in known_events}
    unmanaged: Counter[str] = Counter()
    for row in rows:
        for event in row.endpoint.events if row.endpoint else ():
            names = managed.setdefault(event, [])
            if row.unmanaged:
                unmanaged[event] += 1
            else:
                names.append(row.name)
    known = frozenset(known_events)
    return tuple(
        Coverage(event, event in known, tuple(sorted(names)), unmanaged[event])
        for event, names in sorted(managed.items())
    )


def _managed(counts: Mapping[FleetState, int]) -> int:
    """Return how many webhooks are managed."""
    return sum(number for state, number in counts.items() if state not in _NOT_MANAGED)


def _entries(fleet: Fleet, now: datetime, *, known_events: Sequence[str], several: bool) -> list[Entry]:
    last: dict[str, HistoryEntry] = {}
    for each in fleet.history:
        last.setdefault(each.name, each)
    receivers = {name: receiver for receiver in fleet.receivers or () for name in receiver.names}
    return [
        Entry(
            key=key_of(fleet.organization, row.name, several=several, unmanaged=row.unmanaged),
            organization=fleet.organization,
            row=row,
            state=state_of(row),
            risks=risks_of(row, now=now, known_events=known_events, receiver=receiver),
            last=None if row.unmanaged else last.get(row.name),
            receiver=receiver,
        )
        for row in fleet.rows
        for receiver in [None if row.unmanaged else receivers.get(row.name)]
    ]


def _section(fleet: Fleet, known_events: Sequence[str], *, several: bool) -> Section:
    keys = (key_of(fleet.organization, row.name, several=several) for row in fleet.rows if not row.unmanaged)
    return Section(fleet.organization, coverage_of(fleet.rows, known_events), fleet.history, frozenset(keys))


def _segments(counts: Mapping[FleetState, int]) -> list[Segment]:
    """Return the parts of the bar; a small part is widened so that it stays visible."""
    total, start, segments = sum(counts.values()), 0, []
    weights = {state: max(8, round(1000 * number / total)) for state, number in counts.items()}
    for state, number in counts.items():
        length = round(1000 * weights[state] / sum(weights.values()))
        segments.append(Segment(state, number, start, length))
        start += length
    return segments


def _by_kind(
    entries: Sequence[Entry], *, without: frozenset[RiskKind]
) -> list[tuple[RiskKind, list[tuple[Entry, Risk]]]]:
    """Return the risks by kind, most urgent first, without empty kinds and those in `without`."""
    found: dict[RiskKind, list[tuple[Entry, Risk]]] = {kind: [] for kind in RiskKind}
    for entry in entries:
        for risk in entry.risks:
            found[risk.kind].append((entry, risk))
    return [(kind, risks) for kind, risks in found.items() if risks and kind not in without]
