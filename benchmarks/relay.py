"""A proxy that counts the requests to a server. It is too slow for measurements of time."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOP_BY_HOP = {"connection", "transfer-encoding"}


class Relay(ThreadingHTTPServer):
    """Forwards requests to `target`; the answer for paths that contain `hidden` is 404."""

    daemon_threads = True

    def __init__(self, target: str, hidden: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target).netloc
        self.hidden = hidden
        self.counts: Counter[str] = Counter()
        """Requests by method and kind of path: `GET secret/data`. A GET with `list=true` is a `LIST`."""

    @property
    def url(self) -> str:
        """Its URL without a path."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def relay(target: str, *, hidden: str | None = None) -> Iterator[Relay]:
    """Run a relay to `target`, a URL without a path."""
    with Relay(target, hidden) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Relay

    def handle_one_request(self) -> None:
        """Forward a request of any method."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = "/".join(urlsplit(self.path).path.split("/")[2:4])
        verb = "LIST" if "list=true" in self.path else self.command
        self.server.counts[f"{verb} {kind}"] += 1
        if self.server.hidden is not None and self.server.hidden in self.path:
            self._send(404, [("Content-Type", "application/json")], b'{"errors":[]}')
            return
        connection = http.client.HTTPConnection(self.server.target)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
        self._send(answer.status, kept, answer.read())
        connection.close()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
