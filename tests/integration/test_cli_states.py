"""What is due and what is in progress, on real servers: neither is drift, and every report says so."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import time_machine

from reconciler.sandbox.behavior import Behavior
from tests.fixtures.patience import PATIENCE
from tests.fixtures.world import BYSTANDER, UNLIMITED, World

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.command import CommandLine
    from tests.fixtures.proxy import Request


def _later(hours: float) -> time_machine.travel:
    return time_machine.travel(datetime.now(UTC) + timedelta(hours=hours), tick=True)


def test_the_end_of_overlaps_is_cleaned_up_and_no_alarm(command: CommandLine) -> None:
    """Three edits, a day later: `drift` exits with 0, and a cleanup alone ends what the edits began."""
    command.zof.behavior = Behavior(rate_limit=UNLIMITED)
    for name in ("a", "b", "c"):
        command.write(name, secret={"overlap": "24h"})
    assert command("apply", "--yes").exit_code == 0
    for name in ("a", "b", "c"):
        command.write(name, ["run.failed"], secret={"overlap": "24h"})
    assert command("apply", "--yes").exit_code == 0
    assert len(command.zof.console.list()) == 6
    assert command("status").stdout.count("overlap until ") == 3
    command.write("new")

    with _later(26):
        drift = command("drift")
        assert (drift.exit_code, drift.stdout.startswith("No drift.")) == (0, True), drift.stdout
        assert "Cleanup is due for 3 webhooks; `reconciler apply --cleanup-only` does it:" in drift.stdout
        found = json.loads(command("drift", "--format", "json").stdout)
        assert found["summary"]["cleanup_due"] == 3
        assert {each["finding"]["state"] for each in found["changes"]} == {"cleanup-due"}
        annotations = command("drift", "--format", "github").stdout
        assert annotations.count("::notice ") >= 3
        assert "::error" not in annotations
        assert command("status").stdout.count("cleanup due") == 3
        assert "cleanup due" in command("drift", "--format", "html").stdout
        assert command("plan", "--cleanup-only", "--exit-code").exit_code == 2
        assert command("apply", "--cleanup-only", "--yes").exit_code == 0
        assert sorted(command.live) == [f"https://hooks.example.com/{name}" for name in "abc"]
        assert "previous_signing_secret" in command.document("a")
        assert command("plan", "--cleanup-only", "--exit-code").exit_code == 0
    with _later(52):
        assert command("drift").exit_code == 0
        assert command("apply", "--cleanup-only", "--yes").exit_code == 0
        assert "previous_signing_secret" not in command.document("a")
        assert command("plan", "--exit-code").exit_code == 2, "the new manifest is still pending"


def test_a_running_apply_is_in_progress_and_a_killed_one_is_drift(
    tmp_path: Path, openbao: OpenBaoServer
) -> None:
    """While it waits for the API, every report names the run; its endpoint is not called unmanaged."""
    with World.open(tmp_path / "world", openbao, Behavior(rate_limit=UNLIMITED)) as world:
        command = world.command
        command.write("old")
        assert command("apply", "--yes").exit_code == 0
        command.write("old", ["run.failed"])
        command.write("new")
        created, go_on = threading.Event(), threading.Event()

        def hold(request: Request) -> None:
            if request.method == "POST" and request.path.endswith("/webhooks"):
                created.set()
                assert go_on.wait(PATIENCE)

        world.api.carried_out = hold
        running = world.start("apply", "--yes", USER="grace")
        assert created.wait(PATIENCE)
        drift = command("drift")
        assert drift.exit_code == 0, drift.stdout
        assert "In progress: a run by grace on " in drift.stdout
        assert "The run in progress is changing 1 webhook:" in drift.stdout
        assert "1 live endpoint is unmanaged" in drift.stdout, f"only {BYSTANDER}"
        assert "interrupted" not in drift.stdout
        assert "In progress: a run by grace on " in command("plan").stdout
        status = json.loads(command("status", "--format", "json").stdout)
        assert status["in_progress"]["by"] == "grace"
        assert "in progress" in {each["state"] for each in status["webhooks"]}
        assert "In progress: a run by grace on " in command("status", "--format", "html").stdout
        running.kill()
        running.process.join(PATIENCE)
        go_on.set()
        world.api.carried_out = lambda _request: None
        drift = command("drift", "--format", "github")
        assert drift.exit_code == 2, drift.stdout
        assert "::warning " in drift.stdout
        assert "In progress" not in drift.stdout
        assert command("apply", "--yes").exit_code == 0
        assert command("drift").exit_code == 0
        world.check_webhooks({"old": "run.failed", "new": "run.completed"})


def test_an_endpoint_made_by_hand_is_drift_for_those_who_want_it(command: CommandLine) -> None:
    """Until it is allowed by a reviewed line."""
    command.write("ci")
    assert command("apply", "--yes").exit_code == 0
    stranger = command.zof.console.create("https://else.example.com/", ["run.failed"])
    assert command("drift").exit_code == 0
    name = command.environment["ZOF_ORGANIZATION"]
    for guards, code in (
        ("unmanaged: drift", 2),
        (f"unmanaged: drift, allowUnmanaged: [{stranger.id}]", 0),
    ):
        (command.folder / "reconciler.yaml").write_text(
            "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations:\n"
            f"  - name: {name}\n    guards: {{{guards}}}\n"
        )
        drift = command("drift")
        assert drift.exit_code == code, drift.stdout
        assert ("1 unmanaged endpoint" in drift.stdout) is (code == 2)
        assert ("::notice title=unmanaged in" in command("drift", "--format", "github").stdout) is (code == 2)
    assert command("apply", "--yes").exit_code == 0
    assert stranger.id in {each.id for each in command.zof.console.list()}


def test_an_organization_that_fails_has_its_place_in_the_json(command: CommandLine) -> None:
    """In the configuration's order, with exit code, message and hint; the worst exit code is that of all."""
    command.write("ci")
    (command.folder / "none").mkdir()
    name = command.environment["ZOF_ORGANIZATION"]
    (command.folder / "reconciler.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations:\n"
        "  - name: broken\n    manifests: [none]\n    api: {keyEnv: ZOF_NO_SUCH_KEY}\n"
        f"  - name: {name}\n"
    )
    for args in (("drift",), ("plan",), ("status",), ("apply", "--yes")):
        result = command(*args, "--format", "json", ZOF_ORGANIZATION=None)
        assert result.exit_code == 3, (args, result.stdout, result.stderr)
        broken, fine = json.loads(result.stdout)
        assert broken["organization"] == "broken"
        assert broken["error"]["exit_code"] == 3
        assert "ZOF_NO_SUCH_KEY" in broken["error"]["message"] + str(broken["error"]["hint"])
        assert "error" not in fine
