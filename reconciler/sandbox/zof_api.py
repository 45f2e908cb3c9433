"""The operations of the embedded Zof API (`schemas/zof-webhooks.openapi.yaml`), and its test deliveries.

`zof_gateway` does what every request needs: key, quota, request id, faults and log.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.model import Secret
from reconciler.receiver.signature import SIGNATURE_HEADER, sign
from reconciler.sandbox.spelling import respell
from reconciler.sandbox.zof_gateway import ORGANIZATION, REQUEST_NUMBER, Gateway
from reconciler.sandbox.zof_requests import EVENT_TYPES, Problem, encode_cursor, parse_draft, parse_page
from reconciler.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from reconciler.sandbox.behavior import Behavior
    from reconciler.sandbox.zof_gateway import ZofState
    from reconciler.sandbox.zof_store import StoredEndpoint

ORIGINAL_URL_HEADER = "X-Zof-Original-Url"
_NO_LAG = 2**62
# The characters of a path and a query in RFC 3986; `%` is one of them, so escapes are not escaped again.
_TARGET_SAFE = "/?:@!$&'()*+,;=%-._~"
_OK = range(200, 300)
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


# --- test deliveries ----------------------------------------------------------------------------------


class DeliveryResult(Struct, frozen=True):
    """The result of one delivery."""

    delivered: bool
    status_code: int | None = None
    """The receiver's answer; None if it did not answer."""
    error: str | None = None
    """Why it was not delivered, without any text from the receiver."""


def deliver_test(endpoint: StoredEndpoint, behavior: Behavior, now: float) -> DeliveryResult:
    """Send a signed test event to the endpoint's URL, or to the address in `behavior.deliver_to`.

    Each step of the exchange blocks for up to `behavior.delivery_timeout` seconds. Redirects
    are not followed: only a 2xx of the receiver itself is a success.
    """
    if behavior.test_result == "fail":
        return DeliveryResult(delivered=False, error="`test_result` of the sandbox is `fail`")
    try:
        base, parts = _destination(endpoint.url, behavior), urlsplit(endpoint.url)
        target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_TARGET_SAFE)
    except ValueError:
        # Only the console can create such an endpoint.
        return DeliveryResult(delivered=False, error="the endpoint's URL is invalid")
    if base is None:
        assumed = behavior.public_deliveries == "assume"
        return DeliveryResult(
            delivered=assumed, error=None if assumed else "deliveries to public hosts are disabled"
        )
    body = _envelope(endpoint, now)
    headers: dict[str, str | bytes] = {
        "Content-Type": "application/json",
        "User-Agent": "Zof-Webhooks-Sandbox",
        SIGNATURE_HEADER: sign(body, endpoint.secret.reveal()),
        # As UTF-8 bytes: an endpoint's URL may contain Unicode.
        ORIGINAL_URL_HEADER: endpoint.url.encode(),
    }
    return _post(base, target, body, headers, behavior.delivery_timeout)


def _envelope(endpoint: StoredEndpoint, now: float) -> bytes:
    """Return the JSON of a test event of the first type that `endpoint` subscribes to."""
    organization = hashlib.sha256(endpoint.organization.encode()).hexdigest()[:16]
    return json.dumps(
        {
            "id": "evt_" + secrets.token_hex(12),
            "type": endpoint.events[0] if endpoint.events else "run.completed",
            "created": datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z"),
            "data": {
                "object": {
                    "id": "test_" + secrets.token_hex(8),
                    "organization_id": f"org_{organization}",
                    "run_id": "run_" + secrets.token_hex(8),
                }
            },
        }
    ).encode()


def _destination(url: str, behavior: Behavior) -> str | None:
    """Return the base URL of the receiver; None if nothing is sent."""
    host = urlsplit(url).hostname or ""
    if isinstance(behavior.deliver_to, str):
        return behavior.deliver_to
    if behavior.deliver_to is not None and host in behavior.deliver_to:
        return behavior.deliver_to[host]
    return url if is_loopback(host) or behavior.public_deliveries == "send" else None


def _post(
    base: str, target: str, body: bytes, headers: dict[str, str | bytes], timeout: float
) -> DeliveryResult:
    parts = urlsplit(base)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        with contextlib.closing(connect(parts.hostname or "", parts.port, timeout=timeout)) as connection:
            connection.request("POST", target, body, headers)
            status = connection.getresponse().status
    except TimeoutError:
        return DeliveryResult(delivered=False, error=f"no answer within {timeout:g} seconds")
    except (OSError, http.client.HTTPException, ValueError) as error:
        # ValueError: an impossible host name or port.
        return DeliveryResult(delivered=False, error=f"the delivery failed: {type(error).__name__}")
    refused = None if status in _OK else f"the receiver answered {status}"
    return DeliveryResult(delivered=refused is None, status_code=status, error=refused)
