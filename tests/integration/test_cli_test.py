"""`reconciler test`: the real API sends the deliveries, a real receiver takes them or does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.sandbox.behavior import Behavior
from tests.fixtures.web import Answer, Collector

if TYPE_CHECKING:
    from tests.fixtures.command import CommandLine


def test_deliveries_are_sent_and_told(command: CommandLine) -> None:
    """All arrive: exit 0. One fails: exit 5 with the request's id. A name that is none: exit 3."""
    command.write("alpha")
    command.write("beta")
    assert command("apply", "--yes").exit_code == 0
    tested = command("test")
    assert tested.exit_code == 0, tested.stderr
    assert "2 delivered" in tested.stdout

    command.zof.behavior = Behavior(test_result="fail", rate_limit=1_000_000)
    failed = command("test", "beta", "--format", "json")
    assert failed.exit_code == 5, failed.stderr
    (delivery,) = json.loads(failed.stdout)["deliveries"]
    assert (delivery["name"], delivery["result"]) == ("beta", "failed")
    assert delivery["request_id"].startswith("req_")
    assert "| `alpha` | failed |" in command("test", "--format", "markdown").stdout

    unknown = command("test", "gamma")
    assert unknown.exit_code == 3
    assert "no endpoint to test for gamma" in unknown.stderr


def test_a_receiver_with_another_secret_is_reported(command: CommandLine) -> None:
    """A 401 means another secret; a receiver of ours is recognized by its answer, and named."""
    command.write("alpha")
    assert command("apply", "--yes").exit_code == 0
    with Collector(Answer(401)) as service:
        command.zof.behavior = replace(command.zof.behavior, deliver_to=service.url)
        failed = command("test")
    assert failed.exit_code == 5
    assert "the receiver answered 401: the receiver has another signing secret than the API" in failed.stdout
    assert "then run `reconciler test alpha`" in failed.stdout


def test_names_go_with_one_organization(command: CommandLine) -> None:
    """With several organizations a name is ambiguous: nothing is sent."""
    (command.folder / "reconciler.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations: [{name: a}, {name: b}]\n"
    )
    result = command("test", "alpha", ZOF_ORGANIZATION=None)
    assert result.exit_code == 64
    assert "add --organization NAME" in result.stderr
