"""A small webhook receiver for the demo and the tests: it verifies deliveries and remembers the outcomes."""

from __future__ import annotations

import json
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.receiver.signature import SIGNATURE_HEADER, verify
from reconciler.sandbox.loopback import require_loopback
from reconciler.sandbox.zof_delivery import ORIGINAL_URL_HEADER

if TYPE_CHECKING:
    from types import TracebackType

SecretsFor = Callable[[str], Sequence[Secret]]
"""Gives the secrets that a delivery to this URL may be signed with."""

_BODY_MAX = 1024 * 1024
_REMEMBERED = 10_000


class Outcome(StrEnum):
    """What came of a delivery."""

    VERIFIED = "verified"
    DUPLICATE = "duplicate"
    """Verified, and an event that had been here before."""
    REJECTED = "rejected"
    """No known secret signed it."""
    UNAVAILABLE = "unavailable"
    """The secrets could not be read, so the sender is asked to come again."""
    UNREADABLE = "unreadable"
    """Signed rightly, and no event."""


_STATUS = {
    Outcome.VERIFIED: HTTPStatus.NO_CONTENT,
    Outcome.DUPLICATE: HTTPStatus.NO_CONTENT,
    Outcome.REJECTED: HTTPStatus.UNAUTHORIZED,
    Outcome.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Outcome.UNREADABLE: HTTPStatus.BAD_REQUEST,
}


class Received(Struct, frozen=True):
    """One delivery as it went. Of an unverified one nothing but the URL is kept: it may say anything."""

    outcome: Outcome
    url: str
    """The endpoint's URL: the original one where the sandbox sent the delivery here instead."""
    event_id: str | None = None
    event_type: str | None = None


class Receiver:
    """A webhook consumer on a loopback port, in threads of this process."""

    def __init__(self, secrets_for: SecretsFor, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind the port.

        Args:
            secrets_for: asked at each delivery, from several threads; a `ReconcilerError` of its own
                becomes a 503.
            host: a loopback address.
            port: 0: a free one.

        Raises:
            UsageError: the host is not loopback.
            ReconcilerError: the port is taken.
        """
        require_loopback(host)
        self._secrets_for = secrets_for
        self._received: list[Received] = []
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._changed = threading.Condition()
        try:
            self._server = _Server((host, port), self)
        except (OSError, OverflowError) as error:
            raise ReconcilerError(f"the receiver cannot listen on {host}:{port}: {error}") from error
        self.url = f"http://{host}:{self._server.server_port}"
        """Its base URL: it takes deliveries on every path."""
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Serve."""
        self._thread = threading.Thread(
            # The poll is what `shutdown` waits for.
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="receiver",
            daemon=True,
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finish the deliveries in hand and close the port. Safe to repeat."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    @property
    def received(self) -> tuple[Received, ...]:
        """Every delivery so far, oldest first."""
        with self._changed:
            return tuple(self._received)

    def wait_for(self, count: int, timeout: float = 10.0) -> tuple[Received, ...]:
        """Wait for `count` deliveries, `timeout` seconds at most; return those there are."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._received) >= count, timeout)
            return tuple(self._received)

    def take(self, url: str, body: bytes, signature: str | None) -> Outcome:
        """Judge one delivery, and remember it."""
        received = self._judge(url, body, signature)
        with self._changed:
            if received.outcome is Outcome.VERIFIED and self._is_known(received):
                received = Received(Outcome.DUPLICATE, url, received.event_id, received.event_type)
            self._received.append(received)
            self._changed.notify_all()
        return received.outcome

    def _judge(self, url: str, body: bytes, signature: str | None) -> Received:
        try:
            secrets = [secret.reveal() for secret in self._secrets_for(url)]
        except ReconcilerError:
            return Received(Outcome.UNAVAILABLE, url)
        if not verify(body, signature, secrets):
            return Received(Outcome.REJECTED, url)
        event = _parse(body)
        event_id, event_type = event.get("id"), event.get("type")
        if not isinstance(event_id, str) or not isinstance(event_type, str):
            return Received(Outcome.UNREADABLE, url)
        return Received(Outcome.VERIFIED, url, event_id, event_type)

    def _is_known(self, received: Received) -> bool:
        """Whether this endpoint had this event before; remember it."""
        key = (received.url, received.event_id or "")
        known = key in self._seen
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return known


def _parse(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


class _Server(ThreadingHTTPServer):
    # Joined by `server_close`: no thread outlives the receiver.
    daemon_threads = False

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Overlook a sender that has gone; show anything else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # A sender that stalls holds its thread no longer than this.
    timeout = 5
    server_version = "webhook-receiver"
    sys_version = ""

    def do_POST(self) -> None:
        """Take a delivery."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._answer(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > 7 or int(length) > _BODY_MAX:  # noqa: PLR2004 (digits of the bound: int() is slow on many)
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            outcome = self.server.receiver.take(
                self._original_url(), body, self.headers.get(SIGNATURE_HEADER)
            )
            self._answer(_STATUS[outcome])

    def _original_url(self) -> str:
        """Return the URL that the delivery was meant for; http.server reads headers as Latin-1."""
        told = self.headers.get(ORIGINAL_URL_HEADER)
        if told is None:
            return f"{self.server.receiver.url}{self.path}"
        return told.encode("latin-1").decode("utf-8", "replace")

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it)
        """Say nothing: the outcomes are kept instead."""
