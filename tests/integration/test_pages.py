"""The tutorial and the guides for pipelines: their commands work, and their outputs are real."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.openbao import OpenBaoServer
from tests.fixtures.ci import ORGANIZATION, Administrator, forget
from tests.fixtures.command import CommandLine
from tests.fixtures.github import FakeGitHub
from tests.fixtures.mailbox import Mailbox
from tests.fixtures.operator import Operator
from tests.fixtures.pages import DOCS, ROOT, Page
from tests.fixtures.runner import template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.sandbox.zof_server import ZofServer
    from tests.fixtures.oidc import Issuer

TUTORIAL = Page(
    "docs/tutorial/first-webhook", api="http://127.0.0.1:37661/v1", vault="http://127.0.0.1:51087"
)
GITHUB, PULLS, MERGING, DRIFT, GITLAB, KUBERNETES, NOTIFICATIONS, FAILED, UNDO = (
    Page(f"docs/howto/{name}")
    for name in (
        "set-up-github",
        "preview-pull-requests",
        "apply-on-merge",
        "detect-drift",
        "gitlab",
        "kubernetes",
        "notifications",
        "fix-a-failed-job",
        "undo",
    )
)
PATIENT = Behavior(rate_limit=1_000_000)


@pytest.fixture
def hub() -> Iterator[FakeGitHub]:
    """Give GitHub."""
    with FakeGitHub() as server:
        yield server


@pytest.fixture
def operator(
    tmp_path: Path, zof: ZofServer, ci_vault: OpenBaoServer, hub: FakeGitHub, issuer: Issuer
) -> Iterator[Operator]:
    """Give somebody who has set Vault and GitHub up and begun a repository, as the guide says."""
    operator = Operator(tmp_path, zof, ci_vault, hub, issuer)
    operator.do(GITHUB.block("begin"), tmp_path)
    yield operator
    forget(ci_vault)


def _comment(hub: FakeGitHub) -> str:
    """Return the one comment as GitHub shows it: without the mark."""
    (comment,) = hub.comments
    return str(comment["body"]).partition("\n")[2]


def _write(operator: Operator, *names: str, branch: str = "main") -> None:
    """Commit manifests like the one on the page, and push them."""
    for name in names:
        text = PULLS.block("manifest").replace("alerts", name)
        (operator.clone / f"manifests/{name}.yaml").write_text(text, encoding="utf-8")
    operator.do(f"git add --all && git commit -q -m more && git push -q origin HEAD:{branch}")


def _approve(operator: Operator, hub: FakeGitHub) -> None:
    """Add the line that the comment shows to the organization, and push it."""
    line = _comment(hub).partition("```yaml\n")[2].partition("\n")[0]
    config, place = operator.clone / "reconciler.yaml", "    manifests: [manifests]\n"
    config.write_text(config.read_text().replace(place, f"{place}    {line}\n"))
    operator.do("git commit -q -a -m approve && git push -q")


def _live(zof: ZofServer) -> set[str]:
    return {each.url.rpartition("/")[2] for each in zof.console.list()}


def _delete(zof: ZofServer, name: str) -> None:
    """Delete an endpoint in the console."""
    (lost,) = (each for each in zof.console.list() if each.url.endswith(f"/{name}"))
    zof.console.delete(lost.id)


def _propose(operator: Operator) -> None:
    """Do what the page on pull requests says, up to opening one."""
    (operator.clone / "manifests/alerts.yaml").write_text(PULLS.block("manifest"), encoding="utf-8")
    operator.do(PULLS.block("branch"))


# --- the tutorial -------------------------------------------------------------------------------------------


def test_the_tutorial(ci: CommandLine) -> None:
    """Each step of the tutorial works, and shows what the page shows."""
    root = {"VAULT_TOKEN": ci.vault.root_token.reveal()}
    assert ci("init", ".", "--organization", ORGANIZATION).exit_code == 0
    manifest = ci.folder / "manifests/example.yaml"
    TUTORIAL.hold("manifest", manifest.read_text())
    TUTORIAL.hold("validate", ci("validate").stdout)
    TUTORIAL.hold("plan", ci("plan", **root).stdout)
    applied = ci("apply", "--yes", **root)
    assert applied.exit_code == 0, applied.stderr
    TUTORIAL.hold("apply", applied.stdout[applied.stdout.index("  ✓") :])
    assert ci.document("ci-run-results")["signing_secret"]
    manifest.write_text(manifest.read_text().replace("- run.failed\n", "- run.failed\n    - run.started\n"))
    TUTORIAL.hold("change", ci("plan", **root).stdout)
    assert ci("apply", "--yes", **root).exit_code == 0
    (endpoint,) = ci.zof.console.list()
    assert endpoint.id in ci("status", **root).stdout
    ci.zof.console.delete(endpoint.id)
    drifted = ci("drift", **root)
    assert drifted.exit_code == 2
    TUTORIAL.hold("drift", drifted.stdout)
    assert ci("apply", "--yes", **root).exit_code == 0
    TUTORIAL.hold("repaired", ci("drift", **root).stdout)


# --- GitHub -------------------------------------------------------------------------------------------------


def test_the_way_from_nothing_to_healed_drift(
    operator: Operator, hub: FakeGitHub, zof: ZofServer, ci_vault: OpenBaoServer
) -> None:
    """Begin, preview, merge, drift, heal, revert: each page's commands work and show what it shows."""
    first = operator.apply()
    assert first.result == "success", first.log
    GITHUB.hold("first-run", first.summary)

    _propose(operator)
    jobs = operator.preview("alerts")
    assert [job.result for job in jobs.values()] == ["success", "success"], jobs["plan"].log
    PULLS.hold("comment", _comment(hub))
    assert _comment(hub).strip() == jobs["plan"].summary.strip()
    assert any(each["name"].startswith("webhooks-plan--") for each in hub.artifacts)

    operator.merge("alerts")
    applied = operator.apply()
    assert applied.result == "success", applied.log
    MERGING.hold("summary", applied.summary)
    MERGING.hold("reviewed", applied.log.partition("\n")[0])
    assert ci_vault.request("GET", f"secret/data/webhooks/{ORGANIZATION}/alerts")

    looked = operator.drift()["drift"]
    assert (looked.result, hub.issues) == ("success", []), looked.log
    DRIFT.hold("none", looked.summary)
    _delete(zof, "alerts")
    looked = operator.drift()["drift"]
    assert looked.result == "success", looked.log
    (issue,) = hub.issues
    assert issue["title"] == "Webhooks have drifted"
    DRIFT.hold("issue", issue["body"].partition("\n")[2])
    assert operator.drift(heal=True)["heal"].result == "success"
    assert _live(zof) == {"alerts"}
    assert issue["state"] == "closed"

    operator.do(UNDO.block("revert"))
    assert operator.preview("revert-alerts")["plan"].result == "failure", "the last webhook is guarded"
    assert "empty: " in _comment(hub)
    _approve(operator, hub)
    assert operator.preview("revert-alerts")["plan"].result == "success"
    assert "**1 to delete**" in _comment(hub)
    operator.merge("revert-alerts")
    assert operator.apply().result == "success"
    assert _live(zof) == set()


