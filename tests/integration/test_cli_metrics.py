"""`--format openmetrics`, on real servers: what an alert can rely on."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from tests.fixtures.command import CommandLine

ALERTS = Path(__file__).parents[2] / "examples" / "prometheus" / "alerts.yaml"


def _samples(text: str) -> dict[tuple[str, str], float]:
    """Return the samples by name and by the label beside the organization."""
    found = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            labels = [value for label, value in sorted(sample.labels.items()) if label != "organization"]
            found[sample.name, "".join(labels)] = sample.value
    return found


def test_the_fleet_as_openmetrics(command: CommandLine) -> None:
    """Each state and finding is counted, also with 0, and a webhook's secret has its time."""
    for name in ("gone", "kept"):
        command.write(name)
    command.zof.console.create("https://elsewhere.example.com/", ["run.failed"])
    assert command("apply", "--yes").exit_code == 0
    status = command("status", "--format", "openmetrics", "--exit-code")
    assert (status.exit_code, status.stdout.endswith("# EOF\n")) == (0, True)
    before = _samples(status.stdout)
    assert before["reconciler_webhooks", "in_sync"] == 2
    assert before["reconciler_unmanaged_endpoints", ""] == 1
    assert before["reconciler_needs_action", ""] == 0
    assert before["reconciler_secret_created_timestamp_seconds", "kept"] > 0

    command.zof.console.delete(command.document("gone")["endpoint_id"])
    command.write("pending")
    for args, code in ((("status", "--exit-code"), 2), (("status",), 0), (("drift",), 2)):
        ended = command(*args, "--format", "openmetrics")
        after = _samples(ended.stdout)
        assert ended.exit_code == code, args
        assert after["reconciler_findings", "endpoint-removed"] == after["reconciler_needs_action", ""] == 1
        assert after["reconciler_findings", "endpoint-changed"] == 0
        assert after["reconciler_webhooks", "pending"] == after["reconciler_webhooks", "drifted"] == 1
    assert command("status", "--exit-code").exit_code == 2


def test_an_organization_that_cannot_be_read_is_down(command: CommandLine) -> None:
    """The text says so, too: a job that fails still writes what Prometheus reads."""
    command.write("a")
    ended = command("status", "--format", "openmetrics", ZOF_API_KEY="zof_wrong")
    assert ended.exit_code == 1
    assert _samples(ended.stdout) == {("reconciler_up", ""): 0}


def test_the_alerts_use_metrics_that_there_are(command: CommandLine) -> None:
    """Every name in the example's expressions is one that is written."""
    command.write("a")
    written = set(re.findall(r"# TYPE (\w+)", command("status", "--format", "openmetrics").stdout))
    assert set(re.findall(r"reconciler_\w+", ALERTS.read_text())) <= written


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing (Debian: prometheus)")
def test_promtool_accepts_the_alerts() -> None:
    """They are valid rules."""
    subprocess.run(["promtool", "check", "rules", str(ALERTS)], check=True, capture_output=True)
