"""How answers are read: hostile bytes become values, or a refusal to understand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.credentials.known import KNOWN
from reconciler.model import Endpoint, OddEntry, Secret
from reconciler.ports import Deleted, Delivered, NotDelivered
from reconciler.zof.responses import (
    Events,
    UnreadableResponse,
    check_refusal,
    is_id,
    read_created_at,
    read_creation,
    read_deletion,
    read_page,
    read_refusal,
    read_secret,
    read_test,
    secrets_in,
)
from reconciler.zof.wire import Response

GOOD = {"id": "we_1", "url": "https://a.example.com/", "events": ["run.failed"]}
BODY = Secret(
    '{"url": "https://asked.example.com/", "events": ["b", "a"], "secret": "whsec_0123456789abcdef"}'
)
ODD_MOMENTS: tuple[Any, ...] = (None, True, "", "soon", "2026-05-20T12:00:00", {}, [], 1e300, float("nan"))


def page(*items: Any, **changes: Any) -> bytes:
    return json.dumps({"data": list(items), "has_more": False, **changes}).encode()


def first(*items: Any) -> Endpoint:
    endpoint = read_page(page(*items), Events()).endpoints[0]
    assert isinstance(endpoint, Endpoint)
    return endpoint


def answer(status: int, value: Any) -> Response:
    return Response(status, {}, value if isinstance(value, bytes) else json.dumps(value).encode(), "req_1")


def test_an_endpoint_is_read() -> None:
    """Events are sorted and unique; unknown fields, unknown events and a missing `created` are fine."""
    item = {**GOOD, "events": ["z.new", "run.failed", "z.new"], "status": "odd", "future": {"x": [1]}}
    read = read_page(page(item, extra=1), Events())
    assert read.next_cursor is None
    assert first(item).events == ("run.failed", "z.new")
    assert first(item).created is None


@pytest.mark.parametrize(
    ("fields", "enabled"),
    [
        ({}, True),
        ({"status": "enabled"}, True),
        ({"status": "active", "enabled": True}, True),
        ({"status": "future", "enabled": None}, True),
        ({"status": 7, "enabled": "false"}, True),
        ({"status": ["disabled"]}, True),
        ({"enabled": False}, False),
        ({"status": "enabled", "enabled": False}, False),
        *(({"status": word}, False) for word in ("disabled", "inactive", "paused", "suspended", "Disabled")),
    ],
)
def test_a_disabled_endpoint(fields: dict[str, Any], enabled: bool) -> None:
    """`enabled: false` and the words for it are read; anything else, such as a new status, means nothing."""
    assert first(GOOD | fields).enabled is enabled


@pytest.mark.parametrize(
    ("fields", "created"),
    [
        ({"created": "2026-05-20T12:00:00Z"}, datetime(2026, 5, 20, 12, tzinfo=UTC)),
        ({"created_at": "2026-05-20T14:00:00+02:00"}, datetime(2026, 5, 20, 12, tzinfo=UTC)),
        ({"created": None, "created_at": 1779278400}, datetime(2026, 5, 20, 12, tzinfo=UTC)),
        ({"created_at": "2026-05-20T12:00:00"}, None),
        ({"created": "2026-05-20T12:00:00", "created_at": "soon"}, None),
        ({"created": {}}, None),
    ],
)
def test_the_time_of_creation(fields: dict[str, Any], created: datetime | None) -> None:
    """It is called `created` or `created_at`; without a time zone it is unknown, and never an error."""
    assert first(GOOD | fields).created == created


def test_events_are_kept_once() -> None:
    """Equal event lists, in whatever order, become one object: a fleet of thousands has few."""
    listing = page({**GOOD, "events": ["b", "a"]}, {**GOOD, "events": ["a", "b", "a"]})
    one, other = (e for e in read_page(listing, Events()).endpoints if isinstance(e, Endpoint))
    assert one.events is other.events


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\xfa", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b'{"data": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (json.dumps({"has_more": False}).encode(), "`data`"),
        (json.dumps({"data": {}, "has_more": False}).encode(), "`data`"),
        (json.dumps({"data": []}).encode(), "`has_more`"),
        (page(has_more="false"), "`has_more`"),
        (page(has_more=True), "`next_cursor`"),
        (page(has_more=True, next_cursor=""), "`next_cursor`"),
        (page(has_more=True, next_cursor=7), "`next_cursor`"),
        (page(has_more=True, next_cursor="\ud800"), "`next_cursor`"),
        (page(has_more=True, next_cursor="x" * 5000), "`next_cursor`"),
    ],
)
def test_a_misshapen_page_is_refused(value: bytes, words: str) -> None:
    """What we act on must have its shape; the message says which part has not."""
    with pytest.raises(UnreadableResponse, match=words):
        read_page(value, Events())


@pytest.mark.parametrize(
    ("value", "entry", "words"),
    [
        ("we_1", (None, None), "not an object"),
        (None, (None, None), "not an object"),
        ({**GOOD, "id": True}, (None, GOOD["url"]), "`id`"),
        ({**GOOD, "id": 7.0}, (None, GOOD["url"]), "`id`"),
        ({**GOOD, "id": "a/b"}, (None, GOOD["url"]), "`id`"),
        ({**GOOD, "id": 10**200}, (None, GOOD["url"]), "`id`"),
        ({"url": "https://a.example.com/", "events": []}, (None, GOOD["url"]), "`id`"),
        ({**GOOD, "url": None}, ("we_1", None), "`url`"),
        ({**GOOD, "url": ""}, ("we_1", None), "`url`"),
        ({**GOOD, "url": "https://\ud800"}, ("we_1", None), "`url`"),
        ({**GOOD, "events": None}, ("we_1", GOOD["url"]), "`events`"),
        ({**GOOD, "id": 17, "events": None}, ("17", GOOD["url"]), "`events`"),
        ({**GOOD, "events": "run.failed"}, ("we_1", GOOD["url"]), "`events`"),
        ({**GOOD, "events": [1]}, ("we_1", GOOD["url"]), "`events`"),
        ({**GOOD, "events": [["run.failed"]]}, ("we_1", GOOD["url"]), "`events`"),
        ({**GOOD, "events": ["\udfff"]}, ("we_1", GOOD["url"]), "`events`"),
    ],
)
def test_an_odd_entry(value: Any, entry: tuple[Any, Any], words: str) -> None:
    """It comes back as a value with what could be read; the entries beside it are endpoints."""
    odd, endpoint = read_page(page(value, {**GOOD, "id": "we_2"}), Events()).endpoints
    assert isinstance(odd, OddEntry)
    assert (odd.id, odd.url) == entry
    assert words in odd.problem
    assert isinstance(endpoint, Endpoint)


@pytest.mark.parametrize(("value", "read"), [(17, "17"), (0, "0"), (-3, "-3"), (2**64, str(2**64))])
def test_an_integer_id(value: int, read: str) -> None:
    """It counts as its decimal text, in a listing and in the answer to a creation."""
    assert first({**GOOD, "id": value}).id == read
    assert read_creation(answer(201, {**GOOD, "id": value}), BODY).endpoint.id == read


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "a%2f",
        "a b",
        "a\nb",
        "a\n",
        "\x1b[",
        "é",
        "a,b",
        "a\xa0b",
        "a\u200bb",
    ],
)
def test_an_id_that_breaks_a_path_is_refused(bad: str) -> None:
    """An id becomes part of a URL, so nothing that means something there may be in it."""
    assert not is_id(bad)
    assert is_id("we_01H.a-b:c~=")
    assert not is_id("x" * 256)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-05-20T12:00:00Z", datetime(2026, 5, 20, 12, tzinfo=UTC)),
        ("2026-05-20T14:00:00.5+02:00", datetime(2026, 5, 20, 12, 0, 0, 500_000, tzinfo=UTC)),
        (1779278400, datetime(2026, 5, 20, 12, tzinfo=UTC)),
        (1779278400.0, datetime(2026, 5, 20, 12, tzinfo=UTC)),
        (1779278400000, datetime(2026, 5, 20, 12, tzinfo=UTC)),
        *((odd, None) for odd in ODD_MOMENTS),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59Z", None),
        (-1e10, None),
        (10**400, None),
    ],
)
def test_created(value: Any, expected: datetime | None) -> None:
    """`created` is RFC 3339 or Unix time in seconds or milliseconds; anything else counts as unknown."""
    assert read_created_at(value) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"secret": "whsec_a"}, "whsec_a"),
        ({"signing_secret": "whsec_b"}, "whsec_b"),
        ({"secret": "whsec_a", "signing_secret": "whsec_b"}, "whsec_b"),
        ({"secret": "whsec_a", "signing_secret": "whsec_***"}, "whsec_a"),
        ({"secret": "whsec_a", "signing_secret": None}, "whsec_a"),
        ({}, None),
        *(
            ({"secret": s}, None)
            for s in ("", "  ", "whsec_****abcd", "whsec_…", "••••", "wh...", "[REDACTED]", 7)
        ),
        ({"secret": "\ud800"}, None),
        ({"secret": "line\nbreak"}, None),
        ({"secret": "whsec_a\n"}, "whsec_a\n"),
        ({"secret": " whsec_a\r\n"}, " whsec_a\r\n"),
        ({"secret": "\n"}, None),
        ({"secret": "whsec_***\n"}, None),
    ],
)
def test_the_secret_of_a_creation(fields: dict[str, Any], expected: str | None) -> None:
    """The secret is found under either name; one that is absent, empty or masked is no secret."""
    made = read_creation(answer(201, {**GOOD, **fields}), BODY)
    assert (made.secret and made.secret.reveal()) == expected
    assert made.endpoint.url == GOOD["url"]


def test_a_creation_may_leave_out_what_was_asked() -> None:
    """An answer of an id and a secret alone is enough: URL and events are those of the request."""
    made = read_creation(answer(200, {"id": "we_9", "secret": "whsec_x"}), BODY)
    assert (made.endpoint.url, made.endpoint.events) == ("https://asked.example.com/", ("a", "b"))


def test_secret_words() -> None:
    """A real secret that merely contains a word for a mask is kept."""
    assert read_secret("whsec_hiddenvalleyABC") is not None
    assert read_secret("<hidden>") is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", None),
        (b" \n", None),
        (b"[]", None),
        (b"true", None),
        ({"delivered": True, "status_code": 204}, None),
        ({"status_code": "500"}, None),
        ({"delivered": False}, "not delivered"),
        ({"success": False, "error": "tls"}, "tls"),
        ({"status_code": 404}, "answered 404"),
        ({"delivered": True, "status_code": 500, "message": "a\x1b[31mb"}, "answered 500; a[31mb"),
        ({"delivered": False, "error": {"message": "refused"}}, "refused"),
    ],
)
def test_a_test_answer(body: Any, reason: str | None) -> None:
    """A 2xx means delivered unless the body clearly says otherwise; its words are quoted cleanly."""
    read = read_test(answer(200, body))
    if reason is None:
        assert read == Delivered("req_1")
    else:
        assert isinstance(read, NotDelivered)
        assert reason in read.reason


ERROR = {"error": {"code": "not_found", "message": "no such endpoint"}}
PAGE = b"<html><h1>default backend - 404</h1></html>"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (PAGE, "web page"),
        (b"OK", "not JSON"),
        (b'{"delivered": tr', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (ERROR, "error object"),
    ],
)
def test_what_is_no_success(body: Any, words: str) -> None:
    """A 2xx with a web page, with no JSON or with an error object is no word of the API's."""
    with pytest.raises(UnreadableResponse, match=words):
        read_test(answer(200, body))
    with pytest.raises(UnreadableResponse, match=words):
        read_deletion(answer(200, body))


