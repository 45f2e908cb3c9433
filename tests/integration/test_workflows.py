"""Our workflows for real: each job's commands in order, against the sandbox, OpenBao and a fake GitHub."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.fixtures.browser import find_chromium
from tests.fixtures.ci import ORGANIZATION, accessors, forget
from tests.fixtures.github import TOKEN, FakeGitHub
from tests.fixtures.page import read_page
from tests.fixtures.runner import Event, Job, Runner, template

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from reconciler.sandbox.zof_server import ZofServer
    from tests.fixtures.browser import Window
    from tests.fixtures.oidc import Issuer

PREVIEW, APPLY, DRIFT = (template(name) for name in ("preview", "apply", "drift"))
PULL = 7


class Repository:
    """A user's repository: commits, pull requests, and what its workflows do."""

    def __init__(
        self, folder: Path, zof: ZofServer, vault: OpenBaoServer, hub: FakeGitHub, issuer: Issuer
    ) -> None:
        self.folder = folder / "origin"
        self.folder.mkdir()
        self.zof, self.vault, self.hub = zof, vault, hub
        self._git("init", "-q", "-b", "main")
        self._git("config", "uploadpack.allowAnySHA1InWant", "true")
        organization = {"name": ORGANIZATION, "manifests": ["manifests"], "api": {"url": zof.url}}
        config = {"apiVersion": "webhooks.zof.ai/v1", "kind": "Config", "organizations": [organization]}
        (self.folder / "reconciler.yaml").write_text(json.dumps(config))
        self._git("add", "-A")
        self._git("commit", "-q", "-m", "begin")
        self.runner = Runner(folder, self.folder, hub, issuer)
        given = {"vars": {"VAULT_ADDR": vault.address}, "secrets": {"ZOF_API_KEY": zof.key.reveal()}}
        self.runner.environments = {"webhooks-plan": given, "webhooks-apply": given}
        self.begun = ""
        """The commit of the first apply."""
        self.logs: list[str] = []
        self.pages: list[str] = []
        """The fleet's page as each scheduled job saved it."""

    def _git(self, *args: str) -> str:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        done = subprocess.run(
            ["git", *who, *args], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, branch: str, **webhooks: list[str]) -> str:
        """Commit manifests with these events (none: the manifest goes) to a branch; return the commit."""
        exists = self._git("branch", "--list", branch)
        self._git("checkout", "-q", *([branch] if exists else ["-b", branch, "main"]))
        (self.folder / "manifests").mkdir(exist_ok=True)
        for name, events in webhooks.items():
            file = self.folder / f"manifests/{name}.yaml"
            spec = {"url": f"https://hooks.example.com/{name}", "events": events}
            manifest = {
                "apiVersion": "webhooks.zof.ai/v1", "kind": "Webhook",
                "metadata": {"name": name, "labels": {"team": "platform"}}, "spec": spec,
            }  # fmt: skip
            file.write_text(json.dumps(manifest, indent=2)) if events else file.unlink()
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", "change webhooks")
        return self._git("rev-parse", "HEAD")

    def preview(self, head: str, *, repository: str = "acme/webhooks") -> dict[str, Job]:
        """Run the preview of a pull request whose last commit is `head`."""
        self._git("checkout", "-q", "--detach", "main")
        self._git("merge", "-q", "--no-ff", "-m", "merge", head)
        merge = self._git("rev-parse", "HEAD")
        pull = {"number": PULL, "head": {"sha": head, "repo": {"full_name": repository}}}
        return self._run(
            PREVIEW, Event("pull_request", merge, f"refs/pull/{PULL}/merge", {"pull_request": pull})
        )

    def queue(self, head: str) -> tuple[str, dict[str, Job]]:
        """Run the preview of a merge queue's group with one pull request; merge it, and return its commit."""
        self._git("checkout", "-q", "main")
        self._git("merge", "-q", "--no-ff", "-m", "merged by the queue", head)
        commit = self._git("rev-parse", "HEAD")
        ref = f"refs/heads/gh-readonly-queue/main/pr-{PULL}-{commit}"
        jobs = self._run(PREVIEW, Event("merge_group", commit, ref, {"merge_group": {"head_sha": commit}}))
        self.hub.merge(PULL, head=head, commit=commit)
        return commit, jobs

    def squash(self, head: str) -> str:
        """Merge a pull request as one commit; return it."""
        self._git("checkout", "-q", "main")
        self._git("merge", "-q", "--squash", head)
        self._git("commit", "-q", "--allow-empty", "-m", "merged")
        commit = self._git("rev-parse", "HEAD")
        self.hub.merge(PULL, head=head, commit=commit)
        return commit

    def apply(self, commit: str, event: str = "push", *, actor: str = "ada") -> Job:
        """Run the apply of a commit on main."""
        return self._run(APPLY, Event(event, commit, actor=actor))["apply"]

    def drift(self, *, heal: bool = False, actor: str = "ada") -> dict[str, Job]:
        """Run the scheduled job."""
        self.runner.vars = {"WEBHOOKS_HEAL": "true"} if heal else {}
        return self._run(DRIFT, Event("schedule", self._git("rev-parse", "main"), actor=actor))

    def _run(self, workflow: str, event: Event) -> dict[str, Job]:
        before = accessors(self.vault)
        jobs = self.runner.run(workflow, event)
        self.logs += [job.log + job.summary for job in jobs.values()]
        if workflow == DRIFT and jobs["drift"].result == "success":
            self.pages.append(self.fleet)
        assert accessors(self.vault) == before, "a token is left"
        return jobs

    @property
    def live(self) -> dict[str, list[str]]:
        """Events of the live endpoints, by the webhook's name."""
        return {each.url.rpartition("/")[2]: sorted(each.events) for each in self.zof.console.list()}

    @property
    def fleet(self) -> str:
        """The fleet's page that the newest scheduled job saved."""
        return self.hub.download("webhooks-fleet-all", "fleet.html")

    def audited(self) -> list[dict[str, Any]]:
        """Return the audit log that the newest run which applied has saved."""
        return [
            json.loads(line) for line in self.hub.download("webhooks-audit-all", "audit.jsonl").splitlines()
        ]

    @property
    def comment(self) -> str:
        """The one comment that there is."""
        (comment,) = self.hub.comments
        return str(comment["body"])


