"""The laws of pacing, against simulated quotas: nothing goes while told to wait, and little time is lost."""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.zof.pacing import (
    FARTHEST_RESET,
    LONGEST_WAIT,
    MARGIN,
    Gate,
    Pacer,
    Signals,
    read_signals,
)
from tests.fakes.clock import FakeClock
from tests.fakes.world import SilentReporter
from tests.fixtures.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDINGS: dict[str, Callable[[float], int]] = {"up": math.ceil, "down": math.floor, "nearest": round}
EPOCH = 1_790_000_000.0


@dataclass
class QuotaServer:
    """Fixed windows, each begun by its first request; headers in whole seconds."""

    limit: int
    window: float
    rounding: str = "up"
    aligned: bool = False
    skew: float = 0.0
    date: bool = True
    begun: float = -1e9
    used: int = 0
    refused: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)

    def answer(self, now: float) -> dict[str, str]:
        """Count a request that arrives at `now` (simulated seconds)."""
        if now >= self.begun + self.window:
            self.begun, self.used = now - (now % self.window if self.aligned else 0.0), 0
        server = EPOCH + self.skew
        headers = {"date": formatdate(math.floor(server + now), usegmt=True)} if self.date else {}
        if self.used >= self.limit:
            self.refused.append(now)
            headers["retry-after"] = str(math.ceil(self.begun + self.window - now))
        else:
            self.accepted.append(now)
            self.used += 1
        return headers | {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.limit - self.used),
            "x-ratelimit-reset": str(ROUNDINGS[self.rounding](server + self.begun + self.window)),
        }


def simulate(server: QuotaServer, requests: int, workers: int, latency: float = 0.02) -> float:
    """Send `requests` from several workers through one pacer; return the simulated seconds."""
    pacer, now, sent = Pacer(), 0.0, 0
    arrivals: list[tuple[float, int, dict[str, str]]] = []
    ready = [0.0] * workers
    while len(server.accepted) < requests or arrivals:
        worker = min(range(workers), key=ready.__getitem__)
        if arrivals and (arrivals[0][0] <= ready[worker] or len(server.accepted) >= requests):
            now, _, headers = heapq.heappop(arrivals)
            signals = read_signals(headers, EPOCH + now)
            pacer.answered(signals, now)
            if signals.retry_after is not None:
                pacer.hold(now + signals.retry_after)
            continue
        now = max(now, ready[worker])
        delay = pacer.delay(now)
        if delay > 0:
            ready[worker] = now + delay
            continue
        pacer.sent(now)
        sent += 1
        # The server counts it halfway through.
        headers = server.answer(now + latency / 2)
        heapq.heappush(arrivals, (now + latency, sent, headers))
        ready[worker] = now + latency
    return now


@given(
    limit=st.integers(1, 40),
    window=st.sampled_from([3.0, 6.0, 10.0, 60.0]),
    aligned=st.booleans(),
    workers=st.integers(1, 8),
    skew=st.sampled_from([0.0, 0.4, -7.3, 3600.0, -86_400.5]),
    date=st.booleans(),
)
@examples(80)
def test_a_truthful_quota_is_never_overrun(
    limit: int, window: float, aligned: bool, workers: int, skew: float, date: bool
) -> None:
    """Where resets are rounded up and the server's time is known, only the first few can be refused."""
    server = QuotaServer(limit, window, aligned=aligned, skew=skew if date else 0.0, date=date)
    simulate(server, requests=limit * 5, workers=workers)
    # Before the first answer nothing is known: every worker may have sent one request too many.
    assert len(server.refused) <= max(0, workers - limit)


@pytest.mark.parametrize("workers", [1, 4, 8])
@pytest.mark.parametrize(("window", "factor"), [(60.0, 1.05), (6.0, 1.3)])
@pytest.mark.parametrize("skew", [0.0, 0.7, -3600.4])
def test_little_time_is_lost(workers: int, window: float, factor: float, skew: float) -> None:
    """A run that the quota holds takes hardly longer than the quota's own floor."""
    server = QuotaServer(100, window, skew=skew)
    seconds = simulate(server, requests=601, workers=workers)
    # 601 requests need seven windows: six whole ones pass before the last request.
    assert seconds <= factor * 6 * window + 1
    assert server.refused == []


