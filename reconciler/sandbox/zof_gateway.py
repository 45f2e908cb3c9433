"""What stands around each request to the embedded Zof API: request id, key, quota, faults and the log."""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import TYPE_CHECKING

from msgspec import Struct, field
from starlette.datastructures import Headers

from reconciler.model import Secret
from reconciler.sandbox.faults import Fault, FaultKind
from reconciler.sandbox.zof_answers import Answer, spoiled
from reconciler.sandbox.zof_requests import BODY_MAX, IDEMPOTENCY_KEY_PATTERN, Problem, matches
from reconciler.sandbox.zof_state import LoggedRequest

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reconciler.sandbox.zof_records import ApiKey
    from reconciler.sandbox.zof_state import Quota, ZofState

# Keys of the ASGI scope by which the gateway tells the operations what it found out, and by which the
# server tells the gateway how to break the connection.
ORGANIZATION = "zof.organization"
REQUEST_NUMBER = "zof.request_number"
ABORT = "zof.abort"
CLOSE = "zof.close"

PERMISSION = "webhooks:manage"
_API = "/v1/"
_SERVER_ERRORS = range(500, 600)


class _Exchange(Struct):
    """One request on its way through the gateway."""

    scope: Scope
    receive: Receive
    send: Send
    number: int
    arrived_at: float
    headers: Headers
    request_id: str = field(default_factory=lambda: "req_" + secrets.token_hex(12))
    body: bytearray = field(default_factory=bytearray)
    more_body: bool = True
    key: ApiKey | None = None
    quota: Quota | None = None

    async def read_body(self) -> bool:
        """Read the body (of a huge one just more than is allowed); return False if the client has left.

        From then on the request can be carried out although the client leaves.
        """
        while self.more_body and len(self.body) <= BODY_MAX:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return False
            self.body += message.get("body", b"")
            self.more_body = message.get("more_body", False)
        return True

    async def replay_body(self) -> Message:
        """Take the place of `receive` for the application."""
        return {"type": "http.request", "body": bytes(self.body), "more_body": False}

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("idempotency-key")


