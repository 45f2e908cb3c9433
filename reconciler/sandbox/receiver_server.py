"""A small webhook receiver for the demo and the tests: it verifies deliveries and records the outcomes."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import msgspec
from msgspec import Struct

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.receiver.signature import SIGNATURE_HEADER, verify
from reconciler.sandbox import LOOPBACK
from reconciler.sandbox.deliveries import ORIGINAL_URL_HEADER

SecretsFor = Callable[[str], Sequence[Secret]]
"""Returns the secrets that a delivery to this URL may be signed with."""

_BODY_MAX = 1024 * 1024
_REMEMBERED = 10_000
"""Events that are recognized when they are delivered again."""


class DeliveryOutcome(StrEnum):
    """How the receiver answered a delivery, and why."""

    VERIFIED = "verified"
    DUPLICATE = "duplicate"
    """Verified, but the same event had been delivered before."""
    REJECTED = "rejected"
    """Not signed with any of the secrets."""
    UNAVAILABLE = "unavailable"
    """The secrets could not be read, so the sender should retry."""
    UNREADABLE = "unreadable"
    """Correctly signed, but not an event."""


_STATUS = {
    DeliveryOutcome.VERIFIED: HTTPStatus.NO_CONTENT,
    DeliveryOutcome.DUPLICATE: HTTPStatus.NO_CONTENT,
    DeliveryOutcome.REJECTED: HTTPStatus.UNAUTHORIZED,
    DeliveryOutcome.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    DeliveryOutcome.UNREADABLE: HTTPStatus.BAD_REQUEST,
}


class Received(Struct, frozen=True):
    """One delivery. Of an unverified one only the URL is kept, because its content is not trustworthy."""

    outcome: DeliveryOutcome
    url: str
    """The endpoint's URL; the original one if the sandbox redirected the delivery to this receiver."""
    event_id: str | None = None
    event_type: str | None = None


class _Event(Struct):
    id: str
    type: str


class ReceiverServer:
    """A webhook receiver on a loopback port, in threads of this process."""

    def __init__(self, secrets_for: SecretsFor, *, port: int = 0) -> None:
        """Bind the port.

        Args:
            secrets_for: called for each delivery, from several threads; if it raises a `ReconcilerError`, the
                answer is 503.
            port: 0 for a free one.

        Raises:
            ReconcilerError: the port is in use.
        """
        self._secrets_for = secrets_for
        self._received: list[Received] = []
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._changed = threading.Condition()
        try:
            self._server = _Server((LOOPBACK, port), self)
        except (OSError, OverflowError) as error:
            raise ReconcilerError(
                f"the receiver cannot listen on {LOOPBACK}:{port}: {error}",
                hint="choose another port, or 0 for a free one",
            ) from error
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        """Its base URL; it accepts deliveries on every path."""
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Serve in a thread."""
        self._thread = threading.Thread(
            # `shutdown` waits for up to one interval.
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="receiver",
            daemon=True,
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finish the open deliveries and close the port. Safe to repeat."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def received(self) -> tuple[Received, ...]:
        """Every delivery so far, oldest first."""
        with self._changed:
            return tuple(self._received)

    def wait_for(self, count: int, timeout: float = 10.0) -> tuple[Received, ...]:
        """Wait for `count` deliveries, at most `timeout` seconds; return all that have arrived."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._received) >= count, timeout)
            return tuple(self._received)

    def take(self, url: str, body: bytes, signature: str | None) -> DeliveryOutcome:
        """Check one delivery and record it."""
        received = self._check(url, body, signature)
        with self._changed:
            if received.outcome is DeliveryOutcome.VERIFIED and self._is_known(received):
                received = Received(DeliveryOutcome.DUPLICATE, url, received.event_id, received.event_type)
            self._received.append(received)
            self._changed.notify_all()
        return received.outcome

    def _check(self, url: str, body: bytes, signature: str | None) -> Received:
        try:
            secrets = [secret.reveal() for secret in self._secrets_for(url)]
        except ReconcilerError:
            return Received(DeliveryOutcome.UNAVAILABLE, url)
        if not verify(body, signature, secrets):
            return Received(DeliveryOutcome.REJECTED, url)
        try:
            event = msgspec.json.decode(body, type=_Event)
        except (msgspec.DecodeError, RecursionError):
            return Received(DeliveryOutcome.UNREADABLE, url)
        return Received(DeliveryOutcome.VERIFIED, url, event.id, event.type)

    def _is_known(self, received: Received) -> bool:
        """Whether this event was delivered to this endpoint before; remember it."""
        key = (received.url, received.event_id or "")
        known = key in self._seen
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return known


class _Server(ThreadingHTTPServer):
    # `server_close` joins the threads, so none is left when the receiver has stopped.
    daemon_threads = False

    def __init__(self, address: tuple[str, int], receiver: ReceiverServer) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a sender that has disconnected; report any other error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # Seconds after which a sender that stalls loses its connection.
    timeout = 5
    server_version = "webhook-receiver"
    sys_version = ""

    def do_POST(self) -> None:
        """Receive a delivery."""
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
        original = self.headers.get(ORIGINAL_URL_HEADER)
        if original is None:
            return f"{self.server.receiver.url}{self.path}"
        return original.encode("latin-1").decode("utf-8", "replace")

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it)
        """Log nothing: `received` has the outcomes."""
