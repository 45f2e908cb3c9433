"""Each statement of SECURITY.md, with the test that checks it: its docstring is the statement."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from reconciler.http_client import HttpClient, NoReply, Trouble
from reconciler.manifest.lint.policy import read_policy
from reconciler.network import Network
from reconciler.plan.plan import Action, Cause, Change, Plan
from reconciler.report.plan.github import plan_github
from reconciler.report.plan.markdown import plan_markdown
from reconciler.report.plan.text import plan_text
from tests.fixtures.hostile import ENDLESS, Hostile, TickingClock
from tests.fixtures.openbao import create_token, write_policy
from tests.fixtures.plan import SERVERS
from tests.fixtures.proxy import Proxy, Reply, Request
from tests.fixtures.runner import template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.command import CommandLine
    from tests.fixtures.zof import MakeZof

ROOT = Path(__file__).resolve().parents[2]
HEAD = "apiVersion: webhooks.zof.ai/v1\nkind: Config\n"
READING = (("plan",), ("drift",), ("status",), ("export",))


def test_every_statement_has_a_test() -> None:
    """And every test a statement."""
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    stated = set(re.findall(r"^\d+\. (.*)$", page.partition("## What holds")[2], re.MULTILINE))
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    del tests["test_every_statement_has_a_test"]
    assert {test.__doc__ for test in tests.values()} == stated
    assert len(tests) == len(stated)


def _configure(command: CommandLine, api: str = "{}", **top: str) -> None:
    name, place = command.environment["ZOF_ORGANIZATION"], f"{{prefix: {command.prefix}}}"
    organization = f"{{name: {name}, vault: {place}, api: {api}}}"
    lines = [f"organizations: [{organization}]", *(f"{key}: {value}" for key, value in top.items())]
    (command.folder / "reconciler.yaml").write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


# --- servers and variables ----------------------------------------------------------------------------------


def test_servers(command: CommandLine) -> None:
    """A server that only `reconciler.yaml` names gets no credential, unless it is on loopback."""
    command.write("ci")
    _configure(command, "{url: 'https://attacker.example/v1'}")
    with Proxy(command.zof.origin) as network:
        refused = command("plan", ZOF_API_URL=None, HTTPS_PROXY=network.address)
    assert (refused.exit_code, network.requests, command.zof.requests) == (3, [], ())
    _configure(command, f"{{url: '{command.zof.url}'}}")
    assert command("plan", ZOF_API_URL=None).exit_code == 0


def test_variables(command: CommandLine) -> None:
    """`reconciler.yaml` names no credential to send, except API keys and notification addresses."""
    command.write("ci")
    for name in ("VAULT_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        _configure(command, f"{{keyEnv: {name}}}")
        assert command("plan", **{name: "canary"}).exit_code == 3
        _configure(command, notifications=f"{{urlsEnv: {name}}}")
        assert command("drift", **{name: "canary"}).exit_code == 3
    assert command.zof.requests == ()


def test_paths(command: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither `reconciler.yaml` nor a link in its folder leads to a file elsewhere that is read or quoted."""
    foreign = tmp_path_factory.mktemp("elsewhere") / "foreign.yaml"
    foreign.write_text("canary: [\n", encoding="utf-8")
    manifest = command.write("ci")
    for link in (manifest.with_name("link.yaml"), command.folder / "policy.json"):
        link.symlink_to(foreign)
    for policy in (str(foreign), os.path.relpath(foreign, command.folder), "policy.json"):
        _configure(command, policy=policy)
        result = command("validate")
        assert result.exit_code == 3
        assert "canary" not in result.output
    (command.folder / "reconciler.yaml").unlink()
    (command.folder / "reconciler.yaml").symlink_to(foreign)
    linked = command("validate")
    assert linked.exit_code == 3
    assert "canary" not in linked.output


def test_plans(command: CommandLine) -> None:
    """A plan names its servers, and a reviewed plan is not applied to others."""
    command.write("ci")
    shown = command("plan", "--out", "plan.json").stdout
    assert f"API: {command.zof.url}  Vault: {command.vault.address}  Path: secret/{command.prefix}\n" in shown
    elsewhere = ("--vault-prefix", f"{command.prefix}-elsewhere")
    assert command("apply", "--plan", "plan.json", "--yes", *elsewhere).exit_code == 4
    assert command.live == {}


