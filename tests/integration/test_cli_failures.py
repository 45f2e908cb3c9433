"""What can go wrong: one sentence, the right exit code, nothing changed, nothing shown."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.model import Secret
from reconciler.sandbox.faults import Fault, FaultKind
from reconciler.sandbox.openbao import OpenBaoServer

if TYPE_CHECKING:
    from click.testing import Result

    from reconciler.sandbox.behavior import CapStatus
    from tests.fixtures.command import CommandLine

EVERYTHING = (["plan"], ["apply", "--yes"], ["drift"], ["status"])


def _assert_one_sentence(result: Result, code: int, *words: str) -> None:
    """The error is a line of its own with these words, without a traceback, and stdout stays empty."""
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n(hint: [^\n]+\n)?", result.stderr), result.stderr
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("args", EVERYTHING)
@pytest.mark.parametrize("name", ["ZOF_API_KEY", "VAULT_ADDR", "VAULT_TOKEN"])
def test_a_missing_variable_is_named(command: CommandLine, args: list[str], name: str) -> None:
    """Without key, Vault address or token nothing is sent: exit 3, and the variable's name."""
    command.write("ci")
    for value in (None, " "):
        _assert_one_sentence(command(*args, **{name: value}), 3, name)
    assert command.zof.requests == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [("ZOF_API_URL", "http://api.example.com/v1"), ("VAULT_ADDR", "http://vault.example.com")],
)
def test_plain_http_is_for_loopback_only(command: CommandLine, name: str, value: str) -> None:
    """A key or a token never goes over plain http to another machine: exit 3 before anything is sent."""
    command.write("ci")
    result = command("plan", **{name: value})
    assert result.exit_code == 3
    assert result.stderr.startswith("error: ")
    assert command.zof.requests == ()


@pytest.mark.parametrize("args", EVERYTHING)
def test_a_wrong_key_is_one_sentence(command: CommandLine, args: list[str]) -> None:
    """A key that the API does not accept: exit 1, the server's words and the request id."""
    command.write("ci")
    result = command(*args, ZOF_API_KEY="zof_wrong")
    _assert_one_sentence(result, 1, "401", "[request ", "ZOF_API_KEY")
    assert "zof_wrong" not in result.stderr


def test_a_key_without_the_permission_is_one_sentence(command: CommandLine) -> None:
    """A valid key that may not manage webhooks: exit 1, and the permission's name."""
    command.write("ci")
    key = command.zof.add_key("acme", permissions=[], key=Secret("zof_sandbox_powerless"))
    _assert_one_sentence(command("plan", ZOF_API_KEY=key.reveal()), 1, "webhooks:manage")


@pytest.mark.parametrize("args", EVERYTHING)
def test_a_wrong_token_is_one_sentence(command: CommandLine, args: list[str]) -> None:
    """A token that Vault does not accept: exit 1, and no endpoint is touched."""
    command.write("ci")
    result = command(*args, VAULT_TOKEN="hvs.wrong")
    _assert_one_sentence(result, 1, "token")
    assert "hvs.wrong" not in result.stderr
    assert {request.method for request in command.zof.requests} <= {"GET"}


@pytest.mark.parametrize("name", ["ZOF_API_URL", "VAULT_ADDR"])
def test_a_server_that_is_down_is_one_sentence(command: CommandLine, name: str) -> None:
    """Nobody listens at the address: exit 1 and one sentence."""
    command.write("ci")
    _assert_one_sentence(command("plan", **{name: "http://127.0.0.1:9"}), 1, "hint: ")


def test_a_sealed_vault_is_one_sentence(command: CommandLine) -> None:
    """A sealed Vault: exit 1, and the word for it."""
    command.write("ci")
    with OpenBaoServer() as own:
        own.seal()
        result = command("plan", VAULT_ADDR=own.address, VAULT_TOKEN=own.root_token.reveal())
    _assert_one_sentence(result, 1, "sealed")


