"""The limits of time and size on real sockets, whatever a server sends."""

from __future__ import annotations

import gzip
import socket
import ssl
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import trustme

from reconciler.cli.system import SystemClock
from reconciler.http_client import PATIENCE, USUAL, HttpClient, NoReply, Reply, Trouble
from reconciler.network import Network
from tests.fakes.clock import FakeClock
from tests.fixtures.bombs import gzip_bomb
from tests.fixtures.hostile import ENDLESS, Hostile, TickingClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from reconciler.ports import Clock

SIZE = 50_000
SECONDS = 30.0


def send(
    url: str, clock: Clock, *, environ: dict[str, str] | None = None, seconds: float = SECONDS
) -> Reply | NoReply:
    """Send one request with a client of its own."""
    client = HttpClient(url, Network.of(environ or {}), clock=clock)
    try:
        return client.send("GET", url, headers={}, seconds=seconds, size=SIZE)
    finally:
        client.close()


def reply_to(*pieces: bytes) -> Reply | NoReply:
    """Return what a client makes of an answer, after which the connection is closed."""
    with Hostile(lambda: pieces, close=True) as server:
        return send(server.url, FakeClock())


# --- time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ENDLESS)
def test_an_answer_without_an_end_ends_with_its_time(mode: str) -> None:
    """It is cut off after its seconds, wherever the server is in no hurry."""
    clock = TickingClock()
    with Hostile(ENDLESS[mode], pace=clock.ticks) as server:
        reply = send(server.url, clock)
    assert isinstance(reply, NoReply)
    assert (reply.trouble, reply.reason) == (Trouble.TIMEOUT, "the response took too long")
    assert reply.in_doubt
    assert clock.monotonic() < SECONDS + 10


def _slow_handshake() -> Iterator[bytes]:
    yield b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb"
    while True:
        yield b"\0"


def test_a_handshake_without_an_end_ends() -> None:
    """One handshake has one timeout, however many pieces it comes in."""
    with Hostile(_slow_handshake, greet=True) as server:
        reply = send(f"https://127.0.0.1:{server.port}", SystemClock(), seconds=0.2)
    assert isinstance(reply, NoReply)
    assert not reply.in_doubt


def test_a_proxys_tls_without_an_end_ends(tmp_path: Path) -> None:
    """TLS inside the TLS of a proxy keeps to the time, too."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    clock = TickingClock()

    def connected() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        yield from _slow_handshake()

    with Hostile(connected, pace=clock.ticks, context=context) as proxy:
        environ = {
            "HTTPS_PROXY": f"https://127.0.0.1:{proxy.port}",
            "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        }
        reply = send("https://api.example.com", clock, environ=environ)
    assert proxy.requests == 1
    assert isinstance(reply, NoReply)
    assert reply.trouble is Trouble.PROXY
    assert not reply.in_doubt
    assert clock.monotonic() < SECONDS + 10


def test_many_addresses_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with thousands of addresses that do not answer does not take a timeout for each of them."""
    tried: list[str] = []
    clock = FakeClock()

    def connect(address: tuple[str, int], timeout: float, **_: object) -> socket.socket:
        tried.append(address[0])
        clock.sleep(timeout)
        raise TimeoutError

    places = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"10.0.{i // 250}.{i % 250}", 443)) for i in range(4000)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: places)
    monkeypatch.setattr(socket, "create_connection", connect)
    reply = send("https://api.example.com", clock)
    assert isinstance(reply, NoReply)
    assert not reply.in_doubt
    assert len(tried) == SECONDS / 5
    assert clock.monotonic() == SECONDS


def test_slow_exchanges_use_up_a_runs_patience() -> None:
    """Each is allowed, but all of them together may take so long only; then nothing is sent any more."""
    clock = FakeClock()

    def slow() -> Iterator[bytes]:
        clock.sleep(USUAL + 0.4 * PATIENCE)
        yield b"HTTP/1.1 204 No Content\r\n\r\n"

    with Hostile(slow) as server:
        client = HttpClient(server.url, Network.of({}), clock=clock)
        replies = [client.send("GET", server.url, headers={}, seconds=1e6, size=SIZE) for _ in range(4)]
        assert server.requests == 3
        # A process that runs for months is patient again later.
        clock.sleep(PATIENCE)
        later = client.send("GET", server.url, headers={}, seconds=USUAL, size=SIZE)
        client.close()
    assert [isinstance(reply, Reply) for reply in replies[:2]] == [True, True]
    assert server.requests == 4
    assert not (isinstance(later, NoReply) and later.final)
    last = replies[-1]
    assert isinstance(last, NoReply)
    assert last.final
    assert not last.in_doubt
    assert last.reason == "requests to this server took 15 minutes too long in this run"


