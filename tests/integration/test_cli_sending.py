"""`reconciler sandbox send`: the sandbox sends, and each answer is reported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.cli.servers import secrets_for
from reconciler.sandbox.receiver_server import ReceiverServer
from reconciler.sandbox.zof_server import ZofServer
from tests.fixtures.zof import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.command import CommandLine


@pytest.fixture
def zof() -> Iterator[ZofServer]:
    """Give an API with the sandbox's controls."""
    with ZofServer(UNLIMITED, controls=True) as server:
        yield server


@pytest.fixture
def receiver(command: CommandLine, zof: ZofServer, openbao: OpenBaoServer) -> Iterator[ReceiverServer]:
    """Give the receiver of the sandbox, which gets all deliveries."""
    with ReceiverServer(lambda url: secrets_for(openbao, url, f"{command.prefix}/")) as server:
        zof.behavior = replace(zof.behavior, deliver_to=server.url)
        yield server


def test_events_are_sent_and_their_answers_reported(command: CommandLine, receiver: ReceiverServer) -> None:
    """To all that subscribe, or to NAME alone; what should be refused is refused. Wrong answers: exit 5."""
    command.write("alpha", ["run.failed"], test=False, secret={"overlap": "24h"})
    command.write("beta", ["run.failed", "run.completed"], test=False)
    assert command("apply", "--yes").exit_code == 0

    sent = command("sandbox", "send", "run.failed")
    assert sent.exit_code == 0, sent.stderr
    assert "2 deliveries, each answered as it should" in sent.stdout
    assert "https://hooks.example.com/alpha  204" in sent.stdout

    # During an overlap, two endpoints of one webhook get the same event.
    assert command("rotate", "alpha", "--yes").exit_code == 0
    named = command("sandbox", "send", "run.failed", "alpha", "--repeat", "2", "--format", "json")
    assert named.exit_code == 0, named.stderr
    deliveries = json.loads(named.stdout)["deliveries"]
    assert len(deliveries) == 4
    assert len({each["endpoint_id"] for each in deliveries}) == 2
    assert len({each["event_id"] for each in deliveries}) == 1
    assert [each.outcome for each in receiver.received[2:]] == ["verified"] + ["duplicate"] * 3

    forged = command("sandbox", "send", "run.completed", "--forged")
    assert (forged.exit_code, forged.stdout.count("  401\n")) == (0, 1)
    huge = command(
        "sandbox", "send", "run.completed", "--huge", "--count", "2", "--out-of-order", "--late", "60"
    )
    assert (huge.exit_code, huge.stdout.count("  413\n")) == (0, 2)

    receiver.stop()
    lost = command("sandbox", "send", "run.completed")
    assert lost.exit_code == 5
    assert "the delivery failed: ConnectionRefusedError" in lost.stdout
    assert "1 delivery, 1 wrong answer" in lost.stdout


def test_what_cannot_be_sent_is_refused(command: CommandLine) -> None:
    """An unknown event or name, no subscriber, one event out of order, or no sandbox: one sentence."""
    for arguments, code, words in (
        (["run.faild"], 3, "did you mean `run.failed`?"),
        (["run.failed"], 3, "no enabled endpoint subscribes to run.failed"),
        (["run.failed", "gamma"], 3, "no endpoint to test for gamma"),
        (["run.failed", "--out-of-order"], 64, "add --count N"),
    ):
        refused = command("sandbox", "send", *arguments)
        assert (refused.exit_code, refused.stdout) == (code, ""), refused.output
        assert words in refused.stderr
    real = command("sandbox", "send", "run.failed", ZOF_API_URL=None)
    assert real.exit_code == 3
    assert "https://api.zof.ai/v1 is not a sandbox" in real.stderr
    with ZofServer(UNLIMITED) as plain:
        without = command("sandbox", "send", "run.failed", ZOF_API_URL=plain.url)
    assert without.exit_code == 3
    assert "is not a sandbox (HTTP 404)" in without.stderr
    gone = command("sandbox", "send", "run.failed", ZOF_API_URL=plain.url)
    assert gone.exit_code == 1
    assert "does not answer: no connection" in gone.stderr