def test_records(command: CommandLine, make_zof: MakeZof) -> None:
    """An API whose URL is not the one in Vault's record gets no request."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    other = make_zof()
    for args in (*READING, ("apply", "--yes"), ("test",), ("doctor",)):
        assert command(*args, ZOF_API_URL=other.url).exit_code == 3
    assert other.requests == ()


def test_plain_http(command: CommandLine) -> None:
    """Credentials are sent over plain HTTP on loopback only."""
    command.write("ci")
    with Proxy(command.zof.origin) as network:
        for name in ("ZOF_API_URL", "VAULT_ADDR"):
            result = command("plan", **{name: "http://host.example.com", "HTTP_PROXY": network.address})
            assert result.exit_code == 3
    assert (network.requests, command.zof.requests) == ([], ())


@pytest.mark.parametrize("status", [302, 307])
def test_redirects(command: CommandLine, status: int) -> None:
    """No redirect is followed with a credential."""
    command.write("ci")
    with Proxy(command.zof.origin) as target, Proxy(command.zof.origin) as server:
        server.script = lambda request: Reply(status, "", {"Location": f"{target.address}{request.path}"})
        assert command("plan", ZOF_API_URL=f"{server.address}/v1").exit_code == 1
        assert command("plan", VAULT_ADDR=server.address).exit_code == 1
    assert server.requests != []
    assert target.requests == []


# --- what a run may do --------------------------------------------------------------------------------------


def test_previews(command: CommandLine) -> None:
    """A preview sends no request that changes something, and reads no secret."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    command.write("ci", events=["run.failed"])
    with Proxy(command.zof.origin) as api, Proxy(command.vault.address) as vault:
        command.environment["VAULT_ADDR"] = vault.address
        for args in READING:
            assert command(*args).exit_code in {0, 2}
        sent = len(command.zof.requests)
    assert {request.method for request in vault.requests} == {"GET"}
    assert not [request.path for request in vault.requests if "/data/" in request.path]
    assert {request.method for request in command.zof.requests[sent - len(READING) :]} == {"GET"}
    assert api.requests == []


