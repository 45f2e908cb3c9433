"""Send a request at the API's pace, and retry it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct

from reconciler.credentials.foreign import foreign_text
from reconciler.retry import LONGEST_OPERATION, backoff, retry
from reconciler.zof.api_clock import ApiClock
from reconciler.zof.pacing import LONGEST_WAIT, Gate, read_signals
from reconciler.zof.responses import UnreadableResponse, check_refusal, is_rate_limit
from reconciler.zof.wire import NoResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from reconciler.model import SendingWindow
    from reconciler.ports import Clock, Reporter
    from reconciler.zof.pacing import Signals
    from reconciler.zof.wire import Request, Wire

_T = TypeVar("_T")
MAX_ATTEMPTS = 5
BUDGET = LONGEST_OPERATION
"""Seconds that one operation may take, without waits for the quota."""

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 20.0
_REQUEST_TIMEOUT = 408
_SERVER_ERROR = 500
# "Not implemented" and "HTTP version not supported" do not change with another attempt.
_LASTING = frozenset({501, 505})
# A POST may be repeated: a creation has an Idempotency-Key, and a second test does no harm.
_REPEATABLE = frozenset({"GET", "POST", "DELETE"})
_SUCCESS = range(200, 300)
_REDIRECT = range(300, 400)
_TOO_MANY_REQUESTS = 429


class Success(Struct, Generic[_T], frozen=True):
    """A 2xx that could be read."""

    value: _T
    response: Response
    windows: tuple[SendingWindow, ...] = ()
    """Of the earlier attempts that may have been executed, too."""


class CallFailure(Struct, frozen=True):
    """Anything else."""

    last: Response | NoResponse
    windows: tuple[SendingWindow, ...] = ()
    """Of the attempts, the last included, that may have been executed."""
    retry_after: float | None = None
    """Seconds that the last response asks to wait."""
    wait_until: datetime | None = None
    """Until when the API asks to wait, by our clock, if its rate limit is the reason."""

    @property
    def status(self) -> int | None:
        """The last response's status, 429 for each rate limit; None without a usable one."""
        return _meaning(self.last) if isinstance(self.last, Response) else None

    @property
    def is_lasting(self) -> bool:
        """Whether the last response is definitive: a retry would not change it."""
        return isinstance(self.last, Response) and not may_pass(self.status)

    @property
    def is_rate_limit(self) -> bool:
        """Whether the API asks to wait, in its last response or since an earlier one."""
        return self.wait_until is not None or self.status == _TOO_MANY_REQUESTS


class Caller:
    """Sends requests over a `Wire` at the pace that the API allows. Thread-safe."""

    def __init__(
        self,
        wire: Wire,
        gate: Gate,
        *,
        clock: Clock,
        reporter: Reporter,
        jitter: Callable[[], float],
        observe: Callable[[Request, Response], object] | None = None,
    ) -> None:
        """`jitter` returns random numbers from 0 to 1; `observe` is called with each response."""
        self._wire = wire
        self._gate = gate
        self._clock = clock
        self._reporter = reporter
        self._jitter = jitter
        self._observe = observe
        self.api_clock = ApiClock(clock)
        self._mutex = threading.Lock()
        self._warned_of_sunset = False

    def call(
        self, request: Request, read: Callable[[Response], _T], *, retry_unreadable: bool = False
    ) -> Success[_T] | CallFailure:
        """Send `request`, and retry while another attempt may help.

        Args:
            request: what to send.
            read: turns a 2xx into a value, or raises `UnreadableResponse`.
            retry_unreadable: whether to retry after a response that is not the API's own: a 2xx that
                cannot be read, or a refusal without the API's error object.
        """
        quota = 0.0
        doubtful: list[tuple[datetime, datetime]] = []

        def attempt(elapsed: float) -> Success[_T] | CallFailure:
            nonlocal quota
            left = BUDGET - (elapsed - quota)
            began = self._clock.monotonic()
            blocked = self._gate.enter()
            quota += self._clock.monotonic() - began
            if blocked:
                until = self._in(blocked)
                reason = f"the API asks to wait until {moment(until)} before the next request"
                unsent = NoResponse(reason, in_doubt=False, final=True)
                return CallFailure(unsent, self._windows(doubtful), wait_until=until)
            sent_at = self._clock.now()
            last, retry_after = self._send(request, max(1.0, left))
            if isinstance(last, Response) and not may_pass(_meaning(last)):
                try:
                    if last.status in _SUCCESS:
                        value = read(last)
                        self.api_clock.learn(last.headers)
                        return Success(value, last, self._windows(doubtful))
                    check_refusal(last, request.method)
                except UnreadableResponse as error:
                    last = _unreadable(last, error, repeat=retry_unreadable)
            if isinstance(last, Response):
                self.api_clock.learn(last.headers)
            if _leaves_doubt(last):
                doubtful.append((sent_at, self._clock.now()))
            limited = isinstance(last, Response) and is_rate_limit(last)
            wait_until = self._in(retry_after) if limited and retry_after else None
            return CallFailure(last, self._windows(doubtful), retry_after, wait_until)

        def decide_next(number: int, result: Success[_T] | CallFailure, elapsed: float) -> float | None:
            if isinstance(result, Success) or (isinstance(result.last, NoResponse) and result.last.final):
                return None
            spent, jitter = elapsed - quota, self._jitter()
            return decide(request.method, result.status, number, spent, result.retry_after, jitter)

        return retry(attempt, decide_next, clock=self._clock, wait=self._wait)

    def _in(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)

    def _windows(self, doubtful: list[tuple[datetime, datetime]]) -> tuple[SendingWindow, ...]:
        return tuple(self.api_clock.window(began, ended) for began, ended in doubtful)

    def _send(self, request: Request, seconds: float) -> tuple[Response | NoResponse, float | None]:
        """Send once; return the response, and the seconds that it asks to wait."""
        signals: Signals | None = None
        try:
            last = self._wire.send(request, seconds)
            if isinstance(last, Response):
                signals = read_signals(last.headers, self._clock.now().timestamp())
        finally:
            self._gate.leave(signals)
        if not isinstance(last, Response) or signals is None:
            return last, None
        self._warn_of_sunset(last)
        if self._observe is not None:
            self._observe(request, last)
        if is_rate_limit(last) and signals.retry_after is not None:
            # The pause is for every thread, whether or not this request is retried.
            self._gate.hold(signals.retry_after)
        return last, signals.retry_after

    def _wait(self, seconds: float, result: Success[Any] | CallFailure) -> None:
        """Wait before another attempt."""
        if isinstance(result, Success):
            return
        if result.status == _TOO_MANY_REQUESTS:
            # The gate makes every thread wait, this one included.
            self._gate.hold(seconds)
            return
        reason = f"HTTP {result.status}" if isinstance(result.last, Response) else result.last.reason
        self._gate.wait(seconds, f"retry after: {reason}")

    def _warn_of_sunset(self, response: Response) -> None:
        sunset = foreign_text(response.headers.get("sunset"), limit=64)
        if not sunset:
            return
        with self._mutex:
            warned, self._warned_of_sunset = self._warned_of_sunset, True
        if not warned:
            request = f" [request {response.request_id}]" if response.request_id else ""
            self._reporter.warn(f"this API version will be removed on {sunset}{request}")


