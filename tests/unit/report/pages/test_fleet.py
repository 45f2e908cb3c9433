"""The fleet's page: what it says, that hostile texts stay texts, and that it needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import itertools
from datetime import timedelta

import pytest
from msgspec.structs import replace

from reconciler.ledger.projection import Projection
from reconciler.manifest.webhooks import KNOWN_EVENTS
from reconciler.model import Endpoint, Location, Run, Webhook
from reconciler.plan.drift import Drift, DriftKind
from reconciler.plan.history import HistoryEntry, last_changes
from reconciler.plan.plan import Action, Cause, Change, FieldChange, Shape
from reconciler.plan.status import FleetState, StatusRow, state_of
from reconciler.ports import Metadata, VersionState
from reconciler.report.checks import Certificate, ReceiverCheck, ReceiverProblem, receivers_summary
from reconciler.report.pages.fleet import (
    Fleet,
    coverage_of,
    drift_headline,
    fleet_html,
    headline,
    state_counts,
)
from reconciler.report.pages.risks import OLD_SECRET, RiskKind, risks_of
from reconciler.report.pages.templates import PageContext, commit_url, is_link, key_of, source_url
from tests.fixtures.fleet import COMMIT, NOW, OCCASION, RUN, drifted, page, row, small_fleet
from tests.fixtures.page import HOSTILE, Element, assert_golden, read_page, skeleton


def _texts(root: Element) -> str:
    return root.one("body").text


@pytest.mark.parametrize(("name", "drift"), [("status", False), ("drift", True)])
def test_the_page_is_its_golden_file(name: str, drift: bool) -> None:
    """A fleet with everything in it gives the page that was reviewed; style and script are not repeated."""
    assert_golden(page(small_fleet(), drift=drift), f"fleet/{name}.html")


def test_each_webhook_has_a_row_and_its_details() -> None:
    """Name, state, owner, events, secret age, last verified, endpoint, manifest; then what is due."""
    root = read_page(page(small_fleet()))
    ci = root.one("tbody", id="webhook=ci-run-results")
    cells = [cell.words for cell in (ci.all("tr")[0].inside)]
    assert cells == [
        "ci-run-resultshttps://hooks.example.com/zof/ci-run-results", "in sync", "platform",
        "run.completed, run.failed", "132 d", "131 d ago", "wh_01421", "manifests/platform.yaml:73",
    ]  # fmt: skip
    alerts = root.one("tbody", id="webhook=on-call-alerts").one("details").words
    assert "replace (drift): the live endpoint was edited" in alerts
    assert root.one("tbody", id="webhook=on-call-alerts").one("del").words == "live now: run.failed"
    assert root.one("tbody", id="webhook=on-call-alerts").one("ins").words == "declared: integration.error"
    assert "applied, 2026-11-12 12:00 UTC, by grace, commit 4f0c2d9be81a, its run" in alerts
    everything = root.one("tbody", id="webhook=audit-everything")
    assert everything.one("a", href="https://wiki.example.com/zof/audit").words
    assert root.one("tbody", id="webhook=~wh_00099").attributes["data-state"] == "unmanaged"


def test_the_posture_is_counted() -> None:
    """The sentence, the legend and the bar tell the same numbers; the bar is as long as it is wide."""
    root = read_page(page(small_fleet()))
    assert root.one("h2", id="summary").words == (
        "6 of 11 webhooks are not in sync: 2 drifted, 1 interrupted, 1 unverified, 1 rotation due, 1 pending."
    )
    legend = [item.words for item in root.one("ul", class_="legend").inside]
    assert legend == [
        "2 drifted", "1 interrupted", "1 unverified", "1 rotation due", "1 pending", "1 overlap",
        "4 in sync", "2 unmanaged",
    ]  # fmt: skip
    rects = root.one("svg", class_="bar").all("rect")
    lengths = [int(rect.attributes["width"] or 0) for rect in rects]
    starts = [int(rect.attributes["x"] or 0) for rect in rects]
    assert starts == [0, *itertools.accumulate(lengths[:-1])]
    assert abs(sum(lengths) - 1000) <= len(lengths)
    assert [rect.attributes["class"] for rect in rects][:2] == ["drifted", "interrupted"]
    assert lengths[0] == pytest.approx(2 * lengths[1], abs=1)


@pytest.mark.untraced
def test_one_of_thousands_is_still_seen_in_the_bar() -> None:
    """A single drifted webhook among two thousand gets a visible part of the bar."""
    rows = [row(f"w{n}", ("run.failed",)) for n in range(1999)]
    rows.append(row("x", ("run.failed",), "drifted"))
    (drifted, in_sync) = read_page(page(Fleet("acme", rows))).one("svg", class_="bar").all("rect")
    assert (drifted.attributes["width"], in_sync.attributes["class"]) == ("8", "in-sync")


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ([], "No webhook is managed here yet."),
        (["unmanaged", "released"], "No webhook is managed here yet."),
        (["in sync"], "The one webhook is in sync."),
        (["in sync", "in sync", "unmanaged", "released"], "All 2 webhooks are in sync."),
        (["in sync", "pending delete"], "1 of 2 webhooks is not in sync: 1 pending."),
        (["drifted", "interrupted", "drifted"], "3 of 3 webhooks are not in sync: 2 drifted, 1 interrupted."),
    ],
)
def test_the_first_sentence_sums_up_the_states(states: list[str], sentence: str) -> None:
    """What is ours is counted; released and unmanaged endpoints are not."""
    rows = [StatusRow("x", None, None, state) for state in states]
    assert headline(state_counts(rows)) == sentence


def test_the_first_sentence_about_drift() -> None:
    """It counts what changed without a manifest, and says when there is none."""
    assert drift_headline(0, 0) == "No webhook is managed here yet."
    assert drift_headline(0, 3) == "No drift: 3 webhooks as applied."
    assert drift_headline(1, 1) == "1 of 1 webhook needs attention although no manifest changed."


def test_every_word_of_the_status_has_a_posture() -> None:
    """Each state of `status` is kept, but every `pending …` is one."""
    for word in set(FleetState) - {FleetState.PENDING}:
        assert state_of(StatusRow("x", None, None, word)).value == word
    for action in Action:
        assert state_of(StatusRow("x", None, None, f"pending {action}")) is FleetState.PENDING


def _unmanaged(age: timedelta) -> StatusRow:
    """Return an unmanaged endpoint of that age."""
    endpoint = Endpoint("wh_1", "https://x.example.com/", ("run.failed",), NOW - age)
    return StatusRow("wh_1", "wh_1", endpoint.url, "unmanaged", unmanaged=True, endpoint=endpoint)


def _risks(line: StatusRow, known: tuple[str, ...] = KNOWN_EVENTS) -> dict[RiskKind, str]:
    return {risk.kind: risk.detail for risk in risks_of(line, now=NOW, known_events=known)}


def test_a_settled_webhook_has_no_risk() -> None:
    """In sync, tested, owned, with a young secret and few events: nothing is said."""
    assert _risks(row("ok", ("run.failed",))) == {}


@pytest.mark.parametrize(
    ("line", "kind", "detail"),
    [
        (row("x", ("run.failed",), days=OLD_SECRET.days), RiskKind.OLD_SECRET, "90 days old"),
        (row("x", ("run.failed",), created_after=NOW), RiskKind.ROTATION_DUE,
         "created 2026-11-12, must be newer than 2026-11-24"),
        (row("x", ("run.failed",), previous=("wh_1", "wh_2"), due=NOW + timedelta(hours=1)), RiskKind.OVERLAP,
         "wh_1, wh_2 until 2026-11-24 13:00 UTC"),
        (row("x", ("run.failed",), previous=("wh_1",), due=NOW), RiskKind.OVERLAP,
         "wh_1, overdue since 2026-11-24 12:00 UTC"),
        (row("x", ("run.failed",), previous=("wh_1",)), RiskKind.OVERLAP, "wh_1"),
        (row("x", KNOWN_EVENTS), RiskKind.BROAD, "every event type"),
        (row("x", KNOWN_EVENTS[:6]), RiskKind.BROAD, "6 of 8 event types"),
        (row("x", ("run.failed",), live=KNOWN_EVENTS), RiskKind.BROAD, "every event type"),
        (row("x", KNOWN_EVENTS, live=None), RiskKind.BROAD, "every event type"),
        (row("x", ("run.failed",), test=False), RiskKind.UNTESTED, ""),
        (row("x", ("run.failed",), team=None), RiskKind.UNOWNED, ""),
        (row("x", ("run.failed",), "drifted"), RiskKind.DRIFTED, ""),
        (row("x", ("run.failed",), "interrupted"), RiskKind.INTERRUPTED, ""),
        (row("x", ("run.failed",), "unverified"), RiskKind.UNVERIFIED, ""),
        (row("x", ("run.failed",), "pending create",
             change=Change("x", Action.CREATE, "new", Cause.MANIFEST, problem="taken")),
         RiskKind.CONFLICT, "taken"),
        (_unmanaged(timedelta(days=6, hours=23)), RiskKind.APPEARED, "created 6 d ago, https://x.example.com/"),
        (_unmanaged(timedelta(hours=-1)), RiskKind.APPEARED, "created 0 s ago, https://x.example.com/"),
    ],
)  # fmt: skip
def test_each_risk_is_found(line: StatusRow, kind: RiskKind, detail: str) -> None:
    """One thing is wrong, and only that is reported."""
    assert _risks(line) == {kind: detail}


@pytest.mark.parametrize(
    "line",
    [
        row("x", ("run.failed",), days=OLD_SECRET.days - 0.001),
        row("x", ("run.failed",), created_after=NOW - timedelta(days=13)),
        row("x", ("run.failed",), created_after=NOW + timedelta(days=1)),
        row("x", KNOWN_EVENTS[:5]),
        StatusRow(
            "wh_1", "wh_1", None, "unmanaged", unmanaged=True, endpoint=Endpoint("wh_1", "", KNOWN_EVENTS)
        ),
        _unmanaged(timedelta(days=7)),
        row("x", KNOWN_EVENTS, "released", team=None, days=500),
    ],
)
def test_what_is_no_risk_is_not_told(line: StatusRow) -> None:
    """Below the thresholds, in the future, or not ours: nothing is said."""
    assert _risks(line) == {}


def _receiver(seen: Certificate | ReceiverProblem, port: int = 443) -> ReceiverCheck:
    return ReceiverCheck("hooks.example.com", port, ("x",), seen)


@pytest.mark.parametrize(
    ("receiver", "risks"),
    [
        (_receiver(ReceiverProblem("it has no address")),
         {RiskKind.UNREACHABLE: "hooks.example.com: it has no address"}),
        (_receiver(Certificate(NOW + timedelta(days=14), "TLSv1.3"), 8443),
         {RiskKind.EXPIRING: "hooks.example.com:8443: in 14 days"}),
        (_receiver(Certificate(NOW - timedelta(days=1), "TLSv1.3")),
         {RiskKind.EXPIRING: "hooks.example.com: in 0 days"}),
        (_receiver(Certificate(NOW + timedelta(days=15), "TLSv1.3")), {}),
        (None, {}),
    ],
)  # fmt: skip
def test_a_receiver_that_is_not_well_is_a_risk(
    receiver: ReceiverCheck | None, risks: dict[RiskKind, str]
) -> None:
    """No delivery can be made, or its certificate expires within two weeks; unless nobody looked."""
    line = row("x", ("run.failed",))
    found = risks_of(line, now=NOW, known_events=KNOWN_EVENTS, receiver=receiver)
    assert {risk.kind: risk.detail for risk in found} == risks


def test_risks_come_in_the_order_of_their_urgency() -> None:
    """Whatever finds them: a rotation that is due comes before a certificate that expires."""
    line = row("x", ("run.failed",), "drifted", team=None, created_after=NOW)
    late = _receiver(Certificate(NOW, "TLSv1.3"))
    found = [risk.kind for risk in risks_of(line, now=NOW, known_events=KNOWN_EVENTS, receiver=late)]
    assert found == [RiskKind.DRIFTED, RiskKind.ROTATION_DUE, RiskKind.EXPIRING, RiskKind.UNOWNED]


def test_the_receivers_are_told_in_a_sentence() -> None:
    """How many were checked and what is wrong; without a check the page says nothing."""
    well, bad = Certificate(NOW + timedelta(days=90), "TLSv1.3"), ReceiverProblem("down")
    late = Certificate(NOW + timedelta(days=1), "TLSv1.3")
    assert receivers_summary([_receiver(well)], NOW) == "1 receiver checked: all can take deliveries."
    assert receivers_summary([_receiver(bad), _receiver(late), _receiver(late)], NOW) == (
        "3 receivers checked: 1 cannot take deliveries, 2 certificates must be renewed."
    )
    assert receivers_summary([], NOW) == "No receivers to check."
    assert "checked" not in _texts(read_page(page(small_fleet())))


def test_most_of_few_event_types_is_no_broad_subscription() -> None:
    """Where the API has hardly any event types, to want all of them is ordinary."""
    assert _risks(row("x", ("a", "b", "c")), known=("a", "b", "c")) == {}
    assert RiskKind.BROAD in _risks(row("x", ("a", "b", "c", "d")), known=("a", "b", "c", "d"))


def test_coverage_counts_what_is_live() -> None:
    """An event type reaches live endpoints only: ours by name, others by number, and possibly nobody."""
    rows = [
        row("b", ("run.failed",)),
        row("a", ("run.failed",)),
        row("gone", ("run.started",), live=None),
        row("edited", ("run.started",), live=("agent.rebooted",)),
        StatusRow(
            "w", "w", None, "unmanaged", unmanaged=True, endpoint=Endpoint("w", "", ("run.completed",))
        ),
    ]
    found = coverage_of(rows, ("run.completed", "run.failed", "run.started"))
    assert [(c.event, c.known, c.webhooks, c.unmanaged) for c in found] == [
        ("agent.rebooted", False, ("edited",), 0),
        ("run.completed", True, (), 1),
        ("run.failed", True, ("a", "b"), 0),
        ("run.started", True, (), 0),
    ]
    root = read_page(page(Fleet("acme", rows)))
    silent = [event for event in KNOWN_EVENTS if event not in {"run.completed", "run.failed"}]
    assert f"No endpoint receives {', '.join(silent)}." in " ".join(_texts(root).split())
    assert "agent.rebooted (not documented)" in " ".join(_texts(root).split())
    assert "unmanaged endpoints only" in _texts(root)


def test_long_lists_are_cut_and_say_so() -> None:
    """Of sixty drifted webhooks fifty are listed; of those who listen, eight; of changes, twenty."""
    rows = [row(f"w{n:02}", ("run.failed",), "drifted") for n in range(60)]
    history = [HistoryEntry(each.name, "applied") for each in rows]
    text = " ".join(_texts(read_page(page(Fleet("acme", rows, history)))).split())
    assert "… and 10 more." in text
    assert "and 52 more" in text
    assert "… and 40 older ones" in text


def _metadata(name: str, state: str, hours: int | None, **run: str) -> Metadata:
    projection = Projection(1, "acme", "https://api", 1, state, "wh_1", run=Run(**run))
    written = None if hours is None else NOW - timedelta(hours=hours)
    return Metadata(name, 1, VersionState.LIVE, projection, written)


def test_the_history_is_the_last_change_of_each_document() -> None:
    """Newest first, removed webhooks too; what Vault does not tell comes last; what is not ours does not."""
    metadata = [
        _metadata("old", "active", 9, actor="ada", commit="c0ffee", url="https://x.example.com"),
        _metadata("unknown", "empty", None),
        _metadata("new", "deleted", 1),
        Metadata("foreign", 1, VersionState.LIVE, None, NOW),
    ]
    assert last_changes({each.name: each for each in metadata}) == (
        HistoryEntry("new", "removed", NOW - timedelta(hours=1), endpoint_id="wh_1"),
        HistoryEntry(
            "old",
            "applied",
            NOW - timedelta(hours=9),
            "ada",
            "c0ffee",
            "https://x.example.com",
            endpoint_id="wh_1",
        ),
        HistoryEntry("unknown", "creation refused", endpoint_id="wh_1"),
    )


def test_every_state_of_the_ledger_has_a_word() -> None:
    """No state of a projection is without its word in the history."""
    for state in ("active", "unverified", "released", "removing", "deleted", "empty"):
        assert last_changes({"x": _metadata("x", state, 0)})[0].action


def test_the_history_shows_who_and_from_where() -> None:
    """Person, commit and run are there, the latter two as links; a removed webhook is no link."""
    root = read_page(page(small_fleet()))
    changes = {line.all("td")[1].words: line for line in root.all("table")[-1].one("tbody").all("tr")}
    gates = changes["release-gates"]
    assert [cell.words for cell in gates.all("td")] == [
        "2026-11-12 12:00 UTC", "release-gates", "applied", "linus", "4f0c2d9be81a", "run",
    ]  # fmt: skip
    assert [each.attributes["href"] for each in gates.all("a")] == [
        "#webhook=release-gates",
        f"https://github.com/acme/webhooks/commit/{COMMIT}",
        "https://github.com/acme/webhooks/actions/runs/4003",
    ]
    assert [cell.words for cell in changes["old-dashboard"].all("td")][2:4] == ["removed", "grace"]
    assert changes["old-dashboard"].all("a") == []


def test_a_change_that_failed_is_not_shown_as_done() -> None:
    """Among the recent changes and in the webhook's details it says so."""
    history = [HistoryEntry("ci", "replace", NOW, ok=False, detail="why")]
    root = read_page(page(Fleet("acme", [row("ci", ("run.failed",))], history)))
    (change,) = root.all("table")[-1].one("tbody").all("tr")
    assert change.all("td")[2].words == "replace (failed)"
    assert "replace (failed), 2026" in root.one("tbody", id="webhook=ci").words


