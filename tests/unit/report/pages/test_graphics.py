"""The numbers behind the fleet page's graphics."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from reconciler.manifest.webhooks import KNOWN_EVENTS
from reconciler.plan.history import HistoryEntry
from reconciler.plan.plan import Action, Cause, Change
from reconciler.plan.status import StatusRow
from reconciler.report.pages.graphics import (
    MOST_DEADLINES,
    MOST_EVENTS,
    MOST_OWNERS,
    Changes,
    Deadline,
    Timeline,
    changes_over_time,
    heat_map,
    problems_by_owner,
    secret_ages,
    timeline,
)
from reconciler.report.pages.risks import OLD_SECRET
from tests.fixtures.fleet import NOW, large_fleet, row

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVENTS = ("run.failed",)


def _stranger(**values: object) -> StatusRow:
    return StatusRow("wh_1", "wh_1", None, "unmanaged", unmanaged=True, **values)  # type: ignore[arg-type]


def test_the_owner_with_most_problems_comes_first() -> None:
    """Parts are the states, most urgent first, side by side; what is in sync is counted, not drawn."""
    taken = Change("x", Action.CREATE, "new", Cause.MANIFEST, problem="taken")
    rows = [
        row("a", EVENTS, "drifted", team="one"),
        row("b", EVENTS, "unverified", team="two"),
        row("c", EVENTS, "pending create", team="two", change=taken),
        row("d", EVENTS, team="two"),
        row("e", EVENTS, "rotation due", team="three"),
        row("f", EVENTS, "interrupted", team=None),
        row("g", EVENTS, "released", team="one"),
        _stranger(disallowed=True),
    ]
    found = problems_by_owner(rows)
    assert [(each.owner, each.problems, each.webhooks, each.summary) for each in found] == [
        ("two", 2, 3, "1 blocked, 1 unverified"),
        (None, 2, 1, "1 interrupted, 1 unmanaged"),
        ("one", 1, 1, "1 drifted"),
    ]
    blocked, unverified = found[0].parts
    assert (blocked.slug, unverified.slug) == ("conflict", "unverified")
    assert (blocked.start, unverified.start) == (0, 500)
    assert blocked.start + blocked.length < unverified.start
    assert unverified.start + unverified.length <= 1000
    assert problems_by_owner(rows[3:5]) == ()


def test_ages_of_secrets_fall_into_groups() -> None:
    """Each secret is in exactly one; old ones are marked; the longest bar is full, and any bar is visible."""
    days = [-1, 0, 29.9, 30, 59, 89.9, OLD_SECRET.days, 364, 365, 4000, *([12] * 200)]
    groups = secret_ages([row(f"w{n}", EVENTS, days=age) for n, age in enumerate(days)], NOW)
    assert [(group.label, group.count, group.is_old) for group in groups] == [
        ("under 30 days", 203, False), ("30 to 59 days", 2, False), ("60 to 89 days", 1, False),
        ("90 to 179 days", 1, True), ("180 to 364 days", 1, True), ("365 days and more", 2, True),
    ]  # fmt: skip
    assert groups[0].length == 1000
    assert min(group.length for group in groups) == 10 - 2
    assert secret_ages([row("x", EVENTS, known=False), _stranger()], NOW) == ()


def _timeline(*rows: StatusRow) -> Timeline:
    found = timeline((("acme", each) for each in rows), NOW)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("line", "what", "until"),
    [
        (row("x", EVENTS, previous=("wh_1",), due=NOW + HOUR), "old endpoint wh_1", HOUR),
        (row("x", EVENTS, previous=("wh_1", "wh_2"), due=NOW - HOUR), "old endpoints wh_1, wh_2", -HOUR),
        (row("x", EVENTS, due=NOW + HOUR), "old secret", HOUR),
        (row("x", EVENTS, created_after=NOW + DAY), "signing secret, then a rotation", DAY),
        (replace(row("x", EVENTS), secret_expires_at=NOW + DAY),
         "stored secret, which Vault will delete", DAY),
    ],
)  # fmt: skip
def test_each_deadline_is_found(line: StatusRow, what: str, until: timedelta) -> None:
    """Old endpoints and secrets, dated rotations, and secrets that Vault deletes."""
    (deadline,) = _timeline(line).deadlines
    assert (deadline.name, deadline.what, deadline.until) == ("x", what, NOW + until)
    assert deadline.is_over == (until <= timedelta(0))


def test_without_a_deadline_there_is_no_timeline() -> None:
    """A rotation that was done, an unmanaged endpoint: nothing ends."""
    rows = [row("x", EVENTS, created_after=NOW - 13 * DAY), row("y", EVENTS, known=False), _stranger()]
    assert timeline((("acme", each) for each in rows), NOW) is None


def _bar(deadline: Deadline) -> tuple[int, int]:
    return deadline.start, deadline.start + deadline.length


def test_deadlines_are_on_one_scale() -> None:
    """The earliest first; a bar ends at its time, an overdue one now, and a far one at the edge."""
    found = _timeline(
        row("far", EVENTS, days=400, created_after=NOW + 300 * DAY),
        row("soon", EVENTS, days=1, previous=("wh_1",), due=NOW + 15 * DAY),
        row("over", EVENTS, days=100, previous=("wh_2",), due=NOW - DAY),
    )
    over, soon, far = found.deadlines
    assert (over.name, soon.name, far.name) == ("over", "soon", "far")
    assert (found.begins, found.ends, found.now) == (NOW - 7.5 * DAY, NOW + 30 * DAY, 200)
    assert (_bar(over), _bar(soon), _bar(far)) == ((0, 200), (173, 600), (0, 1000))
    assert _timeline(row("x", EVENTS, previous=("wh_1",), due=NOW + HOUR)).ends == NOW + DAY


def test_a_long_timeline_is_cut() -> None:
    """The earliest are shown, the others counted, and the scale is that of the shown ones."""
    rows = [row(f"w{n:02}", EVENTS, previous=("wh",), due=NOW + n * DAY) for n in reversed(range(40))]
    found = _timeline(*rows)
    assert [each.name for each in found.deadlines] == [f"w{n:02}" for n in range(MOST_DEADLINES)]
    assert found.more == 40 - MOST_DEADLINES
    assert found.ends == NOW + (MOST_DEADLINES - 1) * DAY


def _changes(*entries: tuple[float, bool]) -> Changes:
    history = [HistoryEntry("x", "applied", NOW - days * DAY, ok=ok) for days, ok in entries]
    return changes_over_time([*history, HistoryEntry("unknown", "applied")], NOW)


def test_changes_are_counted_by_day() -> None:
    """Thirty days with today; failed changes apart; what is older or has no time is left out."""
    found = _changes((0, True), (0.4, True), (0.6, True), (1, False), (29, True), (30, True))
    assert len(found.days) == 30
    assert [(day.done, day.failed) for day in found.busy] == [(2, 0), (1, 1), (1, 0)]
    assert found.busy[-1] == found.days[0]
    assert (found.days[-1].done_height, found.days[-2].failed_height) == (1000, 500)
    assert found.summary == "5 changes in the last 30 days, 1 failed; most on 2026-11-24 (2)."


@pytest.mark.parametrize(
    ("entries", "summary"),
    [
        ([], "No change in the last 30 days."),
        ([(40.0, True)], "No change in the last 30 days."),
        ([(1.0, True)], "1 change in the last 30 days; most on 2026-11-23 (1)."),
    ],
)
def test_changes_are_summed_up(entries: list[tuple[float, bool]], summary: str) -> None:
    """The sentence stands for the drawing."""
    assert _changes(*entries).summary == summary


def test_the_heat_map_counts_live_webhooks() -> None:
    """Owners with most subscriptions first; unmanaged and absent endpoints do not count."""
    rows = [
        row("a", ("run.failed", "run.started"), team="one"),
        row("b", EVENTS, team="one"),
        row("c", EVENTS, team=None),
        row("d", ("run.new",), team="two"),
        row("gone", EVENTS, team="two", live=None),
    ]
    found = heat_map(rows, ("run.started", "run.failed", "run.silent"))
    assert found is not None
    assert found.events == ("run.failed", "run.silent", "run.started", "run.new")
    assert {each.label: [cell.count for cell in each.cells] for each in found.rows} == {
        "one": [2, 0, 1, 0],
        "two": [0, 0, 0, 1],
        "no owner": [1, 0, 0, 0],
    }
    assert [each.label for each in found.rows] == ["one", "two", "no owner"]
    assert [cell.level for cell in found.rows[0].cells] == [2, 0, 1, 0], "few webhooks are not hot"
    assert heat_map([row("gone", EVENTS, live=None), _stranger()], KNOWN_EVENTS) is None


@pytest.mark.untraced
def test_graphics_of_many_webhooks_stay_small() -> None:
    """Owners and event types beyond a dozen are summed up, and the sums are complete."""
    fleet = large_fleet(1000, drifted_each=3)
    found = heat_map(fleet.rows, KNOWN_EVENTS)
    assert found is not None
    assert len(found.rows) == MOST_OWNERS
    assert found.rows[-1].label == "29 other owners"
    assert sum(cell.count for line in found.rows for cell in line.cells) == 3_000
    assert {cell.level for cell in found.rows[-1].cells} == {0}
    assert max(cell.level for line in found.rows for cell in line.cells) == 4
    assert len(problems_by_owner(fleet.rows)) == MOST_OWNERS
    many = heat_map([row("x", tuple(f"event.{n}" for n in range(40)))], KNOWN_EVENTS)
    assert many is not None
    assert len(many.events) == MOST_EVENTS
    assert many.events[-1] == "37 other event types"
    assert many.rows[0].cells[-1].count == 37
