"""The fleet's page in a real browser: for everybody, on every screen, and what its script adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from playwright.sync_api import expect

from reconciler.manifest.webhooks import KNOWN_EVENTS
from reconciler.model import Run
from reconciler.plan.changes import differences
from reconciler.plan.history import HistoryEntry
from reconciler.plan.plan import Action, Cause, Change, Shape
from reconciler.plan.status import StatusRow
from reconciler.report.pages.fleet import Fleet, fleet_html
from tests.fixtures.fleet import OCCASION, large_fleet, page, row, small_fleet

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.fixtures.browser import Window

SMALL = page(small_fleet())
DRIFT = page(small_fleet(), drift=True)
SEVERAL = fleet_html(
    [small_fleet(), replace(large_fleet(6), organization="acme-trial")], OCCASION, known_events=KNOWN_EVENTS
)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def _shown(page: Page) -> list[str]:
    return page.locator(".entry:visible .name").all_inner_texts()


def _fragment(page: Page) -> str:
    return page.url.partition("#")[2]


@pytest.mark.parametrize(
    ("text", "scheme", "width"),
    # Each pair of values is among them.
    [
        (SMALL, "light", 360), (SMALL, "dark", 1600), (DRIFT, "light", 1600), (DRIFT, "dark", 360),
        (SEVERAL, "dark", 400),
    ],
    ids=[
        "status-light-360", "status-dark-1600", "drift-light-1600", "drift-dark-360",
        "several-dark-400",
    ],
)  # fmt: skip
def test_everybody_can_use_it(window: Window, text: str, scheme: str, width: int) -> None:
    """axe-core finds nothing, closed or open, light or dark; nothing is wider than the screen or fetched."""
    with window.open(text, width=width, color_scheme=scheme) as opened:
        assert opened.violations() == []
        for toggle in opened.page.locator(".toggle").all():
            toggle.click()
        assert opened.violations() == []
        assert opened.page.evaluate(OVERFLOW) == 0
        assert (opened.requests, opened.complaints) == ([], [])


@pytest.mark.parametrize("width", [360, 800, 1600])
@pytest.mark.parametrize("drift", [True, False])
def test_long_texts_break(window: Window, width: int, drift: bool) -> None:
    """Texts without an end or a space make the page longer, not wider."""
    long = "x" * 300
    shape, other = Shape(long, (long,)), Shape(long * 2, (long, long * 2))
    change = Change(
        long, Action.REPLACE, long, Cause.DRIFT, shape, other, differences(shape, other),
        warnings=(long,), problem=long, hint=long,
    )  # fmt: skip
    one = row(long, (long,), "drifted", team=long, description=long, previous=(long,), change=change)
    fleet = Fleet(long, [one], [HistoryEntry(long, long, None, long, long, long)])
    run = Run(long, long, long)
    with window.open(page(fleet, replace(OCCASION, run=run), drift=drift), width=width) as opened:
        opened.page.locator(".toggle").click()
        assert opened.page.evaluate(OVERFLOW) == 0


def test_without_scripts_everything_is_there(window: Window) -> None:
    """Nothing depends on the script: rows are shown, details open, anchors lead to their rows."""
    with window.open(SMALL, "#webhook=warehouse", java_script_enabled=False) as opened:
        assert len(_shown(opened.page)) == 13
        assert not opened.page.locator("#filters").is_visible()
        assert opened.page.locator("#webhook\\=warehouse").evaluate("e => e.matches(':target')")
        details = opened.page.locator("#webhook\\=warehouse details")
        assert not details.locator("dl").is_visible()
        details.locator("summary").click()
        assert details.locator("dl").is_visible()
        assert opened.page.locator(".legend a, .chart [data-filter] a").count() == 0, (
            "a link that does nothing"
        )
        for graphic in opened.page.locator(".track, .columns").all():
            box = graphic.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= 8


def test_the_table_is_searched_and_filtered(window: Window) -> None:
    """All words must be somewhere in the webhook; state and owner narrow further; the address says all."""
    with window.open(SMALL) as opened:
        page = opened.page
        page.get_by_role("searchbox").fill("RUN.FAILED on-call")
        assert _shown(page) == ["on-call-alerts", "on-call-runs"]
        page.get_by_label("State").select_option("drifted")
        assert _shown(page) == ["on-call-alerts"]
        assert page.get_by_role("status").inner_text() == "1 of 13 rows"
        assert _fragment(page) == "q=RUN.FAILED%20on-call&state=drifted"
        page.get_by_role("button", name="Clear").click()
        assert len(_shown(page)) == 13
        assert _fragment(page) == ""
        page.get_by_label("Owner").select_option("no owner")
        assert _shown(page) == ["test-bench", "wh_00101", "wh_00099"]
        page.get_by_role("searchbox").fill("nothing like it")
        assert _shown(page) == []
        page.get_by_role("link", name="Show all").click()
        expect(page.locator(".entry:visible")).to_have_count(13)


@pytest.mark.parametrize("width", [400, 1400])
def test_a_long_id_begins_beside_its_button(window: Window, width: int) -> None:
    """Even one without a place to break at, of an endpoint that has no other name."""
    endpoint_id = f"wh_{'01HF7YAT00Z8Q4' * 3}"
    stranger = StatusRow(endpoint_id, endpoint_id, None, "unmanaged", unmanaged=True)
    with window.open(page(Fleet("acme", [stranger])), width=width) as opened:
        button = opened.page.locator(".entry .toggle").bounding_box()
        name = opened.page.locator(".entry .name").bounding_box()
        assert button is not None
        assert name is not None
        assert name["x"] >= button["x"] + button["width"] - 1
        assert name["y"] < button["y"] + button["height"] / 2


def test_an_owner_with_problems_is_a_link_to_its_webhooks(window: Window) -> None:
    """From the graphic to the rows in one step."""
    with window.open(SMALL) as opened:
        opened.page.get_by_role("table", name="Problems by owner").get_by_role("link", name="on-call").click()
        expect(opened.page.locator(".entry:visible .name")).to_have_text(["on-call-alerts", "on-call-runs"])
        assert _fragment(opened.page) == "owner=on-call"


def test_a_link_shows_what_its_sender_saw(window: Window) -> None:
    """Filters, order and the open webhook are in the address, and come back from it."""
    with window.open(SMALL, "#webhook=warehouse&owner=data&sort=-age") as opened:
        assert _shown(opened.page) == ["warehouse"]
        assert opened.page.locator("#webhook\\=warehouse dl").first.is_visible()
        assert opened.page.get_by_label("Owner").input_value() == "data"
        assert opened.page.locator("[aria-sort=descending]").inner_text().strip().startswith("Secret age")


@pytest.mark.parametrize(
    "fragment", ["#webhook=no-such", "#state=no-such&owner=%zz&sort=x", "#q=%", "#=", "#a&b"]
)
def test_a_damaged_link_shows_the_page(window: Window, fragment: str) -> None:
    """An address that means nothing is no error, and hides nothing."""
    with window.open(SMALL, fragment) as opened:
        assert len(_shown(opened.page)) == 13
        assert opened.complaints == []


def test_a_name_leads_to_its_webhook_whatever_is_filtered(window: Window) -> None:
    """A link from elsewhere on the page opens the webhook's details, and moves the focus there."""
    with window.open(SMALL, "#state=drifted") as opened:
        page = opened.page
        assert _shown(page) == ["release-gates", "on-call-alerts"]
        page.locator("#attention ~ .risks").get_by_role("link", name="warehouse").click()
        expect(page.locator("#webhook\\=warehouse dl").first).to_be_visible()
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Details of warehouse"
        assert _fragment(page) == "webhook=warehouse"


