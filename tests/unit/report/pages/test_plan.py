"""A plan as a page: what it says and in which order, that hostile texts stay texts, and that it is alone."""

from __future__ import annotations

import base64
import hashlib

import pytest
from msgspec.structs import replace

from reconciler.model import Endpoint, Location, Run
from reconciler.plan.drift import Drift, DriftKind
from reconciler.plan.guards import Refusal
from reconciler.plan.plan import Action, Cause, Change, FieldChange, Plan, Shape
from reconciler.report.pages.plan import PlanSection, plan_html
from reconciler.report.pages.templates import PageContext
from reconciler.report.plan.summary import View
from tests.fixtures.fleet import NOW, OCCASION, SOURCES
from tests.fixtures.page import HOSTILE, Element, assert_golden, read_page, skeleton
from tests.fixtures.plan import REFUSED, SERVERS, large_plan, small_plan, small_sheet

PROTECTED = Refusal("protected", "x is protected (deletionPolicy: Protect)", approvable=False)


def _page(*sheets: PlanSection, unread: tuple[str, ...] = ()) -> Element:
    return read_page(plan_html(sheets, OCCASION, unread=unread))


def _groups(root: Element) -> dict[str, list[str]]:
    """Return the names of the changes by the title and number of their groups."""
    return {
        group.all("h3")[0].words: [name.words for name in group.all("h4")]
        for group in root.all("section")
        if (group.attributes.get("class") or "").startswith("group ")
    }


def _change(root: Element, name: str) -> Element:
    """Return the details of a change."""
    return root.one("div", id=f"change={name}")


def test_the_page_is_its_golden_file() -> None:
    """A plan with everything in it gives the page that was reviewed; the style is not repeated."""
    assert_golden(plan_html([small_sheet()], OCCASION), "plan/plan.html")


def test_dangerous_changes_come_first() -> None:
    """What cannot be done, then by danger; each kind with its number."""
    assert _groups(_page(small_sheet())) == {
        "Blocked by a conflict 1": ["taken"],
        "Delete 2": ["audit", "old"],
        "Replace 2": ["ci-run-results", "on-call-alerts"],
        "Rotate 1": ["search"],
        "Release 1": ["legacy"],
        "Resume 1": ["warehouse"],
        "Update 1": ["protected"],
        "Create 1": ["new"],
        "Unmanaged 3": [],
    }


def test_a_change_is_told_in_full() -> None:
    """Action, cause, reason, each field's difference, warning, manifest's line as a link, endpoint, owner."""
    root = _page(small_sheet())
    alerts = _change(root, "on-call-alerts")
    assert "replace (manifest): the manifest was changed" in alerts.words
    assert [each.words for each in alerts.all("del")] == [
        "live now: run.failed",
        "live now: https://hooks.example.com/zof/on-call-alerts",
    ]
    assert alerts.one("ins").words == "declared: https://hooks.example.com/zof/alerts"
    assert "Receiversevents are delivered twice, by the old and by the new endpoint" in alerts.words
    assert alerts.one("a").attributes["href"] == f"{SOURCES}/manifests/on-call.yaml#L12"
    assert "Endpointwh_8 Receiversevents are" in alerts.words
    taken = _change(root, "taken").one("p", class_="alert")
    assert taken.words.startswith("Blocked by a conflict: endpoint wh_99 is live at")
    assert taken.one("code").words == "reconciler adopt taken --id wh_99"
    gone = _change(root, "ci-run-results").words
    assert "Found: endpoint-removed (live). Fix: reconciler apply creates a new one" in gone


def test_the_summary_and_the_cost_come_before_the_changes() -> None:
    """Counts, requests, the time that the quota asks for, and the digest."""
    root = _page(PlanSection(small_plan()))
    assert root.one("h2").words == (
        "2 to create, 2 to replace, 2 to delete, 1 to rotate, 1 to resume, 1 to release, 1 to update;"
        " 1,200 unchanged."
    )
    facts = root.all("dl", class_="shape")[0].words
    assert facts == (
        "APIhttps://api.zof.ai/v1 Vaulthttps://vault.example.com Pathsecret/webhooks/acme-prod"
        " Guardspassed Cost131 API requests, at least 19 s at 100 requests a minute"
        f" Digest{small_plan().digest}"
    )
    assert root.all("pre") == []


def test_a_refusal_has_the_line_that_approves_it() -> None:
    """The guard's words and hint, and both ways to approve exactly this plan."""
    root = _page(small_sheet())
    refusal = root.one("div", class_="alert refusal")
    assert f"{REFUSED.guard}: {REFUSED.message}Hint: {REFUSED.hint}" in refusal.words
    digest = small_plan().digest
    assert [each.text for each in refusal.all("pre")] == [
        f"guards: {{approve: [{digest}]}}",
        f"reconciler apply --approve {digest}",
    ]
    assert "Guardsrefused" in root.one("main").words


def test_no_line_approves_what_nobody_may_approve() -> None:
    """A refusal that a digest does not override has no line, even beside one that it does."""
    refusal = _page(PlanSection(small_plan(), (REFUSED, PROTECTED))).one("div", class_="alert refusal")
    assert "protected: x is protected" in refusal.words
    assert refusal.all("pre") == []


def test_nothing_to_do_is_one_sentence() -> None:
    """Without changes there is no digest and no group; unmanaged endpoints are listed all the same."""
    root = _page(
        PlanSection(Plan("acme", SERVERS, (), 3, 3, (Endpoint("wh_1", "https://x.example.com/", ("x",)),)))
    )
    assert root.one("h2").words == "No changes: 3 webhooks match their manifests."
    assert root.all("dl", class_="shape")[0].words.endswith("Guardspassed Costno API requests")
    assert _groups(root) == {"Unmanaged 1": []}
    assert [cell.words for cell in root.one("tbody").one("tr").inside] == [
        "wh_1",
        "https://x.example.com/",
        "x",
        "unknown",
    ]


