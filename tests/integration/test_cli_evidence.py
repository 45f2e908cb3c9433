"""What people and an API with habits of its own do during a creation, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.sandbox.faults import Fault, FaultKind

if TYPE_CHECKING:
    from tests.fixtures.command import CommandLine

URL = "https://hooks.example.com/ci"


def test_a_persons_endpoint_after_429s_is_a_conflict(command: CommandLine) -> None:
    """Nothing was created while the API limited the rate: what is at the URL afterwards is left alone."""
    command.write("ci")
    command.zof.fail("POST", "/v1/webhooks", Fault(FaultKind.STATUS, status=429), times=9)
    assert command("apply", "--yes").exit_code == 5
    command.zof.clear_faults()
    endpoint = command.zof.console.create(URL, ["run.completed"])
    planned = command("plan")
    assert f"reconciler adopt ci --id {endpoint.id}" in planned.output
    for _ in range(2):
        applied = command("apply", "--yes")
        assert applied.exit_code == 5, applied.output
        assert f"reconciler adopt ci --id {endpoint.id}" in applied.output
        assert command.live == {URL: (endpoint.id, ("run.completed",))}
    assert command("adopt", "ci", "--id", endpoint.id, "--rotate", "--yes").exit_code == 0, command.outputs
    assert command("plan", "--exit-code").exit_code == 0


def test_a_new_endpoint_that_lags_is_tested_again(command: CommandLine) -> None:
    """The test answers 404 at first: the run waits, tests again, and creates no second endpoint."""
    command.zof.behavior = replace(
        command.zof.behavior, test_lag_seconds=1.5, listing_lag_seconds=1.5, created_field="none"
    )
    command.write("ci")
    applied = command("apply", "--yes")
    assert applied.exit_code == 0, applied.output
    assert len(command.live) == 1
    posts = [each for each in command.zof.requests if each.method == "POST" and each.path == "/v1/webhooks"]
    assert len(posts) == 1


def test_a_secret_with_a_line_break_is_stored_exactly_so(command: CommandLine) -> None:
    """Vault has what the API signs with, and a warning says what to check."""
    command.zof.behavior = replace(command.zof.behavior, secret_suffix="\n", honour_client_secret=False)
    command.write("ci")
    applied = command("apply", "--yes")
    assert applied.exit_code == 0, applied.output
    assert "line break" in applied.stderr
    document = command.document("ci")
    assert document["signing_secret"].endswith("\n")
    assert document["signing_secret"] == command.zof.signing_secrets()[document["endpoint_id"]].reveal()
    assert command("plan", "--exit-code").exit_code == 0


def test_a_first_intent_that_is_deleted_in_vault_is_continued(command: CommandLine) -> None:
    """A document without metadata is undeleted, looked at and continued, and nothing is created twice."""
    command.write("ci")
    command.zof.fail("POST", "/v1/webhooks", Fault(FaultKind.TRUNCATED), times=None)
    assert command("apply", "--yes").exit_code == 5
    assert "pending_signing_secret" in command.document("ci")
    command.zof.clear_faults()
    command.vault.request("DELETE", f"secret/data/{command.prefix}/ci")
    applied = command("apply", "--yes")
    assert applied.exit_code == 0, applied.output
    assert len(command.live) == 1
    assert command.document("ci")["endpoint_id"] == command.live[URL][0]