def test_a_wrong_mount_is_one_sentence(command: CommandLine) -> None:
    """An absent mount and one of KV version 1 are refused by name: exit 1."""
    command.write("ci")
    _assert_one_sentence(command("apply", "--yes", "--vault-mount", "nowhere"), 1, "nowhere")
    mount = f"old-{command.environment['ZOF_ORGANIZATION']}"
    command.vault.enable_kv(mount, version=1)
    _assert_one_sentence(command("apply", "--yes", "--vault-mount", mount), 1, mount, "version 1")
    assert command.live == {}


@pytest.mark.parametrize("fault", [FaultKind.HTML, FaultKind.REPEATED_ID, FaultKind.DATA_NOT_LIST])
def test_a_malformed_answer_is_one_sentence(command: CommandLine, fault: FaultKind) -> None:
    """An API that answers nonsense: exit 1, and no change is made on half a listing."""
    command.write("ci")
    command.zof.console.create("https://legacy.example.com/", ["run.completed"])
    command.zof.fail("GET", "/v1/webhooks", Fault(fault), times=None)
    _assert_one_sentence(command("apply", "--yes"), 1, "hint: ")
    assert {request.method for request in command.zof.requests} <= {"GET"}


def test_another_organizations_documents_are_not_touched(command: CommandLine) -> None:
    """A prefix that holds another organization's documents: exit 3, nothing done."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    result = command("apply", "--yes", "--organization", "other", "--vault-prefix", command.prefix)
    _assert_one_sentence(result, 3, command.environment["ZOF_ORGANIZATION"])


def test_another_organizations_key_changes_nothing(command: CommandLine) -> None:
    """With a single webhook, a key of another organization is refused: exit 4, nothing created or deleted."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0, command.outputs
    live, document = command.live, command.document("ci")
    other = command.zof.add_key("globex").reveal()
    command.write("ci", ["run.failed"])
    for args in EVERYTHING[:3]:
        result = command(*args, ZOF_API_KEY=other)
        assert result.exit_code == 4, result.output
        assert "refused[key]" in result.stdout
        assert "another organization" in result.stdout
    assert (command.live, command.document("ci")) == (live, document)
    (command.folder / "manifests/ci.yaml").unlink()
    command.write("new")
    assert command("apply", "--yes", ZOF_API_KEY=other).exit_code == 4
    assert (command.live, command.document("ci")) == (live, document)
    assert other not in "".join(command.outputs)


