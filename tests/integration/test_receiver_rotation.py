"""A rotation under load: every delivery that the API signs is accepted, before, during and after it."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from reconciler.cli.system import SystemClock
from reconciler.receiver.server import ReceiverServer
from reconciler.receiver.service import Receiver
from reconciler.receiver.signature import SIGNATURE_HEADER, sign
from reconciler.sandbox.behavior import Behavior
from reconciler.vault.auth import TokenLogin
from reconciler.vault.documents import VaultDocuments
from reconciler.vault.session import VaultSession
from tests.fixtures.command import CommandLine, environment_of
from tests.fixtures.examples import DEFAULT
from tests.fixtures.inbox import event_body
from tests.fixtures.zof import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.receiver.event import Event
    from reconciler.sandbox.openbao import OpenBaoServer
    from reconciler.sandbox.zof_server import ZofServer
    from tests.fixtures.openbao import VaultSettings
    from tests.fixtures.zof import MakeZof

_RATE = 500
_SENDERS = 4


class Sender:
    """Delivers events as the API does: to every live endpoint, signed with that endpoint's secret."""

    def __init__(self, zof: ZofServer, server: ReceiverServer, rate: float) -> None:
        """Send so many a second; 0: as many as the receiver takes."""
        self._zof = zof
        self._port = int(server.url.rpartition(":")[2])
        self._rate = rate / _SENDERS
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
                self.sent.add(event_id)
            if self._rate:
                self.stop.wait(max(0.0, began + count / self._rate - time.monotonic()))
        connection.close()


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
    handled: list[str] = []

    def handle(event: Event) -> None:
        handled.append(event.id)

    clock, stop = SystemClock(), threading.Event()
    with VaultSession(vault_settings.address, login=TokenLogin(vault_settings.token), clock=clock) as vault:
        documents = VaultDocuments(
            vault, mount=vault_settings.mount, prefix=vault_settings.prefix, clock=clock
        )
        receiver = Receiver(
            ["ci"], secrets=documents.read_fields, inbox=f"sqlite:///{tmp_path}/inbox.db", handler=handle
        )
        server = ReceiverServer(receiver, "127.0.0.1:0", stop)
        serving = threading.Thread(target=server.run)
        serving.start()
        sender = Sender(zof, server, _RATE)
        assert command("rotate", "ci", "--yes").exit_code == 0
        assert len(zof.signing_secrets()) == 2
        stop.wait(60.0 if nightly else 0.5)
        sender.end()
        deadline = time.monotonic() + 60
        while len(handled) < len(sender.sent) and time.monotonic() < deadline:
            stop.wait(0.01)
        stop.set()
        serving.join()
    assert sender.answers.keys() == {200}
    assert Counter(handled) == Counter(sender.sent)
    record_property("summary", f"receiver: {len(handled)} deliveries during a rotation, 0 refused, 0 lost")