@pytest.fixture
def repository(
    tmp_path: Path, zof: ZofServer, ci_vault: OpenBaoServer, issuer: Issuer
) -> Iterator[Repository]:
    """Give a repository with the webhook `ci`, live; at the end nothing secret may have been told."""
    with FakeGitHub() as hub:
        repository = Repository(tmp_path, zof, ci_vault, hub, issuer)
        repository.begun = repository.commit("main", ci=["run.completed"])
        job = repository.apply(repository.begun)
        assert job.result == "success", job.log
        assert "limited by the guards alone" in job.summary
        assert repository.live == {"ci": ["run.completed"]}
        yield repository
        told = "".join(repository.logs + repository.pages) + "".join(
            str(each["body"]) for each in hub.comments + hub.issues
        )
        for secret in (TOKEN, zof.key.reveal(), "canary", "whsec_"):
            assert secret not in told
        forget(ci_vault)


class Shown(Struct, frozen=True):
    """What the fleet's page says."""

    headline: str
    states: dict[str, str]
    """How each webhook stands."""
    history: dict[str, tuple[str, str]]
    """Who changed each webhook last, and the commit that is linked."""

    @classmethod
    def by(cls, text: str) -> Shown:
        """Read a page."""
        page = read_page(text)
        changes = [line.all("td") for line in page.all("table")[-1].one("tbody").all("tr")]
        return cls(
            page.one("h2", id="summary").words,
            {
                each.one("a", class_="name").words: each.attributes["data-state"] or ""
                for each in page.all("tbody", class_="entry")
            },
            {
                name.words: (who.words, (commit.one("a").attributes["href"] or "").rpartition("/")[2])
                for _, name, _, who, commit, _ in changes
            },
        )


def _look(window: Window, text: str, state: str) -> None:
    """Look at the webhook `alerts` of a page, which is in this state, in the browser."""
    with window.open(text, "#webhook=alerts") as opened:
        assert opened.page.locator("#webhook\\=alerts .state").inner_text() == state
        assert opened.page.get_by_text("Found: endpoint-removed").is_visible() is (state == "drifted")
        assert opened.page.get_by_role("columnheader", name="By", exact=True).is_visible()
        assert (opened.requests, opened.complaints, opened.violations()) == ([], [], [])


