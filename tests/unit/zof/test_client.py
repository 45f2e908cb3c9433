"""The client against scripted answers: what it sends, what it makes of what comes back, what it waits."""

from __future__ import annotations

import gzip
import json
import logging
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ApiError, InvalidInput, ReconcilerError
from reconciler.model import Secret, SendingWindow
from reconciler.ports import Created, Deleted, Delivered, NotDelivered, Refused, Unanswered
from reconciler.zof.caller import MAX_ATTEMPTS
from reconciler.zof.client import MAX_PAGES, ZofApi
from reconciler.zof.wire import BODY_LIMIT
from tests.fakes.clock import FakeClock
from tests.fakes.world import SilentReporter
from tests.fixtures.damage import damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

URL = "https://api.example.com/v1"
KEY = Secret("zof_live_S3cretS3cretS3cret")
WHSEC = "whsec_TopTopTopSecretSecret"
BODY = Secret(json.dumps({"url": "https://a.example.com/", "events": ["run.failed"], "secret": WHSEC}))
ENDPOINT = {"id": "we_1", "url": "https://a.example.com/", "events": ["run.failed"]}
MADE = {**ENDPOINT, "secret": WHSEC}


class WaitNoting(SilentReporter):
    """Remembers what it was told to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[tuple[float, str]] = []
        self.counts: list[tuple[int, int]] = []

    def listed(self, endpoints: int, pages: int) -> None:
        self.counts.append((endpoints, pages))

    def waiting(self, seconds: float, reason: str) -> None:
        self.waits.append((round(seconds, 3), reason))


class Server:
    """Answers with what it was given, in turn; the last one again and again."""

    def __init__(self, *script: Any, **options: Any) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []
        self.times: list[float] = []
        self.clock = FakeClock()
        self.reporter = WaitNoting()
        self.api = ZofApi(
            options.pop("url", URL),
            KEY,
            clock=self.clock,
            reporter=self.reporter,
            jitter=lambda: 1.0,
            transport=httpx.MockTransport(self._answer),
            **options,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(self.clock.monotonic())
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        step = step(request) if callable(step) and not isinstance(step, type) else step
        if isinstance(step, type):
            step = step(f"about {KEY.reveal()} and {WHSEC}", request=request)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, httpx.Response)
        return step


def ok(value: Any, status: int = 200, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    """Return an answer that can be given more than once."""
    named = {"x-request-id": "req_7"} | {name.replace("_", "-"): text for name, text in headers.items()}
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda _request: httpx.Response(status, content=content, headers=named)


def error(status: int, code: str = "oops", **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return ok({"error": {"code": code, "message": f"words for {KEY.reveal()}"}}, status, **headers)


def page(*ids: str, cursor: str | None = None) -> Callable[[httpx.Request], httpx.Response]:
    data = [{**ENDPOINT, "id": endpoint_id} for endpoint_id in ids]
    return ok({"data": data, "has_more": cursor is not None, "next_cursor": cursor})


# --- what is sent ---------------------------------------------------------------------------------


def test_a_listing_goes_page_by_page() -> None:
    """Pages of 100 are asked for one after another, each with the cursor of the one before, to the end."""
    server = Server(page("a", "b", cursor="c/1 &"), page(cursor="c2"), page("c"))
    assert [[e.id for e in part] for part in server.api.list_pages()] == [["a", "b"], [], ["c"]]
    assert [dict(r.url.params) for r in server.requests] == [
        {"limit": "100"},
        {"limit": "100", "starting_after": "c/1 &"},
        {"limit": "100", "starting_after": "c2"},
    ]
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY.reveal()}"
    assert server.requests[0].headers["user-agent"].startswith("webhook-reconciler/")
    assert server.reporter.counts == [(2, 1), (2, 2), (3, 3)]
    assert server.api.requests_sent == 3


def test_a_creation_sends_the_exact_bytes() -> None:
    """The body goes out byte for byte, as JSON, under its idempotency key; the answer's secret comes back."""
    server = Server(ok(MADE, 201))
    made = server.api.create("key-1", BODY)
    assert isinstance(made, Created)
    assert made.secret == Secret(WHSEC)
    assert not made.uncertain
    assert made.request_id == "req_7"
    (request,) = server.requests
    assert request.content == BODY.reveal().encode()
    assert (request.method, request.url.path) == ("POST", "/v1/webhooks")
    assert request.headers["idempotency-key"] == "key-1"
    assert request.headers["content-type"] == "application/json"