@pytest.mark.parametrize("rounding", ["down", "nearest"])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_reset_that_comes_late_is_survived(rounding: str, workers: int) -> None:
    """Where resets are rounded so that we are early, a refusal a worker and window is the most there is."""
    server = QuotaServer(50, 10.0, rounding=rounding)
    seconds = simulate(server, requests=251, workers=workers)
    assert len(server.refused) <= 5 * workers
    assert seconds <= 5 * 10.0 * 1.3


@given(
    st.lists(
        st.tuples(st.floats(0.0, 5.0), st.sampled_from(["ask", "answer", "hold"]), st.floats(0.0, 100.0))
    ),
    st.integers(1, 600) | st.none(),
)
def test_nothing_goes_while_told_to_wait(moves: list[tuple[float, str, float]], pace: int | None) -> None:
    """Whatever else is said, before the time that a 429 named the delay is at least the rest of it."""
    pacer, now, held, flying = Pacer(pace), 0.0, 0.0, 0
    for pause, move, number in moves:
        now += pause
        if move == "hold":
            held = max(held, now + number)
            pacer.hold(now + number)
        elif move == "answer" and flying:
            flying -= 1
            pacer.answered(Signals(100, int(number), 1e9 + int(number), number, None), now)
        delay = pacer.delay(now)
        assert delay >= held - now
        if delay == 0:
            flying += 1
            pacer.sent(now)


@given(st.integers(1, 1000), st.lists(st.floats(0.0, 3.0), max_size=60))
def test_an_explicit_pace_is_never_exceeded(pace: int, pauses: list[float]) -> None:
    """With a pace of our own no two requests are closer than its interval, headers or none."""
    pacer, now, times = Pacer(pace), 0.0, []
    for pause in pauses:
        now += pause
        now += pacer.delay(now)
        pacer.sent(now)
        pacer.answered(Signals(10**6, 10**6, 1e9, 60.0, None), now)
        times.append(now)
    assert all(b - a >= 60 / pace - 1e-6 for a, b in itertools.pairwise(times))


HEADER = st.text(max_size=30) | st.sampled_from(
    [
        "-1",
        "NaN",
        "inf",
        "1e9",
        "0",
        "100",
        " 7 ",
        "99999999999",
        "1790000030",
        "٣",
        "1.5",
        "2.5.1",
        "9" * 400,
    ]
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["date", "retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
        ),
        HEADER
        | st.sampled_from(["Mon, 99 Foo 2026 00:00:00 GMT", "Sun, 01 Nov 2026 12:00:00 GMT", ",", "0 0"]),
    )
)
@examples(300)
def test_nonsense_in_headers_is_survived(headers: dict[str, str]) -> None:
    """No header stops the run: every wait that comes of them is finite and bounded."""
    signals = read_signals(headers, EPOCH)
    pacer = Pacer()
    pacer.sent(0.0)
    pacer.answered(signals, 0.0)
    assert 0.0 <= pacer.delay(0.0) <= FARTHEST_RESET + MARGIN
    assert signals.retry_after is None or (signals.retry_after >= 0.0 and math.isfinite(signals.retry_after))


@given(st.integers(0, 100), st.integers(0, 100), st.floats(0.0, FARTHEST_RESET), st.floats(0.0, 1e6))
def test_a_wait_ends(limit: int, remaining: int, reset_in: float, now: float) -> None:
    """Who waits as long as told may go then: there is no wait without an end."""
    pacer = Pacer()
    pacer.sent(now)
    pacer.answered(Signals(limit or None, remaining, 1.0, reset_in, None), now)
    for _ in range(5):
        delay = pacer.delay(now)
        now += delay
    assert pacer.delay(now) == 0