def test_drift_comes_first() -> None:
    """Each drifted webhook's reason, cause and difference come before anything else, the gravest first."""
    root = read_page(page(small_fleet(), drift=True))
    cards = root.all("article")
    assert [card.one("a").words for card in cards] == [
        "release-gates", "on-call-alerts", "warehouse", "on-call-runs",
    ]  # fmt: skip
    assert "replace (drift): the live endpoint was edited" in cards[1].words
    assert "Not live. Declared: URLhttps://hooks.example.com/zof/release-gates" in cards[0].words
    assert [each.attributes["id"] for each in root.all("tbody", class_="entry")][:4] == [
        f"webhook={card.one('a').words}" for card in cards
    ]
    assert (
        root.one("h2", id="summary").words == "4 of 11 webhooks need attention although no manifest changed."
    )
    due = root.one("section", **{"aria-labelledby": "due"}).words
    assert "search-index rotation due the signing secret is older than 2026-11-23" in due
    assert "Drifted" not in [each.words for each in root.all("h3")]


def test_what_was_found_is_told_with_what_heals_it() -> None:
    """A card, and the webhook's details, name the finding, its side, since when, and the remedy."""
    found = (
        "Found: interrupted (Vault) since 2026-11-24 10:00 UTC. Fix: reconciler apply continues from where"
    )
    for drift in (True, False):
        root = read_page(page(small_fleet(), drift=drift))
        assert found in root.one("tbody", id="webhook=warehouse").one("div", class_="due").words
    root = read_page(page(small_fleet(), drift=True))
    assert found in root.all("article")[2].words


