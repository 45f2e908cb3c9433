"""A request until it is settled: paced, sent, sent again where that may help."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from reconciler.zof.answers import Nonsense, check_refusal
from reconciler.zof.pacing import Gate, read_signals
from reconciler.zof.retry import BUDGET, Retry, decide, leaves_doubt, may_pass
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
    """Whether an earlier try may have been carried out, too."""


class Failure(Struct, frozen=True):
    """Anything else."""

    last: Answer | NoAnswer
    in_doubt: bool
    """Whether an earlier try, or the last, may have been carried out."""

    @property
    def status(self) -> int | None:
        """The last answer's status; None where there was no usable one."""
        return self.last.status if isinstance(self.last, Answer) else None

    @property
    def is_lasting(self) -> bool:
        """Whether the last answer is the API's definitive word."""
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
        self._told_of_sunset = False

    def call(
        self, request: Request, read: Callable[[Answer], _T], *, repeat_nonsense: bool = False
    ) -> Success[_T] | Failure:
        """Send `request` until it is settled or there is no sense in going on.

        Args:
            request: what to send.
            read: turns a 2xx into a value, or raises `Nonsense`.
            repeat_nonsense: whether an answer that is not the API's own is worth another try: a 2xx that
                cannot be read, or a refusal without the API's error object.
        """
        elapsed, attempt, in_doubt = 0.0, 0, False
        while True:
            attempt += 1
            blocked = self._gate.enter()
            if blocked:
                reason = f"the API asks to wait {blocked:.0f} s before the next request"
                return Failure(NoAnswer(reason, in_doubt=False, final=True), in_doubt)
            began = self._clock.monotonic()
            last, signals = self._send(request, max(1.0, BUDGET - elapsed))
            elapsed += self._clock.monotonic() - began
            if isinstance(last, Answer) and not may_pass(last.status):
                try:
                    if last.status in _SUCCESS:
                        return Success(read(last), last, in_doubt)
                    check_refusal(last, request.method)
                except Nonsense as nonsense:
                    last = _nonsense(last, nonsense, repeat=repeat_nonsense)
            in_doubt = in_doubt or _leaves_doubt(last)
            retry = self._decide(request.method, last, attempt, elapsed, signals)
            if retry is None:
                return Failure(last, in_doubt)
            elapsed += self._pause(last, retry.after)

    def _send(self, request: Request, seconds: float) -> tuple[Answer | NoAnswer, Signals | None]:
        signals: Signals | None = None
        try:
            last = self._wire.send(request, seconds)
            if isinstance(last, Answer):
                signals = read_signals(last.headers, self._clock.now().timestamp())
        finally:
            self._gate.leave(signals)
        if isinstance(last, Answer):
            self._tell_of_sunset(last)
        return last, signals

    def _decide(
        self, method: str, last: Answer | NoAnswer, attempt: int, elapsed: float, signals: Signals | None
    ) -> Retry | None:
        if isinstance(last, NoAnswer) and last.final:
            return None
        status = last.status if isinstance(last, Answer) else None
        retry_after = signals.retry_after if signals else None
        if status == _TOO_MANY_REQUESTS and retry_after is not None:
            # Every thread was told so, whether or not this request is given up.
            self._gate.hold(retry_after)
        decision = decide(method, status, attempt, elapsed, retry_after, self._jitter())
        return decision if isinstance(decision, Retry) else None

    def _pause(self, last: Answer | NoAnswer, seconds: float) -> float:
        """Wait before another try; return the seconds that count against the operation's budget."""
        if isinstance(last, Answer) and last.status == _TOO_MANY_REQUESTS:
            # The gate makes everyone wait, and this request with them.
            self._gate.hold(seconds)
            return 0.0
        said = f"HTTP {last.status}" if isinstance(last, Answer) else last.reason
        self._gate.wait(seconds, f"another try after: {said}")
        return seconds

    def _tell_of_sunset(self, answer: Answer) -> None:
        sunset = clean(answer.headers.get("sunset"), limit=64)
        if not sunset:
            return
        with self._mutex:
            told, self._told_of_sunset = self._told_of_sunset, True
        if not told:
            request = f" [request {answer.request_id}]" if answer.request_id else ""
            self._reporter.warn(f"the API announces the end of what we use for {sunset}{request}")


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
