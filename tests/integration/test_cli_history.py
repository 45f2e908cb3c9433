"""`reconciler history`: who changed what, from the audit log and from Vault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler.sandbox.behavior import Behavior

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.command import CommandLine


def _pull_request(folder: Path, number: int) -> dict[str, str]:
    """Return the variables of GitHub's run after the merge of a pull request."""
    event = folder / "event.json"
    event.write_text(
        json.dumps({"head_commit": {"message": f"Merge pull request #{number} from acme/hooks"}})
    )
    return {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/hooks",
        "GITHUB_RUN_ID": "7",
        "GITHUB_ACTOR": "grace",
        "GITHUB_EVENT_PATH": str(event),
    }


def test_every_change_is_attributed(command: CommandLine, tmp_path: Path) -> None:
    """Person, commit, pull request, run and request ids are on record; nothing secret is."""
    command.write("alpha")
    command.write("beta")
    assert command("apply", "--yes", **_pull_request(tmp_path, 12)).exit_code == 0
    command.write("alpha", events=["run.failed"])
    assert command("apply", "--yes", "--actor", "linus").exit_code == 0

    history = command("history", "alpha")
    assert history.exit_code == 0, history.stderr
    lines = history.stdout.splitlines()
    assert lines[0].startswith("WHEN (UTC)           WEBHOOK  WHAT ")
    assert [line[21:].split()[1] for line in lines[1:3]] == ["replace", "create"]
    assert "2 entries" in lines[-1]
    assert "linus" in lines[1]
    assert "grace" in lines[2]
    assert "#12" in lines[2]
    assert "beta" not in history.stdout

    (created,) = [
        entry
        for entry in json.loads(command("history", "beta", "--format", "json").stdout)["entries"]
        if entry["event"] == "create"
    ]
    assert created["request_id"] in {request.request_id for request in command.zof.requests}
    assert created["run"] == "https://github.com/acme/hooks/actions/runs/7"
    metadata = command.vault.request("GET", f"secret/metadata/{command.prefix}/beta")["data"]
    assert metadata["custom_metadata"]["pull_request"] == "https://github.com/acme/hooks/pull/12"
    secrets = [each.reveal() for each in command.zof.signing_secrets().values()]
    log = next((tmp_path / ".state" / "webhook-reconciler").glob("*.audit.jsonl")).read_text()
    assert not any(secret in log for secret in secrets)


def test_another_machine_knows_the_last_change_from_vault(command: CommandLine, tmp_path: Path) -> None:
    """Without an audit log there is still who changed each webhook last; no API key is needed."""
    command.write("alpha")
    assert command("apply", "--yes", "--audit", str(tmp_path / "record.jsonl")).exit_code == 0
    history = command("history", ZOF_API_KEY=None)
    assert history.exit_code == 0, history.stderr
    assert "applied" in history.stdout
    assert "1 entry" in history.stdout
    markdown = command("history", "--format", "markdown", "--audit", str(tmp_path / "record.jsonl"))
    assert "| `create` |" in markdown.stdout


def test_an_unknown_name_is_the_same_error_everywhere(command: CommandLine) -> None:
    """Exit code 3 and the name that was probably meant."""
    command.write("alpha")
    assert command("apply", "--yes").exit_code == 0
    for args in (
        ("history", "alhpa"), ("test", "alhpa"), ("rotate", "alhpa", "--yes"),
        ("adopt", "alhpa", "--id", "we_1", "--rotate", "--yes"),
    ):  # fmt: skip
        result = command(*args)
        assert (result.exit_code, "hint: did you mean `alpha`?" in result.stderr) == (3, True), args


def test_an_adoption_is_an_adoption(command: CommandLine) -> None:
    """The outcome and the history call it so."""
    endpoint = command.zof.console.create("https://hooks.example.com/alpha", ["run.completed"])
    command.write("alpha")
    adopted = command("adopt", "alpha", "--id", endpoint.id, "--rotate", "--yes")
    assert adopted.exit_code == 0, adopted.stderr
    assert "alpha  adopted" in adopted.stdout
    assert "  adopt  " in command("history").stdout


def test_the_plan_names_the_quota_that_the_api_announces(command: CommandLine) -> None:
    """Not the usual one."""
    command.zof.behavior = Behavior(rate_limit=8)
    command.write("alpha")
    assert "within the quota of 8 requests a minute" in command("plan").stdout
