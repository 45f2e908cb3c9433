"""Who may choose where keys, tokens and secrets go: the environment, and never a file of the repository."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.proxy import Proxy

if TYPE_CHECKING:
    from tests.fixtures.command import CommandLine
    from tests.fixtures.zof import MakeZof

COMMANDS = {
    "plan": ("plan",),
    "plan page": ("plan", "--format", "html"),
    "apply": ("apply", "--yes"),
    "drift": ("drift",),
    "drift page": ("drift", "--format", "html"),
    "status": ("status",),
    "status page": ("status", "--format", "html"),
    "export": ("export",),
    "adopt": ("adopt", "ci", "--id", "we_1", "--rotate", "--yes"),
    "rotate": ("rotate", "ci", "--yes"),
    "test": ("test",),
    "doctor": ("doctor",),
    "probe": ("doctor", "--probe", "https://hooks.example.com/probe"),
    "move": ("move", "--from-organization", "old", "--yes"),
}
ATTACKER = "https://attacker.example"


def _configure(command: CommandLine, **settings: object) -> None:
    """Write a configuration with one organization, as a pull request may."""
    organization = {"name": command.environment["ZOF_ORGANIZATION"], "vault": {"prefix": command.prefix}}
    config = {
        "apiVersion": "webhooks.zof.ai/v1", "kind": "Config", "organizations": [organization | settings],
    }  # fmt: skip
    (command.folder / "reconciler.yaml").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize("args", [*COMMANDS.values(), ("history",)], ids=[*COMMANDS, "history"])
@pytest.mark.parametrize("server", ["API", "Vault"])
def test_a_server_that_only_the_file_names_gets_nothing(
    command: CommandLine, args: tuple[str, ...], server: str
) -> None:
    """No command sends a credential there, nor anything to the other server: exit 3, and its name."""
    command.write("ci")
    if server == "API":
        _configure(command, api={"url": f"{ATTACKER}/v1", "keyEnv": "ZOF_API_KEY"})
        named: dict[str, str | None] = {"ZOF_API_URL": None}
    else:
        _configure(command, vault={"prefix": command.prefix, "address": ATTACKER})
        named = {"VAULT_ADDR": None}
    with Proxy(command.zof.origin) as network, Proxy(command.vault.address) as vault:
        others = {"VAULT_ADDR": vault.address} if server == "API" else {}
        result = command(*args, HTTPS_PROXY=network.address, **(others | named))
    assert result.exit_code == 3, result.output
    assert f"only the configuration names {ATTACKER} " in result.stderr
    assert (network.requests, vault.requests, command.zof.requests) == ([], [], ())


@pytest.mark.parametrize("name", ["ACTIONS_ID_TOKEN_REQUEST_TOKEN", "VAULT_TOKEN", "GITHUB_TOKEN", "API_KEY"])
def test_no_other_variable_is_sent(command: CommandLine, name: str) -> None:
    """`keyEnv` names a variable of the API's keys: exit 3 at its line, also offline."""
    command.write("ci")
    _configure(command, api={"url": command.zof.url, "keyEnv": name})
    for args in (("plan",), ("validate",)):
        result = command(*args, **{name: "canary"})
        assert result.exit_code == 3
        assert "error[WH014]: `organizations[0].api.keyEnv` does not have the required form" in result.output
        assert "canary" not in result.output
    assert command.zof.requests == ()


def test_validate_needs_no_list_of_servers(command: CommandLine) -> None:
    """It sends nothing, and a job that checks manifests has no such variables."""
    command.write("ci")
    _configure(command, api={"url": f"{ATTACKER}/v1"}, vault={"address": ATTACKER})
    assert command("validate").exit_code == 0


@pytest.mark.parametrize("args", COMMANDS.values(), ids=COMMANDS)
def test_vaults_record_is_checked_before_the_api_gets_the_key(
    command: CommandLine, make_zof: MakeZof, args: tuple[str, ...]
) -> None:
    """Documents that name another API: exit 3, and the API at this URL sees no request."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    other = make_zof()
    result = command(*args, ZOF_API_URL=other.url)
    assert result.exit_code == 3, result.output
    assert f"at {command.zof.url}" in result.output
    assert other.requests == ()


def test_the_plan_names_its_servers(command: CommandLine) -> None:
    """Every format has the API's URL and Vault's address, mount and prefix, also where nothing changes."""
    command.write("ci")
    place = f"secret/{command.prefix}"
    for format_ in ("text", "markdown", "github", "html"):
        shown = command("plan", "--format", format_).stdout
        assert all(each in shown for each in (command.zof.url, command.vault.address, place)), format_
    servers = json.loads(command("plan", "--format", "json").stdout)["servers"]
    assert servers == {
        "api_url": command.zof.url, "vault_address": command.vault.address,
        "vault_mount": "secret", "vault_prefix": command.prefix,
    }  # fmt: skip
    assert command("apply", "--yes").exit_code == 0
    nothing = command("plan").stdout
    assert nothing.startswith("No changes.")
    assert place in nothing


def test_a_reviewed_plan_is_for_its_place(command: CommandLine) -> None:
    """Another prefix is not what was reviewed: exit 4. Another address of the same Vault is."""
    command.write("ci")
    assert command("plan", "--out", "plan.json").exit_code == 0
    moved = command("apply", "--plan", "plan.json", "--yes", "--vault-prefix", f"{command.prefix}-2")
    assert moved.exit_code == 4
    assert f"the reviewed plan is for {command.zof.url} and secret/{command.prefix} in Vault" in moved.stdout
    address = command.vault.address.replace("127.0.0.1", "localhost")
    assert command("apply", "--plan", "plan.json", "--yes", VAULT_ADDR=address).exit_code == 0
