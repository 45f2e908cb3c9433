"""How the embedded Zof API is served: uvicorn without its pauses, and connections that can be broken."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.errors import ReconcilerError
from reconciler.sandbox.zof_gateway import ABORT, CLOSE

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from reconciler.sandbox.zof_gateway import Gateway

_STOP_PATIENCE = 2.0
"""Seconds that the requests in hand have to end when the server is stopped."""


class _Protocol(H11Protocol):
    """HTTP/1.1 that lets the application break the connection: no ASGI message can ask for it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.app

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            scope[ABORT] = self.transport.abort
            scope[CLOSE] = self.transport.close
            await app(scope, receive, send)

        self.app = with_connection


class GatewayServer(uvicorn.Server):
    """uvicorn without its pauses of 0.1 seconds, which each test would pay at its start and end."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(
            uvicorn.Config(
                gateway,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                # Longer than a window of the rate limit, so that a client that waits keeps its connection.
                timeout_keep_alive=75,
            )
        )
        self.ready = threading.Event()
        self._gateway = gateway
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `request_stop`."""
        try:
            asyncio.run(self.serve(sockets))
        finally:
            # Whatever went wrong: nobody is left waiting.
            self.ready.set()

    def request_stop(self) -> None:
        """End `run`, from another thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    async def main_loop(self) -> None:
        """Renew the `Date` header once a second until the stop."""
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        self.ready.set()
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1)
            await self.on_tick(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the requests in hand end, then close every connection."""
        for server in self.servers:
            server.close()
        for bound in sockets or []:
            bound.close()
        # A connection accepted a moment ago becomes known in the loop's next turns: else it is left open.
        accepting = asyncio.all_tasks() - self.server_state.tasks - {asyncio.current_task()}
        if accepting:
            await asyncio.wait(accepting, timeout=_STOP_PATIENCE)
        self._gateway.stop()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks), timeout=_STOP_PATIENCE)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        # The sockets themselves are closed by callbacks, in the loop's next turn.
        await asyncio.sleep(0)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises:
        ReconcilerError: the port is taken, or there is no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off: else each answer takes 40 ms longer.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        # Listening at once: nobody who knows the port is refused before the server takes over.
        bound.listen(128)
    except (OSError, OverflowError) as error:
        bound.close()
        raise ReconcilerError(
            f"the sandbox cannot listen on {host}:{port}: {error}",
            hint="name another port, or 0 for a free one",
        ) from error
    return bound