def test_what_can_go_wrong_in_a_pull_request(operator: Operator, hub: FakeGitHub) -> None:
    """A mistake, a refusal and a job without a key look as the page says."""
    _write(operator, "ci", "gates", "nightly", "approvals")
    assert operator.apply().result == "success"
    _propose(operator)
    mistake = operator.clone / "manifests/alerts.yaml"
    mistake.write_text(mistake.read_text().replace("run.failed", "run.fail"))
    operator.do("git commit -q -a -m typo && git push -q")
    jobs = operator.preview("alerts")
    assert [job.result for job in jobs.values()] == ["failure", "failure"]
    FAILED.hold("annotation", jobs["validate"].log)

    operator.do("git switch -q -c fewer main && git rm -q manifests/{ci,gates,nightly}.yaml")
    operator.do("git commit -q -m fewer && git push -q -u origin fewer")
    assert operator.preview("fewer")["plan"].result == "failure"
    FAILED.hold("refused", _comment(hub))
    _approve(operator, hub)
    approved = operator.preview("fewer")["plan"]
    assert approved.result == "success", approved.log
    operator.merge("fewer")
    applied = operator.apply()
    assert applied.result == "success", applied.log

    operator.runner.environments = {}
    job = operator.preview("fewer")["plan"]
    assert job.result == "failure"
    assert "ZOF_API_KEY is not set" in job.log or "VAULT_ADDR is not set" in job.log
    FAILED.hold("no-plan", _comment(hub))