def test_the_whole_story(repository: Repository, request: pytest.FixtureRequest) -> None:
    """A preview comments, the next changes it, a merge applies it; drift has an issue until it is healed.

    The fleet's page, which the scheduled job saves, shows each stage and who is behind it.
    """
    head = repository.commit("feature", alerts=["run.failed"])
    jobs = repository.preview(head)
    assert [jobs["validate"].result, jobs["plan"].result] == ["success", "success"], jobs["plan"].log
    assert "**create** `alerts`" in repository.comment
    assert "+ event: run.failed" in repository.comment
    assert "**create** `alerts`" in jobs["plan"].summary

    head = repository.commit("feature", alerts=["run.completed"])
    repository.preview(head)
    assert "+ event: run.completed" in repository.comment
    assert "run.failed" not in repository.comment
    assert repository.live.keys() == {"ci"}

    merged = repository.squash(head)
    job = repository.apply(merged, actor="grace")
    assert job.result == "success", job.log
    assert f"reviewed: the plan of pull request #{PULL} at {head[:12]}" in job.log
    assert "Applied to `acme-prod`" in job.summary
    assert "guards alone" not in job.summary
    assert repository.live == {"ci": ["run.completed"], "alerts": ["run.completed"]}
    audited = repository.audited()
    assert [(each["event"], each["name"]) for each in audited] == [
        ("create endpoint", "alerts"), ("create", "alerts"),
    ]  # fmt: skip
    assert audited[0]["request_id"].startswith("req_")
    assert {(each["actor"], each["commit"]) for each in audited} == {("grace", merged)}

    assert repository.drift()["drift"].result == "success"
    assert repository.hub.issues == []
    in_sync = Shown(
        "All 2 webhooks are in sync.",
        {"ci": "in sync", "alerts": "in sync"},
        {"ci": ("ada", repository.begun), "alerts": ("grace", merged)},
    )
    assert Shown.by(repository.fleet) == in_sync

    (lost,) = (each for each in repository.zof.console.list() if each.url.endswith("/alerts"))
    repository.zof.console.delete(lost.id)
    for _ in range(2):
        jobs = repository.drift()
        assert (jobs["drift"].result, jobs["heal"].result) == ("success", "skipped"), jobs["drift"].log
    (issue,) = repository.hub.issues
    assert (issue["state"], issue["title"]) == ("open", "Webhooks have drifted")
    assert "`alerts`" in issue["body"]
    assert "platform" in issue["body"]
    assert Shown.by(repository.fleet) == replace(
        in_sync,
        headline="1 of 2 webhooks is not in sync: 1 drifted.",
        states={"ci": "in sync", "alerts": "drifted"},
    )
    due = read_page(repository.fleet).one("tbody", id="webhook=alerts").one("div", class_="due").words
    assert "Found: endpoint-removed (live). Fix: reconciler apply creates a new one" in due

    jobs = repository.drift(heal=True, actor="linus")
    assert (jobs["drift"].result, jobs["heal"].result) == ("success", "success"), jobs["heal"].log
    assert repository.live == {"ci": ["run.completed"], "alerts": ["run.completed"]}
    assert [each["state"] for each in repository.hub.issues] == ["closed"]
    assert "**Healed.** It was:" in repository.hub.issues[0]["body"]
    assert {(each["name"], each["actor"]) for each in repository.audited()} == {("alerts", "linus")}
    assert repository.drift()["drift"].outputs == {"found": "false", "due": "false"}
    healed = {**in_sync.history, "alerts": ("linus", merged)}
    assert Shown.by(repository.fleet) == replace(in_sync, history=healed)

    if find_chromium() is not None:
        window = request.getfixturevalue("window")
        for text, state in zip(repository.pages[-2:], ("drifted", "in sync"), strict=True):
            _look(window, text, state)


def test_an_issue_is_closed_when_somebody_else_healed(repository: Repository) -> None:
    """Drift that goes by itself, say by the next apply, closes the issue the next time that the job looks."""
    (lost,) = repository.zof.console.list()
    repository.zof.console.delete(lost.id)
    repository.drift()
    applied = repository.apply(repository.commit("main"), "workflow_dispatch")
    assert applied.result == "success", applied.log
    assert "Get the reviewed plan" not in applied.ran
    repository.drift()
    assert [each["state"] for each in repository.hub.issues] == ["closed"]
    assert "**The drift is gone.** It was:" in repository.hub.issues[0]["body"]


