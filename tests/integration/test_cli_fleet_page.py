"""`status --format html` and `drift --format html` through the command line, on the real servers."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from reconciler.sandbox.behavior import Behavior
from tests.fixtures.page import Element, read_page

if TYPE_CHECKING:
    from tests.fixtures.command import CommandLine

UNLIMITED = 1_000_000


def _page(command: CommandLine, name: str = "fleet.html") -> Element:
    text = (command.folder / name).read_text(encoding="utf-8")
    command.outputs.append(text)
    return read_page(text)


def _states(page: Element) -> dict[str, str | None]:
    return {
        (each.attributes["id"] or "").removeprefix("webhook="): each.attributes["data-state"]
        for each in page.all("tbody", class_="entry")
    }


def _assert_no_secret_shown(command: CommandLine) -> None:
    text = "\n".join(command.outputs)
    secrets = [each.reveal() for each in command.zof.signing_secrets().values()]
    secrets += [command.environment["ZOF_API_KEY"], command.environment["VAULT_TOKEN"]]
    assert len(secrets) > 2
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()[:-4]):
            assert form not in text


@pytest.fixture
def fleet(command: CommandLine) -> CommandLine:
    """Give a fleet in many states: two in sync, drifted twice, unverified, not applied yet, unmanaged."""
    command.zof.console.create("https://legacy.example.com/", ["run.started"])
    for name in ("edited", "gone", "settled"):
        command.write(name)
    command.write("gates", ["release.gate_blocked"], secret={"overlap": "1h"})
    command.write("removed")
    assert command("apply", "--yes", "--actor", "grace").exit_code == 0, command.outputs
    (command.folder / "manifests/removed.yaml").unlink()
    assert command("apply", "--yes", "--actor", "linus").exit_code == 0, command.outputs
    assert command("rotate", "gates", "--yes").exit_code == 0, command.outputs
    command.zof.behavior = Behavior(test_result="fail", rate_limit=UNLIMITED)
    command.write("untried")
    assert command("apply", "--yes").exit_code == 5
    command.zof.behavior = Behavior(rate_limit=UNLIMITED)
    live = command.live
    command.zof.console.edit(live["https://hooks.example.com/edited"][0], events=["run.failed"])
    command.zof.console.delete(live["https://hooks.example.com/gone"][0])
    command.write("new")
    return command


def test_the_fleet_becomes_a_page(fleet: CommandLine) -> None:
    """States, overlaps, persons, removals and coverage are what the servers say; no secret is there."""
    result = fleet("status", "--format", "html", "--output", "fleet.html")
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    page = _page(fleet)
    (legacy,) = (key for key in _states(page) if key.startswith("~"))
    assert _states(page) == {
        "edited": "drifted",
        "gates": "overlap",
        "gone": "drifted",
        "new": "pending",
        "settled": "in sync",
        "untried": "unverified",
        legacy: "unmanaged",
    }
    text = " ".join(page.one("main").text.split())
    assert "No endpoint receives agent.offline, integration.error," in text
    assert "Open overlap 1" in text
    # The newest of each comes first.
    rows = [line.all("td") for line in page.all("table")[-1].one("tbody").all("tr")]
    changes = {cells[1].words: cells for cells in reversed(rows)}
    assert [changes[name][3].words for name in ("settled", "removed", "untried")] == ["grace", "linus", "ada"]
    assert [cells[2].words for cells in rows if cells[1].words == "removed"] == ["delete", "create"]
    assert all(cells[0].words.endswith("UTC") for cells in changes.values())
    _assert_no_secret_shown(fleet)


def test_drift_becomes_a_page_with_its_exit_code(fleet: CommandLine) -> None:
    """What drifted comes first, with its difference; the exit code is 2 as ever."""
    result = fleet("drift", "--format", "html", "--output", "fleet.html")
    assert result.exit_code == 2, result.stderr
    page = _page(fleet)
    cards = {card.one("a").words: card for card in page.all("article")}
    assert list(cards) == ["gone", "edited", "untried"]
    assert cards["edited"].one("del").words == "live now: run.failed"
    assert cards["edited"].one("ins").words == "declared: run.completed"
    assert fleet("apply", "--yes").exit_code == 0
    calm = fleet("drift", "--format", "html")
    assert calm.exit_code == 0
    assert "No drift: 6 webhooks as applied." in calm.stdout
    _assert_no_secret_shown(fleet)


def test_a_page_made_in_github_actions_links_to_what_it_is_about(command: CommandLine) -> None:
    """Run, commit and each manifest's line are links."""
    command.write("ci")
    github = {
        "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/hooks", "GITHUB_RUN_ID": "42",
        "GITHUB_SHA": "c" * 40, "GITHUB_WORKSPACE": str(command.folder), "GITHUB_ACTOR": "octocat",
    }  # fmt: skip
    assert command("apply", "--yes", **github).exit_code == 0
    page = read_page(command("status", "--format", "html", **github).stdout)
    repository = "https://github.com/acme/hooks"
    links = {link.attributes["href"] for link in page.one("tbody", id="webhook=ci").all("a")}
    assert links == {
        "#webhook=ci",
        f"{repository}/blob/{'c' * 40}/manifests/ci.yaml#L1",
        f"{repository}/commit/{'c' * 40}",
        f"{repository}/actions/runs/42",
    }
    assert "by octocat" in page.one("header").words