def test_thousands_of_drifted_webhooks_are_cut_and_say_so() -> None:
    """Fifty cards, the gravest first; the rest is counted, and is in the table anyway."""
    declared = Shape("https://x.example.com/", ("run.failed",))
    rows = [
        row(f"w{n:02}", ("run.failed",), "drifted", change=drifted("w", None, declared, "gone"))
        for n in range(61)
    ]
    late = Change(
        "late",
        Action.RESUME,
        "the last change was interrupted",
        Cause.INTERRUPTED,
        drift=Drift((DriftKind.INTERRUPTED,)),
    )
    rows.insert(0, row("late", ("run.failed",), "interrupted", change=late))
    root = read_page(page(Fleet("acme", rows), drift=True))
    assert [card.one("a").words for card in root.all("article")] == [f"w{n:02}" for n in range(50)]
    assert "… and 12 more." in root.one("p", class_="rest").words
    assert len(root.all("tbody", class_="entry")) == 62


def test_no_drift_is_a_sentence() -> None:
    """Where nothing drifted, the page says so; a pending manifest change is no drift."""
    pending = row("x", ("run.failed",), "pending delete",
                  change=Change("x", Action.DELETE, "the manifest is gone", Cause.MANIFEST,
                                before=Shape("https://x.example.com/", ("run.failed",))))  # fmt: skip
    root = read_page(page(Fleet("acme", [pending]), drift=True))
    assert "No drift." in _texts(root)
    assert "Live now: URLhttps://x.example.com/" in root.one("details").words


