"""A server on loopback that gives prepared answers: `python -m benchmarks.stand_in ANSWERS PATH PAUSE`.

Each line of the file ANSWERS is the answer to one page of PATH; the cursor of page n is the number n. A
listing of one page is one line, so this stands for the Zof API and for OpenBao alike. Nothing is computed
while a client waits, so what is measured is the client. PAUSE is what each answer takes longer, in seconds.

It prints its port, counts requests (`/_count` tells how many, and starts over) and ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
import time
from email.utils import formatdate
from pathlib import Path

_COUNT = "/_count"
_END = b"\r\n\r\n"
_HEAD = (
    "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    "X-Request-Id: req_benchmark\r\nX-RateLimit-Limit: 10000000\r\nX-RateLimit-Remaining: 9999999\r\n"
    "X-RateLimit-Reset: {reset}\r\n\r\n"
)


class _Desk:
    """The answers, and how many requests there were."""

    def __init__(self, answers: list[bytes], path: str, pause: float) -> None:
        self._answers = answers
        self._path = path
        self._pause = pause
        self._count = 0

    def answer(self, target: str) -> tuple[str, bytes, float]:
        """Return status, body, and the seconds to wait before."""
        path, _, query = target.partition("?")
        if path == _COUNT:
            count, self._count = self._count, 0
            return "200 OK", b"%d" % count, 0.0
        self._count += 1
        _, _, cursor = query.partition("starting_after=")
        number = int(cursor.partition("&")[0] or 0)
        if path != self._path or number >= len(self._answers):
            return "404 Not Found", b'{"errors":[]}', 0.0
        return "200 OK", self._answers[number], self._pause


class _Connection(asyncio.Protocol):
    """One client's connection. None of its requests has a body."""

    def __init__(self, desk: _Desk, reset: int) -> None:
        self._desk = desk
        self._reset = reset
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 (TCP's always is)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while _END in self._received:
            head, _, self._received = self._received.partition(_END)
            _, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            status, body, pause = self._desk.answer(target)
            values = {
                "status": status,
                "date": formatdate(usegmt=True),
                "length": len(body),
                "reset": self._reset,
            }
            asyncio.get_running_loop().call_later(pause, self._send, _HEAD.format_map(values).encode() + body)

    def _send(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


async def serve(answers: list[bytes], path: str, pause: float) -> None:
    """Serve `answers`, one a page, until standard input ends."""
    loop = asyncio.get_running_loop()
    desk = _Desk(answers, path, pause)
    in_an_hour = int(time.time()) + 3600
    server = await loop.create_server(lambda: _Connection(desk, in_an_hour), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_bytes().splitlines(), sys.argv[2], float(sys.argv[3])))