def test_a_test_and_a_deletion() -> None:
    """A test is an empty POST without a key, a deletion a DELETE."""
    server = Server(ok({"delivered": True}), ok(b"", 204))
    assert server.api.test("we_1") == Delivered("req_7")
    assert server.api.delete("we_1") == Deleted("req_7")
    test, delete = server.requests
    assert (test.method, test.url.path, test.content) == ("POST", "/v1/webhooks/we_1/test", b"")
    assert "idempotency-key" not in test.headers
    assert (delete.method, delete.url.path) == ("DELETE", "/v1/webhooks/we_1")


def test_the_key_beats_netrc_and_cookies_are_dropped(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A `.netrc` entry for the host does not replace the key, and no cookie is ever sent back."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.example.com login somebody password else")
    monkeypatch.setenv("NETRC", str(netrc))
    server = Server(ok({"data": [], "has_more": False}, set_cookie="a=b"))
    list(server.api.list_pages())
    list(server.api.list_pages())
    assert server.requests[1].headers["authorization"] == f"Bearer {KEY.reveal()}"
    assert "cookie" not in server.requests[1].headers


@pytest.mark.parametrize("unsendable", ["", "a/b", "..", "x\r\ny"])
def test_an_id_that_cannot_be_sent(unsendable: str) -> None:
    """An id that would change the request's path is refused before anything is sent."""
    server = Server(ok({}))
    for answer in (server.api.test(unsendable), server.api.delete(unsendable)):
        assert isinstance(answer, Refused)
    assert isinstance(server.api.create("key\r\nX-Evil: 1", BODY), Refused)
    assert isinstance(server.api.create("", BODY), Refused)
    assert server.requests == []


# --- a listing is complete or refused -------------------------------------------------------------

HTML = b"<!doctype html><title>Sign in</title>"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([page("a", cursor="c"), page("b", cursor="c"), page("d")], "a cursor was repeated"),
        ([page("a", cursor="c"), page("a")], "listed twice"),
        ([page("a", "a")], "listed twice"),
        ([page("a", cursor="c"), error(404)], "no webhooks API"),
        ([ok({"data": {}, "has_more": False})], "`data` is not a list"),
        ([ok(HTML)], "web page"),
        ([ok(b"{")], "not JSON"),
        ([ok(b" " * (BODY_LIMIT + 1))], "more than 4 MB"),
        ([error(302, location="https://evil.example.com/")], "redirects to another"),
        ([error(400)], "refused to list"),
        ([error(500)], "sent no usable response"),
        ([httpx.ConnectError], "no connection"),
    ],
)
def test_an_incomplete_listing_is_refused(script: list[Any], words: str) -> None:
    """Whatever keeps the listing from being complete is an error of one sentence with the request id."""
    server = Server(*script)
    with pytest.raises(ApiError, match=words) as caught:
        list(server.api.list_pages())
    assert caught.value.hint
    assert ("req_7" in caught.value.message) or script == [httpx.ConnectError]
    assert KEY.reveal() not in caught.value.message
    assert all(r.url.host == "api.example.com" for r in server.requests)


@pytest.mark.untraced
def test_an_endless_listing_is_refused() -> None:
    """A listing that always has another page ends in an error."""
    server = Server(None)

    def another(request: httpx.Request) -> httpx.Response:
        return page(cursor=f"c{len(server.requests)}")(request)

    server.script = [another]
    with pytest.raises(ApiError, match="more than"):
        list(server.api.list_pages())
    assert len(server.requests) == MAX_PAGES


@pytest.mark.parametrize(
    ("entries", "seconds", "words"),
    [
        ([{**ENDPOINT, "url": "x" * 2_000_000}], 0.0, "it has more than 96 MB"),
        ([None] * 50_000, 0.0, "it has more than 200,000 endpoints"),
        ([], 9.9, "it takes more than an hour"),
    ],
    ids=["long", "many", "slow"],
)
def test_a_listing_without_an_end_ends_early(entries: list[Any], seconds: float, words: str) -> None:
    """It ends with its size, its number of entries or its time, before it has too many pages."""
    server = Server(None)

    def another(request: httpx.Request) -> httpx.Response:
        server.clock.sleep(seconds)
        number = len(server.requests)
        data = [entry and {**entry, "id": str(number)} for entry in entries]
        return ok({"data": data, "has_more": True, "next_cursor": f"c{number}"})(request)

    server.script = [another]
    with pytest.raises(ApiError, match=words):
        list(server.api.list_pages())
    assert len(server.requests) < 400


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [(401, "missing, invalid or expired", "ZOF_API_KEY"), (403, "webhooks:manage", "Admin Center")],
)
def test_a_key_that_is_not_accepted(status: int, words: str, hint: str) -> None:
    """A refused key is told from a missing permission; the hint names the variable and the console."""
    server = Server(error(status))
    for attempt in (lambda: list(server.api.list_pages()), server.api.probe):
        with pytest.raises(ApiError, match=words) as caught:
            attempt()
        assert caught.value.status == status
        assert hint in (caught.value.hint or "")
        assert "[request req_7]" in caught.value.message
    assert len(server.requests) == 2