def test_what_headers_mean() -> None:
    """A reset is measured against the answer's own date where our clock contradicts it, else against ours."""
    wall = EPOCH + 0.75
    reset = {"x-ratelimit-reset": str(int(EPOCH) + 30), "x-ratelimit-remaining": "0"}
    agreeing = reset | {"date": formatdate(EPOCH, usegmt=True)}
    contradicting = reset | {"date": formatdate(EPOCH + 20, usegmt=True)}
    assert read_signals(reset, wall).reset_in == 29.25
    assert read_signals(agreeing, wall).reset_in == 29.25
    assert read_signals(contradicting, wall).reset_in == 10
    assert read_signals({"x-ratelimit-reset": str(int(EPOCH) - 30)}, wall).reset_in == 0
    assert read_signals({"x-ratelimit-reset": str(int(EPOCH) + 10**8)}, wall).reset_in is None


def test_a_late_word_about_a_window_that_is_over() -> None:
    """An answer from the window before, overtaken on its way, does not stop the new one."""
    pacer = Pacer()
    for _ in range(3):
        pacer.sent(0.0)
    pacer.answered(Signals(10, 1, 100.0, 5.0, None), 0.0)
    assert pacer.delay(0.0) == 5.0 + MARGIN
    pacer.delay(6.0)
    pacer.answered(Signals(10, 0, 100.0, 0.0, None), 6.0)
    assert pacer.delay(6.0) == 0


def test_a_request_without_an_answer_counts_as_sent() -> None:
    """A lost request has used the quota, and is no longer waited for."""
    pacer = Pacer()
    pacer.sent(0.0)
    pacer.answered(Signals(10, 2, 100.0, 5.0, None), 0.0)
    for _ in range(2):
        pacer.sent(0.0)
        pacer.lost()
    assert pacer.delay(0.0) == 5.0 + MARGIN


def test_the_gate_waits_and_says_so() -> None:
    """The gate sleeps the delay, tells about waits worth telling, and turns the endless ones away."""
    waits: list[tuple[float, str]] = []

    class Listening(SilentReporter):
        def waiting(self, seconds: float, reason: str) -> None:
            waits.append((seconds, reason))

    clock = FakeClock()
    gate = Gate(Pacer(), clock, Listening())
    gate.hold(0.5)
    assert gate.enter() == 0
    gate.hold(20)
    assert gate.enter() == 0
    assert clock.monotonic() == 20.5
    assert waits == [(20, "the API's quota")]
    gate.hold(LONGEST_WAIT + 1)
    assert gate.enter() == LONGEST_WAIT + 1
    assert clock.monotonic() == 20.5


def test_after_a_hold_the_limit_counts_anew() -> None:
    """After a 429's wait no more than a window's worth goes before an answer tells how things are."""
    pacer = Pacer()
    pacer.sent(0.0)
    pacer.answered(Signals(2, 1, 100.0, 90.0, None), 0.0)
    pacer.hold(10.0)
    for _ in range(2):
        assert pacer.delay(10.0) == 0
        pacer.sent(10.0)
    assert pacer.delay(10.0) > 0


def test_a_window_that_was_not_expected() -> None:
    """Where the API begins a window early, what is under way is counted against it."""
    pacer = Pacer()
    for _ in range(3):
        pacer.sent(0.0)
    pacer.answered(Signals(10, 9, 100.0, 50.0, None), 0.0)
    pacer.answered(Signals(10, 1, 160.0, 90.0, None), 1.0)
    assert pacer.delay(1.0) == 90.0 + MARGIN


def test_a_window_that_nobody_tells_about() -> None:
    """Where the limit is used up and no answer will tell of the next window, the next request finds out."""
    pacer = Pacer()
    pacer.sent(0.0)
    pacer.answered(Signals(1, 0, 100.0, 5.0, None), 0.0)
    pacer.sent(6.0 + pacer.delay(6.0))
    assert pacer.delay(6.0) > 0
    pacer.lost()
    assert pacer.delay(6.0) == 0
