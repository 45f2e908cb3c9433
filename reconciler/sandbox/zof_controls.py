"""The sandbox's own controls over HTTP, under `/_sandbox`: knobs, faults, the console and the request log.

They exist only when the server is started with them, need no key, and never show a secret. A page in a
browser on the same machine cannot use them: the host must be loopback by name, and a body must be JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.errors import InvalidInput
from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.faults import FaultRule
from reconciler.sandbox.zof_api import read_body
from reconciler.sandbox.zof_requests import Problem, is_text, parse_object, refuse
from reconciler.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request

    from reconciler.sandbox.zof_records import StoredEndpoint
    from reconciler.sandbox.zof_state import ZofState

    Handler = Callable[[Request], Awaitable[Response]]


def control_routes(state: ZofState, organization: str) -> Sequence[Route]:
    """Return the routes. `organization` gets the endpoints that are created without naming one."""
    controls = _Controls(state, organization)

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(f"/_sandbox/{path}", _guarded(handler), methods=methods)

    return (
        route("behavior", controls.behavior, "GET", "PUT", "PATCH"),
        route("faults", controls.faults, "GET", "POST", "DELETE"),
        route("endpoints", controls.endpoints, "GET", "POST"),
        route("endpoints/{endpoint_id}", controls.endpoint, "PATCH", "DELETE"),
        route("requests", controls.requests, "GET"),
    )


def _guarded(handler: Handler) -> Handler:
    """Let only this machine's own tools through, and turn our errors into answers."""

    async def guarded(request: Request) -> Response:
        if not is_loopback(request.url.hostname or ""):
            raise Problem(403, "forbidden", "The controls answer to a loopback host name only.")
        try:
            return await handler(request)
        except InvalidInput as error:
            raise Problem(
                400, "invalid_parameter", ". ".join(filter(None, (error.message, error.hint)))
            ) from None

    return guarded


class _Controls:
    def __init__(self, state: ZofState, organization: str) -> None:
        self._state = state
        self._organization = organization

    async def behavior(self, request: Request) -> Response:
        """GET shows the knobs, PUT sets all of them (left out: the default), PATCH some."""
        if request.method == "PUT":
            self._state.behavior = Behavior.from_json(await _read_object(request))
        elif request.method == "PATCH":
            self._state.behavior = self._state.behavior.with_json(await _read_object(request))
        return JSONResponse(self._state.behavior.to_json())

    async def faults(self, request: Request) -> Response:
        """GET shows the rules in force, POST adds one, DELETE forgets them."""
        faults = self._state.faults
        if request.method == "POST":
            faults.add(FaultRule.from_json(await _read_object(request)))
        elif request.method == "DELETE":
            faults.clear()
        return JSONResponse({"data": [rule.to_json() for rule in faults.rules()]})

    async def endpoints(self, request: Request) -> Response:
        """GET lists the endpoints of every organization, POST creates one by hand."""
        if request.method == "GET":
            return JSONResponse({"data": [_to_json(endpoint) for endpoint in self._state.store.all()]})
        value = await _read_object(request)
        url, events = _check_edit(value)
        organization = value.get("organization", self._organization)
        if url is None or events is None or not is_text(organization):
            refuse("url" if url is None else "events" if events is None else "organization", "It is needed.")
        endpoint = self._state.store.insert(organization, url, events, secret=None, now=self._state.clock())
        return JSONResponse(_to_json(endpoint), 201)

    async def endpoint(self, request: Request) -> Response:
        """PATCH changes an endpoint's URL or events by hand, DELETE deletes it."""
        endpoint_id = request.path_params["endpoint_id"]
        if request.method == "DELETE":
            if not self._state.store.delete(endpoint_id, by_console=True):
                raise Problem(404, "not_found", "There is no such endpoint.")
            return Response(status_code=204)
        url, events = _check_edit(await _read_object(request))
        endpoint = self._state.store.edit(endpoint_id, url=url, events=events)
        if endpoint is None:
            raise Problem(404, "not_found", "There is no such endpoint.")
        return JSONResponse(_to_json(endpoint))

    async def requests(self, _request: Request) -> Response:
        """GET shows the log of requests to the API, oldest first."""
        return JSONResponse({"data": [asdict(entry) for entry in self._state.log.entries()]})


async def _read_object(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Problem(415, "unsupported_media_type", "The body must be sent as application/json.")
    return parse_object(await read_body(request))


def _check_edit(value: dict[str, Any]) -> tuple[str | None, list[str] | None]:
    url, events = value.get("url"), value.get("events")
    if url is not None and not is_text(url):
        refuse("url", "It must be a text.")
    if events is not None and not (isinstance(events, list) and all(is_text(name) for name in events)):
        refuse("events", "It must be an array of texts.")
    return url, events


def _to_json(endpoint: StoredEndpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "organization": endpoint.organization,
        "url": endpoint.url,
        "events": list(endpoint.events),
    }
