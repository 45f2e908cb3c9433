"""The run log: the journal and the audit log, on disk in time and readable after any end."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.apply.run_log import Reporters, RunLog, read_audit, read_cut_off
from reconciler.errors import ReconcilerError, StoreError
from reconciler.model import Run
from reconciler.plan.plan import Action, Cause, Change, Plan
from reconciler.ports import Refused
from tests.fakes.api import ApiBehavior
from tests.fakes.clock import FakeClock
from tests.fakes.world import Org, SilentReporter, webhook
from tests.fixtures.plan import SERVERS

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.ports import Clock

RUN = Run(
    "ada", "c0ffee" + "0" * 34, "https://ci.example.com/7", "https://git.example.com/acme/hooks/pull/12"
)


def make_log(
    folder: Path, *, journal: str = "acme.jsonl", audit: str = "audit.jsonl", clock: Clock | None = None
) -> tuple[RunLog, list[str]]:
    """Return a run log in `folder`, and the warnings that it will give."""
    warnings: list[str] = []
    log = RunLog(
        "acme",
        RUN,
        clock or FakeClock(),
        journal=folder / journal,
        audit=folder / audit,
        warn=warnings.append,
    )
    return log, warnings


# --- the audit log ----------------------------------------------------------------------------------------


def audited(org: Org, folder: Path, *, audit: str = "audit.jsonl") -> tuple[RunLog, list[str]]:
    """Let an organization's runs write a run log; return it and the warnings that it will give."""
    log, warnings = make_log(folder, audit=audit, clock=org.clock)
    org.session = replace(org.session, reporter=Reporters(log, org.session.reporter))
    return log, warnings


def test_each_request_and_each_change_is_a_line_with_everything_about_it(tmp_path: Path) -> None:
    """What a run did is read back: event, result, ids, and who it was for which commit and pull request."""
    org, path = Org(), tmp_path / "state" / "audit.jsonl"
    log, warnings = audited(org, tmp_path, audit="state/audit.jsonl")
    with log:
        assert org.apply(webhook("a"), webhook("b")).complete
        org.apply(webhook("a", events=("run.started",)))
    entries = read_audit(path, "acme")
    assert [(e.name, e.action, e.ok, e.is_request) for e in entries] == [
        ("a", "create endpoint", True, True),
        ("a", "create", True, False),
        ("b", "create endpoint", True, True),
        ("b", "create", True, False),
        ("a", "create endpoint", True, True),
        ("a", "delete endpoint", True, True),
        ("a", "replace", True, False),
        ("b", "delete endpoint", True, True),
        ("b", "delete", True, False),
    ]
    assert {(e.actor, e.commit, e.url, e.pull_request) for e in entries} == {
        (RUN.actor, RUN.commit, RUN.url, RUN.pull_request)
    }
    assert entries[0].endpoint_id == entries[5].endpoint_id == "we_0001"
    assert all(e.at is not None for e in entries)
    assert "whsec_" not in path.read_text()
    assert (path.stat().st_mode & 0o777, warnings) == (0o600, [])


def test_what_failed_is_on_record_too(tmp_path: Path) -> None:
    """A refused request and the change that it ended are lines that say so."""
    org, path = Org(ApiBehavior()), tmp_path / "audit.jsonl"
    org.api.before = lambda request: (
        Refused(422, "bad", "no", request_id="req_9") if request == "create" else None
    )
    log, _ = audited(org, tmp_path)
    with log:
        org.apply(webhook("a"))
    request, change = read_audit(path, "acme")
    assert (request.ok, request.request_id, request.endpoint_id) == (False, "req_9", None)
    assert not change.ok
    assert change.detail is not None
    assert "no" in change.detail


def test_a_log_grows_and_holds_several_organizations(tmp_path: Path) -> None:
    """What was there stays; each organization reads its own lines, whatever else somebody wrote into it."""
    path = tmp_path / "audit.jsonl"
    path.write_text('{"organization": "other", "name": "x", "event": "create"}\n{"cut o\n[1]\n')
    for _ in range(2):
        log, warnings = make_log(tmp_path)
        with log:
            log.finished("ci", "create", ok=True)
        assert not warnings
    with path.open("a") as file:
        file.write(json.dumps({"organization": "acme", "at": "soon", "name": 5, "ok": "yes"}) + "\n")
    entries = read_audit(path, "acme")
    assert [e.name for e in entries] == ["ci", "ci", "-"]
    assert (entries[2].at, entries[2].action, entries[2].ok) == (None, "-", False)
    assert len(read_audit(path, "other")) == 1


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """There is one warning, and the run goes on."""
    (tmp_path / "file").write_text("")
    org = Org()
    log, warnings = audited(org, tmp_path, audit="file/audit.jsonl")
    with log:
        assert org.apply(webhook("a")).complete
    assert len(warnings) == 1
    assert "audit log" in warnings[0]