def test_unmanaged_endpoints_come_newest_first() -> None:
    """The last column tells when the API made them, where it says so; those without come last."""
    lines = [line.inside for line in _page(small_sheet()).one("tbody").all("tr")]
    assert [cells[0].words for cells in lines] == ["wh_99", "wh_98", "wh_97"]
    assert [cells[3].words for cells in lines] == ["2026-11-24 09:00 UTC", "2026-01-28 12:00 UTC", "unknown"]
    assert lines[1][2].words == "none"


def test_a_warning_about_all_of_it_comes_before_the_changes() -> None:
    """Such as secrets that Vault will delete; without one, the page is as it was."""
    sheet = small_sheet()
    warned = replace(sheet, plan=replace(sheet.plan, warnings=("Vault will delete <b>",)))
    page = plan_html([warned], OCCASION)
    warning = '<p class="alert note">Vault will delete &lt;b&gt;</p>'
    assert page.index(warning) < page.index('<section class="group')


def test_steps_are_told_when_asked_for() -> None:
    """The verbose view numbers the steps of a change."""
    assert _page(small_sheet()).all("ol") == []
    root = _page(PlanSection(small_plan(), view=View(verbose=True)))
    assert [step.words for step in root.one("ol").all("li")] == [
        "write the intent", "create the endpoint", "store its secret",
    ]  # fmt: skip


@pytest.mark.untraced
def test_a_large_plan_is_folded() -> None:
    """Twenty changes are open and a hundred laid out; the others are there, folded away and counted."""
    text = plan_html([PlanSection(large_plan(2000))], OCCASION)
    root = read_page(text)
    changes = root.all("details", class_="change")
    assert len(changes) == 2000
    assert ["open" in each.attributes for each in changes] == [True] * 20 + [False] * 1980
    rest = root.one("details", class_="rest")
    assert len(rest.all("h4")) == 1900
    assert rest.words.startswith("1,900 more")
    assert len(text) < 2_000_000


def test_the_most_dangerous_changes_are_open() -> None:
    """The twenty open ones are counted over all kinds, in the order of the page."""
    deletes = tuple(Change(f"d{n:02}", Action.DELETE, "gone", Cause.MANIFEST) for n in range(15))
    plan = replace(large_plan(10), changes=(*large_plan(10).changes, *deletes))
    changes = _page(PlanSection(plan)).all("details", class_="change")
    assert ["open" in each.attributes for each in changes] == [True] * 20 + [False] * 5
    assert changes[0].one("summary").words == "d00 gone"


def test_several_organizations_share_a_page() -> None:
    """Each has its refusal and its changes under its name; what could not be read is said."""
    first = replace(small_plan(), organization="prod")
    second = replace(small_plan(), organization="trial")
    root = _page(PlanSection(first, (REFUSED,)), PlanSection(second), unread=("lost",))
    assert [each.words.partition(":")[0] for each in root.all("h2")] == ["prod", "trial"]
    assert "lost could not be read" in root.one("main").words
    assert len(root.all("div", class_="alert refusal")) == 1
    assert _change(root, "prod/audit").words == _change(root, "trial/audit").words


@pytest.mark.parametrize("several", [True, False])
def test_links_within_the_page_lead_somewhere(several: bool) -> None:
    """Each link to a fragment has its target, and no id is there twice."""
    other = PlanSection(replace(small_plan(), organization="a b/ü"))
    root = _page(small_sheet(), other) if several else _page(small_sheet())
    ids = [each.attributes["id"] for each in root.everything if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    targets = {href[1:] for each in root.all("a") if (href := each.attributes["href"] or "")[0] == "#"}
    assert targets <= set(ids)


def _hostile(text: str) -> PlanSection:
    """Return a plan in which every text that comes from elsewhere is `text`."""
    shape, other = Shape(text, (text,)), Shape(text, (text, "x"))
    change = Change(
        text, Action.REPLACE, text, Cause.DRIFT, shape, other,
        (FieldChange(text, text, None), FieldChange(text, (text,), ())),
        Location(text), text, text, (text,), (text,), text, text, text,
        Drift((DriftKind.ENDPOINT_CHANGED,), NOW),
    )  # fmt: skip
    plan = Plan(text, SERVERS, (change,), 0, 0, (Endpoint(text, text, (text,), NOW),))
    return PlanSection(plan, (Refusal(text, text, text),), View(verbose=True))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_stay_texts(text: str) -> None:
    """Whatever comes from elsewhere adds no element, no attribute and no link, and hides nothing."""

    def render(text: str) -> str:
        return plan_html([_hostile(text)], PageContext(NOW, Run(text, text, text), text), unread=(text,))

    hostile = render(text)
    root = read_page(hostile)
    assert skeleton(root) == skeleton(read_page(render("harmless")))
    assert all(href.startswith("#") for each in root.all("a") if (href := each.attributes["href"]))
    assert hostile.replace("\n", "").isprintable()
    if text.isprintable():
        assert text in root.one("h1").text


def test_the_page_needs_nothing_but_itself() -> None:
    """No script at all; the policy forbids everything but the one style, which is what it names."""
    root = _page(small_sheet())
    policy = root.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    digest = base64.b64encode(hashlib.sha256(root.one("style").text.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    for element in root.everything:
        names = set(element.attributes)
        assert not names & {"src", "style", "srcset", "action"}, element
        assert not any(name.startswith("on") for name in names), element
        assert element.tag not in {"script", "link", "img", "iframe", "object", "base"}
