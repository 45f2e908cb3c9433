"""Control of the embedded Zof API: the console, and everything under `/_sandbox` over HTTP.

The HTTP controls exist only if the server is started with them. They need no key and never show a secret.
A web page in a browser on the same machine cannot use them: the host name must be loopback, and a body must
be JSON.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.model import Secret
from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.faults import FaultRule
from reconciler.sandbox.sending import Sending, send_events, sent_value
from reconciler.sandbox.zof_gateway import PERMISSION
from reconciler.sandbox.zof_requests import Problem, parse_object, refuse
from reconciler.texts import is_text
from reconciler.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from starlette.requests import Request

    from reconciler.sandbox.zof_gateway import ZofState
    from reconciler.sandbox.zof_store import StoredEndpoint

    Handler = Callable[[Request], Awaitable[Response]]


class Console:
    """What people do by hand in the vendor's Admin Center, outside the API."""

    def __init__(self, state: ZofState, organization: str) -> None:
        """`organization` is the default owner of new endpoints."""
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
        """Create an endpoint without any checks, so its events may be unknown."""
        return self._state.store.insert(
            organization or self._organization, url, events, secret=secret, now=self._state.clock()
        )

    def edit(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        events: Iterable[str] | None = None,
        enabled: bool | None = None,
    ) -> StoredEndpoint:
        """Change an endpoint, or disable or enable it, which the API cannot do.

        Raises:
            ReconcilerError: the endpoint does not exist.
        """
        endpoint = self._state.store.edit(endpoint_id, url=url, events=events, enabled=enabled)
        if endpoint is None:
            raise ReconcilerError(f"the endpoint {endpoint_id} does not exist in the sandbox")
        return endpoint

    def delete(self, endpoint_id: str) -> None:
        """Delete an endpoint.

        Raises:
            ReconcilerError: the endpoint does not exist.
        """
        if not self._state.store.delete(endpoint_id, by_console=True):
            raise ReconcilerError(f"the endpoint {endpoint_id} does not exist in the sandbox")


def control_routes(state: ZofState, console: Console) -> Sequence[Route]:
    """Return the routes under `/_sandbox`."""
    controls = _Controls(state, console)

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(f"/_sandbox/{path}", _guard(handler), methods=methods)

    return (
        route("behavior", controls.behavior, "GET", "PUT", "PATCH"),
        route("faults", controls.faults, "GET", "POST", "DELETE"),
        route("endpoints", controls.endpoints, "GET", "POST"),
        route("endpoints/{endpoint_id}", controls.endpoint, "PATCH", "DELETE"),
        route("deliveries", controls.deliveries, "POST"),
        route("keys", controls.keys, "POST", "DELETE"),
        route("requests", controls.requests, "GET"),
    )


def _guard(handler: Handler) -> Handler:
    """Refuse requests to other host names, and turn our errors into answers."""

    async def guarded(request: Request) -> Response:
        if not is_loopback(request.url.hostname or ""):
            raise Problem(403, "forbidden", "The controls accept only a loopback host name.")
        try:
            return await handler(request)
        except InvalidInput as error:
            message = ". ".join(filter(None, (error.message, error.hint)))
            raise Problem(400, "invalid_parameter", message) from None
        except ReconcilerError as error:
            raise Problem(404, "not_found", error.message) from None

    return guarded


class _Controls:
    def __init__(self, state: ZofState, console: Console) -> None:
        self._state = state
        self._console = console

    async def behavior(self, request: Request) -> Response:
        """GET returns the settings, PUT sets all of them (default if left out), PATCH changes some."""
        if request.method != "GET":
            kept = self._state.behavior.to_json() if request.method == "PATCH" else {}
            self._state.behavior = Behavior.from_json(kept | await _read_object(request))
        return JSONResponse(self._state.behavior.to_json())

    async def faults(self, request: Request) -> Response:
        """GET returns the active rules, POST adds one, DELETE removes all."""
        faults = self._state.faults
        if request.method == "POST":
            faults.add(FaultRule.from_json(await _read_object(request)))
        elif request.method == "DELETE":
            faults.clear()
        return JSONResponse({"data": [rule.to_json() for rule in faults.rules()]})

    async def endpoints(self, request: Request) -> Response:
        """GET returns the endpoints of every organization, POST creates one as the console does."""
        if request.method == "GET":
            return JSONResponse({"data": [_to_json(endpoint) for endpoint in self._console.list()]})
        value = await _read_object(request)
        url, events, _ = _check_edit(value)
        organization = value.get("organization")
        if url is None or events is None:
            refuse("url" if url is None else "events", "This field is required.")
        if "organization" in value and not is_text(organization):
            refuse("organization", "It must be a string.")
        return JSONResponse(_to_json(self._console.create(url, events, organization=organization)), 201)

    async def endpoint(self, request: Request) -> Response:
        """PATCH changes an endpoint (URL, events, `enabled`), DELETE deletes it, both as the console does."""
        endpoint_id = request.path_params["endpoint_id"]
        if request.method == "DELETE":
            self._console.delete(endpoint_id)
            return Response(status_code=204)
        url, events, enabled = _check_edit(await _read_object(request))
        endpoint = self._console.edit(endpoint_id, url=url, events=events, enabled=enabled)
        return JSONResponse(_to_json(endpoint))

    async def deliveries(self, request: Request) -> Response:
        """POST sends events to the endpoints that subscribe to them, and returns the answers."""
        sending = Sending.from_json(await _read_object(request))
        sent = await asyncio.to_thread(send_events, self._state, sending)
        return JSONResponse({"data": sent_value(sent)})

    async def keys(self, request: Request) -> Response:
        """POST adds the API key in the body, for any organization; DELETE revokes it."""
        value = await _read_object(request)
        key, organization = value.get("key"), value.get("organization")
        permissions = value.get("permissions", [PERMISSION])
        if not is_text(key) or not key:
            refuse("key", "It must be a string, for example zof_globex.")
        if request.method == "DELETE":
            self._state.store.revoke_key(Secret(key))
            return Response(status_code=204)
        if not is_text(organization) or not organization:
            refuse("organization", "It must be a string.")
        if not (isinstance(permissions, list) and all(is_text(name) for name in permissions)):
            refuse("permissions", "It must be an array of strings.")
        self._state.store.add_key(Secret(key), organization, permissions)
        return JSONResponse({"organization": organization, "permissions": permissions}, 201)

    async def requests(self, _request: Request) -> Response:
        """GET returns the log of requests to the API, oldest first."""
        return JSONResponse({"data": [asdict(entry) for entry in self._state.log.entries()]})


async def _read_object(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Problem(415, "unsupported_media_type", "The body must be sent as application/json.")
    return parse_object(await request.body())


def _check_edit(value: dict[str, Any]) -> tuple[str | None, list[str] | None, bool | None]:
    url, events, enabled = value.get("url"), value.get("events"), value.get("enabled")
    if url is not None and not is_text(url):
        refuse("url", "It must be a string.")
    if events is not None and not (isinstance(events, list) and all(is_text(name) for name in events)):
        refuse("events", "It must be an array of strings.")
    if enabled is not None and not isinstance(enabled, bool):
        refuse("enabled", "It must be true or false.")
    return url, events, enabled


def _to_json(endpoint: StoredEndpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "organization": endpoint.organization,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "enabled": endpoint.enabled,
    }
