"""The plan's page in a real browser: for everybody, on every screen, and with thousands of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.model import Endpoint
from reconciler.plan.guards import Refusal
from reconciler.plan.plan import Plan
from reconciler.report.pages.plan import PlanSection, plan_html
from tests.fixtures.fleet import OCCASION
from tests.fixtures.page import HOSTILE
from tests.fixtures.plan import SERVERS, large_plan, small_plan, small_sheet

if TYPE_CHECKING:
    from tests.fixtures.browser import Window

SMALL = plan_html([small_sheet()], OCCASION)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_everybody_can_use_it(window: Window, scheme: str, width: int) -> None:
    """axe-core finds nothing, folded or open, light or dark; nothing is wider than the screen or fetched."""
    with window.open(SMALL, width=width, color_scheme=scheme) as opened:
        assert opened.violations() == []
        for summary in opened.page.locator("details:not([open]) > summary").all():
            summary.click()
        assert opened.page.locator("details:not([open])").count() == 0
        assert opened.violations() == []
        assert opened.page.evaluate(OVERFLOW) == 0
        assert (opened.requests, opened.complaints) == ([], [])


@pytest.mark.parametrize("width", [360, 800])
def test_long_texts_break(window: Window, width: int) -> None:
    """Texts without an end or a space make the page longer, not wider."""
    long = "x" * 300
    changes = tuple(replace(each, name=long + each.name, reason=long) for each in small_plan().changes)
    plan = Plan(long, SERVERS, changes, 0, 0, (Endpoint(long, long, (long,)),))
    text = plan_html([PlanSection(plan, (Refusal(long, long, long),))], OCCASION)
    with window.open(text, width=width) as opened:
        opened.page.locator(".rest > summary").click()
        assert opened.page.evaluate(OVERFLOW) == 0


def test_a_keyboard_is_enough_and_no_script_runs(window: Window) -> None:
    """The first stop skips to the plan; a change closes and opens with the space bar, without any script."""
    with window.open(SMALL, java_script_enabled=False) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the plan"
        change = page.locator("details.change").filter(has_text="on-call-alerts")
        assert change.locator("dl").first.is_visible()
        change.locator("summary").focus()
        page.keyboard.press("Space")
        assert not change.locator("dl").first.is_visible()
        page.keyboard.press("Space")
        assert change.locator("dl").first.is_visible()


def test_the_approval_is_taken_with_one_click(window: Window) -> None:
    """A click selects the whole line that approves the plan, so that it is copied as it is."""
    with window.open(SMALL) as opened:
        opened.page.locator(".refusal pre").first.click()
        selected = opened.page.evaluate("getSelection().toString().trim()")
        assert selected == f"guards: {{approve: [{small_plan().digest}]}}"


def test_thousands_of_changes_stay_usable(window: Window) -> None:
    """A hundred are laid out at first; a link to any other opens it where it is folded away."""
    text = plan_html([PlanSection(large_plan(2000))], OCCASION)
    with window.open(text) as opened:
        page = opened.page
        assert page.locator("details.change:visible").count() == 100
        assert page.locator("dl:visible").count() < 50
        page.locator(".rest > summary").click()
        assert page.locator("details.change:visible").count() == 2000
    with window.open(text, "#change=webhook-1500") as opened:
        assert opened.page.locator("#change\\=webhook-1500").is_visible()
        assert not opened.page.locator("#change\\=webhook-1501").is_visible()


def test_it_prints_every_change(window: Window) -> None:
    """On paper what is folded away on the screen is there, in black on white."""
    with window.open(plan_html([PlanSection(large_plan(200))], OCCASION), color_scheme="dark") as opened:
        last = opened.page.locator("#change\\=webhook-0199")
        assert not last.is_visible()
        opened.page.emulate_media(media="print")
        assert last.evaluate("e => e.checkVisibility({ contentVisibilityAuto: true }) && e.offsetHeight > 0")
        assert opened.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


@pytest.mark.parametrize("text", HOSTILE[:5])
def test_hostile_texts_run_nothing(window: Window, text: str) -> None:
    """Markup in every text of a plan is shown, never run."""
    changes = tuple(replace(each, name=text, reason=text) for each in small_plan().changes[:1])
    plan = Plan(text, SERVERS, changes, 0, 0, (Endpoint(text, text, (text,)),))
    with window.open(plan_html([PlanSection(plan, (Refusal(text, text, text),))], OCCASION)) as opened:
        asked: list[str] = []
        opened.page.on("dialog", lambda dialog: asked.append(dialog.message))
        assert text in opened.page.locator("h4").inner_text()
        assert opened.page.locator("img, script, main svg").count() == 0
        assert (asked, opened.requests, opened.complaints) == ([], [], [])