def test_what_can_go_wrong_at_a_merge(operator: Operator, zof: ZofServer) -> None:
    """More than was reviewed, a deaf receiver and what is due later are as the page says."""
    _propose(operator)
    assert operator.preview("alerts")["plan"].result == "success"
    operator.do("git switch -q main")
    _write(operator, "sneaked")
    operator.merge("alerts")
    refused = operator.apply()
    assert refused.result == "failure"
    said = refused.summary
    FAILED.hold("beyond", said[said.index("> [!CAUTION]") : said.index("\n\n**create**")])
    assert _live(zof) == set()

    zof.behavior = Behavior(test_result="fail", rate_limit=1_000_000)
    operator.do("git pull -q && git rm -q manifests/sneaked.yaml && git commit -q -m x && git push -q")
    deaf = operator.apply("workflow_dispatch")
    assert deaf.result == "failure"
    why = {"the sandbox was told to fail deliveries": "…"}
    FAILED.hold("unverified", deaf.summary[deaf.summary.index("### Partly") :], why)
    zof.behavior = PATIENT
    file = operator.clone / ".github/workflows/webhooks-apply.yml"
    trigger = MERGING.block("schedule")
    file.write_text(file.read_text().replace("on:\n", trigger, 1))
    assert set(yaml.safe_load(file.read_text())[True]) == {
        "push", "schedule", "workflow_call", "workflow_dispatch",
    }  # fmt: skip
    scheduled = operator.apply("schedule")
    assert scheduled.result == "success", scheduled.log
    assert "Get the reviewed plan" not in scheduled.ran


def test_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zof: ZofServer, issuer: Issuer) -> None:
    """The files get the names that are put in, and with the settings of the page a job applies by them."""
    organization, prefix = "beta.example", "webhooks/beta.example"
    with OpenBaoServer() as server:
        admin = Administrator(server, tmp_path)
        admin.do("vault secrets enable -path=kv -version=2 kv", ".")
        admin.set_up(issuer, path="github", organization=organization, repository="Beta/Hooks", mount="kv")
        for file in (tmp_path / "my-vault").iterdir():
            rules = [line for line in file.read_text().splitlines() if not line.startswith("#")]
            assert not any(name in line for line in rules for name in ("acme", '"secret/')), file.name
        monkeypatch.chdir(tmp_path)
        environment = {"ZOF_API_URL": zof.url, "ZOF_API_KEY": zof.key.reveal(), "VAULT_ADDR": server.address}
        command = CommandLine(tmp_path, environment, zof, server, prefix)
        assert command("init", "--organization", organization).exit_code == 0
        auth = "{method: jwt, mount: github, role: reconciler-apply}"
        assert f"`vault: {{auth: {auth}}}`" in Page("docs/howto/set-up-vault").text
        with Path("reconciler.yaml").open("a") as config:
            config.write(f"    vault: {{mount: kv, auth: {auth}}}\n")
        who = {"repository": "Beta/Hooks", "aud": "https://github.com/Beta"}
        applied = command("apply", "--yes", **issuer.job("webhooks-apply", **who))
        assert applied.exit_code == 0, applied.stderr
        job = issuer.job("webhooks-plan", event="pull_request", **who)
        planned = command("plan", VAULT_ROLE="reconciler-plan", **job)
        assert planned.stdout.startswith("No changes. 1 webhook"), planned.stderr
        assert server.request("GET", f"kv/data/{prefix}/ci-run-results")


