"""The embedded Zof API as a server: a thread, a loopback port, and access to everything inside."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from msgspec.structs import asdict
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.sandbox import LOOPBACK
from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.faults import FaultRule
from reconciler.sandbox.sending import send_events
from reconciler.sandbox.zof_api import make_app
from reconciler.sandbox.zof_controls import Console, control_routes
from reconciler.sandbox.zof_gateway import ABORT, CLOSE, PERMISSION, RequestLog, ZofState
from reconciler.sandbox.zof_store import ZofStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from reconciler.sandbox.faults import Fault
    from reconciler.sandbox.sending import Sending, Sent
    from reconciler.sandbox.zof_gateway import Gateway, LoggedRequest
    from reconciler.sandbox.zof_store import EndpointChange

_STOP_PATIENCE = 2.0
"""Seconds that open requests have to finish when the server is stopped."""


class ZofServer:
    """The embedded Zof Webhooks API, served from a thread of this process on a loopback port.

    Use it as a context manager, or call `start` and `stop`. The store is open before `start`, and `stop`
    closes it; a new server with the same `path` continues with the same data.
    """

    def __init__(
        self,
        behavior: Behavior | None = None,
        *,
        path: Path | None = None,
        controls: bool = False,
        port: int = 0,
        organization: str = "acme",
        key: Secret | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the store and bind the port.

        Args:
            behavior: the settings; they can be changed at any time.
            path: the SQLite file; None: memory.
            controls: whether `/_sandbox` exists.
            port: 0 for a free one.
            organization: the owner of `key`.
            key: an API key with permission to manage webhooks; None for a new one.
            clock: Unix time.

        Raises:
            ReconcilerError: the port is taken, or the file cannot be used.
        """
        self.organization = organization
        self._socket = _bind(port)
        self.origin = f"http://{LOOPBACK}:{self._socket.getsockname()[1]}"
        """The server's URL without a path."""
        try:
            store = ZofStore(path)
        except ReconcilerError:
            self._socket.close()
            raise
        self._state = ZofState(store, behavior or Behavior(), clock, RequestLog(store.last_request()))
        self.console = Console(self._state, organization)
        self.key = self.add_key(organization, key=key)
        routes = control_routes(self._state, self.console) if controls else ()
        self._server = _GatewayServer(make_app(self._state, routes))
        self._thread: threading.Thread | None = None

    # --- running ----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The API's base URL, `http://127.0.0.1:<port>/v1`."""
        return f"{self.origin}/v1"

    def start(self) -> Self:
        """Serve in a thread. Returns when the server answers requests."""
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="zof-sandbox", daemon=True
        )
        self._thread.start()
        self._server.ready.wait()
        if not self._server.started:
            raise ReconcilerError("the sandbox's server did not start")
        return self

    def stop(self) -> None:
        """Finish the open requests, close every connection and the store. Safe to repeat."""
        if self._thread is not None:
            self._server.request_stop()
            self._thread.join()
            self._thread = None
        self._socket.close()
        self._state.store.close()

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    # --- access -----------------------------------------------------------------------------------

    @property
    def behavior(self) -> Behavior:
        """The current settings; to change some, assign a changed copy (`msgspec.structs.replace`)."""
        return self._state.behavior

    @behavior.setter
    def behavior(self, behavior: Behavior) -> None:
        self._state.behavior = behavior

    def add_key(
        self, organization: str, *, permissions: Iterable[str] = (PERMISSION,), key: Secret | None = None
    ) -> Secret:
        """Add an API key for `organization` (`key` or a new one), and return it."""
        key = key or Secret("zof_sandbox_" + secrets.token_hex(20))
        self._state.store.add_key(key, organization, permissions)
        return key

    def revoke_key(self, key: Secret) -> None:
        """Invalidate an API key."""
        self._state.store.revoke_key(key)

    def fail(self, method: str, path: str, fault: Fault, *, times: int | None = 1, skip: int = 0) -> None:
        """Apply `fault` to `times` (None: all) of the requests that match, after the first `skip` of them.

        `method` may be `*`; `path` is a shell pattern such as `/v1/webhooks/*/test`. The first rule that
        matches applies, and only to requests with a valid key and quota left.
        """
        rule = FaultRule(**asdict(fault), method=method, path=path, times=times, skip=skip)
        self._state.faults.add(rule)

    def clear_faults(self) -> None:
        """Remove every fault that is not used up."""
        self._state.faults.clear()

    def pending_faults(self) -> tuple[FaultRule, ...]:
        """Return the faults that are not used up."""
        return self._state.faults.rules()

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """Every request to `/v1`, in the order of their answers."""
        return self._state.log.entries()

    @property
    def changes(self) -> tuple[EndpointChange, ...]:
        """The changes of endpoints since the start, oldest first."""
        return self._state.store.changes()

    def send(self, sending: Sending) -> list[Sent]:
        """Send events to the endpoints that subscribe to them; blocks until all deliveries are answered.

        Raises:
            InvalidInput: no enabled endpoint subscribes to the type.
        """
        return send_events(self._state, sending)

    def signing_secrets(self) -> dict[str, Secret]:
        """Return the signing secret of every live endpoint, by id; no API operation returns them later."""
        return {endpoint.id: endpoint.secret for endpoint in self._state.store.all()}


# --- uvicorn ------------------------------------------------------------------------------------------


class _Protocol(H11Protocol):
    """HTTP/1.1 with functions to break the connection, which no ASGI message can do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.app

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            scope[ABORT] = self.transport.abort
            scope[CLOSE] = self.transport.close
            await app(scope, receive, send)

        self.app = with_connection


class _GatewayServer(uvicorn.Server):
    """uvicorn without its pauses of 0.1 seconds, which would delay the start and the end of each test."""

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
                # Longer than a rate limit window, so that a client that waits keeps its connection.
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
            # Also after an error, because `ZofServer.start` waits for this.
            self.ready.set()

    def request_stop(self) -> None:
        """End `run`, from another thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    async def main_loop(self) -> None:
        """Update the `Date` header once a second until the stop."""
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        self.ready.set()
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1)
            await self.on_tick(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the open requests finish, then close every connection."""
        for server in self.servers:
            server.close()
        for bound in sockets or []:
            bound.close()
        # uvicorn registers a new connection in the next turns of the loop: without this wait it stays open.
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
        # Callbacks close the sockets in the next turn of the loop.
        await asyncio.sleep(0)


def _bind(port: int) -> socket.socket:
    """Return a listening socket; port 0 selects a free one.

    Raises:
        ReconcilerError: the port is in use.
    """
    # With the explicit protocol, asyncio disables Nagle's algorithm, which would delay each answer by 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((LOOPBACK, port))
        # Listen now, so that clients can connect before the server accepts.
        bound.listen(128)
    except (OSError, OverflowError) as error:
        bound.close()
        raise ReconcilerError(
            f"the sandbox cannot listen on {LOOPBACK}:{port}: {error}",
            hint="choose another port, or 0 for a free one",
        ) from error
    return bound
