"""Whatever bytes a server sends, every operation of every client ends well or with an error of ours."""

from __future__ import annotations

import contextlib
import gzip
import json
import resource
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ReconcilerError
from tests.fakes.clock import FakeClock
from tests.fixtures.clients import CANARIES, OPERATIONS
from tests.fixtures.damage import EXTREMES, damaged
from tests.fixtures.examples import examples
from tests.fixtures.hostile import Hostile

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 60
"""Seconds of real time for an example that takes milliseconds."""
MOST_MEMORY = 200 * 1024
"""Kilobytes by which all examples together may raise the peak of this process."""
HOURS = 3 * 3600
"""Virtual seconds: retries, and waits for the quota that a server asks for."""

ENDPOINT = {"id": "we_1", "url": "https://a.example.com/", "events": ["run.failed"], "created": 1_790_000_000}
VERSION = {"created_time": "2026-11-01T12:00:00Z", "deletion_time": "", "destroyed": False}
GOOD: tuple[dict[str, Any] | list[Any], ...] = (
    {"data": [ENDPOINT], "has_more": True, "next_cursor": "c1"},
    {**ENDPOINT, "secret": "whsec_new"},
    {"delivered": False, "status_code": 500, "error": "no"},
    {"deleted": False},
    {"error": {"code": "rate_limit_exceeded", "message": "too many requests", "param": "url"}},
    {"errors": ["permission denied"]},
    {"data": {"key_info": {"ci": {"current_version": 1, "versions": {"1": VERSION}, "custom_metadata": {}}}}},
    {"data": {"keys": ["ci", "_lock", "folder/"]}},
    {"data": {"data": {"ledger": "{}", "signing_secret": "x"}, "metadata": {**VERSION, "version": 1}}},
    {"data": {"version": 2, "type": "kv", "options": {"version": "2"}, "ttl": 60, "policies": []}},
    {"auth": {"client_token": "hvs.new", "lease_duration": 60, "renewable": True}},
    {"value": "identity"},
    [{"id": 1, "body": "words", "user": {"login": "bot"}}],
)
NUMBERS = ("0", "1", "7", "-1", "1.5", "1e9", "0\x1f", "9" * 12, "9" * 5000, "1790000060", "\xb2", "nan")
DATES = ("Sun, 01 Nov 2026 12:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Sun, 01 Nov 2026 12:00:00 -0000")
TEXTS = [each for each in EXTREMES if isinstance(each, str)]
HEADERS: dict[str, tuple[str, ...]] = {
    "Retry-After": (*NUMBERS, *DATES),
    "X-RateLimit-Limit": NUMBERS,
    "X-RateLimit-Remaining": NUMBERS,
    "X-RateLimit-Reset": NUMBERS,
    "Date": (*DATES, "Mon, 01 Jan 99999 00:00:00 +9999", "yesterday"),
    "X-Request-Id": ("req_1", "req\x1b[31m", "::error::x", "r" * 900),
    "Sunset": ("Sun, 01 Nov 2026 12:00:00 GMT", "\x85"),
    "Location": ("https://elsewhere.example.com/", "http://127.0.0.1:9/x", "//", "http://["),
    "Content-Encoding": ("gzip", "gzip, gzip", "br", "identity", "x-gzip"),
    "Content-Length": ("0", "5", "999999999999", "-1", "+5", "5, 5"),
    "Transfer-Encoding": ("chunked", "gzip, chunked", "identity"),
    "Connection": ("close", "keep-alive", "upgrade"),
    "Set-Cookie": ("a=b", "=" * 100),
    "Content-Type": ("application/json", "text/html"),
}
INTERIM, REDIRECTS, SERVER_ERRORS = (100, 101, 103, 199), (301, 302, 304, 307), (500, 501, 502, 503, 504)
SUCCESSES, CLIENT_ERRORS = (200, 201, 204, 206), (400, 401, 403, 404, 405, 409, 412, 429)
STATUSES = (*INTERIM, *SUCCESSES, *REDIRECTS, *CLIENT_ERRORS, *SERVER_ERRORS, 599, 999)


@st.composite
def _headers(draw: st.DrawFn) -> bytes:
    names = draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=4))
    pairs = [(name, draw(st.sampled_from([*HEADERS[name], *TEXTS]))) for name in names]
    lines = [f"{name}: {value}".encode("latin-1", "replace") for name, value in pairs]
    return b"".join(line.replace(b"\n", b"") + b"\r\n" for line in lines)


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    value = draw(st.sampled_from(GOOD))
    text = st.builds(lambda each: json.dumps(each).encode(), st.just(value) | damaged(value))
    body = draw(text | st.binary(max_size=40))
    return gzip.compress(body) if draw(st.booleans()) and draw(st.booleans()) else body


@st.composite
def _framed(draw: st.DrawFn) -> bytes:
    """Return one response, mostly with a frame that fits its body."""
    status, body = draw(st.sampled_from(STATUSES)), draw(_bodies())
    start = f"HTTP/1.1 {status} Words\r\n".encode() + draw(_headers())
    match draw(st.sampled_from(["length", "length", "chunks", "none"])):
        case "length":
            return start + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        case "chunks":
            size = draw(st.integers(1, 50))
            pieces = [body[at : at + size] for at in range(0, len(body), size)]
            chunks = b"".join(f"{len(each):x};a=b\r\n".encode() + each + b"\r\n" for each in pieces)
            return start + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX-After: 1\r\n\r\n"
        case _:
            return start + b"\r\n" + body


@st.composite
def _answers(draw: st.DrawFn) -> bytes:
    """Return the bytes of an answer: responses, some of them with a few bytes changed or cut off."""
    data = bytearray(b"".join(draw(st.lists(_framed(), min_size=1, max_size=2))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    end = draw(st.just(len(data)) | st.integers(0, len(data)))
    return bytes(data[:end])


class _Scripted:
    """What the server answers next; the last answer again and again."""

    answers: tuple[bytes, ...] = ()
    given = 0

    def __call__(self) -> Iterator[bytes]:
        answer = self.answers[min(self.given, len(self.answers) - 1)]
        self.given += 1
        yield answer


SCRIPT = _Scripted()


@pytest.fixture(scope="module")
def server() -> Iterator[Hostile]:
    """Give a server that answers as `SCRIPT` says, and closes each connection."""
    with Hostile(SCRIPT, close=True) as server:
        yield server


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    """Fail where an example hangs."""

    def late(_number: int, _frame: object) -> None:
        raise TimeoutError(f"no end after {LONGEST} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("name", OPERATIONS)
@given(answers=st.lists(_answers(), min_size=1, max_size=3))
@examples(25)
def test_any_answer_ends_the_operation(server: Hostile, name: str, answers: list[bytes]) -> None:
    """In bounded time and memory, without another kind of error, and without a credential in any text."""
    SCRIPT.answers, SCRIPT.given = tuple(answers), 0
    operation, _ = OPERATIONS[name]
    clock, peak = FakeClock(), _peak()
    with _in_time():
        try:
            told = repr(operation(server.url, clock))
        except ReconcilerError as error:
            told = f"{error.message} {error.hint}"
            # What is written to a terminal or a log stays on its line.
            assert error.message.isprintable()  # noqa: PT017 (another outcome is fine, too)
    assert not any(canary in told for canary in CANARIES)
    assert clock.monotonic() < HOURS
    assert _peak() - peak < MOST_MEMORY
