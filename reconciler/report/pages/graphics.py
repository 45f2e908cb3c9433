"""Numbers behind the fleet page's graphics: problems, secret ages, deadlines, changes and subscriptions.

Each function turns rows into a small value whose size does not depend on the number of webhooks. Lengths and
positions are in thousandths of a graphic.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.plan.status import FleetState, state_of
from reconciler.report.format.style import count
from reconciler.report.pages.risks import OLD_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date, datetime

    from reconciler.plan.history import HistoryEntry
    from reconciler.plan.status import StatusRow

MOST_OWNERS = 12
"""Owners that a graphic names; the others are summed up."""
MOST_EVENTS = 12
"""Event types that the heat map names; the others are summed up."""
MOST_DEADLINES = 20
"""Deadlines that the timeline shows."""
CHANGES_SHOWN = timedelta(days=30)
"""How far the changes over time reach back."""
_LONGEST_HORIZON = timedelta(days=30)
_SHORTEST_HORIZON = timedelta(days=1)
_PAST_SHARE = 0.25
"""The part of the timeline before the present, relative to the part after it."""
_AGES = (0, 30, 60, 90, 180, 365)
"""Where the histogram's bars begin, in days. `OLD_SECRET` is one of them."""
_LEVELS = 4
_SMALLEST = 8
"""The least length of a part: thinner ones cannot be seen."""
_GAP = 6
"""Between the parts of a bar: two of them may have one colour."""
_PROBLEMS = (FleetState.DRIFTED, FleetState.DISABLED, FleetState.INTERRUPTED, FleetState.UNVERIFIED)


class Part(Struct, frozen=True):
    """A part of a bar: so many webhooks with one state."""

    slug: str
    """The class that gives it its colour."""
    words: str
    count: int
    start: int
    length: int


class OwnerProblems(Struct, frozen=True):
    """The webhooks of one owner that a person must look at."""

    owner: str | None
    """None: webhooks without an owner."""
    parts: tuple[Part, ...]
    """Most urgent first."""
    webhooks: int
    """All webhooks of the owner."""

    @property
    def problems(self) -> int:
        """How many of them have a problem."""
        return sum(part.count for part in self.parts)

    @property
    def summary(self) -> str:
        """The states, in words."""
        return ", ".join(f"{part.count:,} {part.words}" for part in self.parts)


class AgeGroup(Struct, frozen=True):
    """A bar of the histogram of secret ages."""

    label: str
    count: int
    length: int
    is_old: bool


class Deadline(Struct, frozen=True):
    """Something that is live until a known time."""

    organization: str
    name: str
    what: str
    until: datetime
    start: int
    length: int
    is_over: bool
    """Whether the time has passed, so that the next apply or cleanup ends it."""


class Timeline(Struct, frozen=True):
    """The next deadlines on one scale."""

    deadlines: tuple[Deadline, ...]
    """The earliest first."""
    more: int
    """How many later ones are left out."""
    begins: datetime
    ends: datetime
    now: int
    """The position of the present."""


class Day(Struct, frozen=True):
    """The changes of one day (UTC)."""

    day: date
    done: int
    failed: int
    done_height: int
    failed_height: int


class Changes(Struct, frozen=True):
    """Changes over time."""

    days: tuple[Day, ...]
    """All days of the period, the oldest first."""
    summary: str
    """The graphic in a sentence."""

    @property
    def busy(self) -> tuple[Day, ...]:
        """The days with changes, the newest first."""
        return tuple(day for day in reversed(self.days) if day.done or day.failed)


class HeatCell(Struct, frozen=True):
    """How many webhooks of one owner receive one event type."""

    count: int
    level: int
    """0 to 4. A sum of several owners or event types has 0, since it cannot be compared with the others."""


class HeatRow(Struct, frozen=True):
    """A row of the heat map."""

    label: str
    cells: tuple[HeatCell, ...]


class HeatMap(Struct, frozen=True):
    """Owners and the event types that their live webhooks receive."""

    events: tuple[str, ...]
    rows: tuple[HeatRow, ...]


