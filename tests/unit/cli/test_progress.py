"""Progress: an estimate that knows the quota, lines off a terminal, a bar on one."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from rich.progress import Progress

from reconciler.cli.display import Display
from reconciler.cli.progress import LONGEST_SILENCE, BarReporter, LineReporter, Rows, eta_seconds


class HeldClock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "expected"),
    [
        (0, 50, 3.0, None),
        (50, 50, 3.0, None),
        (10, 50, 5.0, 20.0),  # within one window the speed alone counts
        (100, 300, 5.0, 120.0),  # 200 left at 100 a minute
        (100, 300, 200.0, 400.0),  # slower than the quota
    ],
)
def test_the_estimate_is_the_slower_of_speed_and_quota(
    done: int, total: int, elapsed: float, expected: float | None
) -> None:
    """What is left takes as long as the speed so far or the quota says, whichever is longer."""
    assert eta_seconds(done, total, elapsed, 100) == expected


def _report_everything(reporter: LineReporter | BarReporter) -> None:
    reporter.listed(300, 3)
    reporter.planned(4)
    reporter.step("ci", "create the endpoint", 1)
    reporter.waiting(12, "the API's quota")
    reporter.finished("ci", "create", ok=True)
    reporter.finished("web", "delete", ok=False, detail="HTTP 405")
    reporter.warn("bad \x1b[31mthing")


def test_off_a_terminal_each_change_that_ends_is_a_line() -> None:
    """Without -v the ends of changes and warnings are written, escaped."""
    stream = io.StringIO()
    _report_everything(LineReporter(stream, HeldClock()))
    assert stream.getvalue().splitlines() == [
        "ci: create done",
        "web: delete not done: HTTP 405",
        "warning: bad \\x1b[31mthing",
    ]


def test_without_progress_there_are_only_warnings() -> None:
    """--no-progress leaves nothing but warnings."""
    stream = io.StringIO()
    reporter = LineReporter(stream, HeldClock(), quiet=True)
    with reporter:
        _report_everything(reporter)
    assert stream.getvalue() == "warning: bad \\x1b[31mthing\n"


def test_off_a_terminal_no_half_minute_is_silent() -> None:
    """While a run waits or works, a line comes at least every 30 seconds."""
    clock, stream = HeldClock(), io.StringIO()
    reporter = LineReporter(stream, clock)
    assert reporter.sign_of_life() == LONGEST_SILENCE
    for _ in range(3):
        reporter.waiting(55, "the API's quota")
    assert stream.getvalue().splitlines() == ["waiting 55 s: the API's quota"]
    clock.seconds += 29
    assert reporter.sign_of_life() == 1
    clock.seconds += 1
    assert reporter.sign_of_life() == LONGEST_SILENCE
    reporter.step("ci", "create the endpoint", 1)
    clock.seconds += 30
    reporter.sign_of_life()
    reporter.waiting(10, "a short wait")
    clock.seconds += 29
    reporter.finished("ci", "create", ok=True)
    clock.seconds += 29
    assert reporter.sign_of_life() == 1
    assert stream.getvalue().splitlines()[1:] == [
        "waiting 25 s: the API's quota",
        "still at ci: create the endpoint",
        "ci: create done",
    ]


def test_a_wait_that_ended_early_is_not_reported_any_more() -> None:
    """A sign of life then reports the work; the bar, the remaining time."""
    clock, stream = HeldClock(), io.StringIO()
    lines = LineReporter(stream, clock, verbose=1)
    bar, screen = _bar(clock)
    held = "another run holds the lock: ada on build-1 since 2026-11-24T12:00:00Z"
    with bar:
        for reporter in (lines, bar):
            reporter.waiting(60, held)
        assert bar.note() == f"waiting 1 min: {held}"
        assert f"waiting 1 min: {held}\n" in screen.getvalue(), "the row cuts it"
        for reporter in (lines, bar):
            reporter.waiting(0, "")
        assert bar.note() == ""
    clock.seconds += 30
    lines.sign_of_life()
    assert stream.getvalue().splitlines() == [f"waiting 1 min: {held}", "still waiting"]


def test_verbose_lines_tell_each_step() -> None:
    """With -v each step, wait and end is a line."""
    stream = io.StringIO()
    _report_everything(LineReporter(stream, HeldClock(), verbose=1))
    assert stream.getvalue().splitlines() == [
        "listed 300 endpoints on 3 pages",
        "4 API requests to send",
        "ci: create the endpoint",
        "waiting 12 s: the API's quota",
        "ci: create done",
        "web: delete not done: HTTP 405",
        "warning: bad \\x1b[31mthing",
    ]


class _Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_went_away_stops_nothing() -> None:
    """A broken pipe on stderr does not end a run."""
    _report_everything(LineReporter(_Broken(), HeldClock(), verbose=1))


def _bar(clock: HeldClock, *, verbose: int = 0) -> tuple[BarReporter, io.StringIO]:
    stream = io.StringIO()
    progress = Progress(console=Console(file=stream, width=200, force_terminal=False), auto_refresh=False)
    return BarReporter(Rows(progress), clock, requests_per_minute=100, verbose=verbose), stream


def test_the_bar_leaves_failures_and_warnings_behind() -> None:
    """Above the bar stand failures and warnings, escaped; successes only with -v."""
    reporter, stream = _bar(HeldClock())
    with reporter:
        _report_everything(reporter)
    assert "✗ web delete: HTTP 405\n" in stream.getvalue()
    assert "warning: bad \\x1b[31mthing\n" in stream.getvalue()
    assert "✓" not in stream.getvalue()
    reporter, stream = _bar(HeldClock(), verbose=1)
    with reporter:
        _report_everything(reporter)
    assert "✓ ci create\n" in stream.getvalue()


def test_the_bar_counts_a_wait_down_and_then_tells_what_is_left() -> None:
    """While a wait lasts its rest is shown; before and after it, the time that is left."""
    clock = HeldClock()
    reporter, _ = _bar(clock)
    with reporter:
        assert reporter.note() == ""
        reporter.planned(300)
        clock.seconds += 10
        reporter.step("ci", "create", 100)
        assert reporter.note() == "about 2 min left"
        reporter.waiting(12, "the API's quota")
        assert reporter.note() == "waiting 12 s: the API's quota"
        clock.seconds += 5
        assert reporter.note() == "waiting 7 s: the API's quota"
        clock.seconds += 8
        assert reporter.note() == "about 2 min left"


def test_the_bar_never_passes_its_end() -> None:
    """Requests that nobody planned move the end, and nothing is estimated past it."""
    clock = HeldClock()
    reporter, _ = _bar(clock)
    with reporter:
        reporter.planned(1)
        reporter.step("ci", "create", 1)
        clock.seconds += 1
        reporter.step("ci", "create again", 1)
        assert reporter.note() == ""


@pytest.mark.parametrize("width", ["\u00b2", "9" * 5_000, "wide"])
def test_a_strange_width_is_ignored(monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    """A COLUMNS that is no number does not end the command."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", width)
    reporter = Display(show_progress=True).reporter("acme", HeldClock(), requests_per_minute=100)
    assert isinstance(reporter, BarReporter)