@pytest.mark.parametrize(
    "body", [b"", b" ", {}, [], None, {"deleted": True, "id": "we_1"}, GOOD, {"error": None}]
)
def test_a_deletion_answer(body: Any) -> None:
    """A deletion may be answered with nothing or any JSON that does not say otherwise."""
    assert read_deletion(answer(200, body)) == Deleted("req_1")


def test_a_deletion_that_says_no() -> None:
    """A success that says that nothing was deleted is none."""
    with pytest.raises(UnreadableResponse, match="nothing was deleted"):
        read_deletion(answer(200, {"deleted": False}))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, PAGE, "web page"),
        (404, b"", "not JSON"),
        (404, b"default backend - 404", "not JSON"),
        (404, [], "not a JSON object"),
        (404, {"message": "Not Found"}, "no error object"),
        (403, {"error": "forbidden"}, "no error object"),
        (404, {"error": {"status": 404}}, "no error object"),
        (404, {"error": {"code": 404, "message": None}}, "no error object"),
        (302, b"", "redirect"),
        (307, {"data": []}, "redirect"),
    ],
)
def test_a_refusal_of_somebody_else(status: int, body: Any, words: str) -> None:
    """Without the API's error object a refusal is not the API's: proxies and gateways have statuses, too."""
    with pytest.raises(UnreadableResponse, match=words):
        check_refusal(answer(status, body), "GET")