def test_every_graphic_has_its_numbers_beside_it() -> None:
    """Each drawing is hidden from screen readers, and a table in its section says the same."""
    root = read_page(page(small_fleet()))
    assert all(each.attributes["aria-hidden"] == "true" for each in root.all("svg"))
    overview = root.one("section", **{"aria-labelledby": "overview"})
    tables = {each.one("caption").words: each for each in overview.all("table")}
    assert list(tables) == [
        "Problems by owner", "Live until (times in UTC)", "Age of signing secrets",
        "Changes by day, newest first",
    ]  # fmt: skip
    cells = {
        caption: [[cell.words for cell in line.inside] for line in table.one("tbody").all("tr")]
        for caption, table in tables.items()
    }
    assert cells["Problems by owner"] == [
        ["on-call", "1 drifted, 1 unverified", "2 of 2"],
        ["release", "1 blocked, 1 drifted", "2 of 2"],
        ["data", "1 interrupted", "1 of 1"],
    ]
    assert cells["Live until (times in UTC)"] == [
        ["search-index", "signing secret, then a rotation", "2026-11-23 12:00 due"],
        ["payments-runs", "old endpoint wh_00017", "2026-11-25 02:00"],
    ]
    assert [line[2] for line in cells["Age of signing secrets"]] == ["7", "1", "1", "1", "0", "0"]
    assert cells["Changes by day, newest first"][0] == ["2026-11-24", "3", "0"]
    heat = root.one("table", class_="heat")
    assert [cell.words for cell in heat.one("thead").all("th")] == ["Owner", *sorted(KNOWN_EVENTS)]
    (line,) = [each for each in heat.one("tbody").all("tr") if each.one("th").words == "on-call"]
    assert [cell.words for cell in line.all("td")] == ["1", "0", "0", "0", "0", "0", "2", "0"]


