"""The audit log and the history: who changed what, readable after any end, and never in the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.apply.audit import AuditLog, Auditor, read_audit
from reconciler.cli.attribution import current_run
from reconciler.errors import ReconcilerError
from reconciler.model import Run
from reconciler.plan.history import HistoryEntry, last_changes, merged
from reconciler.ports import Refused
from reconciler.report.status.history import history_markdown, history_text, history_value
from tests.fakes.api import ApiBehavior
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from pathlib import Path

RUN = Run(
    "ada", "c0ffee" + "0" * 34, "https://ci.example.com/7", "https://git.example.com/acme/hooks/pull/12"
)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
CREATED = HistoryEntry(
    "ci", "create", NOON, RUN.actor, RUN.commit, RUN.url, RUN.pull_request, "we_1", request_id="req_1"
)


def audited(org: Org, path: Path) -> tuple[AuditLog, list[str]]:
    """Let an organization's runs write an audit log; return it and the warnings that it will give."""
    warnings: list[str] = []
    log = AuditLog(path, "acme", RUN, org.clock, warnings.append)
    org.world = replace(org.world, reporter=Auditor(log, org.world.reporter))
    return log, warnings


def test_each_request_and_each_change_is_a_line_with_everything_about_it(tmp_path: Path) -> None:
    """What a run did is read back: event, result, ids, and who it was for which commit and pull request."""
    org, path = Org(), tmp_path / "state" / "audit.jsonl"
    log, warnings = audited(org, path)
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
    log, _ = audited(org, path)
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
        with AuditLog(path, "acme", RUN, Org().clock, pytest.fail) as log:
            log.note("ci", "create", ok=True)
    with path.open("a") as file:
        file.write(json.dumps({"organization": "acme", "at": "soon", "name": 5, "ok": "yes"}) + "\n")
    entries = read_audit(path, "acme")
    assert [e.name for e in entries] == ["ci", "ci", "-"]
    assert (entries[2].at, entries[2].action, entries[2].ok) == (None, "-", False)
    assert len(read_audit(path, "other")) == 1


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """It is told once, and the run goes on."""
    (tmp_path / "file").write_text("")
    org = Org()
    log, warnings = audited(org, tmp_path / "file" / "audit.jsonl")
    with log:
        assert org.apply(webhook("a")).complete
    assert len(warnings) == 1
    assert "audit log" in warnings[0]


def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """No log is an empty one; something that is no file is told."""
    assert read_audit(tmp_path / "none.jsonl", "acme") == ()
    with pytest.raises(ReconcilerError, match="cannot be read"):
        read_audit(tmp_path, "acme")


def test_vault_adds_what_the_log_does_not_know() -> None:
    """The last change by another machine is there; what the log has is not told twice."""
    org = Org()
    org.apply(webhook("a"), webhook("b"))
    recorded = last_changes(org.store.list_metadata())
    own = HistoryEntry("a", "create", org.clock.now(), "ada")
    names = sorted((e.name, e.action) for e in merged([own], recorded))
    assert names == [("a", "create"), ("b", "applied")]
    org.clock.advance(hours=1)
    org.apply(webhook("a", events=("run.started",)), webhook("b"))
    later = merged([own], last_changes(org.store.list_metadata()))
    assert [e.action for e in later if e.name == "a"] == ["applied", "create"]
    unknown = merged([replace(own, at=None)], [HistoryEntry("a", "applied")])
    assert len(unknown) == 2


def test_the_ledger_and_its_metadata_name_the_pull_request() -> None:
    """Vault alone tells who changed a webhook last, by which pull request."""
    org = Org()
    org.world = replace(org.world, run=RUN)
    org.apply(webhook("a"))
    (entry,) = last_changes(org.store.list_metadata())
    assert (entry.actor, entry.commit, entry.url, entry.pull_request) == (
        RUN.actor,
        RUN.commit,
        RUN.url,
        RUN.pull_request,
    )
    stored = org.store.read("a").document
    assert stored is not None
    assert stored.ledger.run == RUN


# --- what it looks like ------------------------------------------------------------------------------------