def test_a_gzip_bomb_is_refused() -> None:
    """The limit counts what the body unpacks to."""
    bomb = gzip.compress(b" " * (BODY_LIMIT + 1))
    server = Server(ok(bomb, content_encoding="gzip"))
    with pytest.raises(ApiError, match="more than 4 MB"):
        list(server.api.list_pages())
    assert len(server.requests) == 1


class Trickle(httpx.SyncByteStream):
    """A body that comes a byte at a time, each after half a minute."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.sent = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.clock.sleep(30)
            self.sent += 1
            yield b" "


def test_a_trickling_answer_ends() -> None:
    """An answer that never stands still long enough to time out is cut off by the operation's deadline."""
    server = Server(None)
    body = Trickle(server.clock)
    server.script = [lambda _request: httpx.Response(200, stream=body)]
    with pytest.raises(ApiError, match="took too long"):
        list(server.api.list_pages())
    assert body.sent == 4
    assert server.clock.monotonic() == 120


# --- creations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "uncertain"),
    [
        (httpx.ReadTimeout, True),
        (httpx.RemoteProtocolError, True),
        (error(500), True),
        (ok(HTML), True),
        (ok(b"", 204), True),
        (httpx.ConnectError, False),
        (httpx.ConnectTimeout, False),
        (error(429), False),
        (error(408), False),
    ],
)
def test_a_creation_is_repeated_with_its_key(first: Any, uncertain: bool) -> None:
    """The same bytes go out under the same key; it is uncertain if the first try may have taken effect."""
    server = Server(first, ok(MADE))
    made = server.api.create("key-1", BODY)
    assert isinstance(made, Created)
    assert made.uncertain is uncertain
    assert {(r.headers["idempotency-key"], r.content) for r in server.requests} == {
        ("key-1", BODY.reveal().encode())
    }
    assert server.api.requests_sent == 2


@pytest.mark.parametrize(
    ("last", "stored", "words"),
    [
        (error(503, "down"), True, "HTTP 503 down: words for ***"),
        (error(429, "rate_limit_exceeded"), False, "rate_limit_exceeded"),
        (httpx.ReadTimeout, False, "no response within 30 s"),
        (ok(HTML), False, "cannot be read: it is a web page"),
        (ok({"id": "a/b"}), False, "`id`"),
    ],
)
def test_a_creation_without_an_answer(last: Any, stored: bool, words: str) -> None:
    """When tries are used up the outcome is unknown, and a 5xx as the last word may be a stored one."""
    server = Server(last)
    answer = server.api.create("key-1", BODY)
    assert isinstance(answer, Unanswered)
    assert answer.stored_error is stored
    assert words in answer.reason
    assert len(server.requests) == MAX_ATTEMPTS
    assert [round(b - a, 3) for a, b in zip(server.times, server.times[1:], strict=False)] == [0.5, 1, 2, 4]


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 415, 501])
def test_a_creation_that_is_refused(status: int) -> None:
    """A definitive refusal is not repeated, and a redirect is never followed with the key."""
    server = Server(error(status, location="https://evil.example.com/"))
    answer = server.api.create("key-1", BODY)
    assert isinstance(answer, Refused)
    assert answer.status == status
    assert answer.request_id == "req_7"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(409, Unanswered), (400, Unanswered), (401, Refused), (403, Refused)]
)
def test_a_refusal_after_silence_settles_nothing(status: int, kind: type) -> None:
    """After a try that may have worked, "the URL is taken" may be about our own endpoint."""
    server = Server(httpx.ReadTimeout, error(status, "conflict"))
    answer = server.api.create("key-1", BODY)
    assert isinstance(answer, kind)
    if isinstance(answer, Unanswered):
        assert answer.stored_error
        assert "conflict" in answer.reason


def test_what_came_back_counts() -> None:
    """Where the answer's URL and events differ from those asked for, the answer's are reported."""
    server = Server(ok({**MADE, "url": "https://other.example.com/", "events": ["b", "a"]}))
    made = server.api.create("key-1", BODY)
    assert isinstance(made, Created)
    assert (made.endpoint.url, made.endpoint.events) == ("https://other.example.com/", ("a", "b"))


# --- when a creation was under way ----------------------------------------------------------------


