"""The embedded Zof API as a server: a thread, a loopback port, and a handle on everything inside."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING, Self

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.faults import Fault, FaultRule
from reconciler.sandbox.loopback import require_loopback
from reconciler.sandbox.zof_api import make_app
from reconciler.sandbox.zof_controls import control_routes
from reconciler.sandbox.zof_gateway import PERMISSION
from reconciler.sandbox.zof_listener import GatewayServer, bind
from reconciler.sandbox.zof_state import LoggedRequest, RequestLog, ZofState
from reconciler.sandbox.zof_store import ZofStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from reconciler.sandbox.zof_records import EndpointChange, StoredEndpoint


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
        self._socket = bind(host, port)
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
        self._server = GatewayServer(make_app(self._state, routes))
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
        """The knobs in force; assign a changed copy (`msgspec.structs.replace`) to turn some."""
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
        return {endpoint.id: endpoint.secret for endpoint in self._state.store.all()}