def _unreadable(response: Response, why: UnreadableResponse, *, repeat: bool) -> NoResponse:
    """Return a response that the API itself cannot have sent as `NoResponse`."""
    problem = "cannot be read" if response.status in _SUCCESS else "is not from the API"
    return NoResponse(
        f"the response (HTTP {response.status}) {problem}: {why}",
        final=not repeat or response.status in _REDIRECT,
        request_id=response.request_id,
        status=response.status,
    )


def _meaning(response: Response) -> int:
    """Return the status that a response means: a 403 about a rate limit is a 429."""
    return _TOO_MANY_REQUESTS if is_rate_limit(response) else response.status


def moment(at: datetime) -> str:
    """Return a time to the second, rounded up, so that a client that waits for it is never too early."""
    whole = at if not at.microsecond else at.replace(microsecond=0) + timedelta(seconds=1)
    return f"{whole:%Y-%m-%d %H:%M:%S} UTC"


def _leaves_doubt(last: Response | NoResponse) -> bool:
    return leaves_doubt(last.status) if isinstance(last, Response) else last.in_doubt


def may_pass(status: int | None) -> bool:
    """Whether the same request may succeed later. None: no usable response."""
    if status is None or status in {_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS}:
        return True
    return status >= _SERVER_ERROR and status not in _LASTING


def leaves_doubt(status: int | None) -> bool:
    """Whether the server may have executed the request. None: no usable response."""
    return status is None or (status >= _SERVER_ERROR and status not in _LASTING)


def decide(
    method: str,
    status: int | None,
    attempt: int,
    elapsed: float,
    retry_after: float | None,
    jitter: float,
) -> float | None:
    """Return the seconds to wait before the same request is sent again; None: do not retry.

    Args:
        method: the HTTP method.
        status: the response's status; None without a usable response.
        attempt: the number of attempts so far.
        elapsed: seconds that they took, without waits for the quota.
        retry_after: seconds that the response asks to wait; None if it does not.
        jitter: a random number from 0 to 1, so that clients that failed together do not retry together.
    """
    if method not in _REPEATABLE or not may_pass(status) or attempt >= MAX_ATTEMPTS:
        return None
    pause = backoff(attempt, _FIRST_BACKOFF, _LONGEST_BACKOFF) * (0.5 + 0.5 * jitter)
    after = max(pause, retry_after or 0.0)
    if status == _TOO_MANY_REQUESTS:
        # The server is not slow, it asks for a pause: only the length of the pause counts.
        return after if after <= LONGEST_WAIT else None
    return after if elapsed + after <= BUDGET else None
