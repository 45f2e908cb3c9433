"""The reports of many organizations in one: the worst first, nothing lost, never too long."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from reconciler.cli.app import reconciler
from reconciler.errors import InvalidInput
from reconciler.plan.plan import Plan
from reconciler.plan.status import StatusRow
from reconciler.report.format.markdown import COMMENT_LIMIT
from reconciler.report.merged import (
    OrganizationReport,
    State,
    merged,
    merged_html,
    merged_markdown,
    merged_text,
    totals,
)
from reconciler.report.status import status_value
from tests.fixtures.fleet import NOW, OCCASION
from tests.fixtures.page import HOSTILE, read_page, skeleton
from tests.fixtures.plan import SERVERS, small_plan


def failure(name: str, message: str = "the API key was refused") -> dict[str, Any]:
    """Return what a failed organization is in a report."""
    return {"organization": name, "error": {"exit_code": 1, "message": message, "hint": "check it"}}


def change(name: str, reason: str = "the manifest is new") -> dict[str, Any]:
    """Return a change of a plan."""
    return {"name": name, "action": "create", "reason": reason}


def plan(name: str, *changes: dict[str, Any], **summary: int) -> dict[str, Any]:
    """Return a plan."""
    return {"organization": name, "changes": list(changes), "summary": {"unchanged": 3, **summary}}


def result(name: str, how: str, detail: str | None) -> dict[str, Any]:
    """Return the outcome of a change."""
    return {"name": name, "action": "create", "result": how, "detail": detail}


REPORTS = [
    plan("fine"),
    plan("pending", change("ci")),
    plan("drifted", change("ci", "somebody deleted it"), drift=1),
    plan("blocked", {**change("ci"), "problem": "the URL is taken", "hint": "adopt it"}),
    failure("failed"),
    {"plan": plan("refused", change("ci")), "refused": [{"guard": "deletes", "message": "too many"}],
     "outcome": None},
    {"plan": plan("half", change("ci")), "refused": [],
     "outcome": {"complete": False,
                 "changes": [result("ci", "failed", "HTTP 422"), result("web", "done", None)]}},
    {"plan": plan("applied", change("ci")), "refused": [], "outcome": {"complete": True, "changes": []}},
    {"organization": "seen", "webhooks": [
        {"name": "a", "state": "in sync"},
        {"name": "b", "state": "drifted", "drift": True, "reason": "gone"}]},
]  # fmt: skip
TEXT = """\
failed: failed: the API key was refused (exit 1)
  hint: check it
refused: refused: refused: 1 to create, 3 unchanged
  deletes: too many
blocked: blocked: 1 to create, 1 blocked, 3 unchanged
  create ci: conflict: the URL is taken
half: not finished: 1 done, 1 failed
  create ci: failed: HTTP 422
  create web: done
drifted: drifted: 1 to create, 3 unchanged
  create ci: somebody deleted it
seen: drifted: 1 drifted, 1 in sync
  b: drifted: gone
pending: pending: 1 to create, 3 unchanged
  create ci: the manifest is new