def test_receivers_are_looked_at_when_asked_for(command: CommandLine) -> None:
    """With --endpoints the page tells which receivers cannot take deliveries; without it nobody is asked."""
    command.write("ci", url="https://nowhere.example.com/ci")
    result = command("status", "--format", "html", "--endpoints")
    assert result.exit_code == 0, result.stderr
    (risk,) = read_page(result.stdout).one("details", class_="risk unreachable").all("li")
    assert risk.words.startswith("ci nowhere.example.com: ")
    assert "receivers checked" not in read_page(command("status", "--format", "html").stdout).text
    refused = command("status", "--endpoints")
    assert refused.exit_code == 64
    assert "add --format html, or use `reconciler doctor --endpoints`" in refused.stderr


def test_a_plan_becomes_a_page(fleet: CommandLine) -> None:
    """Each change with its cause and its difference, and the unmanaged endpoint; no secret is there."""
    result = fleet("plan", "--format", "html", "--output", "plan.html", "--out", "plan.json", "--exit-code")
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    page = _page(fleet, "plan.html")
    groups = {each.all("h3")[0].words: each for each in page.all("section") if each.all("h3")}
    assert {"Replace 2", "Create 1", "Resume 1", "Unmanaged 1"} <= groups.keys()
    edited = page.one("div", id="change=edited")
    assert "replace (drift): " in edited.words
    assert edited.one("del").words == "live now: run.failed"
    assert "manifests/edited.yaml:1" in edited.words
    legacy = groups["Unmanaged 1"].one("tbody")
    assert "https://legacy.example.com/" in legacy.words
    assert legacy.one("time").words.endswith("UTC")
    digest = json.loads((fleet.folder / "plan.json").read_text())["digest"]
    assert digest in page.one("main").words
    _assert_no_secret_shown(fleet)


def test_a_refused_plan_is_a_page_with_the_line_that_approves_it(command: CommandLine) -> None:
    """The exit code is 4 as ever, and what the page says to run lets exactly this plan through."""
    for name in ("a", "b", "c"):
        command.write(name)
    assert command("apply", "--yes").exit_code == 0
    for name in ("a", "b"):
        (command.folder / f"manifests/{name}.yaml").unlink()
    result = command("plan", "--format", "html")
    assert result.exit_code == 4, result.stderr
    page = read_page(result.stdout)
    assert "A guard refuses this plan" in page.one("main").words
    line = page.all("pre")[1].text
    assert command(*line.split()[1:], "--yes").exit_code == 0
    calm = command("plan", "--format", "html")
    assert calm.exit_code == 0
    assert read_page(calm.stdout).one("h2").words == "No changes: 1 webhook matches its manifest."


@pytest.mark.parametrize(
    ("what", "tag", "place"), [("plan", "div", "change"), ("status", "tbody", "webhook")]
)
def test_an_organization_that_cannot_be_read_is_missed(
    command: CommandLine, what: str, tag: str, place: str
) -> None:
    """One page for two organizations: where one fails it is named, and the exit code is the failure's."""
    command.write("ci")
    name = command.environment["ZOF_ORGANIZATION"]
    (command.folder / "reconciler.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations:\n"
        f"- name: {name}\n- name: lost\n  api: {{keyEnv: ZOF_NO_SUCH_KEY}}\n",
        encoding="utf-8",
    )
    result = command(what, "--format", "html", ZOF_ORGANIZATION=None)
    assert result.exit_code == 3
    page = read_page(result.stdout)
    assert page.one("p", class_="alert").words.startswith("lost could not be read")
    assert page.one(tag, id=f"{place}={name}/ci").words
    result = command(what, "--format", "html", "--organization", "lost", "--output", "none.html")
    assert result.exit_code == 3
    assert not (command.folder / "none.html").exists()
