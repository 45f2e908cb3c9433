"""Warnings go with every command that reads manifests, and change no exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.manifest.webhooks import KNOWN_EVENTS

if TYPE_CHECKING:
    from tests.fixtures.command import CommandLine


def test_plan_and_apply_warn_on_stderr_and_go_on(command: CommandLine) -> None:
    """A warning is told on stderr with its place; the result on stdout and the exit code are as without."""
    command.write("ci", events=KNOWN_EVENTS)
    planned = command("plan", "--format", "json")
    assert planned.exit_code == 0
    assert "manifests/ci.yaml:12:5: warning[WH033]" in planned.stderr
    assert json.loads(planned.stdout)["summary"]["create"] == 1
    applied = command("apply", "--yes")
    assert applied.exit_code == 0
    assert "warning[WH033]" in applied.stderr
    assert "WH033" not in applied.stdout
    assert len(command.live) == 1
    assert command("drift").exit_code == 0


def test_an_error_beside_a_warning_stops_everything(command: CommandLine) -> None:
    """Both are told; the error makes the input invalid, and nothing is sent."""
    command.write("ci", events=KNOWN_EVENTS)
    command.write("cd", events=["run.exploded"])
    applied = command("apply", "--yes")
    assert applied.exit_code == 3
    assert "warning[WH033]" in applied.stderr
    assert "error[WH020]" in applied.stderr
    assert command.live == {}


@pytest.mark.parametrize(
    "args", [("validate",), ("plan",), ("drift",), ("status",), ("apply", "--yes"), ("rotate", "ci", "--yes")]
)
def test_every_command_that_reads_manifests_can_allow_unknown_events(
    command: CommandLine, args: tuple[str, ...]
) -> None:
    """A type that this version does not know is refused (3), and accepted with --allow-unknown-events."""
    command.write("ci", events=["run.exploded"])
    assert command(*args).exit_code == 3
    allowed = command(*args, "--allow-unknown-events")
    # What the API makes of such a type is its own affair.
    assert allowed.exit_code != 3 or args[0] == "rotate"
    assert "WH020" not in allowed.stdout + allowed.stderr


def test_the_configuration_ignores_rules_for_every_command(command: CommandLine) -> None:
    """What `rules` silences in the configuration no command tells."""
    command.write("ci", events=KNOWN_EVENTS)
    (command.folder / "reconciler.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations:\n"
        f"  - {{name: {command.environment['ZOF_ORGANIZATION']}}}\nrules: {{ignore: [WH033]}}\n",
        encoding="utf-8",
    )
    planned = command("plan")
    assert (planned.exit_code, planned.stderr) == (0, "")


def test_an_overlap_needs_no_rotation(command: CommandLine) -> None:
    """It also applies to `rotate` and to edits, so it is no reason for a warning."""
    command.write("ci", secret={"overlap": "24h"})
    assert command("plan").stderr == ""


def test_equal_warnings_are_one(command: CommandLine) -> None:
    """Three hundred manifests with one weakness are a few lines."""
    for number in range(300):
        command.write(f"ci-{number:03}", events=KNOWN_EVENTS)
    result = command("validate")
    assert result.exit_code == 0
    assert len((result.stdout + result.stderr).splitlines()) < 12
    assert "ci-005.yaml:12:5 and 294 others" in result.stdout + result.stderr
    assert "300 warnings" in result.stdout + result.stderr
