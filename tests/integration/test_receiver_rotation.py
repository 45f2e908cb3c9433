"""A rotation under load: every delivery that the API signs is accepted, before, during and after it."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from reconciler.receiver.signature import SIGNATURE_HEADER, sign
from reconciler.sandbox.behavior import Behavior
from tests.fixtures.command import CommandLine, environment_of
from tests.fixtures.examples import DEFAULT
from tests.fixtures.inbox import event_body
from tests.fixtures.patience import PATIENCE
from tests.fixtures.zof import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from reconciler.sandbox.zof_server import ZofServer
    from tests.fixtures.openbao import VaultSettings
    from tests.fixtures.zof import MakeZof

_RATE = 500
_SENDERS = 16


class Sender:
    """Delivers events as the API does: to every live endpoint, signed with that endpoint's secret."""

    def __init__(self, zof: ZofServer, port: int, rate: float) -> None:
        """Send so many a second, or as many as the receiver takes."""
        self._zof = zof
        self._port = port
        self._rate = rate / _SENDERS
        self._began = time.monotonic()
        self.seconds = 0.0
        """For how long it has sent."""
        self.stop = threading.Event()
        self.answers: Counter[int] = Counter()
        self.sent: set[str] = set()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(_SENDERS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop sending."""
        self.stop.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began

    def _send(self, sender: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        began, count = time.monotonic(), 0
        while not self.stop.is_set():
            for secret in self._zof.signing_secrets().values():
                count += 1
                event_id = f"evt_{sender}_{count}"
                body = event_body(event_id)
                connection.request("POST", "/ci", body, {SIGNATURE_HEADER: sign(body, secret.reveal())})
                answer = connection.getresponse()
                answer.read()
                self.answers[answer.status] += 1
                if answer.status == HTTPStatus.OK:
                    self.sent.add(event_id)
            self.stop.wait(max(0.0, began + count / self._rate - time.monotonic()))
        connection.close()


@contextmanager
def receiving(command: CommandLine) -> Iterator[tuple[int, Path]]:
    """Run `receive ci` as a process; give its port, and the file to which it prints events."""
    printed, log = command.folder / "printed", command.folder / "log"
    with printed.open("wb") as out, log.open("wb") as err:
        process = command.popen("receive", "ci", "--listen", "127.0.0.1:0", "--print", stdout=out, stderr=err)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(r"at http://127\.0\.0\.1:(\d+)/ci\n", log.read_text(encoding="utf-8"))):
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.02)
        yield int(found[1]), printed
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("honour_client_secret", [True, False], ids=["client's secret", "server's secret"])
def test_a_rotation_under_load_refuses_nothing(
    tmp_path: Path,
    make_zof: MakeZof,
    openbao: OpenBaoServer,
    vault_settings: VaultSettings,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    *,
    honour_client_secret: bool,
) -> None:
    """Old and new endpoint deliver during the overlap: no 401, nothing lost, nothing twice.

    At night it goes on for a minute, at 500 deliveries a second where the machine can.
    """
    nightly = settings().max_examples > DEFAULT
    monkeypatch.chdir(tmp_path)
    zof = make_zof(Behavior(honour_client_secret=honour_client_secret, rate_limit=UNLIMITED.rate_limit))
    command = CommandLine(tmp_path, environment_of(zof, vault_settings), zof, openbao, vault_settings.prefix)
    command.write("ci", secret={"overlap": "24h"})
    assert command("apply", "--yes").exit_code == 0
    with receiving(command) as (port, printed):
        sender = Sender(zof, port, _RATE)
        try:
            assert command("rotate", "ci", "--yes").exit_code == 0
            assert len(zof.signing_secrets()) == 2
            sender.stop.wait(60.0 if nightly else 0.5)
        finally:
            sender.end()
        # While events are stored, handing on gives way: at night, many are left.
        deadline = time.monotonic() + 5 * PATIENCE
        while printed.read_bytes().count(b"\n") < len(sender.sent) and time.monotonic() < deadline:
            time.sleep(0.05)
    handled = [json.loads(line)["id"] for line in printed.read_text(encoding="utf-8").splitlines()]
    assert sender.answers.keys() == {200}
    assert Counter(handled) == Counter(sender.sent)
    rate = len(handled) / sender.seconds
    record_property(
        "summary",
        f"receiver: {len(handled)} deliveries during a rotation ({rate:.0f} a second), 0 refused, 0 lost",
    )