def test_groups_with_problems_are_open() -> None:
    """However many there are; a long group of what can wait is closed."""
    rows = [row(f"w{n}", ("run.failed",), "drifted", team=None) for n in range(6)]
    groups = {
        each.one("h3").words: "open" in each.attributes
        for each in read_page(page(Fleet("acme", rows))).all("details")
        if each.all("h3")
    }
    assert groups == {"Drifted": True, "No owner": False}


def test_an_empty_organization_is_a_sentence() -> None:
    """Nothing declared, nothing live, nothing applied: no table, no bar, and it says so."""
    root = read_page(page(Fleet("acme", ())))
    text = _texts(root)
    assert "No webhooks in manifests or live." in text
    assert "No changes have been recorded yet." in text
    assert root.all("svg") == root.all("form") == []


def test_several_organizations_share_a_page() -> None:
    """Webhooks with the same name are distinguished by organization; what could not be read is named."""
    fleets = [
        Fleet("prod", [row("ci", ("run.failed",))]),
        Fleet("trial", [row("ci", ("run.failed",), team=None)]),
    ]
    root = read_page(fleet_html(fleets, OCCASION, known_events=KNOWN_EVENTS, unread=["lost"], drift=True))
    assert [each.attributes["id"] for each in root.all("tbody", class_="entry")] == [
        "webhook=prod/ci",
        "webhook=trial/ci",
    ]
    assert root.one("h1").words == "prod, trial"
    assert "lost could not be read" in _texts(root)
    assert {each.attributes["href"] for each in root.all("a", class_="name")} == {
        "#webhook=prod/ci",
        "#webhook=trial/ci",
    }