def test_the_history_as_a_table() -> None:
    """Each entry is a line; one that failed says so, and why."""
    failed = replace(
        CREATED, action="delete", ok=False, detail="HTTP 405", request_id=None, pull_request=None
    )
    bare = HistoryEntry("b", "applied")
    shown = history_text("acme", [CREATED, failed, replace(failed, detail=None), bare])
    assert (
        shown
        == """\
WHEN (UTC)           WEBHOOK  WHAT             ENDPOINT  WHO  COMMIT        PULL REQUEST  REQUEST
2026-11-01 12:00:00  ci       create           we_1      ada  c0ffee000000  #12           req_1
2026-11-01 12:00:00  ci       delete (failed)  we_1      ada  c0ffee000000  -             -
    HTTP 405
2026-11-01 12:00:00  ci       delete (failed)  we_1      ada  c0ffee000000  -             -
-                    b        applied          -         -    -             -             -

acme: 4 entries
"""
    )
    assert "\x1b[31m" in history_text("acme", [failed], color=True)
    assert history_text("acme", []) == "acme: nothing is known of any change.\n"


def test_the_history_as_markdown_fits_a_comment() -> None:
    """It is a table that is cut between two entries, with a count of what is left out."""
    assert history_markdown("acme", [CREATED]).splitlines()[-1] == (
        "| `2026-11-01 12:00:00` | `ci` | `create` | `we_1` | `ada` | `c0ffee000000` | `#12` | `req_1` |"
    )
    assert "Nothing is known of any change." in history_markdown("acme", [])
    long = history_markdown("acme", [CREATED] * 5000)
    assert len(long) < 65_536
    assert long.rstrip().endswith("older entries not shown here.")


def test_foreign_text_steers_no_terminal() -> None:
    """Escape sequences and line breaks of an audit log that somebody wrote into are shown."""
    hostile = replace(CREATED, name="\x1b[31m\n|`x", detail="\x1b]0;", ok=False)
    assert "\x1b" not in history_text("acme", [hostile])
    assert "\x1b" not in history_markdown("acme", [hostile])


def test_the_history_as_json() -> None:
    """Programs get every part by its name."""
    (entry,) = history_value("acme", [CREATED])["entries"]
    assert entry["at"] == "2026-11-01T12:00:00Z"
    assert (entry["event"], entry["request_id"], entry["pull_request"]) == (
        "create",
        "req_1",
        RUN.pull_request,
    )


# --- who, and by which pull request -------------------------------------------------------------------------

GITHUB = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/hooks", "GITHUB_ACTOR": "ada"}


@pytest.mark.parametrize(
    ("event", "number"),
    [
        ({"pull_request": {"number": 12}}, "12"),
        ({"head_commit": {"message": "Merge pull request #12 from acme/x\n\nMore"}}, "12"),
        ({"head_commit": {"message": "Add a webhook (#12)\n\n(#99)"}}, "12"),
        ({"head_commit": {"message": "Fix (#12) and more"}}, None),
        ({"head_commit": {"message": 5}}, None),
        ({"head_commit": None}, None),
        ({"pull_request": {"number": "12/../x"}}, None),
        ([], None),
        ("{", None),
    ],
)
def test_the_pull_request_is_the_events(tmp_path: Path, event: object, number: str | None) -> None:
    """A preview's and a merge's pull request are known from GitHub's event; anything odd is unknown."""
    path = tmp_path / "event.json"
    path.write_text(event if isinstance(event, str) else json.dumps(event))
    run = current_run({**GITHUB, "GITHUB_EVENT_PATH": str(path)})
    assert run.pull_request == (number and f"https://github.com/acme/hooks/pull/{number}")


def test_without_an_event_there_is_no_pull_request(tmp_path: Path) -> None:
    """Neither a missing file nor another system has one."""
    assert current_run({**GITHUB, "GITHUB_EVENT_PATH": str(tmp_path / "none")}).pull_request is None
    gitlab = {"GITLAB_USER_LOGIN": "grace", "CI_COMMIT_SHA": "4" * 40, "CI_JOB_URL": "https://gitlab/1"}
    assert current_run(gitlab) == Run("grace", "4" * 40, "https://gitlab/1")
    assert current_run({"USER": "ada"}, actor="grace").actor == "grace"


def test_time_between_two_clocks_is_no_second_change() -> None:
    """Vault's clock and this machine's may differ by a little."""
    recorded = HistoryEntry("ci", "applied", NOON + timedelta(minutes=2))
    assert merged([CREATED], [recorded]) == (CREATED,)
    assert len(merged([CREATED], [replace(recorded, at=NOON + timedelta(minutes=6))])) == 2
