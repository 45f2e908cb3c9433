"""The fleet as a table and as JSON, and the small words that all reports share."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.ledger.projection import Projection
from reconciler.model import Endpoint, Location, Run, Webhook
from reconciler.plan.plan import Action, Cause, Change
from reconciler.plan.status import StatusRow
from reconciler.report.format.style import count, duration, pad
from reconciler.report.status import status_markdown, status_text, status_value

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


ROWS = (
    StatusRow(
        "ci",
        "wh_1",
        "https://a.example.com/",
        "in sync",
        NOW - timedelta(days=3),
        NOW - timedelta(minutes=5),
        "platform",
        Location("m/a.yaml", 3),
        projection=Projection(
            1,
            "acme",
            "https://api.zof.ai/v1",
            1,
            "active",
            "wh_1",
            previous_ids=("wh_0",),
            run=Run("ada", "c0ffee"),
        ),
        endpoint=Endpoint("wh_1", "https://a.example.com/", ("run.completed",)),
    ),
    StatusRow(
        "später",
        None,
        None,
        "unverified",
        NOW + timedelta(hours=1),
        webhook=Webhook("später", "https://c.example.com/", ("run.failed",), Location("m/b.yaml")),
        change=Change("später", Action.RESUME, "no test delivery has been accepted yet", Cause.INTERRUPTED),
    ),
    StatusRow("wh_9", "wh_9", "https://b.example.com/", "unmanaged", unmanaged=True),
)


def test_the_fleet_is_a_table() -> None:
    """Each webhook is a line of aligned columns; ages count to now; unmanaged endpoints are marked."""
    assert status_text("acme", ROWS, now=NOW) == (
        "NAME    STATE       SECRET AGE  VERIFIED   OWNER     ENDPOINT  URL\n"
        "ci      in sync     3 d         5 min ago  platform  wh_1      https://a.example.com/\n"
        "später  unverified  0 s         -          -         -         -\n"
        "-       unmanaged   -           -          -         wh_9      https://b.example.com/\n"
        "\n"
        "acme: 2 webhooks, 1 unmanaged\n"
    )


def test_a_narrow_terminal_gets_two_lines_a_webhook() -> None:
    """Where the table is wider than the terminal, endpoint and URL take a line of their own."""
    wide = status_text("acme", ROWS, now=NOW)
    assert status_text("acme", ROWS, now=NOW, columns=85) == wide
    assert status_text("acme", ROWS, now=NOW, columns=84) == (
        "NAME    STATE       SECRET AGE  VERIFIED   OWNER\n"
        "    ENDPOINT  URL\n"
        "ci      in sync     3 d         5 min ago  platform\n"
        "    wh_1      https://a.example.com/\n"
        "später  unverified  0 s         -          -\n"
        "    -         -\n"
        "-       unmanaged   -           -          -\n"
        "    wh_9      https://b.example.com/\n"
        "\n"
        "acme: 2 webhooks, 1 unmanaged\n"
    )


def test_colours_change_nothing_but_colours() -> None:
    """With colours the table is the same once the SGR sequences are taken out."""
    colored = status_text("acme", ROWS, now=NOW, color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == status_text("acme", ROWS, now=NOW) != colored


def test_an_empty_fleet_is_a_sentence() -> None:
    """Where there is nothing, a sentence says so."""
    assert status_text("acme", (), now=NOW) == "acme: no webhooks in manifests or live.\n"


def test_hostile_text_reaches_no_terminal() -> None:
    """Owners and URLs of foreign origin are escaped."""
    text = status_text("a", (StatusRow("x", "\x1b[2J", "\u202e", "in sync", owner="\r"),), now=NOW)
    assert text.replace("\n", "").isprintable()
    assert all(escape in text for escape in (r"\x1b[2J", r"\u202e", r"\r"))


def test_the_json_has_the_same_facts() -> None:
    """The JSON object holds timestamps in UTC, the manifest's place, and null for what is unknown."""
    value = status_value("acme", ROWS, observed_at=NOW)
    assert {key: each for key, each in value.items() if key != "webhooks"} == {
        "organization": "acme",
        "observed_at": "2026-11-24T12:00:00Z",
        "refused": False,
        "requests_per_minute": None,
        "in_progress": None,
    }
    assert value["webhooks"][0] == {
        "name": "ci",
        "endpoint_id": "wh_1",
        "url": "https://a.example.com/",
        "state": "in sync",
        "secret_created_at": "2026-11-21T12:00:00Z",
        "secret_expires_at": None,
        "verified_at": "2026-11-24T11:55:00Z",
        "owner": "platform",
        "source": {"file": "m/a.yaml", "line": 3},
        "unmanaged": False,
        "drift": False,
        "findings": [],
        "needs_action": False,
        "events": ["run.completed"],
        "reason": None,
        "last_run": {
            "actor": "ada",
            "commit": "c0ffee",
            "url": None,
            "pull_request": None,
            "key_fingerprint": None,
        },
        "retiring": ["wh_0"],
        "overlap_ends": None,
    }
    unverified = value["webhooks"][1]
    assert (unverified["events"], unverified["last_run"]) == (["run.failed"], None), "as the manifest asks"
    assert unverified["reason"] == "no test delivery has been accepted yet"
    assert value["webhooks"][2]["name"] is None
    assert value["webhooks"][2]["unmanaged"] is True
    assert (value["webhooks"][2]["events"], value["webhooks"][2]["retiring"]) == ([], [])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.01, "0.1 s"),
        (0.42, "0.4 s"),
        (8.0, "8 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
        (86399, "23 h 59 min"),
        (3 * 86400, "3 d"),
        (-5, "0 s"),
    ],
)
def test_durations_take_two_units_at_most(seconds: float, text: str) -> None:
    """A span is shown in its largest unit and the next."""
    assert duration(seconds) == text


def test_counts_agree_with_their_noun() -> None:
    """One is singular, everything else plural, thousands are grouped."""
    assert [count(n, "change") for n in (0, 1, 2, 1000)] == [
        "0 changes",
        "1 change",
        "2 changes",
        "1,000 changes",
    ]
    assert count(2, "entry", "entries") == "2 entries"


def test_padding_counts_columns() -> None:
    """Wide characters take two columns, combining ones none."""
    assert pad("日本", 6) == "日本  "
    assert pad("e\u0301", 3) == "e\u0301  "


def test_the_fleet_as_markdown_keeps_the_order() -> None:
    """It is a table for a job summary, in the order in which the rows come."""
    shown = status_markdown("acme", ROWS, now=NOW)
    assert re.findall(r"^\| `([^`]+)` \|", shown, re.MULTILINE)[:2] == ["ci", "später"]
    assert shown.startswith("### Webhooks of `acme`\n\n")
    assert (
        "| `ci` | `in sync` | `3 d` | `5 min ago` | `platform` | `wh_1` | `https://a.example.com/` |" in shown
    )
    assert "No webhooks" in status_markdown("acme", [], now=NOW)


def test_a_large_fleet_fits_a_comment() -> None:
    """It is cut between two rows, with the count of what is left out."""
    shown = status_markdown("acme", ROWS * 2000, now=NOW)
    assert len(shown) < 65_536
    assert re.search(r"\n[0-9,]+ rows not shown here\.\n$", shown)