@pytest.mark.parametrize("status", [402, 403, 409, 422])
def test_a_cap_on_endpoints_is_named(command: CommandLine, status: CapStatus) -> None:
    """A replacement beyond the cap: exit 5 and what to do; with `allowEventGap` it is carried out."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0, command.outputs
    command.zof.behavior = replace(command.zof.behavior, max_endpoints=1, cap_status=status)
    live = command.live
    command.write("ci", ["run.failed"])
    refused = command("apply", "--yes")
    assert refused.exit_code == 5, refused.output
    assert "cap on endpoints" in refused.stdout
    assert "allowEventGap: true" in refused.stdout
    assert "API key" not in refused.stdout
    assert command.live == live
    command.write("ci", ["run.failed"], allowEventGap=True)
    assert command("apply", "--yes").exit_code == 0, command.outputs
    ((_, events),) = command.live.values()
    assert events == ("run.failed",)
    assert command("plan", "--exit-code").exit_code == 0


def test_apply_without_a_terminal_needs_yes(command: CommandLine) -> None:
    """Where nobody can be asked, and nobody said yes: exit 64 before anything is read or sent."""
    command.write("ci")
    _assert_one_sentence(command("apply"), 64, "--yes")
    assert command.zof.requests == ()


def test_one_failed_change_does_not_keep_the_others(command: CommandLine) -> None:
    """A POST that fails for good: exit 5; the failure has its reason and the others are done."""
    for name in ("a", "b", "c"):
        command.write(name)
    command.zof.fail("POST", "/v1/webhooks", Fault(FaultKind.STATUS, status=400), times=None, skip=1)
    applied = command("apply", "--yes")
    assert applied.exit_code == 5
    assert len(command.live) == 1
    assert re.search(r"✗ \w +create failed", applied.stdout)
    command.zof.clear_faults()
    assert command("apply", "--yes").exit_code == 0
    assert len(command.live) == 3


def test_a_second_run_waits_for_the_lock_and_gives_up(command: CommandLine) -> None:
    """While another run holds the lock: exit 6 after the timeout, naming the holder; nothing is changed."""
    command.write("ci")
    fields = {"id": "other", "holder": "grace", "host": "elsewhere", "expires": "2999-01-01T00:00:00Z"}
    command.vault.request("POST", f"secret/data/{command.prefix}/_lock", {"data": fields})
    result = command("apply", "--yes", "--lock-timeout", "0")
    assert result.exit_code == 6
    assert result.stderr.startswith("error: another run holds the lock: grace on elsewhere")
    assert command.live == {}


# --- plan files -----------------------------------------------------------------------------------------


def test_a_reviewed_plan_is_carried_out(command: CommandLine) -> None:
    """`apply --plan` does what was reviewed, and still does when a part of it is done already."""
    command.write("a")
    command.write("b")
    assert command("plan", "--out", "plan.json").exit_code == 0
    command.zof.fail("POST", "/v1/webhooks", Fault(FaultKind.STATUS, status=400), times=None, skip=1)
    assert command("apply", "--yes", "--plan", "plan.json").exit_code == 5
    command.zof.clear_faults()
    assert command("apply", "--yes", "--plan", "plan.json").exit_code == 0
    assert len(command.live) == 2


def test_what_was_not_reviewed_is_refused(command: CommandLine) -> None:
    """A manifest that came after the review: exit 4, the difference is named, and nothing is changed."""
    command.write("a")
    assert command("plan", "--out", "plan.json").exit_code == 0
    command.write("b")
    result = command("apply", "--yes", "--plan", "plan.json")
    assert result.exit_code == 4
    assert "refused[review]: b: create was not reviewed\n  hint: make a new plan" in result.stdout
    assert "--approve" not in result.stdout
    assert command.live == {}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda plan: plan["changes"][0].update(name="z"), "digest"),
        (lambda plan: plan.update(digest="sha256:" + "0" * 64), "digest"),
        (lambda plan: plan.update(extra=1), "extra"),
        (lambda plan: plan.update(complete_listing=False), "complete_listing"),
        (lambda plan: plan.pop("changes"), "changes"),
        (lambda plan: plan["changes"][0].update(action="explode"), "changes.0.action"),
    ],
)
def test_a_changed_plan_file_is_invalid(command: CommandLine, change: object, word: str) -> None:
    """A plan file that breaks the schema or its digest: exit 3, the place is named, nothing is sent."""
    command.write("a")
    assert command("plan", "--out", "plan.json").exit_code == 0
    sent = len(command.zof.requests)
    path = command.folder / "plan.json"
    plan = json.loads(path.read_text(encoding="utf-8"))
    change(plan)  # type: ignore[operator] # (parametrize knows no callables)
    path.write_text(json.dumps(plan), encoding="utf-8")
    _assert_one_sentence(command("apply", "--yes", "--plan", "plan.json"), 3, word)
    assert len(command.zof.requests) == sent


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[" * 100_000, b"[]", b"null"])
def test_what_is_no_plan_file_is_invalid(command: CommandLine, content: bytes | None) -> None:
    """A file that is absent, empty, binary, absurd or something else: exit 3 and one sentence."""
    if content is not None:
        (command.folder / "plan.json").write_bytes(content)
    _assert_one_sentence(command("apply", "--yes", "--plan", "plan.json"), 3, "plan file")


def test_a_plan_for_another_organization_is_invalid(command: CommandLine) -> None:
    """A plan file of an organization that is not among the chosen: exit 3."""
    command.write("a")
    assert command("plan", "--out", "plan.json", "--organization", "other").exit_code == 0
    _assert_one_sentence(command("apply", "--yes", "--plan", "plan.json"), 3, "organization other")
