"""The main job through the command line, on the real servers: manifests become live, secrets reach Vault."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from reconciler.sandbox.behavior import Behavior
from tests.fixtures.openbao import create_token, write_policy

if TYPE_CHECKING:
    from reconciler.sandbox.spelling import Spelling
    from tests.fixtures.command import CommandLine

UNLIMITED = 1_000_000
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _assert_converged(command: CommandLine, names: list[str]) -> None:
    """Each name has one live endpoint, and Vault has its id and the secret that the API signs with."""
    live = command.live
    assert sorted(live) == sorted(f"https://hooks.example.com/{name}" for name in names)
    for name in names:
        document = command.document(name)
        endpoint_id, _ = live[f"https://hooks.example.com/{name}"]
        assert document["endpoint_id"] == endpoint_id
        assert document["signing_secret"] == command.zof.signing_secrets()[endpoint_id].reveal()


def _assert_no_secret_shown(command: CommandLine) -> None:
    """No output holds a signing secret, the API key or the Vault token: raw, base64 or URL-encoded."""
    text = "\n".join(command.outputs)
    secrets = [each.reveal() for each in command.zof.signing_secrets().values()]
    secrets += [command.environment["ZOF_API_KEY"], command.environment["VAULT_TOKEN"]]
    for secret in secrets:
        assert secret not in text
        assert quote(secret, safe="") not in text
        for shift in range(3):
            # Without what depends on the neighbouring bytes.
            encoded = base64.b64encode(b"x" * shift + secret.encode()).decode().rstrip("=")
            assert encoded[4:-4] not in text


def test_a_fleet_is_created_edited_healed_and_removed(command: CommandLine) -> None:
    """Twelve webhooks live their life on an API with secrets of its own, and nothing secret is ever shown."""
    command.zof.behavior = Behavior(
        honour_client_secret=False, secret_field="signing_secret", rate_limit=UNLIMITED
    )
    bystander = command.zof.console.create("https://legacy.example.com/", ["run.completed"])
    names = [f"hook-{number:02}" for number in range(12)]
    for name in names:
        command.write(name)

    plan = command("plan", "--exit-code")
    assert plan.exit_code == 2, plan.stderr
    assert "Plan: 12 to create; 0 unchanged." in plan.stdout
    assert len(command.live) == 1

    applied = command("apply", "--yes", "--jobs", "4")
    assert applied.exit_code == 0, applied.stderr
    assert "Done: 12 done;" in applied.stdout
    command.zof.console.delete(bystander.id)
    _assert_converged(command, names)

    # An edit is a replacement; a deletion and an edit in the console are drift; both are healed.
    before = command.live
    command.write("hook-03", events=["run.failed", "run.completed"])
    assert command("apply", "--yes").exit_code == 0
    assert command.live["https://hooks.example.com/hook-03"][1] == ("run.completed", "run.failed")
    assert (
        command.live["https://hooks.example.com/hook-03"][0] != before["https://hooks.example.com/hook-03"][0]
    )
    command.zof.console.delete(command.live["https://hooks.example.com/hook-04"][0])
    command.zof.console.edit(command.live["https://hooks.example.com/hook-05"][0], events=["run.started"])
    drift = command("drift")
    assert drift.exit_code == 2
    assert "Drift: 2 to replace" in drift.stdout or "Drift: 1 to create, 1 to replace" in drift.stdout
    assert command("apply", "--yes").exit_code == 0
    assert command("drift").exit_code == 0
    _assert_converged(command, names)

    (command.folder / "manifests/hook-11.yaml").unlink()
    assert command("apply", "--yes").exit_code == 0
    _assert_converged(command, names[:-1])
    assert command("status").exit_code == 0
    _assert_no_secret_shown(command)


def test_a_second_run_has_nothing_to_do(command: CommandLine) -> None:
    """After an apply a plan exits 0, and another apply makes one GET and writes nothing."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    plan = command("plan", "--exit-code")
    assert (plan.exit_code, plan.stdout.startswith("No changes. 1 webhook ")) == (0, True)
    sent, version = (
        len(command.zof.requests),
        command.vault.request("GET", f"secret/metadata/{command.prefix}/ci"),
    )
    again = command("apply", "--yes")
    assert again.exit_code == 0
    assert [request.method for request in command.zof.requests[sent:]] == ["GET"]
    assert command.vault.request("GET", f"secret/metadata/{command.prefix}/ci")["data"] == version["data"]


def test_an_unmanaged_endpoint_is_left_alone_and_reported(command: CommandLine) -> None:
    """A manifest whose URL somebody else's endpoint has is a conflict: exit 5, the others are done."""
    taken = command.zof.console.create("https://hooks.example.com/taken", ["run.failed"])
    command.write("taken")
    command.write("free")
    plan = command("plan", "--exit-code")
    assert plan.exit_code == 5, "as the apply"
    assert "conflict: " in plan.stdout
    applied = command("apply", "--yes")
    assert applied.exit_code == 5
    assert "taken  create failed" in applied.stdout
    assert "Next: " in applied.stdout
    assert command.live["https://hooks.example.com/taken"] == (taken.id, ("run.failed",))
    assert "https://hooks.example.com/free" in command.live


