"""The processing around each request to the embedded Zof API: request id, key, quota, faults and the log."""

from __future__ import annotations

import asyncio
import math
import secrets
import threading
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct, field
from starlette.datastructures import Headers
from starlette.responses import Response

from reconciler.model import Secret
from reconciler.sandbox.faults import Fault, FaultKind, Faults, wrong_answer
from reconciler.sandbox.zof_requests import BODY_MAX, IDEMPOTENCY_KEY_PATTERN, Problem, matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reconciler.sandbox.behavior import Behavior
    from reconciler.sandbox.zof_store import ApiKey, ZofStore

# Keys of the ASGI scope. The gateway sets the first two for the operations; the server sets the last two,
# functions with which the gateway breaks the connection.
ORGANIZATION = "zof.organization"
REQUEST_NUMBER = "zof.request_number"
ABORT = "zof.abort"
CLOSE = "zof.close"

PERMISSION = "webhooks:manage"
_API = "/v1/"
_SERVER_ERRORS = range(500, 600)
_LOG_LENGTH = 200_000


# --- the server's state -------------------------------------------------------------------------------


class LoggedRequest(Struct, frozen=True):
    """One request to the API and its status, without its body."""

    number: int
    method: str
    path: str
    query: str
    status: int | None
    """None: the connection was closed without an answer."""
    at: float
    """Unix time of its arrival."""
    request_id: str
    organization: str | None
    """The organization of its key; None for a missing or unknown key."""
    idempotency_key: str | None


class RequestLog:
    """The newest requests, in the order of their answers. Thread-safe."""

    def __init__(self, last_number: int) -> None:
        """Continue the numbers after `last_number`."""
        self._lock = threading.Lock()
        self._entries: deque[LoggedRequest] = deque(maxlen=_LOG_LENGTH)
        self._last_number = last_number

    def next_number(self) -> int:
        """Return a number for a new request."""
        with self._lock:
            self._last_number += 1
            return self._last_number

    def add(self, entry: LoggedRequest) -> None:
        """Add a request immediately before its answer is sent."""
        with self._lock:
            self._entries.append(entry)

    def entries(self) -> tuple[LoggedRequest, ...]:
        """Return the log, oldest first."""
        with self._lock:
            return tuple(self._entries)


class Quota(Struct, frozen=True):
    """The state of the rate limit after one request."""

    limit: int
    remaining: int
    resets_at: int
    """Unix time in whole seconds, rounded up: a client that waits for it is never too early."""
    exceeded: bool


