"""The journal: on disk before each step, readable after any end, and never in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.apply.journal import Journal, read_cut_off
from reconciler.errors import StoreError
from reconciler.plan.plan import Action, Cause, Change, Plan
from tests.fakes.clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


def planned(*names: str) -> Plan:
    """Return a plan that creates these."""
    return Plan("acme", tuple(Change(n, Action.CREATE, "new", Cause.MANIFEST) for n in names), 0, 0)


def open_journal(path: Path) -> tuple[Journal, list[str]]:
    """Return a journal at `path`, and the warnings that it will give."""
    warnings: list[str] = []
    return Journal(path, FakeClock(), warnings.append), warnings


def begin(journal: Journal, *names: str) -> None:
    """Begin a run."""
    journal.__enter__()
    journal.began(planned(*names), "ada")


def die(journal: Journal) -> None:
    """Leave the file as a process does that is killed."""
    journal._lines.close()


def test_a_run_that_was_cut_off_is_told_apart(tmp_path: Path) -> None:
    """Done, failed, in hand with its step, and not attempted: each change is in one of them."""
    path = tmp_path / "state" / "acme.jsonl"
    journal, warnings = open_journal(path)
    begin(journal, "a", "b", "c", "d")
    journal.step("a", "create the endpoint")
    journal.ended("a", "create", ok=True, detail=None)
    journal.step("b", "create the endpoint")
    journal.ended("b", "create", ok=False, detail="refused")
    journal.step("c", "record the intent")
    journal.step("c", "create the endpoint")
    assert read_cut_off(path) is None, "it is still at work"
    die(journal)
    left = read_cut_off(path)
    assert left is not None
    assert (left.actor, left.done, left.failed) == ("ada", ("a",), ("b",))
    assert left.in_hand == {"c": "create the endpoint"}
    assert left.not_attempted == ("d",)
    assert not warnings
    assert path.stat().st_mode & 0o077 == 0, "others may read it"


def test_a_run_that_ended_left_nothing(tmp_path: Path) -> None:
    """After a run that ended there is nothing to tell; its journal is kept beside the next one."""
    path = tmp_path / "acme.jsonl"
    for name in ("a", "b"):
        journal, _ = open_journal(path)
        with journal:
            journal.began(planned(name), None)
        assert read_cut_off(path) is None
    assert '"a"' in path.with_suffix(".previous.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null\n",
        "[1]\n",
        "\x00\n",
        "[" * 100_000,
        '{"event": "began"}\n',
        '{"event": "began", "changes": {"a": "create"}}\n',
        '{"event": "began", "changes": {"a": 1}, "at": 7}\n',
        '{"event": "began", "changes": {}, "at": "2026-02-30T00:00:00Z"}\n',
        '{"event": "step", "at": "2026-01-01T00:00:00Z"}\n',
    ],
)
def test_what_is_no_journal_tells_nothing(tmp_path: Path, text: str) -> None:
    """A file that somebody else wrote, or damaged, is passed over."""
    path = tmp_path / "acme.jsonl"
    path.write_text(text, encoding="utf-8")
    assert read_cut_off(path) is None
    assert read_cut_off(tmp_path / "absent.jsonl") is None
    assert read_cut_off(tmp_path) is None


def test_a_last_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    """The process may have died in the middle of a line."""
    path = tmp_path / "acme.jsonl"
    journal, _ = open_journal(path)
    begin(journal, "a")
    die(journal)
    path.write_text(path.read_text(encoding="utf-8") + '{"event": "st', encoding="utf-8")
    left = read_cut_off(path)
    assert left is not None
    assert left.not_attempted == ("a",)


def test_a_run_that_ended_with_an_error_was_not_cut_off(tmp_path: Path) -> None:
    """What ends with a sentence to the user has come to its end."""
    path = tmp_path / "acme.jsonl"
    journal, _ = open_journal(path)
    begin(journal, "a")
    journal.__exit__(StoreError, StoreError("Vault is sealed"), None)
    assert read_cut_off(path) is None


def test_a_journal_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """It is told once, and the run goes on."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    journal, warnings = open_journal(tmp_path / "file" / "acme.jsonl")
    with journal:
        journal.began(planned("a"), None)
        journal.step("a", "create the endpoint")
    assert len(warnings) == 1
    assert "the run goes on without" in warnings[0]
