"""The operations of the embedded Zof API (`schemas/zof-webhooks.openapi.yaml`).

`zof_gateway` does what every request needs: key, quota, request id, faults and log.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.model import Secret
from reconciler.sandbox.deliveries import deliver_test
from reconciler.sandbox.spelling import respell
from reconciler.sandbox.zof_gateway import ORGANIZATION, REQUEST_NUMBER, Gateway
from reconciler.sandbox.zof_requests import EVENT_TYPES, Problem, encode_cursor, parse_draft, parse_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from reconciler.sandbox.behavior import Behavior
    from reconciler.sandbox.deliveries import DeliveryResult
    from reconciler.sandbox.zof_gateway import ZofState
    from reconciler.sandbox.zof_store import StoredEndpoint

_NO_LAG = 2**62
_NO_CONTENT = 204


def make_app(state: ZofState, more_routes: Sequence[BaseRoute] = ()) -> Gateway:
    """Return the ASGI application; `more_routes` are for the sandbox's controls."""
    operations = _Operations(state)
    routes: list[BaseRoute] = [
        Route("/v1/webhooks", operations.list_or_create, methods=["GET", "POST"]),
        Route("/v1/webhooks/{endpoint_id}", operations.delete, methods=["DELETE"]),
        Route("/v1/webhooks/{endpoint_id}/test", operations.test, methods=["POST"]),
        *more_routes,
    ]
    app = Starlette(
        routes=routes, exception_handlers={Problem: _answer_problem, HTTPException: _answer_routing_problem}
    )
    app.router.redirect_slashes = False
    return Gateway(app, state)


class _Operations:
    """The four operations of `/v1/webhooks`."""

    def __init__(self, state: ZofState) -> None:
        self._state = state

    async def list_or_create(self, request: Request) -> Response:
        """GET returns a page of the listing, POST creates an endpoint."""
        return await self._create(request) if request.method == "POST" else self._list(request)

    async def _create(self, request: Request) -> Response:
        behavior = self._state.behavior
        draft = parse_draft(
            await request.body(),
            request.headers.get("content-type", ""),
            request.headers.getlist("idempotency-key"),
            EVENT_TYPES + behavior.extra_event_types,
        )
        answer = self._state.store.create(
            request.scope[ORGANIZATION],
            draft,
            behavior=behavior,
            render=lambda endpoint: Secret(
                json.dumps(_to_json(endpoint, behavior) | {behavior.secret_field: endpoint.secret.reveal()})
            ),
            now=self._state.clock(),
            request_number=request.scope[REQUEST_NUMBER],
        )
        body = answer.body.reveal()
        if answer.replayed and not behavior.replay_shows_secret:
            fields = json.loads(body)
            fields.pop("secret", None)
            fields.pop("signing_secret", None)
            body = json.dumps(fields)
        headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
        return Response(body, answer.status, headers, media_type="application/json")

    def _list(self, request: Request) -> Response:
        behavior = self._state.behavior
        size, after = parse_page(request.query_params.multi_items())
        number = request.scope[REQUEST_NUMBER]
        lag = behavior.listing_lag_requests
        endpoints, has_more = self._state.store.page(
            request.scope[ORGANIZATION],
            after=after,
            size=min(size, behavior.max_page_size or size),
            created_until=self._state.clock() - behavior.listing_lag_seconds
            if behavior.listing_lag_seconds
            else _NO_LAG,
            created_before_request=number - lag if lag else _NO_LAG,
        )
        cursor = {"next_cursor": encode_cursor(endpoints[-1].number)} if has_more else {}
        return JSONResponse(
            {
                **behavior.extra_fields,
                "data": [_listed(endpoint, behavior) for endpoint in endpoints]
                + ([] if has_more else self._at_the_end(request.scope[ORGANIZATION])),
                "has_more": has_more,
                **cursor,
            }
        )

    def _at_the_end(self, organization: str) -> list[Any]:
        """Return what a listing has after its last endpoint."""
        behavior, now = self._state.behavior, self._state.clock()
        lately = self._state.store.deleted_since(organization, now - behavior.deletion_lag_seconds)
        return [_listed(endpoint, behavior) for endpoint in lately] + list(behavior.extra_entries)

    async def test(self, request: Request) -> Response:
        """Send a test delivery and report its result."""
        behavior = self._state.behavior
        endpoint = self._state.store.find(request.path_params["endpoint_id"], request.scope[ORGANIZATION])
        if endpoint is None or self._state.clock() - endpoint.created_at < behavior.test_lag_seconds:
            raise _no_such_endpoint()
        delivery = await asyncio.to_thread(deliver_test, endpoint, behavior, self._state.clock())
        return _render_delivery(delivery, behavior)

    async def delete(self, request: Request) -> Response:
        """Delete an endpoint."""
        if not self._state.behavior.delete_supported:
            raise Problem(
                405,
                "method_not_allowed",
                "This organization cannot delete endpoints through the API.",
                headers={"Allow": ""},
            )
        endpoint_id, organization = request.path_params["endpoint_id"], request.scope[ORGANIZATION]
        if not self._state.store.delete(endpoint_id, organization, now=self._state.clock()):
            raise _no_such_endpoint()
        status = self._state.behavior.delete_status
        return Response(status_code=status) if status == _NO_CONTENT else JSONResponse({}, status)


def _to_json(endpoint: StoredEndpoint, behavior: Behavior) -> dict[str, Any]:
    value = {
        **behavior.extra_fields,
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        behavior.state_field: _state_of(endpoint, behavior),
    }
    if behavior.created_field != "none":
        value[behavior.created_field] = _created(int(endpoint.created_at), behavior)
    return value


def _created(moment: int, behavior: Behavior) -> str | int:
    if behavior.created_format == "unix":
        return moment
    text = datetime.fromtimestamp(moment, UTC).isoformat()
    return text.replace("+00:00", "Z" if behavior.created_format == "utc" else "")


def _state_of(endpoint: StoredEndpoint, behavior: Behavior) -> str | bool:
    if behavior.state_field == "enabled":
        return endpoint.enabled
    return "enabled" if endpoint.enabled else "disabled"


def _listed(endpoint: StoredEndpoint, behavior: Behavior) -> dict[str, Any]:
    """Return an endpoint object as the listing spells it."""
    url, events = respell(endpoint.url, endpoint.events, behavior.listing_spelling)
    return _to_json(endpoint, behavior) | {"url": url, "events": list(events)}


def _render_delivery(delivery: DeliveryResult, behavior: Behavior) -> Response:
    match behavior.test_answer:
        case "empty":
            return Response(status_code=204)
        case "status_code":
            return JSONResponse({"status_code": delivery.status_code})
        case field:
            result = {field: delivery.delivered, "status_code": delivery.status_code}
            return JSONResponse(result if delivery.error is None else result | {"error": delivery.error})


def _no_such_endpoint() -> Problem:
    return Problem(404, "not_found", "The endpoint does not exist in this organization.")


async def _answer_problem(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101 (it is registered for this class)
    return problem.response()


async def _answer_routing_problem(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)  # noqa: S101 (it is registered for this class)
    codes = {404: "not_found", 405: "method_not_allowed"}
    code = codes.get(problem.status_code, "invalid_request")
    return Problem(problem.status_code, code, f"{problem.detail}.", headers=problem.headers).response()