def test_policies_for_previews(command: CommandLine) -> None:
    """The Vault policy for previews denies secrets and writes."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    rules = (ROOT / "examples/vault/plan.hcl").read_text(encoding="utf-8")
    policy = f"plan-{command.environment['ZOF_ORGANIZATION']}"
    write_policy(command.vault, policy, rules.replace("webhooks/acme-prod", command.prefix))
    token = create_token(command.vault, policy).reveal()
    assert command("plan", VAULT_TOKEN=token).exit_code == 0
    command.write("more")
    refused = command("apply", "--yes", VAULT_TOKEN=token)
    assert refused.exit_code in {1, 5}
    assert list(command.live) == ["https://hooks.example.com/ci"]
    checks = json.loads(command("doctor", "--format", "json", VAULT_TOKEN=token).stdout)["checks"]
    missing = next(each["detail"] for each in checks if each["name"] == "Vault policy: apply")
    assert f"create, read, update on secret/data/{command.prefix}/x" in missing


def test_unmanaged_endpoints(command: CommandLine) -> None:
    """An endpoint that is not in the ledger is neither changed nor deleted."""
    theirs = command.zof.console.create("https://hooks.example.com/theirs", ["run.failed"])
    command.write("ci")
    command.write("theirs")
    assert command("apply", "--yes").exit_code == 5
    (command.folder / "manifests/theirs.yaml").unlink()
    assert command("apply", "--yes").exit_code == 0
    assert command.live[theirs.url] == (theirs.id, ("run.failed",))


# --- outputs ------------------------------------------------------------------------------------------------


def _spellings(secret: str) -> set[str]:
    return {secret, secret.removeprefix("whsec_"), base64.b64encode(secret.encode()).decode().rstrip("=")}


def _written(command: CommandLine) -> Iterator[str]:
    yield from command.outputs
    for file in command.folder.rglob("*"):
        if file.is_file():
            yield file.read_text(encoding="utf-8")


def test_credentials(command: CommandLine) -> None:
    """No key, token or signing secret is in an output, a plan, a journal or an audit log."""
    command.write("ci")
    command("plan", "--out", "plan.json")
    assert command("apply", "--yes", "-vv", "--journal", "journal.jsonl", "--audit", "audit").exit_code == 0
    command("rotate", "ci", "--yes", "--format", "json")
    for args in (*READING, ("test", "-vv"), ("doctor",), ("history",), ("status", "--format", "html")):
        command(*args)
    secrets = [
        *(each.reveal() for each in command.zof.signing_secrets().values()),
        command.document("ci")["signing_secret"],
        command.environment["ZOF_API_KEY"],
        command.environment["VAULT_TOKEN"],
    ]
    hidden = {spelling for each in secrets for spelling in _spellings(each)}
    assert not [text for text in _written(command) for each in hidden if each in text]


def test_foreign_text() -> None:
    """Control characters and workflow commands in foreign text have no effect."""
    hostile = "\n::error::x\r##[error]y\x1b[2J\u202e"
    change = Change(hostile, Action.DELETE, hostile, Cause.MANIFEST, endpoint_id=hostile, problem=hostile)
    plan = Plan(hostile, SERVERS, (change,), 0, 1)
    for shown in (plan_text(plan), plan_markdown(plan)):
        assert not re.search(r"^\s*(::|##\[)", shown, re.MULTILINE)
        assert not set("\x1b\r\u202e") & set(shown)
    annotations = plan_github(plan)
    assert [line.partition(" ")[0] for line in annotations.splitlines()] == ["::error", "::notice"]


@pytest.mark.parametrize("mode", ["header", "body", "interim responses", "trailers"])
def test_endless_responses(mode: str) -> None:
    """A server that sends its response without end does not keep a run alive."""
    clock = TickingClock()
    with Hostile(ENDLESS[mode], pace=clock.ticks) as server:
        client = HttpClient(server.url, Network.of({}), clock=clock)
        reply = client.send("GET", server.url, headers={}, seconds=30.0, size=50_000)
        client.close()
    assert isinstance(reply, NoReply)
    assert reply.trouble is Trouble.TIMEOUT


def test_output_files(command: CommandLine) -> None:
    """An output option writes through a link, a pipe or a device, and does not replace it."""
    command.write("ci")
    target, link = command.folder / "target", command.folder / "link"
    target.touch(mode=0o600)
    link.symlink_to(target)
    assert command("plan", "--output", str(link), "--out", os.devnull).exit_code == 0
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("Plan for ")
    assert target.stat().st_mode & 0o777 == 0o600
    assert Path(os.devnull).is_char_device()


# --- pipelines ----------------------------------------------------------------------------------------------


def _jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in ("preview", "apply", "drift"):
        yield from yaml.safe_load(template(name))["jobs"].items()


def test_jobs() -> None:
    """Jobs that check pull requests from forks have no credentials, and other jobs give them to one step."""
    for name, job in _jobs():
        having = [step for step in job["steps"] if "secrets." in json.dumps(step)]
        assert len(having) == (0 if name == "validate" else 1)
        assert ("environment" in job) is bool(having)
        # A fork's pull request has no environment with secrets; only the checks are for it. A merge queue
        # has what was reviewed.
        assert name != "plan" or job["if"] == (
            "github.event_name == 'merge_group' || "
            "github.event.pull_request.head.repo.full_name == github.repository"
        )


def test_roles() -> None:
    """Only a job of `main` in the environment `webhooks-apply` can log in to apply."""
    role = json.loads((ROOT / "examples/vault/jwt-apply.json").read_text(encoding="utf-8"))
    assert role.get("bound_claims_type", "string") == "string"
    assert (role["bound_claims"]["ref"], role["bound_claims"]["environment"]) == (
        "refs/heads/main",
        "webhooks-apply",
    )
    plan = json.loads((ROOT / "examples/vault/jwt-plan.json").read_text(encoding="utf-8"))
    assert plan["token_policies"] == ["reconciler-plan"]


def test_imports(tmp_path: Path) -> None:
    """`reconciler` imports no Python file from the current folder."""
    for name in ("yaml", "click", "msgspec", "httpx", "reconciler", "venv", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')\n")
    (tmp_path / "manifests").mkdir()
    command = [str(Path(sys.executable).with_name("reconciler")), "validate"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_policies(tmp_path: Path) -> None:
    """A policy refers to nothing outside itself."""
    (tmp_path / "foreign.json").write_text('{"canary": ', encoding="utf-8")
    for target in (f"file://{tmp_path}/foreign.json", "foreign.json", "https://schemas.example.com/x"):
        policy = tmp_path / "policy.json"
        policy.write_text(json.dumps({"$ref": target}), encoding="utf-8")
        found = read_policy(policy)
        assert "WH041" in str(found)
        assert "canary" not in str(found)


def test_quoted_credentials(command: CommandLine) -> None:
    """Nor is one there if a server quotes it."""
    command.write("ci")
    secrets: list[str] = []

    def quote(request: Request) -> Reply | Any:
        if request.method == "POST" and request.path.endswith("/webhooks"):
            secrets.append(json.loads(request.body)["secret"])
        if request.path.endswith("/test"):
            error = f"bad signature with secret {secrets[-1]} and key {command.environment['ZOF_API_KEY']}"
            return Reply(
                200,
                json.dumps({"delivered": False, "error": error}),
                {"Content-Type": "application/json"},
            )
        return forward

    with Proxy(command.zof.origin) as api:
        forward = api.script(Request("GET", "/", {}, b""))
        api.script = quote
        command("apply", "--yes", "--audit", "audit", ZOF_API_URL=f"{api.address}/v1")
    hidden = [*secrets, command.environment["ZOF_API_KEY"]]
    assert secrets
    assert not [text for text in _written(command) for each in hidden if each in text]
