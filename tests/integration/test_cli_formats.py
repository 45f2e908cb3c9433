"""The formats that are read elsewhere than on a terminal: in pull requests, job summaries, annotations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.command import CommandLine


def test_a_pull_request_sees_plan_and_outcome_in_markdown(command: CommandLine, tmp_path: Path) -> None:
    """Plan, application and drift come as Markdown; a plan goes to a file just as well."""
    command.write("alpha")
    summary = tmp_path / "summary.md"
    planned = command("plan", "--format", "markdown", "--output", str(summary), "--exit-code")
    assert (planned.exit_code, planned.stdout) == (2, "")
    assert "**create** `alpha` · " in summary.read_text("utf-8")

    applied = command("apply", "--yes", "--format", "markdown")
    assert applied.exit_code == 0, applied.stderr
    assert "**1 to create**; 0 unchanged." in applied.stdout
    assert "### Applied to `" in applied.stdout
    assert "| `alpha` | created | `" in applied.stdout

    assert "| `alpha` | `in sync` | " in command("status", "--format", "markdown").stdout
    endpoint_id, _ = command.live["https://hooks.example.com/alpha"]
    command.zof.console.delete(endpoint_id)
    drift = command("drift", "--format", "markdown")
    assert drift.exit_code == 2
    assert "### Drift in `" in drift.stdout
    assert f"# drift: endpoint {endpoint_id} is gone" in drift.stdout


def test_every_format_reports_a_disabled_endpoint(command: CommandLine) -> None:
    """`drift` exits 2, `apply` leaves the endpoint alone and exits 0, and `rotate` replaces it."""
    command.write("alpha")
    assert command("apply", "--yes").exit_code == 0, command.outputs
    live = command.live
    ((endpoint_id, _),) = live.values()
    command.zof.console.edit(endpoint_id, enabled=False)
    for name, words in {
        "text": "found: endpoint-disabled (live)",
        "json": '"endpoint-disabled"',
        "markdown": "found: endpoint-disabled (live)",
        "github": "::error ",
        "html": "endpoint-disabled",
    }.items():
        found = command("drift", "--format", name)
        assert found.exit_code == 2, found.output
        assert words in found.stdout
        assert "reconciler rotate alpha" in found.stdout.replace("<code>", "").replace("</code>", "")
        if name != "github":
            assert "disabled" in command("status", "--format", name).stdout
    assert command("plan", "--exit-code").exit_code == 0
    applied = command("apply", "--yes")
    assert applied.exit_code == 0, applied.output
    assert "! alpha  left alone" in applied.stdout
    assert "hint: enable it in Admin Center" in applied.stdout
    assert command.live == live
    assert json.loads(command("apply", "--yes", "--format", "json").stdout)["outcome"]["complete"] is True
    assert command("rotate", "alpha", "--yes").exit_code == 0, command.outputs
    assert command("drift").exit_code == 0
    assert command.live != live


def test_a_plan_annotates_the_manifests(command: CommandLine) -> None:
    """`--format github` puts each change at the line of its manifest."""
    path = command.write("alpha")
    planned = command("plan", "--format", "github")
    assert planned.exit_code == 0
    assert planned.stdout.startswith("::notice file=")
    assert f"{path.name},line=1,col=1,title=create alpha::" in planned.stdout
