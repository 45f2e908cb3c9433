"""Serve a receiver with uvicorn: limits for slow clients, and an end that loses nothing."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from reconciler.errors import ReconcilerError, UsageError

if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Iterator

    from reconciler.receiver.service import Receiver

_HEADER_BYTES = 32 * 1024
_BACKLOG = 1024
_END_SECONDS = 10
_SWITCH_SECONDS = 0.0005


class _Config(uvicorn.Config):
    """uvicorn's, and what its protocol lacks."""

    header_seconds: float


class _Protocol(H11Protocol):
    """HTTP/1.1 in which the headers of a request must arrive in time; uvicorn waits without end."""

    config: _Config

    _headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Close the connection if it sends no whole request in time; an idle one has its own limit."""
        # None before the first request, whatever uvicorn's annotation says.
        cycle: RequestResponseCycle | None = self.cycle
        in_request = cycle is not None and not cycle.response_complete
        is_idle = self.timeout_keep_alive_task is not None
        if in_request or is_idle:
            self._forget()
        elif self._headers_due is None:
            self._headers_due = self.loop.call_later(self.config.header_seconds, self.transport.close)

    def _forget(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None


class _Server(uvicorn.Server):
    """Ends when an event is set; uvicorn's own signal handlers would end the process too early."""

    def __init__(self, config: uvicorn.Config, stop: threading.Event) -> None:
        super().__init__(config)
        self._stop = stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stop.is_set()


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; an IPv6 address is in brackets.

    Raises:
        UsageError: it is something else.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and port.isascii() and port.isdigit() and int(port[:6]) < 65_536):  # noqa: PLR2004 (ports)
        raise UsageError(f"{text} is not HOST:PORT", hint="use an address like 127.0.0.1:8080")
    return host, int(port)


class ReceiverServer:
    """A receiver on a port of this machine."""

    def __init__(self, receiver: Receiver, address: str, stop: threading.Event) -> None:
        """Bind the port; `stop` ends `run`.

        Raises:
            UsageError: the address is not HOST:PORT.
            ReconcilerError: it cannot be used.
        """
        host, port = parse_address(address)
        config = _Config(
            receiver,
            host=host,
            port=port,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            limit_concurrency=receiver.limits.connections,
            backlog=_BACKLOG,
            timeout_keep_alive=receiver.limits.keep_alive_seconds,
            timeout_graceful_shutdown=_END_SECONDS,
            h11_max_incomplete_event_size=_HEADER_BYTES,
        )
        config.header_seconds = receiver.limits.header_seconds
        self._receiver = receiver
        self._server = _Server(config, stop)
        self._socket = _bind(host, port)
        name: Any = self._socket.getsockname()
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{name[1]}"
        """Where deliveries go."""

    def run(self) -> None:
        """Serve until it is to stop: then open requests are answered, and handlers finish.

        Raises:
            InboxUnavailable: the inbox cannot be opened.
        """
        # Threads that hand events on must not keep the one that answers waiting.
        sys.setswitchinterval(_SWITCH_SECONDS)
        with self._socket, self._receiver:
            self._server.run(sockets=[self._socket])


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ReconcilerError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="name a free port: --listen HOST:PORT"
        ) from None