9 organizations: 1 failed, 1 refused, 1 blocked, 1 not finished, 2 drifted, 1 pending, 2 nothing to do
"""


def test_the_worst_organizations_come_first() -> None:
    """Each kind of report is understood; what is fine is only counted."""
    assert merged_text(merged(REPORTS)) == TEXT
    assert merged_text(merged([])) == "0 organizations\n"


def test_a_real_plan_is_a_report() -> None:
    """What `plan --format json` writes, with everything in it."""
    (report,) = merged([json.loads(json.dumps(small_plan().to_json()))])
    assert report.state is State.BLOCKED
    assert len(report.lines) == len(small_plan().changes)
    (empty,) = merged([Plan("empty", SERVERS, (), 5, 5).to_json()])
    assert (empty.state, empty.headline) == (State.FINE, "5 unchanged")


def test_a_comment_for_ten_thousand_organizations_fits() -> None:
    """The table and the details are cut, and what is left out is counted; the worst is still there."""
    many = [plan(f"org-{number}", *(change(f"hook-{i}") for i in range(9))) for number in range(9_999)]
    reports = merged([*many, failure("worst")])
    text = merged_markdown(reports, page="https://github.com/acme/hooks/actions/runs/7")
    assert len(text) <= COMMENT_LIMIT
    assert len(text) > COMMENT_LIMIT * 3 / 4
    assert text.index("`worst`") < text.index("`org-0`")
    assert totals(reports) in text
    assert " organizations not shown here" in text
    assert " are not shown here: [the run](https://github.com/acme/hooks/actions/runs/7) has them." in text


def test_a_page_is_limited_too() -> None:
    """Details beyond the limit are left out, and counted; each organization is still there."""
    reports = merged([plan(name, change("ci")) for name in "abc"])
    size = len(reports[0].lines[0])
    page = read_page(merged_html(reports, OCCASION, limit=2 * size))
    assert [each.words for each in page.all("h3")] == ["a", "b", "c"]
    assert [each.words for each in page.all("li") if "create" in each.words] == [*reports[0].lines] * 2
    assert page.one("p", class_="alert").words.startswith("The details of 1 organization")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text: str) -> None:
    """On a page, in a comment and in a terminal."""

    def build(hostile: str) -> list[Any]:
        return [failure("a", hostile), plan("b", change("ci", hostile))]

    def build_page(reports: list[OrganizationReport]) -> object:
        return skeleton(read_page(merged_html(reports, OCCASION)))

    harmless, hostile = merged(build("harmless")), merged(build(text))
    assert build_page(hostile) == build_page(harmless)
    assert all(line.isprintable() for line in merged_text(hostile).splitlines())
    markdown = merged_markdown(merged([failure("<b>", "x | y `z` <b>")]))
    assert "| ``x \\| y `z` <b> (exit 1)`` |" in markdown
    assert "<summary>&lt;b&gt;</summary>" in markdown


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7, "not a report"),
        ({}, "missing required field"),
        ({"organization": "a", "changes": 5, "summary": {}}, "Expected `array`"),
        ({"organization": "a", "error": "x"}, "Expected `object`"),
    ],
)
def test_anything_else_is_refused(value: Any, words: str) -> None:
    """Exit 3 instead of a report that lacks it."""
    with pytest.raises(InvalidInput, match=words):
        merged([value])


def test_an_organization_twice_is_refused() -> None:
    """The files are of different runs, or one was named twice."""
    with pytest.raises(InvalidInput, match="two reports are of the organization a"):
        merged([failure("a"), plan("a")])


def test_files_of_shards_are_merged(tmp_path: Any) -> None:
    """Arrays and single objects; JSON keeps everything. What cannot be read is refused."""
    (tmp_path / "1.json").write_text(json.dumps(REPORTS[:4]), encoding="utf-8")
    (tmp_path / "2.json").write_text(json.dumps(REPORTS[4]), encoding="utf-8")
    (tmp_path / "3.json").write_text("[]", encoding="utf-8")
    (tmp_path / "bad.json").write_text("[NaN]", encoding="utf-8")
    files = [str(tmp_path / f"{number}.json") for number in (1, 2, 3)]
    done = CliRunner().invoke(reconciler, ["merge-reports", *files, "--format", "json"])
    assert json.loads(done.stdout) == REPORTS[:5]
    for form, start in (
        ("text", "failed: "),
        ("markdown", "### Webhooks of 5 "),
        ("html", "<!doctype html>"),
    ):
        done = CliRunner().invoke(reconciler, ["merge-reports", *files, "--format", form])
        assert (done.exit_code, done.stdout.lstrip()[: len(start)]) == (0, start)
    for name, why in (("bad.json", "it is not JSON"), ("absent.json", "No such file")):
        done = CliRunner().invoke(reconciler, ["merge-reports", str(tmp_path / name)])
        assert done.exit_code == 3
        assert why in done.stderr


def test_an_unmanaged_endpoint_is_named_by_its_id() -> None:
    """As `status` writes it: it has no name."""
    row = StatusRow("we_1", "we_1", "https://x.example.com/", "unmanaged", unmanaged=True, disallowed=True)
    assert "we_1: unmanaged" in merged_text(merged([status_value("acme", [row], observed_at=NOW)]))
