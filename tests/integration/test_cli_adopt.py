"""From live to git on the real servers: `export`, then `adopt`, and then there is nothing left to change."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from reconciler.manifest.schema import packaged_schema
from reconciler.sandbox.behavior import Behavior

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.command import CommandLine

UNLIMITED = 1_000_000
A = "https://hooks.example.com/a"


def _made_by_hand(command: CommandLine, url: str = A, *events: str) -> tuple[str, str]:
    """Return the id and the secret of an endpoint that somebody makes in the console."""
    endpoint = command.zof.console.create(url, list(events or ("run.completed",)))
    return endpoint.id, command.zof.signing_secrets()[endpoint.id].reveal()


def _assert_nothing_shown(command: CommandLine, *secrets: str) -> None:
    """No output and no file of the folder holds a secret: raw, base64 or URL-encoded."""
    texts = [*command.outputs, *(p.read_text() for p in command.folder.rglob("*") if p.is_file())]
    text = "\n".join(texts)
    for secret in (*secrets, *(each.reveal() for each in command.zof.signing_secrets().values())):
        assert secret not in text
        assert quote(secret, safe="") not in text
        for shift in range(3):
            encoded = base64.b64encode(b"x" * shift + secret.encode()).decode().rstrip("=")
            assert encoded[4:-4] not in text


def _adopt_lines(folder: Path, how: str) -> list[list[str]]:
    """Return the arguments of each `reconciler adopt` that the exported files tell to run."""
    lines = [line for file in sorted(folder.glob("*.yaml")) for line in file.read_text().splitlines()]
    return [line.split()[2:] for line in lines if "reconciler adopt" in line and line.endswith(how)]


@pytest.mark.parametrize("how", ["--secret-stdin", "--rotate"])
def test_the_whole_way_from_live_to_git(command: CommandLine, how: str) -> None:
    """Export, run the commands that the files name, and the plan is empty; two runs later, too."""
    urls = [
        "https://hooks.example.com/ci", "https://hooks.example.com/ci/", "https://b.example.com/x?channel=1",
        "https://alerts.example.com/zof/agents", "https://hooks.example.com:8443/ci",
    ]  # fmt: skip
    made = dict(_made_by_hand(command, url, "run.completed", "run.failed") for url in urls)
    exported = command("export", "--out", "manifests")
    assert exported.exit_code == 0, exported.stderr
    assert "5 manifests written." in exported.stderr
    assert command("validate").exit_code == 0
    conflicts = command("plan")
    assert conflicts.stdout.count("reconciler adopt ") == 5
    assert command("apply", "--yes").exit_code == 5, "nothing is taken over by itself"
    assert len(command.live) == 5

    adoptions = _adopt_lines(command.folder / "manifests", how)
    assert len(adoptions) == 5
    for args in adoptions:
        endpoint_id = args[args.index("--id") + 1]
        adopted = command(*args, "--yes", stdin=made[endpoint_id] + "\n")
        assert adopted.exit_code == 0, adopted.output
    planned = command("plan", "--exit-code")
    assert planned.exit_code == 0, planned.stdout
    assert "No changes. 5 webhooks in" in planned.stdout
    assert sorted(command.live) == sorted(urls)
    stays = how == "--secret-stdin"
    assert ({endpoint_id for endpoint_id, _ in command.live.values()} == set(made)) is stays
    for file in (command.folder / "manifests").glob("*.yaml"):
        document = command.document(file.stem)
        assert document["signing_secret"] == command.zof.signing_secrets()[document["endpoint_id"]].reveal()
    assert command("drift").exit_code == 0
    assert command("status").stdout.count("in sync") == 5
    again = command("export", "--unmanaged", "--out", "more")
    assert "0 manifests written" in again.stderr
    _assert_nothing_shown(command, *made.values())


def test_what_is_exported_again_is_what_the_ledger_says(command: CommandLine) -> None:
    """Owned endpoints keep their names, owners and policies, and need no adoption."""
    command.write("ci", ["run.started"], deletionPolicy="Protect")
    assert command("apply", "--yes").exit_code == 0
    exported = command("export", "--out", "again")
    assert exported.exit_code == 0
    text = (command.folder / "again/ci.yaml").read_text(encoding="utf-8")
    assert "live and managed under this name" in text
    assert "reconciler adopt" not in text
    assert "owner: platform" in text
    assert command("plan", "again", "--exit-code").exit_code == 0


def test_files_that_exist_are_kept(command: CommandLine) -> None:
    """Neither a file nor a link to nowhere is overwritten, and the note names it."""
    _made_by_hand(command)
    _made_by_hand(command, "https://hooks.example.com/b")
    folder = command.folder / "manifests"
    folder.mkdir()
    (folder / "hooks-example-com-a.yaml").write_text("mine", encoding="utf-8")
    (folder / "hooks-example-com-b.yaml").symlink_to(command.folder / "elsewhere.yaml")
    exported = command("export", "--out", "manifests")
    assert exported.exit_code == 0
    assert "kept manifests/hooks-example-com-a.yaml: it exists" in exported.stderr
    assert "0 manifests written; 2 existing files kept." in exported.stderr
    assert (folder / "hooks-example-com-a.yaml").read_text() == "mine"
    assert not (command.folder / "elsewhere.yaml").exists()
    assert len(list(folder.iterdir())) == 2, "something was left behind"


def test_a_folder_that_cannot_be_written_is_an_error(command: CommandLine) -> None:
    """The path and the reason are told, and nothing is written."""
    _made_by_hand(command)
    (command.folder / "manifests").write_text("a file", encoding="utf-8")
    exported = command("export", "--out", "manifests")
    assert exported.exit_code == 1
    assert exported.stderr.startswith("error: cannot write manifests/hooks-example-com-a.yaml: ")
    assert command("export", "--out", "a\0b").exit_code == 1


def test_a_stream_of_manifests_goes_to_stdout(command: CommandLine) -> None:
    """Without --out everything is one YAML stream that `validate` accepts; notes go to stderr."""
    assert "nothing to export" in command("export").stderr
    _made_by_hand(command)
    _made_by_hand(command, "https://hooks.example.com/b")
    exported = command("export")
    assert (exported.exit_code, exported.stderr) == (0, "")
    (command.folder / "live.yaml").write_text(exported.stdout, encoding="utf-8")
    assert command("validate", "live.yaml").stdout == "No problems. 2 webhooks in 1 file.\n"


def test_a_conflict_names_a_command_that_works(command: CommandLine) -> None:
    """The hint of the plan is complete; without the choice of a secret, an error names both."""
    endpoint_id, secret = _made_by_hand(command)
    command.write("a")
    planned = command("plan")
    hint = f"reconciler adopt a --id {endpoint_id}"
    assert f"`{hint} --rotate`" in planned.stdout
    asked = command(*hint.split()[1:])
    assert asked.exit_code == 64
    for how in ("--secret-stdin", "--rotate"):
        assert f"`{hint} {how}`" in asked.stderr
    assert command(*hint.split()[1:], "--secret-stdin", "--rotate").exit_code == 64
    assert command(*hint.split()[1:], "--secret-stdin", "--yes", stdin=secret).exit_code == 0
    assert command("plan", "--exit-code").exit_code == 0


def test_the_plan_is_shown_before_it_is_done(command: CommandLine) -> None:
    """Text says which endpoint is taken over; JSON is one document with plan and outcome."""
    endpoint_id, secret = _made_by_hand(command)
    command.write("a")
    args = ("adopt", "a", "--id", endpoint_id, "--secret-stdin")
    assert command(*args, stdin=secret).exit_code == 64, "there is nobody to ask"
    refused = command("adopt", "a", "--id", "we_unknown", "--rotate", "--yes")
    assert refused.exit_code == 4
    assert refused.stderr.startswith("error: endpoint we_unknown is not live\nhint: ")
    adopted = command(*args, "--yes", "--format", "json", "--actor", "grace", stdin=secret)
    value = json.loads(adopted.stdout)
    (change,) = value["plan"]["changes"]
    assert (change["action"], change["endpoint_id"]) == ("update", endpoint_id)
    assert change["owner"] == "platform"
    assert packaged_schema("plan").accepts(value["plan"])
    assert change["reason"] == f"endpoint {endpoint_id} is taken over, its secret is handed in"
    assert value["outcome"]["complete"] is True
    assert json.loads(command.document("a")["ledger"])["run"]["actor"] == "grace"
    assert json.loads(command.document("a")["ledger"])["current"]["source"] == "adopted"
    _assert_nothing_shown(command, secret)


def test_a_failed_test_delivery_is_exit_code_5(command: CommandLine) -> None:
    """The endpoint is adopted and not verified, as after an apply; a later apply verifies it."""
    endpoint_id, secret = _made_by_hand(command)
    command.write("a")
    command.zof.behavior = Behavior(test_result="fail", rate_limit=UNLIMITED)
    adopted = command("adopt", "a", "--id", endpoint_id, "--secret-stdin", "--yes", stdin=secret)
    assert adopted.exit_code == 5
    assert "not verified" in adopted.stdout
    command.zof.behavior = Behavior(rate_limit=UNLIMITED)
    assert command("apply", "--yes").exit_code == 0
    assert command.live[A][0] == endpoint_id


def test_a_name_without_a_manifest_is_invalid(command: CommandLine) -> None:
    """Paths say where the manifest is, as for apply."""
    endpoint_id, secret = _made_by_hand(command)
    command.write("a")
    (command.folder / "manifests").rename(command.folder / "elsewhere")
    args = ("adopt", "a", "--id", endpoint_id, "--secret-stdin", "--yes")
    (command.folder / "manifests").mkdir()
    missing = command(*args, stdin=secret)
    assert missing.exit_code == 3
    assert "no manifest for a" in missing.stderr
    assert command(*args, "elsewhere", stdin=secret).exit_code == 0


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        ("", "stdin holds no secret"),
        ("\n", "stdin holds no secret"),
        ("whsec_one\nwhsec_two\n", "spaces, line breaks or control characters"),
        (" whsec_one", "spaces, line breaks or control characters"),
        ("whsec_one\n\n", "spaces, line breaks or control characters"),
        ("whsec_\x1b[31m", "spaces, line breaks or control characters"),
        (b"whsec_\xff", "not UTF-8 text"),
        ("whsec_****1234", "partly masked"),
        ("w" * 1025, "more than 1,024 characters"),
        ("w" * 100_000, "more than 1,024 characters"),
    ],
)
def test_what_is_no_secret_is_refused(command: CommandLine, stdin: str | bytes, said: str) -> None:
    """A slip is told before anything is sent, without a byte of it."""
    endpoint_id, _ = _made_by_hand(command)
    command.write("a")
    refused = command("adopt", "a", "--id", endpoint_id, "--secret-stdin", "--yes", stdin=stdin)
    assert refused.exit_code == 3
    assert said in refused.stderr
    assert "whsec_one" not in refused.output
    assert not command.zof.requests


@pytest.mark.parametrize("variable", ["ZOF_API_KEY", "VAULT_TOKEN"])
def test_another_secret_is_refused(command: CommandLine, variable: str) -> None:
    """The API key or the Vault token in the place of the signing secret is a slip."""
    endpoint_id, _ = _made_by_hand(command)
    command.write("a")
    refused = command(
        "adopt", "a", "--id", endpoint_id, "--secret-stdin", "--yes", stdin=command.environment[variable]
    )
    assert refused.exit_code == 3
    assert command.environment[variable] not in refused.output


def test_a_secret_keeps_everything_but_one_newline(command: CommandLine) -> None:
    """Windows' line ends go as well; the rest is the secret, byte for byte."""
    for name, stdin, secret in (("a", "geheim-ü\r\n", "geheim-ü"), ("b", "x", "x")):
        endpoint_id, _ = _made_by_hand(command, f"https://hooks.example.com/{name}")
        command.write(name)
        adopted = command("adopt", name, "--id", endpoint_id, "--secret-stdin", "--yes", stdin=stdin.encode())
        assert adopted.exit_code == 0, adopted.output
        assert command.document(name)["signing_secret"] == secret