def test_a_state_of_the_legend_filters(window: Window) -> None:
    """A number at the top leads to the webhooks that it counts."""
    with window.open(SMALL) as opened:
        opened.page.get_by_role("link", name="2 drifted").click()
        expect(opened.page.locator(".entry:visible .name")).to_have_text(["release-gates", "on-call-alerts"])


def test_columns_sort_by_what_they_mean(window: Window) -> None:
    """Ages sort as times, states by urgency; a third press gives the first order back; blanks come last."""
    with window.open(SMALL, width=1600) as opened:
        page, first = opened.page, _shown(opened.page)
        age = page.get_by_role("button", name="Secret age")
        age.click()
        assert _shown(page)[0] == "warehouse"
        assert _shown(page)[-3:] == ["release-notes", "wh_00101", "wh_00099"]
        age.press("Enter")
        assert _shown(page)[0] == "ci-run-results"
        assert _shown(page)[-3:] == ["release-notes", "wh_00101", "wh_00099"]
        assert page.get_by_role("columnheader", name="Secret age").get_attribute("aria-sort") == "descending"
        age.press("Enter")
        assert _shown(page) == first
        page.get_by_role("button", name="State").click()
        assert _shown(page)[:3] == ["release-gates", "on-call-alerts", "warehouse"]
        assert _shown(page)[-2:] == ["wh_00101", "wh_00099"]
        page.get_by_role("button", name="Owner").click()
        assert _shown(page)[0] == "warehouse"
        assert _shown(page)[-1] == "wh_00099"