def test_links_within_the_page_lead_somewhere() -> None:
    """Each link to a fragment has its target, and no id is there twice."""
    for drift in (False, True):
        root = read_page(page(small_fleet(), drift=drift))
        ids = [each.attributes["id"] for each in root.everything if "id" in each.attributes]
        assert len(ids) == len(set(ids))
        targets = {href[1:] for each in root.all("a") if (href := each.attributes["href"] or "")[0] == "#"}
        assert targets <= set(ids)


def _hostile_fleet(text: str, url: str) -> Fleet:
    """Return a fleet in which every text that comes from elsewhere is `text`, and every address `url`."""
    shape, other = Shape(url, (text,)), Shape(text, (text, "x"))
    change = Change(
        text, Action.REPLACE, text, Cause.DRIFT, shape, other,
        (FieldChange(text, text, None), FieldChange(text, (text,), ())),
        Location(text), text, text, (text,), (text,), text, text,
    )  # fmt: skip
    webhook = Webhook(
        text,
        url,
        (text,),
        Location(text, 3),
        text,
        {text: text, "team": text},
        url,
        created_after=NOW,
    )
    projection = Projection(
        1, text, text, 1, "active", text, url, previous_ids=(text,), secret_created_at=NOW, verified_at=NOW,
        owner=text, run=Run(text, text, url),
    )  # fmt: skip
    rows = [
        StatusRow(
            text, text, url, text, NOW, NOW, text, Location(text, 3), webhook=webhook, projection=projection,
            endpoint=Endpoint(text, url, (text,)), change=each,
        )
        for each in (change, replace(change, fields=(), before=None), replace(change, fields=(), after=None))
    ]  # fmt: skip
    rows.append(
        StatusRow(text, text, url, "unmanaged", unmanaged=True, endpoint=Endpoint(text, url, (text,)))
    )
    receivers = [ReceiverCheck(text, 1, (text,), ReceiverProblem(text, text))]
    return Fleet(text, rows, [HistoryEntry(text, text, NOW, text, text, url)], receivers)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("drift", [True, False])