def test_a_log_into_a_device_or_a_pipe_leaves_it_as_it_is(tmp_path: Path) -> None:
    """It is neither renamed nor read back, without a warning; the audit log follows no link to a path."""
    reading, writing = os.pipe()
    (tmp_path / "acme.jsonl").symlink_to(f"/dev/fd/{writing}")
    (tmp_path / "audit.jsonl").symlink_to(f"/dev/fd/{writing}")
    log, warnings = make_log(tmp_path)
    with log:
        assert read_cut_off(tmp_path / "acme.jsonl") is None
    assert warnings == []
    assert json.loads(os.read(reading, 4096).splitlines()[-1])["event"] == "over"
    os.close(reading)
    os.close(writing)
    assert {each.name for each in tmp_path.iterdir() if each.is_symlink()} == {"acme.jsonl", "audit.jsonl"}
    (tmp_path / "other").touch()
    for number, target in enumerate(("other", "/dev/null")):
        (tmp_path / "audit.jsonl").unlink()
        (tmp_path / "audit.jsonl").symlink_to(target)
        log, warnings = make_log(tmp_path, journal=f"new-{number}.jsonl")
        with log:
            pass
        (warning,) = warnings
        assert warning.endswith("audit.jsonl: it is a symbolic link; the run continues without it")


def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A missing log is an empty one; a folder is an error."""
    assert read_audit(tmp_path / "none.jsonl", "acme") == ()
    with pytest.raises(ReconcilerError, match="cannot read"):
        read_audit(tmp_path, "acme")


# --- the journal ------------------------------------------------------------------------------------------


def planned(*names: str) -> Plan:
    """Return a plan that creates these."""
    return Plan("acme", SERVERS, tuple(Change(n, Action.CREATE, "new", Cause.MANIFEST) for n in names), 0, 0)


def begin(log: RunLog, *names: str) -> None:
    """Begin a run."""
    log.__enter__()
    log.began(planned(*names))


def die(log: RunLog) -> None:
    """Leave the files as a process does that is killed."""
    log.__exit__(SystemExit, SystemExit(), None)


def test_a_run_that_was_cut_off_is_recognized(tmp_path: Path) -> None:
    """Done, failed, in progress with its step, and not attempted: each change is in one of them."""
    path = tmp_path / "state" / "acme.jsonl"
    journal, warnings = make_log(tmp_path, journal="state/acme.jsonl")
    begin(journal, "a", "b", "c", "d")
    journal.step("a", "create the endpoint", 1)
    journal.finished("a", "create", ok=True)
    journal.step("b", "create the endpoint", 1)
    journal.finished("b", "create", ok=False, detail="refused")
    journal.step("c", "record the intent", 0)
    journal.step("c", "create the endpoint", 1)
    assert read_cut_off(path) is None, "it is in progress"
    die(journal)
    left = read_cut_off(path)
    assert left is not None
    assert (left.actor, left.done, left.failed) == ("ada", ("a",), ("b",))
    assert left.in_progress == {"c": "create the endpoint"}
    assert left.not_attempted == ("d",)
    assert not warnings
    assert path.stat().st_mode & 0o077 == 0, "others may read it"


def test_a_run_that_ended_left_nothing(tmp_path: Path) -> None:
    """After a run that ended there is nothing to report; its journal is kept beside the next one."""
    path = tmp_path / "acme.jsonl"
    for name in ("a", "b"):
        journal, _ = make_log(tmp_path)
        with journal:
            journal.began(planned(name))
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
def test_another_file_is_not_a_journal(tmp_path: Path, text: str) -> None:
    """A file that somebody else wrote, or damaged, is passed over."""
    path = tmp_path / "acme.jsonl"
    path.write_text(text, encoding="utf-8")
    assert read_cut_off(path) is None
    assert read_cut_off(tmp_path / "absent.jsonl") is None
    assert read_cut_off(tmp_path) is None


def test_a_last_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    """The process may have died in the middle of a line."""
    path = tmp_path / "acme.jsonl"
    journal, _ = make_log(tmp_path)
    begin(journal, "a")
    die(journal)
    path.write_text(path.read_text(encoding="utf-8") + '{"event": "st', encoding="utf-8")
    left = read_cut_off(path)
    assert left is not None
    assert left.not_attempted == ("a",)


def test_a_run_that_ended_with_an_error_was_not_cut_off(tmp_path: Path) -> None:
    """What ends with a sentence to the user has come to its end."""
    path = tmp_path / "acme.jsonl"
    journal, _ = make_log(tmp_path)
    begin(journal, "a")
    journal.__exit__(StoreError, StoreError("Vault is sealed"), None)
    assert read_cut_off(path) is None


def test_a_journal_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """There is one warning, and the run goes on."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    journal, warnings = make_log(tmp_path, journal="file/acme.jsonl")
    with journal:
        journal.began(planned("a"))
        journal.step("a", "create the endpoint", 1)
    assert len(warnings) == 1
    assert "the run continues without it" in warnings[0]


# --- several reporters ------------------------------------------------------------------------------------


def test_each_call_reaches_every_reporter_in_order() -> None:
    """All arguments are passed on, first to the first reporter."""
    calls: list[tuple[str, str]] = []

    class Noting(SilentReporter):
        def __init__(self, me: str) -> None:
            super().__init__()
            self._me = me

        def waiting(self, seconds: float, reason: str) -> None:
            calls.append((self._me, f"{seconds}: {reason}"))

        def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
            calls.append((self._me, f"{name} {action} {ok} {detail}"))

    both = Reporters(Noting("a"), Noting("b"))
    both.waiting(5, "quota")
    both.finished("ci", "create", ok=True)
    assert calls == [(me, text) for text in ("5: quota", "ci create True None") for me in ("a", "b")]