def test_of_several_organizations_the_one_with_the_manifest_is_meant(command: CommandLine) -> None:
    """The name says which one; where it does not, the flag has to."""
    endpoint_id, secret = _made_by_hand(command)
    organization = command.environment["ZOF_ORGANIZATION"]
    for name in ("one", "two"):
        command.write(name)
        (command.folder / f"{name}s").mkdir()
        (command.folder / f"manifests/{name}.yaml").rename(command.folder / f"{name}s/{name}.yaml")
    command.write("a").rename(command.folder / "ones/a.yaml")
    config = {
        "apiVersion": "webhooks.zof.ai/v1", "kind": "Config",
        "organizations": [
            {"name": organization, "manifests": ["ones"]}, {"name": "other", "manifests": ["twos"]},
        ],
    }  # fmt: skip
    (command.folder / "reconciler.yaml").write_text(json.dumps(config), encoding="utf-8")
    args = ("--id", endpoint_id, "--secret-stdin", "--yes")
    absent = command("adopt", "absent", *args, stdin=secret, ZOF_ORGANIZATION=None)
    assert absent.exit_code == 64
    assert "no organization has a manifest for absent" in absent.stderr
    adopted = command("adopt", "a", *args, stdin=secret, ZOF_ORGANIZATION=None)
    assert adopted.exit_code == 0, adopted.output
    several = command("export", "--out", "live", ZOF_ORGANIZATION=None)
    assert several.exit_code == 64


def test_a_lost_ledger_comes_back_by_adoption(command: CommandLine) -> None:
    """A document removed with its metadata is a conflict whose hint brings it back."""
    command.write("a")
    assert command("apply", "--yes").exit_code == 0
    document = command.document("a")
    command.vault.request("DELETE", f"secret/metadata/{command.prefix}/a")
    assert command("apply", "--yes").exit_code == 5
    adopted = command(
        "adopt",
        "a",
        "--id",
        document["endpoint_id"],
        "--secret-stdin",
        "--yes",
        stdin=document["signing_secret"],
    )
    assert adopted.exit_code == 0, adopted.output
    assert command.document("a")["signing_secret"] == document["signing_secret"]
    assert command("plan", "--exit-code").exit_code == 0