def test_organizations_share_one_display() -> None:
    """Each has a row while it is at work; the display is hidden for results, and at the end."""
    stream = io.StringIO()
    progress = Progress(console=Console(file=stream, width=200, force_terminal=False), auto_refresh=False)
    rows = Rows(progress)

    def is_shown() -> bool:
        return progress.live.is_started

    reporters = [BarReporter(rows, HeldClock(), requests_per_minute=9, about=name) for name in ("a", "b")]
    with reporters[0]:
        assert [task.description for task in progress.tasks] == ["a: connecting"], "it is never empty"
        reporters[0].listed(100, 1)
        with reporters[1]:
            reporters[1].listed(200, 2)
            reporters[1].warn("slow")
            descriptions = [task.description for task in progress.tasks]
            assert descriptions == ["a: 100 live endpoints on 1 page", "b: 200 live endpoints on 2 pages"]
            assert is_shown()
            with rows.hidden():
                assert not is_shown()
            assert is_shown()
        assert [task.description for task in progress.tasks] == descriptions[:1]
        with rows.hidden(), reporters[1]:
            assert not is_shown(), "a row does not end the hiding"
    assert not is_shown()
    assert "warning: b: slow\n" in stream.getvalue()


def test_of_several_organizations_each_line_names_its_own() -> None:
    """A warning and, with -v, a step."""
    stream = io.StringIO()
    reporter = LineReporter(stream, HeldClock(), verbose=1, about="acme")
    reporter.warn("slow")
    reporter.step("ci", "create the endpoint", 1)
    assert stream.getvalue() == "warning: acme: slow\nacme: ci: create the endpoint\n"