def test_a_failed_test_delivery_leaves_the_change_unverified(command: CommandLine) -> None:
    """When the receiver does not take the test, the run ends with 5; a later run verifies."""
    command.write("ci")
    command.zof.behavior = Behavior(test_result="fail", rate_limit=UNLIMITED)
    applied = command("apply", "--yes")
    assert applied.exit_code == 5
    assert "created, not verified" in applied.stdout
    command.zof.behavior = Behavior(rate_limit=UNLIMITED)
    assert command("apply", "--yes").exit_code == 0
    assert command("plan", "--exit-code").exit_code == 0


@pytest.mark.parametrize("count", [0, 1])
def test_a_guard_refuses_and_its_own_line_approves(command: CommandLine, count: int) -> None:
    """Deleting too much is refused with 4 and a line that lets exactly this plan through."""
    for number in range(5):
        command.write(f"hook-{number}")
    assert command("apply", "--yes").exit_code == 0
    for number in range(count, 5):
        (command.folder / f"manifests/hook-{number}.yaml").unlink()
    refused = command("plan")
    assert refused.exit_code == 4
    assert refused.stdout.index("- delete hook-4") < refused.stdout.index("refused[")
    approve = next(
        line.split() for line in refused.stdout.splitlines() if line.startswith("  reconciler apply")
    )
    assert command("apply", "--yes").exit_code == 4
    assert len(command.live) == 5
    assert command("apply", "--yes", "--approve", "sha256:" + "0" * 64).exit_code == 4
    assert command(*approve[1:], "--yes").exit_code == 0
    assert len(command.live) == count


def test_the_approving_line_works_in_the_configuration(command: CommandLine) -> None:
    """The digest under `guards: {approve: […]}` lets the plan through as the flag does."""
    for number in range(3):
        command.write(f"hook-{number}")
    assert command("apply", "--yes").exit_code == 0
    for number in range(3):
        (command.folder / f"manifests/hook-{number}.yaml").unlink()
    guards = next(line for line in command("plan").stdout.splitlines() if line.startswith("  guards:"))
    (command.folder / "reconciler.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations:\n"
        f"- name: {command.environment['ZOF_ORGANIZATION']}\n{guards}\n",
        encoding="utf-8",
    )
    assert command("apply", "--yes").exit_code == 0
    assert command.live == {}


def test_json_is_one_document_for_scripts(command: CommandLine) -> None:
    """`--format json` writes one document of the documented shape to stdout, whatever the command."""
    command.write("ci")
    plan = json.loads(command("plan", "--format", "json").stdout)
    assert plan["summary"]["create"] == 1
    applied = json.loads(command("apply", "--yes", "--format", "json").stdout)
    assert applied["plan"]["digest"] == plan["digest"] == applied["outcome"]["digest"]
    assert applied["outcome"]["complete"] is True
    assert applied["refused"] == []
    drift = json.loads(command("drift", "--format", "json").stdout)
    assert drift["changes"] == []
    (row,) = json.loads(command("status", "--format", "json").stdout)["webhooks"]
    assert (row["name"], row["state"], row["owner"]) == ("ci", "in sync", "platform")
    assert command("status", "--output", "fleet.txt").stdout == ""
    assert (command.folder / "fleet.txt").read_text(encoding="utf-8").startswith("NAME ")


def test_the_record_says_who_ran_it(command: CommandLine) -> None:
    """The ledger's metadata names the actor and the commit."""
    command.write("ci")
    assert command("apply", "--yes", "--actor", "grace").exit_code == 0
    metadata = command.vault.request("GET", f"secret/metadata/{command.prefix}/ci")["data"]["custom_metadata"]
    assert (metadata["actor"], metadata["commit"]) == ("grace", "0" * 40)


def test_a_secret_is_rotated_by_name(command: CommandLine) -> None:
    """`rotate` replaces one secret and nothing else; with --now the old one is of no use at once."""
    command.write("ci", secret={"overlap": "1h"})
    command.write("other")
    assert command("apply", "--yes").exit_code == 0
    first, other = command.document("ci"), command.document("other")
    assert command("rotate", "ci").exit_code == 64, "there is nobody to ask"
    rotated = command("rotate", "ci", "--yes")
    assert rotated.exit_code == 0, rotated.stderr
    assert "1 to rotate" in rotated.stdout
    second = command.document("ci")
    assert second["previous_signing_secret"] == first["signing_secret"] != second["signing_secret"]
    assert second["signing_secret"] == command.zof.signing_secrets()[second["endpoint_id"]].reveal()
    assert len(command.zof.console.list()) == 3
    assert command("rotate", "ci", "--now", "--yes").exit_code == 0
    third = command.document("ci")
    assert second["signing_secret"] not in json.dumps(third)
    assert command.document("other") == other
    assert command("rotate", "absent", "--yes").exit_code == 3
    assert command("plan", "--exit-code").exit_code == 0
    _assert_no_secret_shown(command)