class SlowServer(Server):
    """A server that takes two seconds for each answer."""

    def _answer(self, request: httpx.Request) -> httpx.Response:
        began = self.clock.monotonic()
        self.clock.sleep(2)
        try:
            return super()._answer(request)
        finally:
            self.times[-1:] = [began]

    def window(self, number: int, correction: float = 0.0) -> SendingWindow:
        """Return the window of the request with this number, on a clock that differs from ours."""
        start = FakeClock().now() + timedelta(seconds=self.times[number] + correction)
        return SendingWindow(start, start + timedelta(seconds=2))


TRUNCATED = httpx.RemoteProtocolError
DOUBTFUL = [error(500), error(503), httpx.ReadTimeout, httpx.ReadError, TRUNCATED, ok(HTML), ok(b"", 403)]
CERTAIN = [error(429), error(408), httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError]


@pytest.mark.parametrize("first", DOUBTFUL)
def test_a_window_for_what_may_have_been_carried_out(first: Any) -> None:
    """A try with a 5xx, or without a usable response, has a window; the try that succeeds has none."""
    server = SlowServer(first, ok(MADE))
    made = server.api.create("key-1", BODY)
    assert isinstance(made, Created)
    assert made.windows == (server.window(0),)
    server = SlowServer(first)
    lost = server.api.create("key-1", BODY)
    assert isinstance(lost, Unanswered)
    assert lost.windows == tuple(server.window(number) for number in range(MAX_ATTEMPTS))


@pytest.mark.parametrize("first", CERTAIN)
def test_no_window_for_what_certainly_failed(first: Any) -> None:
    """Without a connection, or after nothing but 429, nothing was created."""
    made = SlowServer(first, ok(MADE)).api.create("key-1", BODY)
    assert isinstance(made, Created)
    assert made.windows == ()
    lost = SlowServer(first).api.create("key-1", BODY)
    assert isinstance(lost, Unanswered)
    assert lost.windows == ()


def test_windows_of_the_doubtful_tries_only() -> None:
    """Of several tries only those have a window that may have been carried out."""
    server = SlowServer(error(429), error(500), httpx.ConnectError, httpx.ReadTimeout, error(429))
    lost = server.api.create("key-1", BODY)
    assert isinstance(lost, Unanswered)
    assert lost.windows == (server.window(1), server.window(3))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_windows_before_a_refusal(status: int) -> None:
    """A refusal has no window of its own, and keeps those of the tries before it."""
    server = SlowServer(httpx.ReadTimeout, error(status))
    answer = server.api.create("key-1", BODY)
    assert isinstance(answer, Refused | Unanswered)
    assert answer.windows == (server.window(0),)
    refused = SlowServer(error(status)).api.create("key-1", BODY)
    assert isinstance(refused, Refused)
    assert refused.windows == ()


def test_a_blocked_creation_has_no_window() -> None:
    """What was not sent because the API asks to wait for an hour cannot have been carried out."""
    server = SlowServer(error(429, retry_after="3600"))
    for _ in range(2):
        lost = server.api.create("key-1", BODY)
        assert isinstance(lost, Unanswered)
        assert lost.windows == ()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("ahead", "correction"), [(0.0, 0.0), (-1.0, 0.0), (-3.0, -2.5), (-7200.0, -7199.5), (86400.0, 86400.5)]
)
def test_windows_are_on_the_apis_clock(ahead: float, correction: float) -> None:
    """Our clock is corrected by the last `Date`, also where the doubtful try itself had no response."""
    server = SlowServer(None)

    def listing(request: httpx.Request) -> httpx.Response:
        now = server.clock.now() + timedelta(seconds=ahead)
        return ok({"data": [], "has_more": False}, date=format_datetime(now, usegmt=True))(request)

    server.script = [listing, httpx.ReadTimeout, ok(MADE)]
    list(server.api.list_pages())
    made = server.api.create("key-1", BODY)
    assert isinstance(made, Created)
    assert made.windows == (server.window(1, correction),)


def test_a_proxys_clock_does_not_count() -> None:
    """The `Date` of a page that is not the API's own corrects nothing."""
    server = SlowServer(ok(HTML, date="Sun, 01 Nov 2037 00:00:40 GMT"), ok(MADE))
    made = server.api.create("key-1", BODY)
    assert isinstance(made, Created)
    assert made.windows == (server.window(0),)


# --- tests and deletions --------------------------------------------------------------------------


def test_outcomes_of_a_test() -> None:
    """A test is delivered, not delivered, refused, or without an answer after every try."""
    server = Server(ok({"delivered": False}), error(404), error(500))
    assert isinstance(server.api.test("we_1"), NotDelivered)
    refused = server.api.test("we_1")
    assert isinstance(refused, Refused)
    assert refused.status == 404
    assert isinstance(server.api.test("we_1"), Unanswered)
    assert len(server.requests) == 2 + MAX_ATTEMPTS