def test_hostile_texts_stay_texts(text: str, drift: bool) -> None:
    """Whatever comes from elsewhere adds no element, no attribute and no link, and hides nothing."""

    def render(text: str) -> str:
        occasion = PageContext(NOW, Run(text, text, text), sources=text)
        fleet = _hostile_fleet(text, text)
        return fleet_html([fleet], occasion, known_events=(text,), unread=(text,), drift=drift)

    hostile = render(text)
    root = read_page(hostile)
    assert skeleton(root) == skeleton(read_page(render("harmless")))
    assert len(root.all("script")) == len(root.all("style")) == 1
    assert all(href.startswith("#") for each in root.all("a") if (href := each.attributes["href"]))
    assert hostile.replace("\n", "").isprintable()
    if text.isprintable():
        assert text in root.one("h1").text


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "http://x.example.com/",
        "//x.example.com", "https:", "https:///x", "https://x.example.com/ y", "https://x.example.com/\u202e",
        "https://ünï.example.com",
        "https://[::1", "https://user:password@x.example.com/", "\thttps://x.example.com/", "", None,
    ],
)  # fmt: skip
def test_only_https_becomes_a_link(url: str | None) -> None:
    """Other schemes, half addresses and what hides in an address stay texts."""
    assert not is_link(url)