class RateLimiter:
    """Fixed windows, each started by its first request. Only the server's event loop uses it."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, bucket: str, limit: int, window: float, now: float) -> Quota:
        """Count one request against `bucket`. A request beyond the limit is not counted."""
        begun, used = self._windows.get(bucket, (now, 0))
        if not begun <= now < begun + window:
            begun, used = now, 0
        exceeded = used >= limit
        used += not exceeded
        self._windows[bucket] = (begun, used)
        return Quota(limit, max(0, limit - used), math.ceil(begun + window), exceeded)


class ZofState(Struct):
    """The state of one server. `behavior` is replaced as a whole, so no request sees half of a change."""

    store: ZofStore
    behavior: Behavior
    clock: Callable[[], float]
    """Unix time."""
    log: RequestLog
    faults: Faults = field(default_factory=Faults)
    limiter: RateLimiter = field(default_factory=RateLimiter)


# --- one request --------------------------------------------------------------------------------------


class _Exchange(Struct):
    """One request to the API, from its arrival to its answer."""

    scope: Scope
    receive: Receive
    send: Send
    arrived_at: float
    number: int = 0
    request_id: str = field(default_factory=lambda: "req_" + secrets.token_hex(12))
    body: bytearray = field(default_factory=bytearray)
    key: ApiKey | None = None
    quota: Quota | None = None

    async def read_body(self) -> bool:
        """Read the body, or slightly more than is allowed; return False if the client disconnected.

        Afterwards the request can be carried out even if the client disconnects.
        """
        more_body = True
        while more_body and len(self.body) <= BODY_MAX:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return False
            self.body += message.get("body", b"")
            more_body = message.get("more_body", False)
        return True

    async def replay_body(self) -> Message:
        """Return the body to the application, as its `receive`."""
        return {"type": "http.request", "body": bytes(self.body), "more_body": False}

    async def send_answer(self, answer: Response, *, cut: bool = False) -> None:
        """Send an answer; `cut`: only half of its body, and no end."""
        start = {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
        body = answer.body[: len(answer.body) // 2] if cut else answer.body
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body, "more_body": cut})

    async def break_connection(self, how: str) -> None:
        """Break the connection and wait for that: otherwise uvicorn reports an unfinished answer."""
        self.scope[how]()
        while (await self.receive())["type"] != "http.disconnect":
            pass

    @property
    def headers(self) -> Headers:
        return Headers(scope=self.scope)

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("idempotency-key")


class Gateway:
    """ASGI middleware. Paths outside the API get a request id and nothing else."""

    def __init__(self, app: ASGIApp, state: ZofState) -> None:
        """Process the requests to `app`."""
        self._app = app
        self._state = state
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Close the connection of every request that hangs. Call it in the event loop."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = _Exchange(scope, receive, send, self._state.clock())
        if not scope["path"].startswith(_API):
            if await exchange.read_body():
                answer = await self._carry_out(exchange)
                answer.headers["x-request-id"] = exchange.request_id
                await exchange.send_answer(answer)
            return
        exchange.number = self._state.log.next_number()
        if not await exchange.read_body():
            self._log(exchange, None)
            return
        await self._pause(self._state.behavior.latency)
        try:
            self._admit(exchange)
        except Problem as problem:
            await self._answer(exchange, problem.response())
            return
        fault = self._state.faults.take(scope["method"], scope["path"])
        if fault is None:
            await self._answer(exchange, await self._carry_out(exchange))
        else:
            await self._fail(exchange, fault)

    def _admit(self, exchange: _Exchange) -> None:
        """Identify the organization and decide whether the request may be carried out.

        Raises:
            Problem: 401, 403 or 429.
        """
        scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
        key = self._state.store.find_key(Secret(token.strip())) if scheme.lower() == "bearer" else None
        behavior, now = self._state.behavior, self._state.clock()
        # Requests without a valid key share one quota.
        bucket = f"{key.organization} {hash(token)}" if key else ""
        quota = self._state.limiter.take(bucket, behavior.rate_limit, behavior.rate_window, now)
        exchange.key, exchange.quota = key, quota
        if quota.exceeded:
            raise Problem(
                429,
                "rate_limit_exceeded",
                "Too many requests; wait until the window resets.",
                headers={"Retry-After": str(max(1, math.ceil(quota.resets_at - now)))},
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

    async def _carry_out(self, exchange: _Exchange) -> Response:
        """Run the application and return its answer instead of sending it."""
        answer, body = Response(status_code=500), bytearray()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status_code = message["status"]
                answer.raw_headers = list(message["headers"])
            else:
                body.extend(message.get("body", b""))

        await self._app(exchange.scope, exchange.replay_body, keep)
        answer.body = bytes(body)
        return answer

    async def _answer(self, exchange: _Exchange, answer: Response, *, cut: bool = False) -> None:
        """Log the request, add the headers of every answer, and send it."""
        quota = exchange.quota
        assert quota is not None  # noqa: S101 (`_admit` sets it first)
        answer.headers["x-request-id"] = exchange.request_id
        answer.headers["x-ratelimit-limit"] = str(quota.limit)
        answer.headers["x-ratelimit-remaining"] = str(quota.remaining)
        answer.headers["x-ratelimit-reset"] = str(quota.resets_at)
        if self._state.behavior.sunset is not None:
            answer.headers["sunset"] = self._state.behavior.sunset
        self._log(exchange, answer.status_code)
        await exchange.send_answer(answer, cut=cut)

    def _log(self, exchange: _Exchange, status: int | None) -> None:
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
        """Answer with `fault`, before or after the request is carried out."""
        answer = await self._carry_out(exchange) if fault.after_commit else None
        if fault.kind is FaultKind.HANG:
            if await self._pause(fault.seconds):
                # The request is carried out even if the client has disconnected.
                await self._answer(exchange, answer or await self._carry_out(exchange))
            else:
                await self._abort(exchange)
        elif fault.kind is FaultKind.CLOSE:
            await self._abort(exchange)
        elif fault.kind is FaultKind.TRUNCATED and answer is not None:
            await self._answer(exchange, answer, cut=True)
            await exchange.break_connection(CLOSE)
        else:
            wrong = wrong_answer(fault, exchange.scope["query_string"], answer)
            wrong.headers.update(fault.headers)
            self._remember_error(exchange, wrong)
            await self._answer(exchange, wrong)

    async def _pause(self, seconds: float) -> bool:
        """Wait; return False if the server is stopped meanwhile."""
        if seconds <= 0:
            return True
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return True
        return False

    async def _abort(self, exchange: _Exchange) -> None:
        """Close the connection without an answer."""
        self._log(exchange, None)
        await exchange.break_connection(ABORT)

    def _remember_error(self, exchange: _Exchange, answer: Response) -> None:
        """Store a 5xx of a creation under its idempotency key, as some servers do."""
        key = exchange.idempotency_key
        if (
            self._state.behavior.replay_stored_errors
            and answer.status_code in _SERVER_ERRORS
            and exchange.scope["method"] == "POST"
            and key is not None
            and matches(IDEMPOTENCY_KEY_PATTERN, key)
        ):
            body = bytes(answer.body).decode(errors="replace")
            organization = exchange.scope[ORGANIZATION]
            self._state.store.remember_error(organization, key, answer.status_code, body, self._state.clock())
