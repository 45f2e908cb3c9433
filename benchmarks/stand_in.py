"""A server on loopback with prepared answers: `python -m benchmarks.stand_in ANSWERS PATH PAUSE`.

Each line of the file ANSWERS is the answer to one page of PATH; the cursor of page n is the number n. A
listing of one page is one line, so this works for the Zof API and for OpenBao. It computes nothing while a
client waits, so only the client is measured. PAUSE is the delay of each answer in seconds.

It prints its port, counts requests (`/_count` returns the number and resets it) and ends with its input.
"""

from __future__ import annotations

import socket
import sys
import time
from email.utils import formatdate
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

_CHUNK = 65_536
_COUNT = "/_count"
_END = b"\r\n\r\n"
_HEAD = (
    "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    "X-Request-Id: req_benchmark\r\nX-RateLimit-Limit: 10000000\r\nX-RateLimit-Remaining: 9999999\r\n"
    "X-RateLimit-Reset: {reset}\r\n\r\n"
)


class _Server(ThreadingTCPServer):
    """The answers and the number of requests. Each client has its own thread.

    An event loop would round the pauses to whole milliseconds, and copy a large answer before sending it.
    """

    daemon_threads = True

    def __init__(self, answers: list[bytes], path: str, pause: float) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.reset = int(time.time()) + 3600
        self._answers = answers
        self._path = path
        self._pause = pause
        self._count = 0
        """Needs no lock: commands take turns, and each has one connection."""

    def answer(self, target: str) -> tuple[str, bytes, float]:
        """Return the status, the body, and the seconds to wait before the answer."""
        path, _, query = target.partition("?")
        if path == _COUNT:
            count, self._count = self._count, 0
            return "200 OK", b"%d" % count, 0.0
        self._count += 1
        _, _, cursor = query.partition("starting_after=")
        number = int(cursor.partition("&")[0] or 0)
        if path != self._path or number >= len(self._answers):
            return "404 Not Found", b'{"errors":[]}', self._pause
        return "200 OK", self._answers[number], self._pause


class _Connection(BaseRequestHandler):
    """One client's connection. Its requests have no body."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        while chunk := self.request.recv(_CHUNK):
            received += chunk
            while _END in received:
                head, _, received = received.partition(_END)
                _, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
                self._answer(*self.server.answer(target))

    def _answer(self, status: str, body: bytes, pause: float) -> None:
        now, reset = formatdate(usegmt=True), self.server.reset
        head = _HEAD.format(status=status, date=now, length=len(body), reset=reset).encode()
        time.sleep(pause)
        # A page is sent in one piece; a larger body is not copied.
        self.request.sendall(head + body[:_CHUNK])
        self.request.sendall(memoryview(body)[_CHUNK:])


def serve(answers: list[bytes], path: str, pause: float) -> None:
    """Serve `answers`, one a page, until standard input ends."""
    with _Server(answers, path, pause) as server:
        print(server.server_address[1], flush=True)
        Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    serve(Path(sys.argv[1]).read_bytes().splitlines(), sys.argv[2], float(sys.argv[3]))
