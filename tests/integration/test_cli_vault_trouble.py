"""Commands against a real OpenBao behind a proxy: rate limits, refused methods, other servers."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import ReconcilerError
from tests.fixtures.openbao import create_token
from tests.fixtures.proxy import Fate, Proxy, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.command import CommandLine
    from tests.fixtures.proxy import Request

RATE_LIMIT = Reply(429, '{"errors":["rate limit quota exceeded"]}')


@pytest.fixture
def vault(command: CommandLine) -> Iterator[Proxy]:
    """Give a proxy between the command line and the real server."""
    with Proxy(command.vault.address) as proxy:
        command.environment["VAULT_ADDR"] = proxy.address
        yield proxy


def _is_record(request: Request) -> bool:
    """Whether this is the write of a document's metadata after a change."""
    return b"custom_metadata" in request.body


def test_a_rate_limit_on_the_metadata_is_waited_for(command: CommandLine, vault: Proxy) -> None:
    """Vault's 429 is retried: the creation is complete, and the next plan has no changes."""
    left = [2]

    def limit(request: Request) -> Fate | Reply:
        if not _is_record(request) or not left[0]:
            return Fate.FORWARD
        left[0] -= 1
        return RATE_LIMIT

    command.write("ci")
    vault.script = limit
    result = command("apply", "--yes")
    assert result.exit_code == 0, result.stderr
    assert left == [0]
    assert command("plan", "--exit-code").exit_code == 0


def test_a_proxy_that_knows_only_ordinary_methods(command: CommandLine, vault: Proxy) -> None:
    """No command needs LIST, which many proxies refuse."""
    ordinary = {"GET", "POST", "PUT", "DELETE"}
    refusal = Reply(405, "<html><h1>405 Method Not Allowed</h1></html>")
    vault.script = lambda request: Fate.FORWARD if request.method in ordinary else refusal
    command.write("ci")
    for args in (["doctor"], ["plan"], ["apply", "--yes"], ["drift"], ["status"], ["history"]):
        result = command(*args)
        assert result.exit_code == 0, (args, result.output)
    assert {request.method for request in vault.requests} <= ordinary


@pytest.mark.parametrize("status", [403, 405, 501])
def test_the_page_of_a_proxy_is_reported_as_such(command: CommandLine, vault: Proxy, status: int) -> None:
    """An error page in front of Vault is neither a missing policy nor an uninitialized Vault."""
    command.write("ci")
    vault.script = lambda r: Reply(status, "<html>blocked</html>") if "list=true" in r.path else Fate.FORWARD
    result = command("plan")
    assert result.exit_code == 1
    assert f"error: not Vault, but a proxy or another server answered HTTP {status} for " in result.stderr
    assert "HTTPS_PROXY" in result.stderr
    report = json.loads(command("doctor", "--format", "json").stdout)
    failed = [check["name"] for check in report["checks"] if check["ok"] is False]
    assert failed == ["Vault listing"]


def test_metadata_that_vault_never_takes_is_reported_as_such(command: CommandLine, vault: Proxy) -> None:
    """The endpoint is live and its secret stored: the report says both, and a plan claims nothing else."""
    command.write("ci")
    vault.script = lambda r: Reply(400, '{"errors":["no"]}') if _is_record(r) else Fate.FORWARD
    result = command("apply", "--yes")
    (live,) = command.zof.console.list()
    assert result.exit_code == 5
    assert f"created, not recorded  {live.id}" in result.stdout
    assert "create failed" not in result.stdout
    assert "it writes the record and creates nothing" in result.stdout
    planned = json.loads(command("plan", "--format", "json").stdout)
    assert planned["unmanaged"] == []
    assert [change["action"] for change in planned["changes"]] == ["resume"]
    vault.script = lambda _request: Fate.FORWARD
    assert command("apply", "--yes").exit_code == 0
    assert [each.id for each in command.zof.console.list()] == [live.id]
    assert command.document("ci")["endpoint_id"] == live.id


