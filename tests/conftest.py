"""Fixtures that several folders share: the real servers. And how many cases the proof went through."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever runs the tests in the background has it ignored, and so would the commands that they interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.fixtures.browser",
    "tests.fixtures.command",
    "tests.fixtures.openbao",
    "tests.fixtures.zof",
    # Last: it imports from the others.
    "tests.fixtures.ci",
]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many crashes, faults and races were survived: one test goes through many."""
    ended = {result: terminalreporter.stats.get(result, []) for result in ("passed", "failed")}
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
