"""The operations of the embedded Zof Webhooks API, as `schemas/zof-webhooks.openapi.yaml` describes them.

What stands around each request (key, quota, request id, faults, log) is in `zof_gateway`.
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
from reconciler.sandbox.zof_delivery import deliver_test
from reconciler.sandbox.zof_gateway import ORGANIZATION, REQUEST_NUMBER, Gateway
from reconciler.sandbox.zof_records import KeyReused, StoredEndpoint, UrlTaken
from reconciler.sandbox.zof_requests import (
    BODY_MAX,
    EVENT_TYPES,
    Problem,
    encode_cursor,
    parse_draft,
    parse_page,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from reconciler.sandbox.behavior import Behavior
    from reconciler.sandbox.zof_delivery import Delivery
    from reconciler.sandbox.zof_state import ZofState

_NO_LAG = 2**62


def make_app(state: ZofState, more_routes: Sequence[BaseRoute] = ()) -> Gateway:
    """Return the ASGI application; `more_routes` are the sandbox's own controls, where they are wanted."""
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
        """GET is a page of the listing, POST a creation."""
        return await self._create(request) if request.method == "POST" else self._list(request)

    async def _create(self, request: Request) -> Response:
        behavior = self._state.behavior
        draft = parse_draft(
            await read_body(request),
            request.headers.get("content-type", ""),
            request.headers.getlist("idempotency-key"),
            EVENT_TYPES + behavior.extra_event_types,
        )
        try:
            answer = self._state.store.create(
                request.scope[ORGANIZATION],
                draft,
                behavior=behavior,
                render=lambda endpoint: _render_created(endpoint, behavior),
                now=self._state.clock(),
                request_number=request.scope[REQUEST_NUMBER],
            )
        except KeyReused:
            raise Problem(
                409, "idempotency_key_reuse", "This key belongs to another request.", param="Idempotency-Key"
            ) from None
        except UrlTaken:
            raise Problem(409, "url_conflict", "Another endpoint has this URL.", param="url") from None
        body = answer.body.reveal()
        if answer.replayed and not behavior.replay_shows_secret:
            body = _without_secret(body)
        headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
        return Response(body, answer.status, headers, media_type="application/json")

    def _list(self, request: Request) -> Response:
        behavior = self._state.behavior
        page = parse_page(request.query_params.multi_items())
        number = request.scope[REQUEST_NUMBER]
        lag = behavior.listing_lag_requests
        endpoints, has_more = self._state.store.page(
            request.scope[ORGANIZATION],
            after=page.after,
            size=min(page.size, behavior.max_page_size or page.size),
            created_until=self._state.clock() - behavior.listing_lag_seconds
            if behavior.listing_lag_seconds
            else _NO_LAG,
            created_before_request=number - lag if lag else _NO_LAG,
        )
        cursor = {"next_cursor": encode_cursor(endpoints[-1].number)} if has_more else {}
        return JSONResponse(
            {
                **behavior.extra_fields,
                "data": [_to_json(endpoint, behavior) for endpoint in endpoints],
                "has_more": has_more,
                **cursor,
            }
        )

    async def test(self, request: Request) -> Response:
        """Send a test delivery and tell what came of it."""
        behavior = self._state.behavior
        endpoint = self._state.store.find(request.path_params["endpoint_id"], request.scope[ORGANIZATION])
        if endpoint is None:
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
        if not self._state.store.delete(request.path_params["endpoint_id"], request.scope[ORGANIZATION]):
            raise _no_such_endpoint()
        return Response(status_code=204)


async def read_body(request: Request) -> bytes:
    """Read a request's body.

    Raises:
        Problem: 413; it is larger than any honest one.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise Problem(413, "body_too_large", f"The body is larger than {BODY_MAX} bytes.")
    return bytes(body)


def _to_json(endpoint: StoredEndpoint, behavior: Behavior) -> dict[str, Any]:
    return {
        **behavior.extra_fields,
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "status": "enabled",
        "created": datetime.fromtimestamp(int(endpoint.created_at), UTC).isoformat().replace("+00:00", "Z"),
    }


def _render_created(endpoint: StoredEndpoint, behavior: Behavior) -> Secret:
    return Secret(
        json.dumps(_to_json(endpoint, behavior) | {behavior.secret_field: endpoint.secret.reveal()})
    )


def _without_secret(body: str) -> str:
    value = json.loads(body)
    return json.dumps(
        {name: part for name, part in value.items() if name not in {"secret", "signing_secret"}}
    )


def _render_delivery(delivery: Delivery, behavior: Behavior) -> Response:
    match behavior.test_answer:
        case "empty":
            return Response(status_code=204)
        case "status_code":
            return JSONResponse({"status_code": delivery.status_code})
        case field:
            told = {field: delivery.delivered, "status_code": delivery.status_code}
            return JSONResponse(told if delivery.error is None else told | {"error": delivery.error})


def _no_such_endpoint() -> Problem:
    return Problem(404, "not_found", "There is no such endpoint in this organization.")


async def _answer_problem(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101 (it is registered for this class)
    return JSONResponse(problem.body(), problem.status, problem.headers)


async def _answer_routing_problem(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)  # noqa: S101 (it is registered for this class)
    codes = {404: "not_found", 405: "method_not_allowed"}
    answer = Problem(
        problem.status_code,
        codes.get(problem.status_code, "invalid_request"),
        f"{problem.detail}.",
        headers=problem.headers,
    )
    return JSONResponse(answer.body(), answer.status, answer.headers)