def problems_by_owner(rows: Iterable[StatusRow]) -> tuple[OwnerProblems, ...]:
    """Return the owners with problems, most problems first; `MOST_OWNERS` at most."""
    found: dict[str | None, Counter[tuple[str, str]]] = defaultdict(Counter)
    webhooks: Counter[str | None] = Counter()
    for row in rows:
        webhooks[row.owner] += not row.unmanaged and state_of(row) is not FleetState.RELEASED
        if (problem := _problem(row)) is not None:
            found[row.owner][problem] += 1
    order = sorted(found, key=lambda owner: (-found[owner].total(), owner is None, owner or ""))
    longest = max((each.total() for each in found.values()), default=0)
    return tuple(
        OwnerProblems(owner, tuple(_parts(found[owner], longest)), webhooks[owner])
        for owner in order[:MOST_OWNERS]
    )


def secret_ages(rows: Iterable[StatusRow], now: datetime) -> tuple[AgeGroup, ...]:
    """Return the histogram of the ages of signing secrets; empty if there is no secret."""
    ages = [(now - row.secret_created_at).days for row in rows if row.secret_created_at is not None]
    if not ages:
        return ()
    ends = [*_AGES[1:], max(*ages, _AGES[-1]) + 1]
    # A clock that is behind gives an age below zero.
    counts = [sum(begin <= max(0, age) < end for age in ages) for begin, end in pairwise([0, *ends])]
    labels = [f"{begin} to {end - 1} days" for begin, end in pairwise(_AGES)]
    labels = [f"under {_AGES[1]} days", *labels[1:], f"{_AGES[-1]} days and more"]
    return tuple(
        AgeGroup(label, number, _length(number, max(counts)), begin >= OLD_SECRET.days)
        for label, begin, number in zip(labels, _AGES, counts, strict=True)
    )


def timeline(rows: Iterable[tuple[str, StatusRow]], now: datetime) -> Timeline | None:
    """Return what is live until when, of webhooks with their organizations; None if nothing ends.

    The scale ends with the last deadline that is shown, after 30 days at most.
    """
    found = sorted(
        (until, organization, row.name, what, since)
        for organization, row in rows
        for what, since, until in _ends(row, now)
    )
    shown = found[:MOST_DEADLINES]
    if not shown:
        return None
    horizon = min(max(shown[-1][0] - now, _SHORTEST_HORIZON), _LONGEST_HORIZON)
    begins, ends = now - _PAST_SHARE * horizon, now + horizon

    def position(moment: datetime) -> int:
        return round(1000 * (min(max(moment, begins), ends) - begins) / (ends - begins))

    deadlines = []
    for until, organization, name, what, since in shown:
        start, end = position(since), position(max(until, now))
        start = min(start, end - _SMALLEST)
        deadlines.append(Deadline(organization, name, what, until, start, end - start, until <= now))
    return Timeline(tuple(deadlines), len(found) - len(shown), begins, ends, position(now))


def changes_over_time(history: Iterable[HistoryEntry], now: datetime) -> Changes:
    """Return the changes of each of the last 30 days, today included."""
    done: Counter[date] = Counter()
    failed: Counter[date] = Counter()
    for entry in history:
        if entry.at is not None:
            (done if entry.ok else failed)[entry.at.astimezone(now.tzinfo).date()] += 1
    days = [now.date() - timedelta(days=back) for back in reversed(range(CHANGES_SHOWN.days))]
    most = max(done[day] + failed[day] for day in days)
    return Changes(
        tuple(
            Day(day, done[day], failed[day], _length(done[day], most), _length(failed[day], most))
            for day in days
        ),
        _changes_summary([(done[day] + failed[day], day) for day in days], sum(failed[day] for day in days)),
    )