def _token_with(command: CommandLine, policy: str) -> str:
    """Return a token with nothing but one of the example policies, fitted to the test's prefix."""
    organization = command.environment["ZOF_ORGANIZATION"]
    rules = (EXAMPLES / f"vault/{policy}.hcl").read_text(encoding="utf-8").replace("acme-prod", organization)
    write_policy(command.vault, f"{policy}-{organization}", rules)
    return create_token(command.vault, f"{policy}-{organization}", no_default_policy=True).reveal()


def test_a_plan_needs_no_secret(command: CommandLine) -> None:
    """The example policy for plans suffices for all that reads, and cannot read or write a secret."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    token = _token_with(command, "plan")
    command.write("new")
    for args in (["plan"], ["drift"], ["status"], ["export"]):
        result = command(*args, VAULT_TOKEN=token)
        assert result.exit_code == 0, result.stderr
    assert "1 to create; 1 unchanged" in command("plan", VAULT_TOKEN=token).stdout
    applied = command("apply", "--yes", VAULT_TOKEN=token)
    assert applied.exit_code == 1
    assert "permission denied" in applied.stderr
    assert "the token's policy needs" in applied.stderr
    assert len(command.live) == 1


def test_the_example_policy_for_apply_suffices(command: CommandLine) -> None:
    """With the example policy for applies a webhook is adopted, created, replaced, healed and removed."""
    token = _token_with(command, "apply")
    file = command.write("ci")
    command.write("stays")
    by_hand = command.zof.console.create("https://hooks.example.com/stays", ["run.completed"])
    adopted = command("adopt", "stays", "--id", by_hand.id, "--rotate", "--yes", VAULT_TOKEN=token)
    assert adopted.exit_code == 0, adopted.output
    assert command("apply", "--yes", VAULT_TOKEN=token).exit_code == 0
    command.write("ci", ["run.failed"])
    assert command("apply", "--yes", VAULT_TOKEN=token).exit_code == 0
    command.vault.request("DELETE", f"secret/data/{command.prefix}/ci")
    assert command("apply", "--yes", VAULT_TOKEN=token).exit_code == 0
    _assert_converged(command, ["ci", "stays"])
    file.unlink()
    assert command("apply", "--yes", VAULT_TOKEN=token).exit_code == 0
    _assert_converged(command, ["stays"])


@pytest.mark.parametrize("live", [0, 1, 100, 101])
def test_a_plan_makes_as_few_requests_as_there_are_pages(command: CommandLine, live: int) -> None:
    """A plan lists in pages of 100: max(1, ceil(live / 100)) requests, and not one to anything else."""
    command.write("ci")
    for number in range(live):
        command.zof.console.create(f"https://legacy.example.com/{number}", ["run.completed"])
    assert command("plan").exit_code == 0
    requests = command.zof.requests
    assert [(each.method, each.path) for each in requests] == [("GET", "/v1/webhooks")] * max(
        1, -(-live // 100)
    )


@pytest.mark.parametrize("spelling", ["query_order", "trailing_slash", "masked_query", "implicit_event"])
def test_an_api_with_its_own_spelling_is_learned(command: CommandLine, spelling: Spelling) -> None:
    """The endpoint is replaced once; then the spelling is reported, recorded, and not drift."""
    command.zof.behavior = replace(command.zof.behavior, listing_spelling=spelling)
    command.write("ci", url="https://hooks.example.com/zof?x=1&y=2")
    assert command("apply", "--yes").exit_code == 0, command.outputs
    learned = command("apply", "--yes")
    assert learned.exit_code == 0, command.outputs
    assert "ci: the API lists the URL or the events in its own spelling" in learned.stderr
    live, document = command.live, command.document("ci")
    for args in (["drift"], ["plan", "--exit-code"], ["apply", "--yes"]):
        assert command(*args).exit_code == 0, command.outputs
    assert (command.live, command.document("ci")) == (live, document)
    ((endpoint_id, _),) = live.values()
    command.zof.console.edit(endpoint_id, events=["run.started"])
    assert command("drift").exit_code == 2


def test_odd_spellings_are_sent_in_the_canonical_form(command: CommandLine) -> None:
    """What passes validation is accepted by the API, and no spelling is drift afterwards."""
    spellings = (
        "https://straße.example.com/x",
        "HTTPS://a.example.com/x",
        "https://b.example.com:0443/x",
        "https://c.example.com:/x",
        "https://d.example.com/x?f[a]=1",
    )
    for number, url in enumerate(spellings):
        command.write(f"w{number}", url=url)
    applied = command("apply", "--yes")
    assert applied.exit_code == 0, applied.output
    assert command.live.keys() == {
        "https://xn--strae-oqa.example.com/x",
        "https://a.example.com/x",
        "https://b.example.com/x",
        "https://c.example.com/x",
        "https://d.example.com/x?f%5Ba%5D=1",
    }
    assert command("drift").exit_code == 0
    assert command("plan", "--exit-code").exit_code == 0
