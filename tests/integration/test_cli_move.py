"""`reconciler move` on the real servers: a moved API and a renamed organization, killed and continued."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.processes import Running
from tests.fixtures.proxy import Fate, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.command import CommandLine
    from tests.fixtures.proxy import Request
    from tests.fixtures.zof import MakeZof


@pytest.fixture
def moved_api(command: CommandLine) -> Iterator[str]:
    """Give another URL of the same API, after three webhooks were applied at the old one."""
    for name in ("alpha", "beta", "gamma"):
        command.write(name)
    assert command("apply", "--yes").exit_code == 0
    (command.folder / "manifests/gamma.yaml").unlink()
    assert command("apply", "--yes").exit_code == 0
    with Proxy(command.zof.origin) as proxy:
        yield f"{proxy.address}/v1"


def _secrets(command: CommandLine) -> dict[str, str]:
    return {name: command.document(name)["signing_secret"] for name in ("alpha", "beta")}


def _without_secrets(command: CommandLine) -> None:
    for secret in _secrets(command).values():
        assert all(secret not in output for output in command.outputs)


def test_the_api_moves(command: CommandLine, moved_api: str) -> None:
    """The plan's hint is the command; without --yes it shows the preview; after it there are no changes."""
    old, secrets = command.environment["ZOF_API_URL"], _secrets(command)
    organization = command.environment["ZOF_ORGANIZATION"]
    refused = command("plan", ZOF_API_URL=moved_api)
    assert refused.exit_code == 3
    hint = f"reconciler move --from-api-url {old} --organization {organization}"
    assert f"`{hint}`" in refused.stderr

    _, *args = hint.split()
    shown = command(*args, ZOF_API_URL=moved_api)
    assert shown.exit_code == 64
    assert f"{old} → {moved_api}" in shown.stdout
    assert "add --yes" in shown.stderr
    assert command("plan").exit_code == 0, "nothing was moved"

    done = command(*args, "--yes", ZOF_API_URL=moved_api)
    assert done.exit_code == 0, done.stderr
    assert "Done: 3 documents moved." in done.stdout
    plan = command("plan", "--exit-code", ZOF_API_URL=moved_api)
    assert plan.exit_code == 0, plan.output
    assert _secrets(command) == secrets
    assert command("plan").exit_code == 3, "the old URL is the foreign one now"
    again = command(*args, "--yes", "--format", "json", ZOF_API_URL=moved_api)
    assert (again.exit_code, json.loads(again.stdout)["already_moved"]) == (0, 3)
    _without_secrets(command)


def test_an_organization_is_renamed(command: CommandLine, moved_api: str) -> None:
    """The documents stay at the old prefix; the hint for the new prefix, which is empty, says how."""
    del moved_api
    old, secrets = command.environment["ZOF_ORGANIZATION"], _secrets(command)
    names = ("--from-organization", old, "--organization", "renamed")
    empty = command("move", *names, "--yes")
    assert empty.exit_code == 3
    hint = f"reconciler move --from-organization {old} --organization renamed --vault-prefix {command.prefix}"
    assert f"`{hint}`" in empty.stderr
    _, *args = hint.split()
    done = command(*args, "--yes", "--format", "json", "--actor", "grace")
    assert done.exit_code == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["from"]["organization"] == old
    assert value["to"]["organization"] == "renamed"
    assert [(each["name"], each["writes"]) for each in value["documents"]] == [
        ("alpha", "document"), ("beta", "document"), ("gamma", "metadata"),
    ]  # fmt: skip
    assert value["outcome"]["complete"] is True
    plan = command("plan", "--exit-code", "--organization", "renamed", "--vault-prefix", command.prefix)
    assert plan.exit_code == 0, plan.output
    assert _secrets(command) == secrets
    ledger = json.loads(command.document("alpha")["ledger"])
    assert (ledger["organization"], ledger["run"]["actor"]) == ("renamed", "grace")
    _without_secrets(command)


def test_another_tenants_api_is_refused(command: CommandLine, moved_api: str, make_zof: MakeZof) -> None:
    """An API that does not list the recorded endpoints: exit 4, and nothing is written."""
    del moved_api
    other, before = make_zof(), command.document("alpha")
    old = command.environment["ZOF_API_URL"]
    refused = command(
        "move", "--from-api-url", old, "--yes", ZOF_API_URL=other.url, ZOF_API_KEY=other.key.reveal()
    )
    assert refused.exit_code == 4
    assert "2 of 2 recorded endpoints are not listed" in refused.stdout
    assert command.document("alpha") == before


def test_a_killed_move_continues(command: CommandLine, moved_api: str) -> None:
    """Killed before and after each write to Vault, the same command finishes it."""
    old, secrets = command.environment["ZOF_API_URL"], _secrets(command)
    urls, moments = (old, moved_api), 0
    with Proxy(command.vault.address) as vault:
        environment = {**command.environment, "VAULT_ADDR": vault.address}
        for number in range(20):
            origin, target = urls[number % 2], urls[1 - number % 2]
            log, left = command.folder / f"log-{number}", number
            args = ("move", "--from-api-url", origin, "--yes")
            running = Running(args, command.folder, {**environment, "ZOF_API_URL": target}, log)

            fate = Fate.LOSE if number % 4 < 2 else Fate.DROP

            def arrives(request: Request, running: Running = running, fate: Fate = fate) -> Fate:
                nonlocal left
                if request.method in {"POST", "PUT"} and "/sys/" not in request.path:
                    left -= 1
                    if left < 0:
                        running.kill()
                        return fate
                return Fate.FORWARD

            vault.script = arrives
            ended = running.wait()
            vault.script = lambda _request: Fate.FORWARD
            if ended.code == 0:
                break
            moments += 1
            done = command(*args, ZOF_API_URL=target)
            assert done.exit_code == 0, done.output
            plan = command("plan", "--exit-code", ZOF_API_URL=target)
            assert plan.exit_code == 0, plan.output
            assert _secrets(command) == secrets
    assert moments >= 7
    _without_secrets(command)


def test_what_has_changed_must_be_named(command: CommandLine) -> None:
    """Neither option, or a value that the settings have as well: exit 64."""
    assert command("move").exit_code == 64
    same = command("move", "--from-api-url", command.environment["ZOF_API_URL"] + "/")
    assert same.exit_code == 64
    assert "nothing has changed" in same.stderr


def test_of_several_organizations_one_must_be_named(command: CommandLine) -> None:
    """Exit 64, before anything is sent."""
    (command.folder / "reconciler.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations: [{name: a}, {name: b}]\n"
    )
    result = command("move", "--from-organization", "old", "--yes", ZOF_ORGANIZATION=None)
    assert result.exit_code == 64
    assert "add --organization NAME" in result.stderr
    assert not command.zof.requests