def test_usual_exchanges_use_no_patience() -> None:
    """A run of any length goes on while each exchange takes no longer than usual."""
    clock = FakeClock()

    def usual() -> Iterator[bytes]:
        clock.sleep(USUAL)
        yield b"HTTP/1.1 204 No Content\r\n\r\n"

    with Hostile(usual) as server:
        client = HttpClient(server.url, Network.of({}), clock=clock)
        for _ in range(200):
            assert isinstance(client.send("GET", server.url, headers={}, seconds=60, size=SIZE), Reply)
        client.close()


# --- size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ENDLESS)
def test_an_answer_without_an_end_ends_with_its_size(mode: str) -> None:
    """At full speed and without a clock, it ends when too many bytes have come."""
    with Hostile(lambda: _bundled(ENDLESS[mode]())) as server:
        reply = send(server.url, FakeClock())
    assert isinstance(reply, NoReply)
    assert reply.trouble in {Trouble.RESPONSE, Trouble.CONNECTION}


def _bundled(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Send a thousand pieces at a time."""
    yield next(pieces)
    while True:
        yield b"".join(next(pieces) for _ in range(1000))


@pytest.mark.parametrize(
    ("coding", "times", "reason"),
    [
        ("gzip", 1, "the response has more than 48 kB"),
        ("x-gzip", 1, "the response has more than 48 kB"),
        ("gzip, gzip", 2, "the response is encoded in a way that was not asked for"),
        ("gzip\r\nContent-Encoding: gzip", 2, "the response is encoded in a way that was not asked for"),
        ("deflate", 1, "the response is encoded in a way that was not asked for"),
        ("br", 1, "the response is encoded in a way that was not asked for"),
    ],
)
def test_a_compressed_bomb_is_not_unpacked(coding: str, times: int, reason: str) -> None:
    """A single coding is unpacked up to the limit, and no further."""
    body = gzip_bomb(bytes(1_000_000), 50, codings=times)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with Hostile(lambda: [head + body]) as server:
        tracemalloc.start()
        try:
            reply = send(server.url, FakeClock())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(reply, NoReply)
    assert (reply.reason, reply.final) == (reason, True)
    assert peak < 2_000_000


# --- what is read -------------------------------------------------------------------------------------------


def _answer(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "answer",
    [
        _answer(b"words"),
        _answer(b"words", "Content-Encoding: identity"),
        _answer(gzip.compress(b"words", mtime=0), "Content-Encoding: gzip"),
        _answer(gzip.compress(b"words", mtime=0), "Content-Encoding: GZIP"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + _answer(b"words"),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + _answer(b"words"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nwords\r\n0\r\nX-After: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwords",
    ],
)
def test_an_answer_that_is_read(answer: bytes) -> None:
    """Interim responses, chunks and a single coding are read as HTTP has them."""
    reply = reply_to(answer)
    assert isinstance(reply, Reply)
    assert (reply.status_code, reply.body) == (200, b"words")


@pytest.mark.parametrize(
    ("pieces", "trouble", "reason"),
    [
        ([_answer(b"words", "Content-Encoding: gzip")], Trouble.RESPONSE, "compression is damaged"),
        (
            [_answer(gzip.compress(b"words", mtime=0)[:-9], "Content-Encoding: gzip")],
            Trouble.RESPONSE,
            "compression is",
        ),
        ([_answer(b"\x1f", "Content-Encoding: gzip")], Trouble.RESPONSE, "compression is damaged"),
        ([b"nonsense\r\n\r\n"], Trouble.CONNECTION, "is not HTTP"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nword"], Trouble.CONNECTION, "cut off"),
        ([b""], Trouble.CONNECTION, "cut off"),
    ],
)
def test_an_answer_that_cannot_be_read(pieces: Iterable[bytes], trouble: Trouble, reason: str) -> None:
    """What is damaged counts as no reply, and the server may have executed the request."""
    reply = reply_to(*pieces)
    assert isinstance(reply, NoReply)
    assert reply.trouble is trouble
    assert reason in reply.reason
    assert reply.in_doubt
    assert not reply.final