def test_a_refusal_of_the_apis_own() -> None:
    """Fields that we do not know, in the answer or in the error, change nothing."""
    check_refusal(answer(404, ERROR), "GET")
    check_refusal(answer(404, {"error": {"code": "not_found"}}), "GET")
    check_refusal(
        answer(404, {"error": {**ERROR["error"], "param": "id", "doc_url": {}}, "request": [1]}), "GET"
    )


def test_a_refusal_quotes_the_server_safely() -> None:
    """Code, message and param are one line each, capped, and without what we sent in confidence."""
    KNOWN.add(Secret("zof_live_abcdefghijklmnop"))
    error = {
        "code": "bad\x00\x1b[2J" + "c" * 500,
        "message": "key zof_live_abcdefghij… of whsec_0123456789abcdef\n::error::\u202e" + "m" * 9000,
        "param": ["url"],
    }
    refused = read_refusal(answer(400, {"error": error}))
    assert refused.code.startswith("bad[")
    assert len(refused.code) <= 64
    assert len(refused.message) == 300
    assert refused.message.startswith("key ***… of *** ::error::mmm")
    assert refused.param is None
    assert refused.request_id == "req_1"


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (400, {"error": "plain words"}, "unknown", "plain words"),
        (400, {"error": None}, "unknown", "without a message"),
        (400, b"<html>nope", "unknown", "no error object"),
        (302, b"", "redirect", "not followed"),
    ],
)
def test_a_refusal_in_another_shape(status: int, body: Any, code: str, message: str) -> None:
    """An error answer that is not the API's own still gives a sentence."""
    refused = read_refusal(answer(status, body))
    assert refused.code == code
    assert message in refused.message


def test_a_body_that_cannot_be_read_is_hidden_as_a_whole() -> None:
    """Where no secret can be found in the request, all of the request counts as one."""
    assert [s.reveal() for s in secrets_in(Secret("not json"))] == ["not json"]
    assert secrets_in(Secret("{}")) == []