def test_the_notes_of_others_survive_every_change(command: CommandLine) -> None:
    """Keys that somebody put into `custom_metadata` are there after an edit, a rotation and a removal."""
    path = f"secret/metadata/{command.prefix}/ci"

    def custom() -> dict[str, str]:
        found: dict[str, str] = command.vault.request("GET", path)["data"]["custom_metadata"]
        return found

    command.vault.request("POST", path, {"custom_metadata": {"team": "payments"}})
    command.write("other")
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    assert custom()["team"] == "payments"
    command.vault.request("POST", path, {"custom_metadata": {**custom(), "cost-center": "7"}})
    command.write("ci", events=["run.failed"])
    assert command("apply", "--yes").exit_code == 0
    assert command("rotate", "ci", "--yes").exit_code == 0
    (command.folder / "manifests" / "ci.yaml").unlink()
    assert command("apply", "--yes").exit_code == 0
    left = custom()
    assert (left["state"], left["team"], left["cost-center"]) == ("deleted", "payments", "7")


CONFIGURATION = """
apiVersion: webhooks.zof.ai/v1
kind: Config
organizations:
  - name: {name}
    manifests: [manifests]
    api: {{requestsPerMinute: 1}}
"""


def test_a_plan_that_outlives_the_token_is_refused(command: CommandLine) -> None:
    """Three requests at one a minute take longer than the token lives: nothing is changed."""
    name = command.environment["ZOF_ORGANIZATION"]
    (command.folder / "reconciler.yaml").write_text(CONFIGURATION.format(name=name), encoding="utf-8")
    command.write("ci")
    token = create_token(command.vault, "root", ttl="90s", renewable=False).reveal()
    result = command("apply", "--yes", VAULT_TOKEN=token)
    assert result.exit_code == 4, result.output
    assert re.search(
        r"error: the Vault token expires in 1 min \S+ s, and this plan takes 2 min", result.stderr
    )
    assert "a renewable one" in result.stderr
    assert command.live == {}


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"ttl": "30s", "renewable": False}, True),
        ({"ttl": "30s", "explicit_max_ttl": "40s"}, True),
        ({"ttl": "30s"}, False),
        ({"ttl": "1h", "renewable": False}, False),
    ],
)
def test_a_token_that_may_not_live_long_enough_is_a_warning(
    command: CommandLine, options: dict[str, Any], warned: bool
) -> None:
    """A short life is reported before the run, unless renewals extend it; the run begins all the same."""
    command.write("ci")
    token = create_token(command.vault, "root", **options).reveal()
    result = command("apply", "--yes", VAULT_TOKEN=token)
    assert result.exit_code == 0, result.output
    assert ("warning: the Vault token expires in " in result.stderr) is warned


def test_a_token_that_expires_during_an_apply(command: CommandLine, vault: Proxy) -> None:
    """The report names what happened, and a run with a new token continues with the same endpoint."""
    command.write("ci")
    token = create_token(command.vault, "root", ttl="1h").reveal()

    def revoke(request: Request) -> Fate | Reply:
        is_second = request.method == "POST" and b"cas" in request.body and b'"cas": 1' in request.body
        if is_second and "/data/" in request.path and not request.path.endswith("_lock"):
            with contextlib.suppress(ReconcilerError):
                command.vault.request("POST", "auth/token/revoke", {"token": token})
        return Fate.FORWARD

    vault.script = revoke
    result = command("apply", "--yes", VAULT_TOKEN=token)
    assert result.exit_code == 5, result.output
    (live,) = command.zof.console.list()
    assert f"endpoint {live.id} was created, and its secret is not stored yet" in result.stdout
    assert "the Vault token expired or was revoked during this run" in result.stdout
    vault.script = lambda _request: Fate.FORWARD
    assert command("apply", "--yes", "--lock-timeout", "0").exit_code in {0, 6}
