"""`reconciler receive` as a process, its secrets in a real OpenBao: rotation, mistakes and a graceful end."""

from __future__ import annotations

import json
import re
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.receiver.signature import SIGNATURE_HEADER, sign
from tests.fixtures.inbox import event_body
from tests.fixtures.openbao import create_token, write_policy
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.fixtures.command import CommandLine


class Running:
    """A receiver as a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        assert process.stdout is not None
        self.process = process
        self.stdout = process.stdout
        found = re.match(r"receiving ci at (http://\S+)/ci\n", process.stderr.readline())
        assert found is not None
        self.url = found[1]
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(process.stderr,))
        self._reader.start()

    def _read(self, stream: object) -> None:
        self.log.extend(stream)  # type: ignore[arg-type]

    def deliver(self, event_id: str, secret: str) -> int:
        """Deliver an event; return the answer."""
        body = event_body(event_id)
        headers = {SIGNATURE_HEADER: sign(body, secret)}
        return httpx.post(f"{self.url}/ci", content=body, headers=headers, timeout=30).status_code

    def end(self) -> int:
        """Send SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self._reader.join()
        return code


@contextmanager
def receiving(command: CommandLine, *args: str) -> Iterator[Running]:
    """Run `receive ci`."""
    with command.popen("receive", "ci", "--listen", "127.0.0.1:0", *args) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def test_a_receiver_follows_a_rotation(command: CommandLine) -> None:
    """With a token that may read one document: old and new secrets are accepted without a restart."""
    command.write("ci", secret={"overlap": "24h"})
    assert command("apply", "--yes").exit_code == 0
    old = command.document("ci")["signing_secret"]
    write_policy(
        command.vault, "receiver", f'path "secret/data/{command.prefix}/ci" {{ capabilities = ["read"] }}'
    )
    token = create_token(command.vault, "receiver", no_default_policy=True)
    root, command.environment["VAULT_TOKEN"] = command.environment["VAULT_TOKEN"], token.reveal()
    with receiving(command, "--print") as receiver:
        assert receiver.deliver("evt_1", old) == 200
        command.environment["VAULT_TOKEN"] = root
        assert command("rotate", "ci", "--yes").exit_code == 0
        new = command.document("ci")["signing_secret"]
        assert new != old
        assert [receiver.deliver("evt_2", new), receiver.deliver("evt_3", old)] == [200, 200]
        assert receiver.deliver("evt_4", "forged") == 401
        printed = [json.loads(receiver.stdout.readline())["id"] for _ in range(3)]
        assert receiver.end() == 0
    assert printed == ["evt_1", "evt_2", "evt_3"]
    logged = "".join(receiver.log)
    assert '"status": 401' in logged
    for secret in (old, new, token.reveal()):
        assert secret not in logged
    listed = json.loads(command("inbox", "list", "--format", "json").stdout)
    assert [(each["id"], each["state"]) for each in listed] == [
        (event_id, "delivered") for event_id in ("evt_1", "evt_2", "evt_3")
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["ci"], "exactly one of --forward, --exec and --print"),
        (["ci", "--print", "--exec", "true"], "exactly one of --forward, --exec and --print"),
        (["ci", "--exec", "/no/such"], "program /no/such not found"),
        (["ci", "--forward", "ftp://x"], "--forward is not a URL"),
        (["ci", "--print", "--listen", "nowhere"], "nowhere is not HOST:PORT"),
        (["ci", "--print", "--secrets", "consul:x"], "consul is not a source of secrets"),
        (["ci", "--print", "--inbox", "redis://x"], "an inbox in redis is not supported"),
        (["Ci", "--print"], "Ci cannot be received"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_run(command: CommandLine, args: list[str], message: str) -> None:
    """Each mistake is a usage error that names it, before a port is opened."""
    result = command("receive", *args)
    assert (result.exit_code, result.stdout) == (64, "")
    assert message in result.stderr


def test_vault_settings_are_required(command: CommandLine) -> None:
    """Without an address of Vault, and with no other source, the message says what to set."""
    result = command("receive", "ci", "--print", VAULT_ADDR=None)
    assert result.exit_code == 3
    assert "VAULT_ADDR is not set" in result.stderr
