"""Send a request at the API's pace, and retry it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct

from reconciler.retry import retry
from reconciler.zof.answers import Nonsense, check_refusal
from reconciler.zof.pacing import Gate, read_signals
from reconciler.zof.retry import BUDGET, decide, leaves_doubt, may_pass
from reconciler.zof.text import clean
from reconciler.zof.wire import Answer, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.ports import Clock, Reporter
    from reconciler.zof.pacing import Signals
    from reconciler.zof.wire import Request, Wire

_T = TypeVar("_T")
_SUCCESS = range(200, 300)
_REDIRECT = range(300, 400)
_TOO_MANY_REQUESTS = 429


class Success(Struct, Generic[_T], frozen=True):
    """A 2xx that could be read."""

    value: _T
    answer: Answer
    in_doubt: bool
    """Whether an earlier attempt may have been executed, too."""


class Failure(Struct, frozen=True):
    """Anything else."""

    last: Answer | NoAnswer
    in_doubt: bool
    """Whether an earlier attempt, or the last, may have been executed."""
    retry_after: float | None = None
    """Seconds that the last response asks to wait."""

    @property
    def status(self) -> int | None:
        """The last response's status; None if there was no usable one."""
        return self.last.status if isinstance(self.last, Answer) else None

    @property
    def is_lasting(self) -> bool:
        """Whether the last response is definitive: a retry would not change it."""
        return isinstance(self.last, Answer) and not may_pass(self.last.status)


class Caller:
    """Sends requests over a `Wire` at the pace that the API allows. Thread-safe."""

    def __init__(
        self, wire: Wire, gate: Gate, *, clock: Clock, reporter: Reporter, jitter: Callable[[], float]
    ) -> None:
        """`jitter` returns random numbers from 0 to 1."""
        self._wire = wire
        self._gate = gate
        self._clock = clock
        self._reporter = reporter
        self._jitter = jitter
        self._mutex = threading.Lock()
        self._warned_of_sunset = False

    def call(
        self, request: Request, read: Callable[[Answer], _T], *, repeat_nonsense: bool = False
    ) -> Success[_T] | Failure:
        """Send `request`, and retry while another attempt may help.

        Args:
            request: what to send.
            read: turns a 2xx into a value, or raises `Nonsense`.
            repeat_nonsense: whether to retry after a response that is not the API's own: a 2xx that
                cannot be read, or a refusal without the API's error object.
        """
        in_doubt, quota = False, 0.0

        def attempt(elapsed: float) -> Success[_T] | Failure:
            nonlocal in_doubt, quota
            left = BUDGET - (elapsed - quota)
            began = self._clock.monotonic()
            blocked = self._gate.enter()
            quota += self._clock.monotonic() - began
            if blocked:
                reason = f"the API asks to wait {blocked:.0f} s before the next request"
                return Failure(NoAnswer(reason, in_doubt=False, final=True), in_doubt)
            last, retry_after = self._send(request, max(1.0, left))
            if isinstance(last, Answer) and not may_pass(last.status):
                try:
                    if last.status in _SUCCESS:
                        return Success(read(last), last, in_doubt)
                    check_refusal(last, request.method)
                except Nonsense as nonsense:
                    last = _nonsense(last, nonsense, repeat=repeat_nonsense)
            in_doubt = in_doubt or _leaves_doubt(last)
            return Failure(last, in_doubt, retry_after)

        def decide_next(number: int, result: Success[_T] | Failure, elapsed: float) -> float | None:
            if isinstance(result, Success) or (isinstance(result.last, NoAnswer) and result.last.final):
                return None
            spent, jitter = elapsed - quota, self._jitter()
            return decide(request.method, result.status, number, spent, result.retry_after, jitter)

        return retry(attempt, decide_next, clock=self._clock, wait=self._wait)

    def _send(self, request: Request, seconds: float) -> tuple[Answer | NoAnswer, float | None]:
        """Send once; return the response, and the seconds that it asks to wait."""
        signals: Signals | None = None
        try:
            last = self._wire.send(request, seconds)
            if isinstance(last, Answer):
                signals = read_signals(last.headers, self._clock.now().timestamp())
        finally:
            self._gate.leave(signals)
        if not isinstance(last, Answer) or signals is None:
            return last, None
        self._warn_of_sunset(last)
        if last.status == _TOO_MANY_REQUESTS and signals.retry_after is not None:
            # The pause is for every thread, whether or not this request is retried.
            self._gate.hold(signals.retry_after)
        return last, signals.retry_after

    def _wait(self, seconds: float, result: Success[Any] | Failure) -> None:
        """Wait before another attempt."""
        if isinstance(result, Success):
            return
        if result.status == _TOO_MANY_REQUESTS:
            # The gate makes every thread wait, this one included.
            self._gate.hold(seconds)
            return
        reason = f"HTTP {result.status}" if isinstance(result.last, Answer) else result.last.reason
        self._gate.wait(seconds, f"retry after: {reason}")

    def _warn_of_sunset(self, answer: Answer) -> None:
        sunset = clean(answer.headers.get("sunset"), limit=64)
        if not sunset:
            return
        with self._mutex:
            warned, self._warned_of_sunset = self._warned_of_sunset, True
        if not warned:
            request = f" [request {answer.request_id}]" if answer.request_id else ""
            self._reporter.warn(f"this API version will be removed on {sunset}{request}")


def _nonsense(answer: Answer, why: Nonsense, *, repeat: bool) -> NoAnswer:
    """Return what an answer counts as that the API cannot have given."""
    problem = "makes no sense" if answer.status in _SUCCESS else "is not the API's own"
    return NoAnswer(
        f"the answer (HTTP {answer.status}) {problem}: {why}",
        final=not repeat or answer.status in _REDIRECT,
        request_id=answer.request_id,
        status=answer.status,
    )


def _leaves_doubt(last: Answer | NoAnswer) -> bool:
    return leaves_doubt(last.status) if isinstance(last, Answer) else last.in_doubt
