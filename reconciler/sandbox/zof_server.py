"""The embedded Zof API as a server: a thread, a loopback port, and a handle on everything inside."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.faults import Fault, FaultRule
from reconciler.sandbox.loopback import require_loopback
from reconciler.sandbox.zof_api import make_app
from reconciler.sandbox.zof_controls import control_routes
from reconciler.sandbox.zof_gateway import ABORT, CLOSE, PERMISSION
from reconciler.sandbox.zof_state import LoggedRequest, RequestLog, ZofState
from reconciler.sandbox.zof_store import EndpointChange, StoredEndpoint, ZofStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from starlette.types import Receive, Scope, Send

    from reconciler.sandbox.zof_gateway import Gateway

_STOP_PATIENCE = 2.0


class Console:
    """What somebody does by hand in the vendor's Admin Center, behind our back."""

    def __init__(self, state: ZofState, organization: str) -> None:
        """Act on `state`; `organization` is meant where none is named."""
        self._state = state
        self._organization = organization

    def list(self) -> tuple[StoredEndpoint, ...]:
        """Return every endpoint of every organization, in the order of creation."""
        return self._state.store.all()

    def create(
        self,
        url: str,
        events: Iterable[str],
        *,
        organization: str | None = None,
        secret: Secret | None = None,
    ) -> StoredEndpoint:
        """Create an endpoint; nothing is checked, so its events may be ones that nobody knows."""
        return self._state.store.insert(
            organization or self._organization, url, events, secret=secret, now=self._state.clock()
        )

    def edit(
        self, endpoint_id: str, *, url: str | None = None, events: Iterable[str] | None = None
    ) -> StoredEndpoint:
        """Change an endpoint, which the API cannot do.

        Raises:
            ReconcilerError: there is no such endpoint.
        """
        endpoint = self._state.store.edit(endpoint_id, url=url, events=events)
        if endpoint is None:
            raise ReconcilerError(f"the sandbox has no endpoint {endpoint_id}")
        return endpoint

    def delete(self, endpoint_id: str) -> None:
        """Delete an endpoint.

        Raises:
            ReconcilerError: there is no such endpoint.
        """
        if not self._state.store.delete(endpoint_id, by_console=True):
            raise ReconcilerError(f"the sandbox has no endpoint {endpoint_id}")


class ZofServer:
    """The embedded Zof Webhooks API, served from a thread of this process on a loopback port.

    Use it as a context manager, or call `start` and `stop`. The store is there before the start and is
    closed by the stop; a new server with the same `path` goes on where it ended.
    """

    def __init__(
        self,
        behavior: Behavior | None = None,
        *,
        path: Path | None = None,
        controls: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        organization: str = "acme",
        key: Secret | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the store and bind the port.

        Args:
            behavior: the knobs; they can be changed at any time.
            path: the SQLite file; None: memory.
            controls: whether `/_sandbox` exists.
            host: a loopback address.
            port: 0: a free one.
            organization: whose `key` is.
            key: an API key with permission to manage webhooks; None: a new one.
            clock: Unix time.

        Raises:
            UsageError: the host is not loopback.
            ReconcilerError: the port is taken, or the file cannot be used.
        """
        require_loopback(host)
        self.organization = organization
        self._socket = _bind(host, port)
        bound_host, bound_port, *_ = self._socket.getsockname()
        self.origin = f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"
        """The server's URL without a path."""
        try:
            store = ZofStore(path)
        except ReconcilerError:
            self._socket.close()
            raise
        self._state = ZofState(store, behavior or Behavior(), clock, RequestLog(store.last_request()))
        self.console = Console(self._state, organization)
        self.key = self.add_key(organization, key=key)
        routes = control_routes(self._state, organization) if controls else ()
        self._server = _Server(make_app(self._state, routes))
        self._thread: threading.Thread | None = None

    # --- running ----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The API's base URL, `http://127.0.0.1:<port>/v1`."""
        return f"{self.origin}/v1"

    def start(self) -> Self:
        """Serve. Returns when requests are answered."""
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="zof-sandbox", daemon=True
        )
        self._thread.start()
        self._server.ready.wait()
        if not self._server.started:
            raise ReconcilerError("the sandbox's server did not start")
        return self

    def stop(self) -> None:
        """Finish what is being answered, close every connection and the store. Safe to repeat."""
        if self._thread is not None:
            self._server.request_stop()
            self._thread.join()
            self._thread = None
        self._socket.close()
        self._state.store.close()

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    # --- the handle -------------------------------------------------------------------------------

    @property
    def behavior(self) -> Behavior:
        """The knobs in force; assign a changed copy (`dataclasses.replace`) to turn some."""
        return self._state.behavior

    @behavior.setter
    def behavior(self, behavior: Behavior) -> None:
        self._state.behavior = behavior

    def add_key(
        self, organization: str, *, permissions: Iterable[str] = (PERMISSION,), key: Secret | None = None
    ) -> Secret:
        """Make an API key (or take `key`) for `organization`, and return it."""
        key = key or Secret("zof_sandbox_" + secrets.token_hex(20))
        self._state.store.add_key(key, organization, permissions)
        return key

    def revoke_key(self, key: Secret) -> None:
        """Make an API key invalid."""
        self._state.store.revoke_key(key)

    def fail(self, method: str, path: str, fault: Fault, *, times: int | None = 1, skip: int = 0) -> None:
        """Let `fault` strike `times` (None: all) of the requests that match, after `skip` of them.

        `method` may be `*`; `path` is a shell pattern such as `/v1/webhooks/*/test`. The rules are asked in
        the order in which they were added, and only for requests with a valid key and quota left.
        """
        self._state.faults.add(FaultRule(method, path, fault, times, skip))

    def clear_faults(self) -> None:
        """Forget every fault that has not struck yet."""
        self._state.faults.clear()

    def pending_faults(self) -> tuple[FaultRule, ...]:
        """Return the faults that have not struck yet."""
        return self._state.faults.rules()

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """Every request to `/v1`, in the order of their answers."""
        return self._state.log.entries()

    @property
    def changes(self) -> tuple[EndpointChange, ...]:
        """What happened to the endpoints since the start, oldest first."""
        return self._state.store.changes()

    def secret_of(self, endpoint_id: str) -> Secret:
        """Return the secret that deliveries to an endpoint are signed with: what no API ever tells.

        Raises:
            ReconcilerError: there is no such endpoint.
        """
        endpoint = self._state.store.find(endpoint_id)
        if endpoint is None:
            raise ReconcilerError(f"the sandbox has no endpoint {endpoint_id}")
        return endpoint.secret

    def signing_secrets(self) -> dict[str, Secret]:
        """Return the signing secret of every live endpoint, by id."""
        return dict(self._state.store.signing_secrets())


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


class _Server(uvicorn.Server):
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


def _bind(host: str, port: int) -> socket.socket:
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