def test_links_out_are_safe() -> None:
    """Each link that leaves the page is https, opens without a way back, and none leads to a receiver."""
    root = read_page(page(small_fleet()))
    out = [each for each in root.all("a") if not (each.attributes["href"] or "").startswith("#")]
    assert len(out) > 20
    for link in out:
        assert is_link(link.attributes["href"])
        assert link.attributes["rel"] == "noopener noreferrer"
        assert "hooks.example.com" not in (link.attributes["href"] or "")


def test_a_commit_is_linked_where_the_run_tells_the_repository() -> None:
    """GitHub's page of a run names the repository; anything else links nothing."""
    run = "https://github.com/acme/hooks/actions/runs/1"
    assert commit_url(run, COMMIT) == f"https://github.com/acme/hooks/commit/{COMMIT}"
    for url, commit in (
        (None, COMMIT),
        (run, None),
        (run, "main/../x"),
        ("https://ci.example.com/1", COMMIT),
    ):
        assert commit_url(url, commit) is None


def test_a_manifest_is_linked_below_its_folder() -> None:
    """A relative path is a page of the repository; a path that leaves it is none."""
    assert source_url("https://x/", "./a b/ü.yaml", 3) == "https://x/a%20b/%C3%BC.yaml#L3"
    for base, path in ((None, "a.yaml"), ("https://x", "/a.yaml"), ("https://x", "../a.yaml")):
        assert source_url(base, path, 1) is None


def test_keys_are_safe_in_an_address() -> None:
    """A key has no character that means something in a fragment, and unmanaged ids are no names."""
    assert key_of("acme prod", "ci", several=True) == "acme%20prod/ci"
    assert key_of("acme", "a&b=c#d", several=False, unmanaged=True) == "~a%26b%3Dc%23d"
    assert key_of("acme", "\udc80", several=False) == "%5Cudc80"


def test_the_page_needs_nothing_but_itself() -> None:
    """The policy forbids everything but the one style and the one script, and both are what it names."""
    root = read_page(page(small_fleet()))
    policy = root.one("meta", http_equiv="Content-Security-Policy").attributes["content"] or ""
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(root.one(kind).text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for element in root.everything:
        names = set(element.attributes)
        assert not names & {"src", "style", "srcset", "action"}, element
        assert not any(name.startswith("on") for name in names), element
        assert element.tag not in {"link", "img", "iframe", "object", "base"}


def test_the_same_fleet_gives_the_same_page() -> None:
    """Nothing but the arguments decides what is written."""
    assert page(small_fleet()) == page(small_fleet())


def test_no_value_of_a_line_can_hold_a_secret() -> None:
    """What the page is given has no field of the type that carries secrets."""
    for kind in (StatusRow, Webhook, Projection, Endpoint, Change, HistoryEntry, Fleet, PageContext):
        assert not [name for name, type_ in kind.__annotations__.items() if "Secret" in str(type_)]


def test_runs_without_a_page_are_told_without_links() -> None:
    """By hand there is neither run nor repository: the commit is a text, and the person is named."""
    root = read_page(page(small_fleet(), PageContext(NOW, replace(RUN, url=None))))
    made = root.one("p", class_="made")
    assert made.words == "As of 2026-11-24 12:00 UTC, commit 4f0c2d9be81a, by ada."
    assert made.all("a") == []