def heat_map(rows: Iterable[StatusRow], known_events: Sequence[str]) -> HeatMap | None:
    """Return how many live webhooks of each owner receive each event type; None if none is live."""
    pairs: Counter[tuple[str | None, str | None]] = Counter()
    owners: Counter[str | None] = Counter()
    events: Counter[str | None] = Counter(dict.fromkeys(known_events, 0))
    for row in rows:
        if row.unmanaged or row.endpoint is None:
            continue
        for event in row.endpoint.events:
            pairs[row.owner, event] += 1
            owners[row.owner] += 1
            events[event] += 1
    if not owners:
        return None
    by_use: list[str | None] = sorted(owners, key=lambda owner: (-owners[owner], owner is None, owner or ""))
    by_name: list[str | None] = sorted(events, key=lambda event: (event not in known_events, event or ""))
    groups = _grouped(by_use, MOST_OWNERS, "owner")
    columns = _grouped(by_name, MOST_EVENTS, "event type")
    strongest = max(pairs.values())
    return HeatMap(
        tuple(label for label, _ in columns),
        tuple(
            HeatRow(
                label,
                tuple(
                    _cell([pairs[owner, event] for owner in members for event in kinds], strongest)
                    for _, kinds in columns
                ),
            )
            for label, members in groups
        ),
    )


def _problem(row: StatusRow) -> tuple[str, str] | None:
    """Return the class and the words of what a person must look at."""
    if row.disallowed:
        return FleetState.UNMANAGED.slug, FleetState.UNMANAGED.value
    if row.change is not None and row.change.problem is not None:
        return "conflict", "blocked"
    state = state_of(row)
    return (state.slug, state.value) if state in _PROBLEMS or row.is_drift else None


_ORDER = ("conflict", *(state.slug for state in FleetState))


def _parts(counts: Mapping[tuple[str, str], int], longest: int) -> Iterator[Part]:
    """Yield the parts of a bar side by side, most urgent first."""
    start = 0
    for (slug, words), number in sorted(counts.items(), key=lambda each: _ORDER.index(each[0][0])):
        length = _length(number, longest)
        yield Part(slug, words, number, start, max(_SMALLEST, length - _GAP))
        start += length


def _ends(row: StatusRow, now: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    """Yield what of a webhook is live, since when and until when."""
    projection = row.projection
    since = row.secret_created_at or now
    if projection is not None and projection.next_due is not None:
        previous = projection.previous_ids
        what = f"old {'endpoints' if len(previous) > 1 else 'endpoint'} {', '.join(previous)}"
        yield what if previous else "old secret", since, projection.next_due
    if row.secret_expires_at is not None:
        yield "stored secret, which Vault will delete", since, row.secret_expires_at
    wanted = row.webhook.created_after if row.webhook is not None else None
    if wanted is not None and row.secret_created_at is not None and row.secret_created_at < wanted:
        yield "signing secret, then a rotation", since, wanted


def _changes_summary(totals: Sequence[tuple[int, date]], failed: int) -> str:
    total = sum(number for number, _ in totals)
    period = f"in the last {len(totals)} days"
    if not total:
        return f"No change {period}."
    # Of several equal days, the newest.
    most, day = max(totals)
    failures = f", {failed:,} failed" if failed else ""
    return f"{count(total, 'change')} {period}{failures}; most on {day.isoformat()} ({most:,})."


def _grouped(keys: Sequence[str | None], most: int, noun: str) -> list[tuple[str, Sequence[str | None]]]:
    """Return labels with their keys: one each, and one for all beyond `most`."""
    kept = keys if len(keys) <= most else keys[: most - 1]
    groups: list[tuple[str, Sequence[str | None]]] = [(key or "no owner", [key]) for key in kept]
    if rest := keys[len(kept) :]:
        groups.append((count(len(rest), f"other {noun}"), rest))
    return groups


def _cell(numbers: Sequence[int], strongest: int) -> HeatCell:
    level = ceil(_LEVELS * numbers[0] / max(strongest, _LEVELS)) if len(numbers) == 1 else 0
    return HeatCell(sum(numbers), level)


def _length(number: int, most: int) -> int:
    """Return the length of a bar; a small one is widened so that it stays visible."""
    return max(_SMALLEST, round(1000 * number / most)) if number else 0
