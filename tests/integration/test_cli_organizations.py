"""Several organizations at a time, on the real servers: one that fails hides nothing of the others."""

from __future__ import annotations

import json
import re
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from reconciler.model import Secret
from tests.fixtures.ci import accessors
from tests.fixtures.command import CommandLine, environment_of
from tests.fixtures.openbao import create_role, enable_approle, write_policy
from tests.fixtures.patience import PATIENCE
from tests.fixtures.proxy import Fate, Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from reconciler.sandbox.zof_server import ZofServer
    from tests.fixtures.openbao import VaultSettings
    from tests.fixtures.proxy import Request

NAMES = ("a", "b", "lost", "c")


@pytest.fixture
def fleet(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    zof: ZofServer,
    openbao: OpenBaoServer,
    vault_settings: VaultSettings,
) -> CommandLine:
    """Give four organizations with a webhook each; one has a key that the API does not know."""
    monkeypatch.chdir(tmp_path)
    environment = environment_of(zof, vault_settings)
    del environment["ZOF_ORGANIZATION"]
    line = CommandLine(tmp_path, environment, zof, openbao, vault_settings.prefix)
    organizations = []
    for name in NAMES:
        variable, key = f"ZOF_KEY_{name.upper()}", Secret(f"zof_key_of_{name}")
        environment[variable] = key.reveal()
        if name != "lost":
            zof.add_key(name, key=key)
        folder = tmp_path / "manifests" / name
        folder.mkdir(parents=True)
        line.write("ci").rename(folder / "ci.yaml")
        organizations.append({
            "name": name,
            "manifests": [f"manifests/{name}"],
            "api": {"keyEnv": variable},
            "vault": {"prefix": f"{vault_settings.prefix}/{name}"},
        })  # fmt: skip
    config = {"apiVersion": "webhooks.zof.ai/v1", "kind": "Config", "organizations": organizations}
    (tmp_path / "reconciler.yaml").write_text(json.dumps(config), encoding="utf-8")
    return line


def test_a_failing_organization_hides_nothing_of_the_others(fleet: CommandLine) -> None:
    """Plans, applies and reports are in the configuration's order; the reviewed plans bound the apply."""
    planned = fleet("plan", "--out", "plan.json")
    assert planned.exit_code == 1
    assert re.findall(r"^Plan for (\S+):", planned.stdout, re.MULTILINE) == ["a", "b", "c"]
    assert "error: lost: " in planned.stderr
    saved = json.loads((fleet.folder / "plan.json").read_text(encoding="utf-8"))
    assert [each["organization"] for each in saved] == list(NAMES)
    assert [sorted(each) for each in saved if "error" in each] == [["error", "organization"]]

    applied = fleet("apply", "--plan", "plan.json", "--yes", "--format", "json")
    assert applied.exit_code == 4, "nobody has reviewed a plan of one of them"
    reports = json.loads(applied.stdout)
    assert reports[2]["error"]["exit_code"] == 4
    assert [each["outcome"]["complete"] for each in reports if "outcome" in each] == [True] * 3
    assert sorted(line for line in applied.stderr.splitlines() if "create" in line) == [
        f"{name}: ci: create done" for name in "abc"
    ]
    drift = fleet("drift", "--format", "json", "--parallel", "2")
    assert drift.exit_code == 1
    assert [each.get("changes", "error") for each in json.loads(drift.stdout)] == [[], [], "error", []]
    assert fleet("plan", "--exit-code", "--organization", "a", "--organization", "c").exit_code == 0


def test_an_organization_without_a_reviewed_plan_is_left_alone(fleet: CommandLine) -> None:
    """The file has the plans of two: the third is refused, and the others are applied."""
    assert fleet("plan", "--out", "plan.json", "--organization", "a", "--organization", "b").exit_code == 0
    chosen = [option for name in "abc" for option in ("--organization", name)]
    applied = fleet("apply", "--plan", "plan.json", "--yes", *chosen)
    assert applied.exit_code == 4
    assert "error: c: the plan file has no plan of this organization" in applied.stderr
    states = json.loads(fleet("status", "--format", "json", *chosen).stdout)
    assert [each["webhooks"][0]["state"] for each in states] == ["in sync", "in sync", "pending create"]