def test_a_merge_applies_nothing_that_was_not_reviewed(repository: Repository) -> None:
    """What came into the merge after the preview is refused, and nothing at all is changed."""
    head = repository.commit("feature", alerts=["run.failed"])
    repository.preview(head)
    repository.commit("main", sneaked=["run.completed"])
    job = repository.apply(repository.squash(head))
    assert job.result == "failure"
    assert "review: sneaked: create was not reviewed" in job.summary
    assert repository.live.keys() == {"ci"}


def test_a_merge_queue_applies_what_its_group_was_planned_to_do(repository: Repository) -> None:
    """The group's commit is planned without a comment, and its plan is what limits the apply."""
    head = repository.commit("feature", alerts=["run.failed"])
    repository.preview(head)
    repository.commit("main", earlier=["run.completed"])
    commit, jobs = repository.queue(head)
    assert [jobs["validate"].result, jobs["plan"].result] == ["success", "success"], jobs["plan"].log
    assert "**create** `earlier`" in jobs["plan"].summary
    assert "fork" not in jobs["validate"].summary
    assert "earlier" not in repository.comment
    job = repository.apply(commit)
    assert job.result == "success", job.log
    assert f"reviewed: the plan of the merge group at {commit[:12]}" in job.log
    assert repository.live.keys() == {"ci", "earlier", "alerts"}


def test_a_refused_plan_is_shown_and_fails_the_check(repository: Repository) -> None:
    """A guard's refusal is in the comment with the line that approves it, and the check is red."""
    repository.apply(
        repository.commit("main", **{f"w{n}": ["run.completed"] for n in range(3)}), "workflow_dispatch"
    )
    head = repository.commit("feature", w0=[], w1=[], w2=[])
    job = repository.preview(head)["plan"]
    assert job.result == "failure"
    assert "A guard refuses this plan" in repository.comment
    assert "guards: {approve: [sha256:" in repository.comment
    assert repository.hub.download(f"webhooks-plan--{head}", "plan.json"), (
        "a reviewed approval is bounded, too"
    )


def test_a_commit_that_cannot_be_planned_takes_the_older_plan_away(repository: Repository) -> None:
    """Where the preview fails, the comment says so: nobody reviews what is no longer true."""
    head = repository.commit("feature", alerts=["run.failed"])
    repository.preview(head)
    given = repository.runner.environments["webhooks-plan"]
    repository.runner.environments["webhooks-plan"] = {**given, "secrets": {"ZOF_API_KEY": "wrong"}}
    job = repository.preview(repository.commit("feature", alerts=["run.completed"]))["plan"]
    assert job.result == "failure"
    assert "### No plan" in repository.comment
    assert "https://github.com/acme/webhooks/actions/runs/42" in repository.comment
    assert "alerts" not in repository.comment
    assert len([each for each in repository.hub.artifacts if "plan" in each["name"]]) == 1


def test_invalid_manifests_are_annotated(repository: Repository) -> None:
    """A mistake becomes an annotation at its line, and takes an older commit's plan away."""
    repository.preview(repository.commit("feature", alerts=["run.failed"]))
    assert "**create** `alerts`" in repository.comment
    asked = len(repository.zof.requests)
    jobs = repository.preview(repository.commit("feature", alerts=["run.complete"]))
    assert [jobs["validate"].result, jobs["plan"].result] == ["failure", "failure"]
    assert "::error file=manifests/alerts.yaml,line=" in jobs["validate"].log
    assert "### No plan" in repository.comment
    assert "alerts" not in repository.comment
    assert len(repository.zof.requests) == asked


def test_a_forks_pull_request_is_checked_without_any_key(repository: Repository) -> None:
    """It is validated, its changes are in the summary with the reason, and nothing was asked of anybody."""
    head = repository.commit("feature", alerts=["run.failed"])
    asked = len(repository.zof.requests)
    jobs = repository.preview(head, repository="mallory/webhooks")
    assert [jobs["validate"].result, jobs["plan"].result] == ["success", "skipped"]
    summary = jobs["validate"].summary
    assert "comes from a fork" in summary
    assert '    +    "name": "alerts",' in summary
    assert "ci.yaml" not in summary
    assert repository.hub.comments == []
    assert repository.hub.requests[-1].path.startswith("/repos/acme/webhooks/commits/"), "the fixture's apply"
    assert len(repository.zof.requests) == asked


