"""The history as text, Markdown and JSON."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from reconciler.model import Run
from reconciler.plan.history import HistoryEntry
from reconciler.report.history import history_markdown, history_text, history_value

RUN = Run(
    "ada", "c0ffee" + "0" * 34, "https://ci.example.com/7", "https://git.example.com/acme/hooks/pull/12"
)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
CREATED = HistoryEntry(
    "ci", "create", NOON, RUN.actor, RUN.commit, RUN.url, RUN.pull_request, "we_1", request_id="req_1"
)


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
    assert history_text("acme", []) == "acme: no recorded changes.\n"


def test_the_history_as_markdown_fits_a_comment() -> None:
    """It is a table that is cut between two entries, with a count of what is left out."""
    assert history_markdown("acme", [CREATED]).splitlines()[-1] == (
        "| `2026-11-01 12:00:00` | `ci` | `create` | `we_1` | `ada` | `c0ffee000000` | `#12` | `req_1` |"
    )
    assert "No recorded changes." in history_markdown("acme", [])
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