def test_a_keyboard_is_enough(window: Window) -> None:
    """The first stop skips to the table; a row opens and closes with the space bar, and says so."""
    with window.open(SMALL) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the webhooks"
        toggle = page.get_by_role("button", name="Details of warehouse")
        toggle.focus()
        page.keyboard.press("Space")
        assert toggle.get_attribute("aria-expanded") == "true"
        assert page.locator(f"#{toggle.get_attribute('aria-controls')}").is_visible()
        assert _fragment(page) == "webhook=warehouse"
        page.keyboard.press("Space")
        assert toggle.get_attribute("aria-expanded") == "false"
        assert _fragment(page) == ""


def test_thousands_of_webhooks_stay_usable(window: Window) -> None:
    """Two hundred rows are laid out at first; any other is found by search, link or button."""
    with window.open(page(large_fleet(2000)), "#webhook=team-39-hook-1999") as opened:
        assert opened.page.locator(".entry:visible").count() == 201
        assert opened.page.locator("#webhook\\=team-39-hook-1999 dl").first.is_visible()
        opened.page.get_by_role("searchbox").fill("hook-1234")
        assert _shown(opened.page) == ["team-34-hook-1234"]
        opened.page.get_by_role("button", name="Clear").click()
        opened.page.get_by_role("button", name="Show all 2,000").click()
        assert opened.page.locator(".entry:visible").count() == 2000
        opened.page.get_by_role("searchbox").fill("run")
        assert opened.page.locator(".entry:visible").count() == 201
        opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert opened.page.locator(".entry:visible").count() > 1000, "paper has no button"


def test_thousands_of_drifted_webhooks_stay_usable(window: Window) -> None:
    """Fifty are told at the top, so that what follows is near; the table has all, and finds any."""
    fleet = large_fleet(2000, drifted_each=1)
    with window.open(page(fleet, drift=True)) as opened:
        assert opened.page.locator("article").count() == 50
        assert opened.page.get_by_text("… and 1,950 more.").is_visible()
        assert opened.page.evaluate("document.documentElement.scrollHeight") < 40_000
        opened.page.get_by_role("searchbox").fill("hook-1321")
        assert _shown(opened.page) == ["team-01-hook-1321"]
        opened.page.get_by_role("button", name="Details of team-01-hook-1321").click()
        assert opened.page.locator(".due:visible del, .due:visible ins").count() > 0


def test_hostile_texts_run_nothing(window: Window) -> None:
    """Markup in every text of a webhook, and in the address, is shown or dropped, never run."""
    text = "</script><img src=x onerror=alert(1)><script>alert(1)</script>"
    hostile = Fleet(text, [row("x", (text,), text, team=text, description=text, runbook=text)])
    with window.open(page(hostile), "#q=<img src=x onerror=alert(1)>") as opened:
        asked: list[str] = []
        opened.page.on("dialog", lambda dialog: asked.append(dialog.message))
        assert opened.page.get_by_role("searchbox").input_value() == "<img src=x onerror=alert(1)>"
        assert opened.page.locator("img").count() == 0
        assert (asked, opened.requests, opened.complaints) == ([], [], [])


def test_an_old_page_says_so(window: Window) -> None:
    """A page that was made days ago tells how many; one of today does not."""
    with window.open(SMALL, timezone_id="UTC") as opened:
        opened.page.clock.set_fixed_time("2026-11-27T13:00:00Z")
        opened.page.reload()
        assert opened.page.locator("#page-age").inner_text().strip() == "(3 days ago)"
        opened.page.clock.set_fixed_time("2026-11-24T23:00:00Z")
        opened.page.reload()
        assert not opened.page.locator("#page-age").is_visible()


def test_it_prints_all_columns_and_no_controls(window: Window) -> None:
    """On paper there are no filters and buttons, and every column is there even though paper is narrow."""
    with window.open(SMALL, width=800) as opened:
        opened.page.emulate_media(media="print")
        assert not opened.page.locator("#filters").is_visible()
        assert opened.page.get_by_role("columnheader", name="Manifest").first.is_visible()
        assert opened.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
