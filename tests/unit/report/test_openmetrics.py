"""The metrics of a fleet, made from the JSON of one job or of many."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from reconciler.cli.app import reconciler
from reconciler.errors import InvalidInput
from reconciler.plan.status import FleetState
from reconciler.report.openmetrics import openmetrics
from reconciler.report.status import status_value
from reconciler.texts import is_text
from tests.fixtures.fleet import NOW, small_fleet
from tests.fixtures.page import HOSTILE

ROWS = small_fleet().rows
FAILED = {"organization": "lost", "error": {"exit_code": 1, "message": "refused", "hint": None}}


def status(name: str, **more: Any) -> dict[str, Any]:
    """Return the JSON of an organization, as a job writes it and another reads it."""
    value: dict[str, Any] = json.loads(json.dumps(status_value(name, ROWS, observed_at=NOW, **more)))
    return value


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the samples of each metric by the values of their labels."""
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    }


def test_each_organization_and_webhook_is_measured() -> None:
    """States and findings are counted, also with 0; an organization that failed is down."""
    metrics = samples(openmetrics([status("acme", refused=True, requests_per_minute=100), FAILED]))
    assert metrics["reconciler_up"] == {("acme",): 1, ("lost",): 0}
    states = metrics["reconciler_webhooks"]
    managed = [row for row in ROWS if not row.unmanaged]
    assert states.keys() == {
        ("acme", state.replace(" ", "_")) for state in FleetState if state is not FleetState.UNMANAGED
    }
    assert sum(states.values()) == len(managed)
    assert metrics["reconciler_unmanaged_endpoints"]["acme",] == len(ROWS) - len(managed)
    assert metrics["reconciler_needs_action"]["acme",] == sum(row.needs_action for row in ROWS) > 0
    assert sum(metrics["reconciler_findings"].values()) == sum(len(row.findings) for row in ROWS) > 0
    assert metrics["reconciler_guard_refusals"]["acme",] == 1
    assert metrics["reconciler_run_in_progress"]["acme",] == 0
    assert metrics["reconciler_api_requests_per_minute"]["acme",] == 100
    assert metrics["reconciler_last_success_timestamp_seconds"]["acme",] == NOW.timestamp()
    created = {("acme", row.name): row.secret_created_at for row in managed}
    assert metrics["reconciler_secret_created_timestamp_seconds"] == {
        key: at.timestamp() for key, at in created.items() if at is not None
    }


@pytest.mark.untraced
def test_the_metrics_grow_with_the_fleet_alone() -> None:
    """A file for a thousand organizations is a thousand times as long as that for one."""
    one = len(openmetrics([status("org-0000")]))
    many = openmetrics([status(f"org-{number:04}") for number in range(1000)])
    assert len(many) <= 1000 * one


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_one_label(name: str) -> None:
    """It neither ends its line nor its quotes. One that no file can hold is refused."""
    if not is_text(name):
        with pytest.raises(InvalidInput, match="not UTF-8"):
            openmetrics([status(name)])
        return
    assert samples(openmetrics([status(name)]))["reconciler_up"] == {(name,): 1}


@pytest.mark.parametrize(
    "value",
    [
        7,
        [],
        {},
        {"error": 1},
        {"organization": "a", "changes": [], "summary": {}},
        {**status("a"), "observed_at": 7},
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    """A plan does not have every webhook, so its metrics would be wrong."""
    with pytest.raises(InvalidInput, match="not a report of status") as caught:
        openmetrics([value])
    assert caught.value.hint == "merge what `reconciler status --format json` wrote"


def test_the_reports_of_several_jobs_are_one_file(tmp_path: Any) -> None:
    """`merge-reports` writes what one job would have written."""
    (tmp_path / "1.json").write_text(json.dumps([status("a"), FAILED]), encoding="utf-8")
    (tmp_path / "2.json").write_text(json.dumps(status("b")), encoding="utf-8")
    files = [str(tmp_path / name) for name in ("1.json", "2.json")]
    done = CliRunner().invoke(reconciler, ["merge-reports", *files, "--format", "openmetrics"])
    assert (done.exit_code, done.stdout) == (0, openmetrics([status("a"), FAILED, status("b")]))
    twice = CliRunner().invoke(reconciler, ["merge-reports", *files[1:] * 2, "--format", "openmetrics"])
    assert (twice.exit_code, twice.stdout) == (3, "")