def test_outcomes_of_a_deletion() -> None:
    """404 and 410 are success, 405 and 501 mean that there is no such operation, silence is retried."""
    server = Server(error(404), error(410), error(405), error(501), httpx.ReadError, error(404))
    assert server.api.delete("we_1") == Deleted("req_7")
    assert server.api.delete("we_1") == Deleted("req_7")
    for status in (405, 501):
        refused = server.api.delete("we_1")
        assert isinstance(refused, Refused)
        assert refused.status == status
    assert server.api.delete("we_1") == Deleted("req_7")
    assert server.api.requests_sent == 6


# --- nothing but the API's own word ---------------------------------------------------------------

INGRESS = b"<html><h1>default backend - 404</h1></html>"
GATEWAY = json.dumps({"message": "no Route matched with those values"}).encode()
OPERATIONS: dict[str, Callable[[ZofApi], Any]] = {
    "create": lambda api: api.create("key-1", BODY),
    "test": lambda api: api.test("we_1"),
    "delete": lambda api: api.delete("we_1"),
}


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        (operation, status)
        for operation in OPERATIONS
        for status in (400, 401, 403, 404, 405, 409, 410, 501)
        if operation != "delete" or status not in {405, 501}
    ],
)
@pytest.mark.parametrize("body", [INGRESS, GATEWAY, b""])
def test_a_refusal_that_is_not_the_apis(operation: str, status: int, body: bytes) -> None:
    """A proxy's 404 is neither a deleted endpoint nor a refusal: it is tried again, and then unknown."""
    server = Server(ok(body, status))
    answer = OPERATIONS[operation](server.api)
    assert isinstance(answer, Unanswered)
    assert not answer.stored_error
    assert f"the response (HTTP {status}) is not from the API" in answer.reason
    assert "[request req_7]" in str(answer)
    assert len(server.requests) == MAX_ATTEMPTS


@pytest.mark.parametrize("status", [405, 501])
@pytest.mark.parametrize("body", [INGRESS, GATEWAY, b""])
def test_whoever_says_that_there_is_no_deletion(status: int, body: bytes) -> None:
    """Where DELETE does not exist nothing is tried again: a person removes the endpoint."""
    server = Server(ok(body, status))
    answer = server.api.delete("we_1")
    assert isinstance(answer, Refused)
    assert answer.status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_redirect_is_not_the_apis(operation: str) -> None:
    """A redirect settles nothing and is not tried again: it would lead elsewhere each time."""
    server = Server(ok(b"", 302, location="https://evil.example.com/"))
    answer = OPERATIONS[operation](server.api)
    assert isinstance(answer, Unanswered)
    assert "redirect" in answer.reason
    assert len(server.requests) == 1


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("body", [HTML, b"OK", json.dumps({"error": {"code": "x", "message": "y"}}).encode()])
def test_a_success_that_is_not_the_apis(operation: str, body: bytes) -> None:
    """A login page with a 200 is no success of anything."""
    server = Server(ok(body))
    answer = OPERATIONS[operation](server.api)
    assert isinstance(answer, Unanswered)
    assert "the response (HTTP 200) cannot be read" in answer.reason
    assert "[request req_7]" in str(answer)
    assert len(server.requests) == MAX_ATTEMPTS


@pytest.mark.parametrize("first", [ok(INGRESS, 404), ok(HTML), ok(b"", 403)])
def test_a_proxy_that_stumbles_once(first: Any) -> None:
    """When the API itself answers the next try, that counts; a creation remains uncertain."""
    assert Server(first, ok(b"", 204)).api.delete("we_1") == Deleted("req_7")
    assert Server(first, error(404)).api.delete("we_1") == Deleted("req_7")
    assert Server(first, ok({"delivered": True})).api.test("we_1") == Delivered("req_7")
    made = Server(first, ok(MADE, 201)).api.create("key-1", BODY)
    assert isinstance(made, Created)
    assert made.uncertain


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [
        (404, "no webhooks API at this URL: the response .HTTP 404. is not from the API", "ZOF_API_URL"),
        (401, "no usable response: the response .HTTP 401. is not from the API", "ZOF_API_URL"),
        (302, "redirects to another: the response .HTTP 302. is not from the API: a redirect", "ZOF_API_URL"),
    ],
)
def test_a_listing_that_somebody_else_refuses(status: int, words: str, hint: str) -> None:
    """Where not even an error object comes the URL is the suspect; the key is not blamed."""
    server = Server(ok(INGRESS, status))
    with pytest.raises(ApiError, match=words) as caught:
        list(server.api.list_pages())
    assert hint in (caught.value.hint or "")
    assert "[request req_7]" in caught.value.message
    assert len(server.requests) == 1


