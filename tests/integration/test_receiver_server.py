"""The receiver on a port: slow, truncated, endless and pipelined requests, and a graceful end."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.errors import ReconcilerError, UsageError
from reconciler.receiver.limits import Limits
from reconciler.receiver.server import ReceiverServer, parse_address
from reconciler.receiver.service import Receiver
from reconciler.receiver.signature import SIGNATURE_HEADER, sign
from tests.fixtures.deliveries import fields
from tests.fixtures.inbox import SECRET, event_body
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.receiver.event import Event

IMPATIENT = Limits(header_seconds=1.0, body_seconds=1.0)


class World:
    """A receiver that serves in a thread."""

    def __init__(self, folder: Path) -> None:
        self.stop = threading.Event()
        self.release = threading.Event()
        self.release.set()
        self.receiver = Receiver(
            ["ci"],
            secrets=lambda _: fields(),
            inbox=f"sqlite:///{folder}/inbox.db",
            handler=self.handle,
            limits=IMPATIENT,
            grace=10.0,
        )
        self.handled: list[str] = []
        self.called = threading.Semaphore(0)
        self.server = ReceiverServer(self.receiver, "127.0.0.1:0", self.stop)
        self.url = self.server.url
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def handle(self, event: Event) -> None:
        """Note an event, when the test lets it."""
        assert self.release.wait(PATIENCE)
        self.handled.append(event.id)
        self.called.release()

    def end(self) -> None:
        """Stop it, and wait until it has ended."""
        self.stop.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()

    def connect(self) -> socket.socket:
        """Return a connection."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return socket.create_connection((host, int(port)), timeout=10)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a running receiver."""
    world = World(tmp_path)
    yield world
    world.end()


def request(body: bytes, *, length: int | None = None, secret: str = SECRET) -> bytes:
    """Return a delivery as bytes."""
    head = (
        f"POST /ci HTTP/1.1\r\nHost: receiver\r\n{SIGNATURE_HEADER}: {sign(body, secret)}\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body


def answers(connection: socket.socket) -> list[int]:
    """Return the statuses of all answers until the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65_536):
            received += chunk
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


def test_pipelined_deliveries_are_answered_in_order(world: World) -> None:
    """Requests in one packet are each answered, a refused one among them, and stored in order."""
    bodies = [event_body(f"evt_{number}") for number in range(5)]
    with world.connect() as connection:
        forged = request(bodies[2], secret="forged")
        last = request(bodies[4]).replace(b"Host:", b"Connection: close\r\nHost:")
        connection.sendall(request(bodies[0]) + request(bodies[1]) + forged + request(bodies[3]) + last)
        assert answers(connection) == [200, 200, 401, 200, 200]
    assert [entry.event_id for entry in world.receiver.inbox.find()] == ["evt_0", "evt_1", "evt_3", "evt_4"]


def test_slow_senders_lose_their_connection(world: World) -> None:
    """Headers or a body that trickle are not waited for, and others are served meanwhile."""
    with world.connect() as silent, world.connect() as headers, world.connect() as body:
        headers.sendall(b"POST /ci HTTP/1.1\r\nHost: x\r\n")
        body.sendall(request(event_body("evt_1"))[:-1])
        assert httpx.get(f"{world.url}/healthz").status_code == 200
        assert (answers(silent), answers(headers), answers(body)) == ([], [], [408])


def test_a_truncated_delivery_is_not_stored(world: World) -> None:
    """A sender that disconnects in the middle leaves nothing behind."""
    with world.connect() as connection:
        connection.sendall(request(event_body("evt_1"))[:-1])
    assert httpx.get(f"{world.url}/healthz").status_code == 200
    assert world.receiver.inbox.find() == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(b"x", length=10**15), 413),
        (request(b"x", length=1024 * 1024 + 1), 413),
        (b"POST /ci HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000, 400),
        (b"nonsense\r\n\r\n", 400),
        (b"POST /ci HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
        (b"POST /ci HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    ],
)
def test_impossible_requests_are_refused(world: World, data: bytes, status: int) -> None:
    """A length, headers or a syntax that cannot be: an answer before the body, and no connection."""
    with world.connect() as connection:
        connection.sendall(data)
        assert answers(connection) == [status]


def test_a_stop_finishes_what_was_accepted(tmp_path: Path) -> None:
    """The open delivery is answered and the running handler finishes; the next process hands on the rest."""
    world = World(tmp_path)
    world.release.clear()
    for number in range(3):
        body = event_body(f"evt_{number}")
        answer = httpx.post(f"{world.url}/ci", content=body, headers={SIGNATURE_HEADER: sign(body, SECRET)})
        assert answer.status_code == 200
    world.stop.set()
    world.release.set()
    world.end()
    again = World(tmp_path)
    left = 3 - len(world.handled)
    assert all(again.called.acquire(timeout=PATIENCE) for _ in range(left))
    again.end()
    assert left < 3
    assert world.handled + again.handled == ["evt_0", "evt_1", "evt_2"]


def test_addresses() -> None:
    """Host and port, also of IPv6; anything else, and a port in use, is reported."""
    assert parse_address("[::1]:80") == ("::1", 80)
    assert parse_address("hooks.example.com:8080") == ("hooks.example.com", 8080)
    for text in ("8080", ":8080", "localhost:", "localhost:99999", "localhost:http", "localhost:-1"):
        with pytest.raises(UsageError):
            parse_address(text)


def test_a_port_in_use_is_reported(world: World) -> None:
    """Nothing is opened if the port cannot be bound."""
    with pytest.raises(ReconcilerError, match="cannot listen on"):
        ReceiverServer(world.receiver, world.url.removeprefix("http://"), world.stop)