def test_a_fork_hides_no_change_from_the_summary(repository: Repository) -> None:
    """Attributes in its branch, other suffixes and policies make no difference."""
    repository.commit("feature")
    (repository.folder / ".gitattributes").write_text("* -diff\n", encoding="utf-8")
    (repository.folder / "manifests/hidden.YAML").write_text("# hidden manifest\n", encoding="utf-8")
    (repository.folder / "policy.json").write_text('{"not": "hidden policy"}\n', encoding="utf-8")
    summary = repository.preview(repository.commit("feature"), repository="mallory/webhooks")[
        "validate"
    ].summary
    assert "    +# hidden manifest" in summary
    assert '    +{"not": "hidden policy"}' in summary


def test_a_fork_does_not_break_out_of_its_code(repository: Repository) -> None:
    """Whatever a manifest holds, each line of the summary that comes from it stays in the code block."""
    file = repository.folder / "manifests/ci.yaml"
    breakout = "# Approved\r<img src=https://evil.example.com>\r\n\n```\n# Plan\u2028<b>\n"
    repository.commit("feature")
    file.write_bytes(file.read_bytes() + f"\n# {breakout}".encode())
    job = repository.preview(repository.commit("feature"), repository="mallory/webhooks")["validate"]
    code = job.summary.partition("gets the plan.\n\n")[2]
    assert "evil.example.com" in code
    assert all(line.startswith("    ") for line in code.removesuffix("\n").split("\n"))


def test_a_forks_large_change_is_cut(repository: Repository) -> None:
    """More than a summary can hold is cut off, and the check is about the manifests alone."""
    head = repository.commit("feature", **{f"webhook-{n}": ["run.failed"] for n in range(800)})
    job = repository.preview(head, repository="mallory/webhooks")["validate"]
    assert job.result == "success", job.log
    assert 200_000 < len(job.summary) < 300_000


def test_another_branch_applies_nothing(repository: Repository) -> None:
    """Started by hand on a branch, the job does not even begin; nor would Vault let it in."""
    head = repository.commit("feature", alerts=["run.failed"])
    jobs = repository.runner.run(APPLY, Event("workflow_dispatch", head, "refs/heads/feature"))
    assert jobs["apply"].result == "skipped"
    unguarded = APPLY.replace("if: github.ref == 'refs/heads/main'", "if: ${{ true }}")
    jobs = repository.runner.run(unguarded, Event("workflow_dispatch", head, "refs/heads/feature"))
    assert jobs["apply"].result == "failure"
    assert "Vault refused the JWT login with role reconciler-apply" in jobs["apply"].log
    assert repository.live.keys() == {"ci"}


def test_a_pull_request_that_changes_the_workflow_cannot_apply(repository: Repository) -> None:
    """A preview that was rewritten to apply is refused by Vault, in whichever environment it says it is."""
    head = repository.commit("feature", alerts=["run.failed"])
    for environment in ("webhooks-plan", "webhooks-apply"):
        rewritten = (
            PREVIEW.replace("reconciler plan", "reconciler apply --yes")
            .replace("VAULT_ROLE: reconciler-plan", "VAULT_ROLE: reconciler-apply")
            .replace("environment: webhooks-plan", f"environment: {environment}")
            .replace('--output "$RUNNER_TEMP/plan.md" --out "$RUNNER_TEMP/plan.json"', "")
        )
        pull = {"number": PULL, "head": {"sha": head, "repo": {"full_name": "acme/webhooks"}}}
        event = Event("pull_request", head, f"refs/pull/{PULL}/merge", {"pull_request": pull})
        job = repository.runner.run(rewritten, event)["plan"]
        assert "Vault refused the JWT login with role reconciler-apply" in job.log
    assert repository.live.keys() == {"ci"}


def test_two_thousand_changes_make_a_comment(repository: Repository) -> None:
    """GitHub accepts the comment of a plan of 2,000 changes, and it says how many are not shown."""
    head = repository.commit(
        "feature", **{f"webhook-{n}": ["run.completed", "run.failed"] for n in range(2000)}
    )
    job = repository.preview(head)["plan"]
    assert job.result == "success", job.log
    assert "2,000 to create" in repository.comment
    assert "changes not shown here" in repository.comment
    assert "[the run's log](https://github.com/acme/webhooks/actions/runs/42)" in repository.comment
    assert all(f" create webhook-{n}  (" in job.log for n in range(2000)), "the whole plan is in the log"