class Gateway:
    """ASGI middleware. Paths outside the API pass through with nothing but a request id."""

    def __init__(self, app: ASGIApp, state: ZofState) -> None:
        """Stand around `app`."""
        self._app = app
        self._state = state
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let every request that hangs go, with its connection closed. Call it in the event loop."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = _Exchange(
            scope,
            receive,
            send,
            number=0,
            arrived_at=self._state.clock(),
            headers=Headers(scope=scope),
        )
        if not scope["path"].startswith(_API):
            if not await exchange.read_body():
                return
            answer = await self._carry_out(exchange)
            answer.headers.append((b"x-request-id", exchange.request_id.encode()))
            await answer.send(send)
            return
        exchange.number = self._state.log.next_number()
        if not await exchange.read_body():
            self._note(exchange, None)
            return
        await self._pause(self._state.behavior.latency)
        try:
            self._admit(exchange)
        except Problem as problem:
            await self._answer(exchange, Answer.of_problem(problem))
            return
        fault = self._state.faults.take(scope["method"], scope["path"])
        if fault is None:
            await self._answer(exchange, await self._carry_out(exchange))
        else:
            await self._fail(exchange, fault)

    def _admit(self, exchange: _Exchange) -> None:
        """Find out whose request it is, and whether it may be carried out.

        Raises:
            Problem: 401, 403 or 429.
        """
        scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
        key = self._state.store.find_key(Secret(token.strip())) if scheme.lower() == "bearer" else None
        behavior, now = self._state.behavior, self._state.clock()
        # All that have no key share one quota.
        bucket = f"{key.organization} {hash(token)}" if key else ""
        quota = self._state.limiter.take(bucket, behavior.rate_limit, behavior.rate_window, now)
        exchange.key, exchange.quota = key, quota
        if quota.exceeded:
            wait = max(1, math.ceil(quota.resets_at - now))
            raise Problem(
                429,
                "rate_limit_exceeded",
                "Too many requests; wait until the window resets.",
                headers={"Retry-After": str(wait)},
            )
        if key is None:
            raise Problem(
                401,
                "unauthorized",
                "The API key is missing, expired or invalid.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if PERMISSION not in key.permissions:
            raise Problem(403, "forbidden", f"The API key lacks the permission {PERMISSION}.")
        exchange.scope[ORGANIZATION] = key.organization
        exchange.scope[REQUEST_NUMBER] = exchange.number

    async def _carry_out(self, exchange: _Exchange) -> Answer:
        """Let the application do what is asked, and keep its answer."""
        answer = Answer(500)

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = list(message["headers"])
            else:
                answer.body += message.get("body", b"")

        await self._app(exchange.scope, exchange.replay_body, keep)
        return answer

    async def _answer(self, exchange: _Exchange, answer: Answer, *, cut: bool = False) -> None:
        """Note the request, complete the answer's headers and send it."""
        assert exchange.quota is not None  # noqa: S101 (`_admit` sets it first)
        quota = exchange.quota
        extra = {
            "x-request-id": exchange.request_id,
            "x-ratelimit-limit": str(quota.limit),
            "x-ratelimit-remaining": str(quota.remaining),
            "x-ratelimit-reset": str(quota.resets_at),
        }
        if self._state.behavior.sunset is not None:
            extra["sunset"] = self._state.behavior.sunset
        answer.headers += [(name.encode(), value.encode()) for name, value in extra.items()]
        self._note(exchange, answer.status)
        await answer.send(exchange.send, cut=cut)

    def _note(self, exchange: _Exchange, status: int | None) -> None:
        scope = exchange.scope
        self._state.log.add(
            LoggedRequest(
                number=exchange.number,
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"].decode("latin-1"),
                status=status,
                at=exchange.arrived_at,
                request_id=exchange.request_id,
                organization=exchange.key.organization if exchange.key else None,
                idempotency_key=exchange.idempotency_key,
            )
        )

    # --- faults -----------------------------------------------------------------------------------

    async def _fail(self, exchange: _Exchange, fault: Fault) -> None:
        """Let `fault` strike: before the request is carried out, or after."""
        if fault.kind is FaultKind.HANG:
            await self._hang(exchange, fault)
            return
        true_answer = await self._carry_out(exchange) if fault.after_commit else None
        if fault.kind is FaultKind.CLOSE:
            await self._break_off(exchange, ABORT)
        elif fault.kind is FaultKind.TRUNCATED and true_answer is not None:
            await self._answer(exchange, true_answer, cut=True)
            await _break_connection(exchange, CLOSE)
        else:
            answer = spoiled(exchange.scope["query_string"], fault, true_answer)
            answer.headers += [(name.lower().encode(), text.encode()) for name, text in fault.headers.items()]
            self._remember_error(exchange, answer)
            await self._answer(exchange, answer)

    async def _hang(self, exchange: _Exchange, fault: Fault) -> None:
        answer = await self._carry_out(exchange) if fault.after_commit else None
        if not await self._pause(fault.seconds):
            await self._break_off(exchange, ABORT)
            return
        # A client that has given up meanwhile does not stop the request: that is the point.
        await self._answer(exchange, answer or await self._carry_out(exchange))

    async def _pause(self, seconds: float) -> bool:
        """Wait; return False when the server is stopped meanwhile."""
        if seconds <= 0:
            return True
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return True
        return False

    async def _break_off(self, exchange: _Exchange, how: str) -> None:
        self._note(exchange, None)
        await _break_connection(exchange, how)

    def _remember_error(self, exchange: _Exchange, answer: Answer) -> None:
        """Keep a 5xx of a creation under its idempotency key, as some servers do."""
        key = exchange.idempotency_key
        if (
            self._state.behavior.replay_stored_errors
            and answer.status in _SERVER_ERRORS
            and exchange.scope["method"] == "POST"
            and key is not None
            and matches(IDEMPOTENCY_KEY_PATTERN, key)
        ):
            self._state.store.remember_error(
                exchange.scope[ORGANIZATION],
                key,
                answer.status,
                answer.body.decode(errors="replace"),
                self._state.clock(),
            )


async def _break_connection(exchange: _Exchange, how: str) -> None:
    """Close the connection, and wait until it is: an unfinished answer is then no error of ours."""
    exchange.scope[how]()
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
