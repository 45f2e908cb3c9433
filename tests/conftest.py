"""What all tests share: Hypothesis' profiles, the real servers, and the count of crash cases."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.fixtures.examples import register_profiles

if TYPE_CHECKING:
    import pytest

register_profiles()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs with SIGINT ignored, which commands that tests interrupt would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.fixtures.browser",
    "tests.fixtures.command",
    "tests.fixtures.inbox",
    "tests.fixtures.openbao",
    "tests.fixtures.postgresql",
    "tests.fixtures.zof",
    # Last: it imports from the others.
    "tests.fixtures.ci",
]


UNTRACED = ("tests/crash/", "tests/property/", "tests/browser/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs without a trace of its coverage, because that doubles its time and adds no line."""
    for item in items:
        if item.nodeid.startswith(UNTRACED):
            item.add_marker("untraced")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report how many crashes, faults and races were survived: one test goes through many."""
    ended = {result: terminalreporter.stats.get(result, []) for result in ("passed", "failed")}
    for name, text in (each for report in ended["passed"] for each in report.user_properties):
        if name == "summary":
            terminalreporter.write_line(str(text))
    cases = sum(
        count
        for reports in ended.values()
        for report in reports
        for name, count in report.user_properties
        if name == "cases"
    )
    if cases:
        violations = sum("tests/crash" in report.nodeid for report in ended["failed"])
        terminalreporter.write_line(f"crash safety: {cases:,} cases, {violations} violations")