GOOD_BODIES: tuple[Any, ...] = (
    {"data": [ENDPOINT, {**ENDPOINT, "id": "we_2", "created": 1779278400}], "has_more": False},
    {"data": [ENDPOINT], "has_more": True, "next_cursor": "c"},
    {**MADE, "created": "2026-05-20T12:00:00Z"},
    {"delivered": False, "status_code": 500, "error": {"code": "tls", "message": "words"}},
    {"error": {"code": "not_found", "message": "words", "param": "id"}},
)
HEADERS = (
    "date",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
    "sunset",
    "content-encoding",
)
HEADER_VALUES = st.text(st.characters(max_codepoint=255), max_size=30) | st.sampled_from(
    [
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "9" * 400,
        "-1",
        "0",
        "1e400",
        "nan",
        "gzip",
        "br",
    ]
)


@given(
    st.sampled_from([200, 201, 204, 302, 400, 401, 404, 405, 408, 409, 410, 429, 500, 501, 503]),
    st.sampled_from(GOOD_BODIES).flatmap(damaged).map(json.dumps).map(str.encode) | st.binary(max_size=20),
    st.dictionaries(st.sampled_from(HEADERS), HEADER_VALUES, max_size=3),
)
def test_any_answer(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Whatever comes, every operation ends in one of its answers, and reading in a value or an `ApiError`."""

    def answer(_request: httpx.Request) -> httpx.Response:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return httpx.Response(status, headers=encoded, stream=httpx.ByteStream(body))

    def api() -> ZofApi:
        # Plain HTTP spares the TLS context, which is what takes time.
        return Server(answer, url="http://127.0.0.1/v1").api

    made = api().create("key-1", BODY)
    assert isinstance(made, Created | Refused | Unanswered)
    tested = api().test("we_1")
    assert isinstance(tested, Delivered | NotDelivered | Refused | Unanswered)
    deleted = api().delete("we_1")
    assert isinstance(deleted, Deleted | Refused | Unanswered)
    assert not isinstance(deleted, Deleted) or status < 300 or (status in {404, 410} and b"error" in body)
    for told in (made, tested, deleted):
        assert isinstance(told, Created) or str(told).encode()
    for read in (api().probe, lambda: list(api().list_pages())):
        try:
            read()
        except ApiError as failure:
            text = failure.message
        else:
            text = ""
        assert text.isprintable()
    if isinstance(made, Created):
        assert made.endpoint.digest
        assert made.endpoint.created is None or made.endpoint.created.year < 9000


# --- waiting --------------------------------------------------------------------------------------


def test_retry_after_is_obeyed() -> None:
    """After a 429 nothing is sent before the time that it names, and the person is told."""
    server = Server(error(429, retry_after="17"), ok(MADE))
    assert isinstance(server.api.create("key-1", BODY), Created)
    assert server.times == [0, 17]
    assert server.reporter.waits == [(17, "the API's quota")]


def test_retry_after_as_a_date() -> None:
    """`Retry-After` may be a date; it is compared with the answer's own, whatever our clock says."""
    later, now = "Sun, 01 Nov 2037 00:00:40 GMT", "Sun, 01 Nov 2037 00:00:10 GMT"
    server = Server(error(503, retry_after=later, date=now), page("a"))
    list(server.api.list_pages())
    assert server.times == [0, 30]


HOUR = {
    "seconds": {"retry_after": "3600"},
    "date": {"retry_after": "Sun, 01 Nov 2026 13:00:00 GMT", "date": "Sun, 01 Nov 2026 12:00:00 GMT"},
}
LIMITED = {
    429: error(429, "rate_limit_exceeded"),
    403: ok({"error": {"code": "forbidden", "message": "You have exceeded a secondary rate limit."}}, 403),
}


@pytest.mark.parametrize("status", LIMITED)
@pytest.mark.parametrize("form", HOUR)
def test_a_wait_that_nobody_wants(status: int, form: str) -> None:
    """Asked to wait an hour, the request gives up, says until when, and nothing is sent until then."""
    answer = LIMITED[status](httpx.Request("GET", URL))
    server = Server(ok(answer.content, status, **HOUR[form]), ok(MADE))
    lost = server.api.create("key-1", BODY)
    assert isinstance(lost, Unanswered)
    assert f"HTTP {status}" in lost.reason
    assert "wait until 2026-11-01 13:00:00 UTC" in lost.reason
    assert lost.windows == ()
    blocked = server.api.delete("we_1")
    assert isinstance(blocked, Unanswered)
    assert "wait until 2026-11-01 13:00:00 UTC" in blocked.reason
    assert not blocked.stored_error
    with pytest.raises(
        ApiError, match=r"rate limit of the Zof API is used up.*until 2026-11-01 13:00:00"
    ) as no:
        server.api.probe()
    assert "after 2026-11-01 13:00:00 UTC" in (no.value.hint or "")
    assert server.times == [0]
    server.clock.sleep(3600)
    assert isinstance(server.api.create("key-1", BODY), Created)


@pytest.mark.parametrize("status", LIMITED)
@pytest.mark.parametrize("form", HOUR)
def test_a_listing_that_must_wait(status: int, form: str) -> None:
    """It is the rate limit, and until when to wait is said; neither network nor key is blamed."""
    answer = LIMITED[status](httpx.Request("GET", URL))
    server = Server(ok(answer.content, status, **HOUR[form]))
    with pytest.raises(ApiError, match="rate limit") as refused:
        list(server.api.list_pages())
    assert "2026-11-01 13:00:00 UTC" in refused.value.message
    assert "after 2026-11-01 13:00:00 UTC" in (refused.value.hint or "")
    assert "permission" not in refused.value.message
    assert "network" not in (refused.value.hint or "")
    assert refused.value.status == 429


@pytest.mark.parametrize("body", [{"message": "secondary rate limit"}, {"error": {"code": "rate_limited"}}])
def test_a_403_about_the_rate_limit(body: Any) -> None:
    """It is waited for and repeated like a 429, under the same key."""
    server = Server(ok(body, 403, retry_after="60"), ok(MADE))
    made = server.api.create("key-1", BODY)
    assert isinstance(made, Created)
    assert made.windows == ()
    assert server.times == [0, 60]
    for operation in OPERATIONS.values():
        assert isinstance(operation(Server(ok(body, 403)).api), Unanswered)


def test_a_403_about_something_else() -> None:
    """A missing permission and a cap on endpoints are refusals."""
    for words in ("the key lacks a permission", "the maximum of endpoints is reached"):
        answer = Server(ok({"error": {"code": "forbidden", "message": words}}, 403)).api.create("key-1", BODY)
        assert isinstance(answer, Refused)


def test_an_empty_quota_is_waited_for() -> None:
    """When the headers say that nothing is left, the next request waits for the reset and not longer."""
    reset = str(int(FakeClock().now().timestamp()) + 30)
    headers: dict[str, Any] = {
        "x_ratelimit_limit": "100",
        "x_ratelimit_remaining": "0",
        "x_ratelimit_reset": reset,
    }
    server = Server(ok(b"", 204, **headers))
    server.api.delete("we_1")
    server.api.delete("we_2")
    assert server.times == [0, 30.25]
    assert server.reporter.waits == [(30.25, "the API's quota")]


def test_an_explicit_pace_is_kept() -> None:
    """With a pace of our own requests are spaced evenly."""
    server = Server(ok(b"", 204), requests_per_minute=120)
    for _ in range(4):
        server.api.delete("we_1")
    assert server.times == [0, 0.5, 1.0, 1.5]


def test_sunset_is_told_once() -> None:
    """An announced end of the API is one warning, cleaned, however many answers repeat it."""
    server = Server(ok(b"", 204, sunset="Sat, 31 Oct 2026\t23:59:59 GMT"))
    server.api.delete("we_1")
    server.api.delete("we_1")
    (warning,) = server.reporter.warnings
    assert "Sat, 31 Oct 2026 23:59:59 GMT [request req_7]" in warning


def test_probe_tells_what_it_saw() -> None:
    """One request of one endpoint tells the server's time, its quota and whether there is anything."""
    headers: dict[str, Any] = {"date": "Sun, 01 Nov 2026 12:00:00 GMT", "x_ratelimit_limit": "100"}
    server = Server(ok({"data": [ENDPOINT], "has_more": True, "next_cursor": "c"}, **headers))
    probe = server.api.probe()
    assert dict(server.requests[0].url.params) == {"limit": "1"}
    assert probe.endpoints_visible
    assert probe.server_date == datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert (probe.rate_limit, probe.request_id) == (100, "req_7")


# --- failures in our words ------------------------------------------------------------------------


def _library_errors() -> list[Exception]:
    """Return one of each exception that httpx defines."""
    text = f"{KEY.reveal()} {WHSEC}"
    request = httpx.Request("POST", URL, headers={"authorization": f"Bearer {KEY.reveal()}"}, content=WHSEC)
    made: list[Exception] = []
    kinds = [k for k in vars(httpx).values() if isinstance(k, type) and issubclass(k, Exception)]
    for kind in kinds:
        if issubclass(kind, httpx.HTTPStatusError):
            made.append(kind(text, request=request, response=httpx.Response(500)))
        elif kind in {httpx.StreamConsumed, httpx.StreamClosed, httpx.ResponseNotRead, httpx.RequestNotRead}:
            made.append(kind())
        elif issubclass(kind, httpx.RequestError):
            made.append(kind(text, request=request))
        else:
            made.append(kind(text))
    return made


@pytest.mark.parametrize("failure", _library_errors(), ids=lambda failure: type(failure).__name__)
def test_every_error_of_the_library_is_translated(failure: Exception) -> None:
    """Each of httpx's exceptions becomes an answer or an error of ours, and none shows key or secret."""
    server = Server(failure)
    answer = server.api.create("key-1", BODY)
    assert isinstance(answer, Unanswered)
    with pytest.raises(ApiError) as caught:
        list(server.api.list_pages())
    # The frames beneath this test's own, with their variables: what a crash report would hold.
    assert caught.value.__traceback__ is not None
    ours = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    trace = "".join(traceback.TracebackException.from_exception(ours, capture_locals=True).format())
    assert "list_pages" in trace
    for shown in (repr(answer), str(answer), trace):
        assert KEY.reveal() not in shown
    assert WHSEC not in repr(answer)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_library_has_errors_to_enumerate() -> None:
    """The enumeration above finds the library's errors: it cannot pass by finding none."""
    assert len(_library_errors()) > 20


def test_logs_hold_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level nothing that is logged holds the key or the signing secret."""
    caplog.set_level(logging.DEBUG)
    Server(error(500), ok(MADE)).api.create("key-1", BODY)
    assert caplog.text
    assert KEY.reveal() not in caplog.text
    assert WHSEC not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "http://api.example.com/v1",
        "http://127.0.0.1.example.com/v1",
        "ftp://localhost/",
        "https://",
        "https://a b/",
        "https://user:passw0rd@api.example.com/v1",
        "https://api.example.com/v1?x=1",
        "https://api.example.com/v1#x",
        "https://api.example.com:99999/",
        "https://[::1/",
        "https://api.example.com/\x1b[31m",
    ],
)
def test_a_url_that_gets_no_key(url: str) -> None:
    """The key goes over TLS or stays on this machine; the sentence does not repeat a password."""
    with pytest.raises(InvalidInput) as caught:
        Server(ok({}), url=url)
    assert "passw0rd" not in caught.value.message


@pytest.mark.parametrize("url", ["http://localhost:8080/v1", "http://127.0.0.1/v1/", "http://[::1]:1/v1"])
def test_plain_http_on_loopback(url: str) -> None:
    """Plain HTTP is accepted on this machine; a slash at the end makes no difference."""
    server = Server(page(), url=url)
    assert list(server.api.list_pages()) == [[]]
    assert server.requests[0].url.path == "/v1/webhooks"


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel", "tab\t"])
def test_a_key_that_cannot_be_sent(key: str) -> None:
    """A key that cannot stand in a header is refused with a hint at once, and not shown."""
    with pytest.raises(InvalidInput) as caught:
        ZofApi(URL, Secret(key), clock=FakeClock(), reporter=SilentReporter())
    assert "ZOF_API_KEY" in (caught.value.hint or "")
    assert not key or key not in caught.value.message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HTTPS_PROXY", "gopher://me:passw0rd@proxy/", "proxy"),
        ("SSL_CERT_FILE", "/nonexistent/ca.pem", "certificates"),
    ],
)
def test_an_environment_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    """A bad proxy or certificate setting is one sentence that repeats no password."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=words) as caught:
        ZofApi(URL, KEY, clock=FakeClock(), reporter=SilentReporter())
    trace = "".join(traceback.TracebackException.from_exception(caught.value).format())
    assert "passw0rd" not in trace


@pytest.mark.parametrize("pace", [0, -1])
def test_a_pace_that_makes_no_sense(pace: int) -> None:
    """A pace below one request a minute is refused."""
    with pytest.raises(ReconcilerError, match="requestsPerMinute"):
        Server(ok({}), requests_per_minute=pace)


def test_closing_is_part_of_with() -> None:
    """As a context manager it closes its connections: another request fails clearly."""
    server = Server(page())
    with server.api as api:
        list(api.list_pages())
    with pytest.raises(RuntimeError, match="closed"):
        list(server.api.list_pages())