def test_the_way_back(tmp_path: Path, zof: ZofServer, hub: FakeGitHub, issuer: Issuer) -> None:
    """After the commands to undo the set-up no job gets in."""
    with OpenBaoServer() as server:
        admin = Administrator(server, tmp_path)
        admin.set_up(issuer)
        folder = tmp_path / "github"
        folder.mkdir()
        operator = Operator(folder, zof, server, hub, issuer)
        operator.do(GITHUB.block("begin"), folder)
        assert operator.apply().result == "success"
        admin.do(UNDO.block("undo-github"))
        job = operator.apply()
        assert job.result == "failure"
        assert "Vault refused the JWT login with role reconciler-apply" in job.log


# --- elsewhere ----------------------------------------------------------------------------------------------


def test_gitlabs_page(ci: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The AppRoles that its commands make serve the jobs of the file, and the logs are as it shows."""
    admin = Administrator(ci.vault, tmp_path_factory.mktemp("admin"))
    (admin.folder / "my-vault").symlink_to(ROOT / "examples/vault")
    (admin.folder / "webhook-reconciler").symlink_to(ROOT)
    copied = GITLAB.block("copy")
    assert copied.startswith(f"reconciler init webhooks --organization {ORGANIZATION}\n")
    assert ci("init", "webhooks", "--organization", ORGANIZATION).exit_code == 0
    shutil.move(ci.folder / "webhooks", admin.folder)
    admin.do(copied.partition("\n")[2], ".")
    jobs = yaml.safe_load((admin.folder / "webhooks/.gitlab-ci.yml").read_text())
    shutil.copytree(admin.folder / "webhooks", ci.folder, dirs_exist_ok=True)
    (ci.folder / "manifests/alerts.yaml").write_text(PULLS.block("manifest"), encoding="utf-8")
    lines = admin.do(GITLAB.block("approles")).splitlines()[-6:]
    logins = {
        role: {"VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id, "GITLAB_USER_LOGIN": "ada"}
        for role, role_id, secret_id in (lines[:3], lines[3:])
    }

    def run(job: str, role: str) -> tuple[int, str]:
        script = jobs[job]["script"][-1].replace('"$GITLAB_USER_LOGIN"', "ada")
        result = ci(*script.split()[1:], **logins[role])
        return result.exit_code, result.stdout

    code, log = run("plan", "reconciler-plan")
    assert code == 0
    GITLAB.hold("plan", log)
    code, log = run("apply", "reconciler-apply")
    assert code == 0
    GITLAB.hold("apply", log[log.index("  ✓") :])
    _delete(ci.zof, "alerts")
    code, log = run("drift", "reconciler-plan")
    assert code == 2
    GITLAB.hold("drift", log)
    admin.do(UNDO.block("undo-gitlab"))
    assert run("drift", "reconciler-plan")[0] == 1
    admin.do("vault auth disable approle", ".")


def test_the_page_on_kubernetes(ci: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Vault takes the role, the configuration is valid, and the pod's command says what the page shows."""
    admin = Administrator(ci.vault, tmp_path_factory.mktemp("admin"))
    (admin.folder / "my-vault").symlink_to(ROOT / "examples/vault")
    admin.do("vault auth enable kubernetes")
    admin.do(KUBERNETES.block("role"))
    admin.do("vault auth disable kubernetes")
    config = ci.folder / "reconciler.yaml"
    config.write_text(KUBERNETES.block("config"), encoding="utf-8")
    ci.write("alerts")
    assert ci("validate").exit_code == 0
    unread = ci("drift", "--no-progress")
    assert unread.exit_code == 3
    assert "the service account token" in unread.stderr
    # Whatever the login, the command says the same.
    token = {"VAULT_TOKEN": ci.vault.root_token.reveal()}
    text = config.read_text()
    config.write_text(text.replace("{method: kubernetes, role: reconciler-plan}", "{method: token}"))
    assert ci("apply", "--yes", **token).exit_code == 0
    pod = ("drift", "--no-progress")
    KUBERNETES.hold("none", ci(*pod, **token).stdout)
    ci.write("alerts", ["run.failed"])
    assert ci("apply", "--yes", **token).exit_code == 0
    ci.write("alerts")
    assert ci(*pod, **token).exit_code == 0, "an older manifest is no drift"
    ci.write("alerts", ["run.failed"])
    _delete(ci.zof, "alerts")
    drifted = ci(*pod, **token)
    assert drifted.exit_code == 2
    KUBERNETES.hold("drift", drifted.stdout)


def test_the_page_on_notifications(operator: Operator, zof: ZofServer) -> None:
    """With the settings of the page GitHub's jobs tell a mailbox what it shows; the workflows stay sound."""
    with Mailbox() as mailbox:
        tried = NOTIFICATIONS.block("try").replace("jsons://USER:PASSWORD@example.com/path", mailbox.address)
        operator.do(tried)
        assert [each["message"] for each in mailbox.received] == ["It works"]
        mailbox.requests.clear()
        operator.do(NOTIFICATIONS.block("github"))
        for name, installs in (("apply", 1), ("drift", 3)):
            text = (operator.clone / f".github/workflows/webhooks-{name}.yml").read_text()
            assert text.count("RECONCILER_NOTIFY_URLS: ${{ secrets.RECONCILER_NOTIFY_URLS }}") == installs
            assert len(text.splitlines()) == len(template(name).splitlines()) + installs
        with (operator.clone / "reconciler.yaml").open("a") as config:
            config.write(NOTIFICATIONS.block("config"))
        _write(operator, "alerts")
        told = {"secrets": {"ZOF_API_KEY": zof.key.reveal(), "RECONCILER_NOTIFY_URLS": mailbox.address}}
        for given in operator.runner.environments.values():
            given.update(told)
        assert operator.apply().result == "success"
        assert mailbox.received == []
        _delete(zof, "alerts")
        looked = operator.drift()["drift"]
        assert looked.result == "success", looked.log
        (message,) = mailbox.received
        assert f"| `{message['title']}` |" in Page("docs/reference/configuration").text
        NOTIFICATIONS.hold("message", message["message"])
        zof.behavior = Behavior(test_result="fail", rate_limit=1_000_000)
        assert operator.apply().result == "failure"
        assert mailbox.received[-1]["title"] == f"Apply to {ORGANIZATION} is not finished"
        mailbox.requests.clear()
        for given in operator.runner.environments.values():
            given["secrets"] = {**told["secrets"], "ZOF_API_KEY": "wrong"}
        assert operator.drift()["drift"].result == "failure"
        assert mailbox.received == [], "that it could not look is told by the job alone"


# --- all pages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(DOCS.rglob("*.md")), ids=lambda file: file.stem)
def test_each_marked_block_is_held(file: Path) -> None:
    """A test runs or compares each marked block."""
    readers = (
        "tests/integration/test_pages.py",
        "tests/fixtures/ci.py",
        "tests/docs/test_docs.py",
        "tests/unit/manifest/lint/test_policy.py",
    )
    tests = "".join((ROOT / each).read_text() for each in readers)
    for name in Page(str(file.relative_to(ROOT).with_suffix(""))).names:
        assert f'"{name}"' in tests, name