def test_the_metrics_of_shards_are_those_of_the_whole_fleet(fleet: CommandLine) -> None:
    """Whether one job reads all organizations or several do, Prometheus reads the same text."""
    assert fleet("apply", "--yes").exit_code == 1
    whole = fleet("status", "--format", "openmetrics")
    files = []
    for shard in ("1/2", "2/2"):
        files.append(f"status-{shard[0]}.json")
        fleet("status", "--format", "json", "--shard", shard, "--output", files[-1])
    merged = fleet("merge-reports", *files, "--format", "openmetrics")
    assert (whole.exit_code, merged.exit_code) == (1, 0), merged.stderr

    def lines(text: str) -> list[str]:
        """Return the samples in any order, without the moment at which each was read."""
        return sorted(line for line in text.splitlines() if "last_success" not in line or "#" in line)

    assert lines(merged.stdout) == lines(whole.stdout)
    assert 'reconciler_up{organization="lost"} 0.0' in lines(merged.stdout)


class Held:
    """Holds back requests of one method until `over`."""

    def __init__(self, method: str, count: int) -> None:
        self._method = method
        self._arrived = threading.Barrier(count + 1)
        self.over = threading.Event()

    def __call__(self, request: Request) -> Fate:
        if request.method == self._method and not self.over.is_set():
            self._arrived.wait(PATIENCE)
            self.over.wait(PATIENCE)
        return Fate.FORWARD

    def wait(self) -> None:
        """Wait until all have arrived."""
        self._arrived.wait(PATIENCE)


def test_a_signal_finishes_the_steps_of_all_at_work(fleet: CommandLine) -> None:
    """Two finish their step, and those that were not begun are named; the next run goes on."""
    for name in NAMES:
        fleet.write("second").rename(fleet.folder / "manifests" / name / "second.yaml")
    held = Held("POST", 2)
    with Proxy(fleet.zof.origin) as proxy:
        proxy.script = held
        fleet.environment["ZOF_API_URL"] = f"{proxy.address}/v1"
        process = fleet.popen("apply", "--yes", "--parallel", "2", "--format", "json")
        held.wait()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        errors = next(line for line in process.stderr if "stopping" in line)
        held.over.set()
        output, rest = process.communicate(timeout=PATIENCE)
        again = fleet("apply", "--yes", "--lock-timeout", "0", "--organization", "a", "--organization", "b")
        assert again.exit_code == 0, again.output
    assert process.returncode == 5, errors + rest
    reports = json.loads(output)
    assert [each["outcome"]["complete"] for each in reports[:2]] == [False, False]
    assert [each["error"]["message"] for each in reports[2:]] == ["interrupted: not attempted"] * 2
    assert "interrupted: not attempted: lost, c" in rest
    assert "Traceback" not in rest


def test_an_interrupted_plan_logs_out_everywhere(fleet: CommandLine) -> None:
    """Whoever reads is abandoned: exit 130, one word, no traceback; every token is revoked."""
    enable_approle(fleet.vault, "several")
    rules = f'path "secret/+/{fleet.prefix}/*" {{ capabilities = ["read", "list"] }}'
    write_policy(fleet.vault, "several", rules)
    role_id, secret_id = create_role(fleet.vault, "plan", "several", mount="several")
    file = fleet.folder / "reconciler.yaml"
    config = json.loads(file.read_text(encoding="utf-8"))
    for each in config["organizations"]:
        each["vault"]["auth"] = {"method": "approle", "mount": "several"}
    file.write_text(json.dumps(config), encoding="utf-8")
    fleet.environment |= {"VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id.reveal()}
    before = accessors(fleet.vault)
    held = Held("GET", len(NAMES))
    with Proxy(fleet.zof.origin) as proxy:
        proxy.script = held
        fleet.environment["ZOF_API_URL"] = f"{proxy.address}/v1"
        process = fleet.popen("plan")
        held.wait()
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=PATIENCE)
        held.over.set()
    assert (process.returncode, output) == (130, ""), errors
    assert accessors(fleet.vault) == before
    fleet.vault.request("DELETE", "sys/auth/several")
    assert errors.strip().splitlines() == ["error: interrupted"]
