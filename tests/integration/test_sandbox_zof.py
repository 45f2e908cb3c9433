"""The embedded Zof API over real HTTP: the documented behaviour, and the effect of settings and faults."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from msgspec.structs import replace

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.receiver.signature import sign
from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.faults import Fault, FaultKind
from reconciler.sandbox.receiver_server import DeliveryOutcome, ReceiverServer
from reconciler.sandbox.zof_server import ZofServer
from tests.fixtures.patience import PATIENCE
from tests.fixtures.zof import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.sandbox.behavior import CapStatus
    from tests.fixtures.zof import MakeZof

DRAFT = {"url": "https://hooks.example.com/zof", "events": ["run.failed", "run.completed"]}
WEBHOOKS = "/v1/webhooks"


class Clock:
    """Unix time that changes only when a test sets it."""

    def __init__(self, now: float = 1_800_000_000.25) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def connect() -> Iterator[Callable[..., httpx.Client]]:
    """Give a function that opens a client with a server's own key, or with another."""
    clients: list[httpx.Client] = []

    def open_client(server: ZofServer, key: Secret | None = None) -> httpx.Client:
        token = (key or server.key).reveal()
        clients.append(
            httpx.Client(
                base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=10, trust_env=False
            )
        )
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()


@pytest.fixture
def api(zof: ZofServer, connect: Callable[..., httpx.Client]) -> httpx.Client:
    return connect(zof)


def create(api: httpx.Client, *, key: str | None = None, **fields: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return api.post("/webhooks", json=DRAFT | fields, headers=headers)


def listing(api: httpx.Client, **params: Any) -> list[dict[str, Any]]:
    """Follow the cursors to the end."""
    found: list[dict[str, Any]] = []
    while True:
        page = api.get("/webhooks", params=params).json()
        found += page["data"]
        assert page.get("next_cursor") != params.get("starting_after", ""), "a cursor came twice"
        if not page["has_more"]:
            return found
        params["starting_after"] = page["next_cursor"]


def error_of(answer: httpx.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    assert error["message"]
    return answer.status_code, error["code"], error.get("param")


# --- the documented operations --------------------------------------------------------------------


def test_the_secret_is_shown_once(api: httpx.Client, zof: ZofServer) -> None:
    """A creation answers with the endpoint and its secret; the listing has the endpoint without it."""
    created = create(api)
    endpoint = created.json()
    assert created.status_code == 201
    assert zof.signing_secrets()[endpoint["id"]] == Secret(endpoint.pop("secret"))
    assert endpoint["id"].startswith("we_")
    assert endpoint["created"].endswith("Z")
    assert DRAFT.items() <= endpoint.items()
    assert listing(api) == [endpoint]


def test_a_client_made_secret_is_honoured(api: httpx.Client, zof: ZofServer) -> None:
    """The secret in the request becomes the one that deliveries are signed with."""
    endpoint = create(api, secret="whsec_made_by_the_client").json()
    assert endpoint["secret"] == "whsec_made_by_the_client"
    assert zof.signing_secrets() == {endpoint["id"]: Secret("whsec_made_by_the_client")}


def test_every_answer_has_its_headers(api: httpx.Client) -> None:
    """Right, wrong and unknown requests alike carry a new request id and the quota."""
    answers = [
        create(api),
        api.get("/webhooks"),
        api.get("/webhooks", params={"limit": "x"}),
        api.delete("/webhooks/we_none"),
        api.patch("/webhooks"),
        api.get("/elsewhere"),
        api.get("/webhooks", headers={"Authorization": "Bearer wrong"}),
    ]
    for answer in answers:
        assert int(answer.headers["X-RateLimit-Limit"]) > int(answer.headers["X-RateLimit-Remaining"])
        assert answer.headers["X-RateLimit-Reset"].isdigit()
        assert answer.headers["Date"]
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)


def test_pages_cover_the_listing_once(api: httpx.Client, zof: ZofServer) -> None:
    """Following the cursors gives every endpoint exactly once, whatever the page size."""
    ids = [zof.console.create(f"https://h{number}.example.com/", ["run.failed"]).id for number in range(45)]
    assert len(api.get("/webhooks").json()["data"]) == 20
    for limit in (1, 7, 45, 100):
        assert [endpoint["id"] for endpoint in listing(api, limit=limit)] == ids


def test_a_cursor_outlives_its_endpoint(api: httpx.Client, zof: ZofServer) -> None:
    """A listing goes on where it was although the last endpoint of the page before was deleted."""
    ids = [zof.console.create("https://h.example.com/", ["run.failed"]).id for _ in range(3)]
    page = api.get("/webhooks", params={"limit": 1}).json()
    zof.console.delete(ids[0])
    rest = api.get("/webhooks", params={"starting_after": page["next_cursor"]}).json()
    assert [endpoint["id"] for endpoint in rest["data"]] == ids[1:]
    assert "next_cursor" not in rest


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.0", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=1&limit=2", "limit"),
        ("starting_after=we_1", "starting_after"),
        ("starting_after=", "starting_after"),
        ("starting_after=wc_AAAAAAAAAAA%0A", "starting_after"),
        ("page=2", "page"),
    ],
)
def test_a_wrong_listing_parameter_is_named(api: httpx.Client, query: str, param: str) -> None:
    """A parameter out of bounds, repeated or unknown is a 400 that names it."""
    assert error_of(api.get(f"/webhooks?{query}")) == (400, "invalid_parameter", param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"url": None}, "url"),
        ({"url": 7}, "url"),
        ({"url": ""}, "url"),
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "http://127.0.0.1.example.com/"}, "url"),
        ({"url": "http://localhost@example.com/"}, "url"),
        ({"url": "ftp://hooks.example.com/"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://user:password@hooks.example.com/"}, "url"),
        ({"url": "https://hooks.example.com:65536/"}, "url"),
        ({"url": "https://hooks.example.com/\n"}, "url"),
        ({"url": "https://hooks.example.com/é"}, "url"),
        ({"url": "https://hooks.example.com/#part"}, "url"),
        ({"url": "https://hooks.example.com/" + "a" * 2048}, "url"),
        ({"events": []}, "events"),
        ({"events": None}, "events"),
        ({"events": "run.failed"}, "events"),
        ({"events": ["run.failed", 7]}, "events"),
        ({"events": [["run.failed"]]}, "events"),
        ({"events": ["run.exploded"]}, "events"),
        ({"events": ["run.failed\u0000"]}, "events"),
        ({"secret": "too short"}, "secret"),
        ({"secret": None}, "secret"),
        ({"secret": 1234567890123456}, "secret"),
        ({"secret": "a" * 513}, "secret"),
    ],
)
def test_a_wrong_field_is_named(
    api: httpx.Client, zof: ZofServer, fields: dict[str, Any], param: str
) -> None:
    """A creation with an invalid field is a 400 that names it, and creates nothing."""
    assert error_of(create(api, **fields)) == (400, "invalid_parameter", param)
    assert zof.console.list() == ()


@pytest.mark.parametrize("missing", ["url", "events"])
def test_a_missing_field_is_named(api: httpx.Client, missing: str) -> None:
    """Without its URL or its events a creation is a 400 that says which is missing."""
    fields = {name: value for name, value in DRAFT.items() if name != missing}
    assert error_of(api.post("/webhooks", json=fields)) == (400, "invalid_parameter", missing)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"", "application/json", 400, "invalid_json"),
        (b"{", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_json"),
        (b'"text"', "application/json", 400, "invalid_json"),
        (b'{"url": NaN}', "application/json", 400, "invalid_json"),
        (b"[" * 60_000, "application/json", 400, "invalid_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "application/json", 400, "invalid_json"),
        ('{"url": "é"}'.encode("latin-1"), "application/json", 400, "invalid_json"),
        (json.dumps(DRAFT).encode("utf-16"), "application/json", 400, "invalid_json"),
        (b"a" * 100_000, "application/json", 413, "body_too_large"),
        (json.dumps(DRAFT).encode(), "text/plain", 415, "unsupported_media_type"),
        (json.dumps(DRAFT).encode(), "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
def test_an_unreadable_body_is_refused(
    api: httpx.Client, body: bytes, content_type: str, status: int, code: str
) -> None:
    """Whatever is sent as a body, the answer is a clean 4xx with an error object."""
    answer = api.post("/webhooks", content=body, headers={"Content-Type": content_type})
    assert error_of(answer) == (status, code, None)


def test_half_a_surrogate_pair_is_refused(api: httpx.Client) -> None:
    """JSON can escape what no UTF-8 text can hold; that is a 400 as well."""
    body = b'{"url": "https://a.example.com/", "events": ["run.failed"], "secret": "\\ud800aaaaaaaaaaaaaaaa"}'
    answer = api.post("/webhooks", content=body, headers={"Content-Type": "application/json"})
    assert error_of(answer) == (400, "invalid_parameter", "secret")


def test_any_unicode_makes_a_secret(api: httpx.Client, zof: ZofServer) -> None:
    """A secret is text that is stored and returned unchanged; repeated events count once."""
    secret = "ключ-\u0000-\U0001f511-0123456789"
    endpoint = create(
        api, secret=secret, events=["run.failed", "run.failed"], unknown={"ignored": True}
    ).json()
    assert (endpoint["secret"], endpoint["events"]) == (secret, ["run.failed"])
    assert zof.signing_secrets()[endpoint["id"]] == Secret(secret)


def test_deleting_is_final(api: httpx.Client) -> None:
    """A deleted endpoint is gone from the listing, and every further request for it is a 404."""
    endpoint_id = create(api).json()["id"]
    assert api.delete(f"/webhooks/{endpoint_id}").status_code == 204
    assert listing(api) == []
    assert error_of(api.delete(f"/webhooks/{endpoint_id}")) == (404, "not_found", None)
    assert error_of(api.post(f"/webhooks/{endpoint_id}/test")) == (404, "not_found", None)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("PATCH", "/webhooks", 405, "method_not_allowed"),
        ("PUT", "/webhooks/we_1", 405, "method_not_allowed"),
        ("GET", "/webhooks/we_1/test", 405, "method_not_allowed"),
        ("GET", "/webhooks/", 404, "not_found"),
        ("GET", "/runs", 404, "not_found"),
        ("GET", "/../_sandbox/behavior", 404, "not_found"),
    ],
)
def test_what_does_not_exist_is_an_error_object(
    api: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    """Unknown paths and methods get the API's error object, as everything else does."""
    assert error_of(api.request(method, path)) == (status, code, None)


# --- keys and tenants -----------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic wrong", "wrong"])
def test_without_a_known_key_nothing_is_answered(zof: ZofServer, header: str) -> None:
    """A missing, malformed or unknown key is a 401 on every path of the API."""
    for path in ("/webhooks", "/elsewhere"):
        answer = httpx.get(zof.url + path, headers={"Authorization": header})
        assert error_of(answer) == (401, "unauthorized", None)


def test_a_revoked_key_is_unknown(api: httpx.Client, zof: ZofServer) -> None:
    """A key that worked is a 401 once it has been revoked."""
    assert api.get("/webhooks").status_code == 200
    zof.revoke_key(zof.key)
    assert error_of(api.get("/webhooks")) == (401, "unauthorized", None)


def test_a_key_needs_the_permission(zof: ZofServer, connect: Callable[..., httpx.Client]) -> None:
    """A valid key without `webhooks:manage` is a 403, for reading as well."""
    reader = connect(zof, zof.add_key(zof.organization, permissions={"runs:read"}))
    assert error_of(reader.get("/webhooks")) == (403, "forbidden", None)
    assert error_of(create(reader)) == (403, "forbidden", None)


def test_organizations_do_not_see_each_other(
    api: httpx.Client, zof: ZofServer, connect: Callable[..., httpx.Client]
) -> None:
    """Another organization's endpoints cannot be seen or touched, and its idempotency keys are its own."""
    other = connect(zof, zof.add_key("other"))
    mine = create(api, key="k").json()["id"]
    theirs = create(other, key="k").json()["id"]
    assert mine != theirs
    assert [endpoint["id"] for endpoint in listing(other)] == [theirs]
    assert other.delete(f"/webhooks/{mine}").status_code == 404
    assert other.post(f"/webhooks/{mine}/test").status_code == 404
    assert [endpoint["id"] for endpoint in listing(api)] == [mine]


# --- idempotency keys -----------------------------------------------------------------------------


def test_a_repeated_key_gets_the_original_result(api: httpx.Client, zof: ZofServer) -> None:
    """The same key and body give the same endpoint and secret, and there is still only one."""
    first, again = create(api, key="once"), create(api, key="once")
    assert again.json() == first.json()
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert "Idempotent-Replayed" not in first.headers
    assert len(zof.console.list()) == 1


def test_a_key_belongs_to_one_body(api: httpx.Client, zof: ZofServer) -> None:
    """The same key with another body is a 409 that names the key."""
    create(api, key="once")
    conflict = create(api, key="once", url="https://other.example.com/")
    assert error_of(conflict) == (409, "idempotency_key_reuse", "Idempotency-Key")
    zof.behavior = replace(zof.behavior, key_mismatch="replay")
    assert create(api, key="once", url="https://other.example.com/").json()["url"] == DRAFT["url"]
    assert len(zof.console.list()) == 1


def test_requests_at_the_same_time_create_once(zof: ZofServer, connect: Callable[..., httpx.Client]) -> None:
    """Concurrent requests with the same key create one endpoint."""
    clients = [connect(zof) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda client: create(client, key="race").json(), clients))
    assert all(answer == answers[0] for answer in answers)
    assert len(zof.console.list()) == 1


def test_a_refused_creation_leaves_its_key_free(api: httpx.Client) -> None:
    """A request that was invalid can be corrected and sent with the same key."""
    assert create(api, key="k", events=[]).status_code == 400
    assert create(api, key="k").status_code == 201


@pytest.mark.parametrize("key", ["", "a" * 256, "two words", "schl\u00fcssel"])
def test_a_malformed_key_is_named(api: httpx.Client, key: str) -> None:
    """An idempotency key with characters that logs cannot show is a 400."""
    headers = httpx.Headers({b"Idempotency-Key": key.encode("latin-1")})
    answer = api.post("/webhooks", json=DRAFT, headers=headers)
    assert error_of(answer) == (400, "invalid_parameter", "Idempotency-Key")


def test_a_key_is_forgotten_in_time(make_zof: MakeZof, connect: Callable[..., httpx.Client]) -> None:
    """Once its time is over, a key creates again."""
    clock = Clock()
    api = connect(make_zof(replace(UNLIMITED, idempotency_ttl=60), clock=clock))
    first = create(api, key="k").json()["id"]
    clock.now += 59
    assert create(api, key="k").json()["id"] == first
    clock.now += 2
    assert create(api, key="k").json()["id"] != first


def test_a_replay_can_hide_the_secret(api: httpx.Client, zof: ZofServer) -> None:
    """With `replay_shows_secret=False`, the original result is returned without its secret."""
    zof.behavior = replace(zof.behavior, replay_shows_secret=False, secret_field="signing_secret")
    first, again = create(api, key="k").json(), create(api, key="k").json()
    assert first.pop("signing_secret")
    assert again == first


def test_a_stored_error_is_replayed(api: httpx.Client, zof: ZofServer) -> None:
    """With `replay_stored_errors`, a 5xx is repeated for its key although the endpoint was created."""
    zof.behavior = replace(zof.behavior, replay_stored_errors=True)
    zof.fail("POST", WEBHOOKS, Fault(FaultKind.STATUS, status=503, after_commit=True))
    assert create(api, key="k").status_code == 503
    assert create(api, key="k").status_code == 503
    assert create(api, key="other").status_code == 201
    assert len(zof.console.list()) == 2


# --- the quota ------------------------------------------------------------------------------------


def test_the_quota_counts_down_and_resets(make_zof: MakeZof, connect: Callable[..., httpx.Client]) -> None:
    """The headers have the remaining requests and the reset time; beyond the limit is a 429 with a wait."""
    clock = Clock(1_800_000_000.25)
    zof = make_zof(Behavior(rate_limit=2, rate_window=60), clock=clock)
    api = connect(zof)
    assert [api.get("/webhooks").headers["X-RateLimit-Remaining"] for _ in range(2)] == ["1", "0"]
    clock.now += 20
    refused = create(api)
    assert error_of(refused) == (429, "rate_limit_exceeded", None)
    assert refused.headers["X-RateLimit-Reset"] == "1800000061"
    assert refused.headers["Retry-After"] == "41"
    assert connect(zof, zof.add_key(zof.organization)).get("/webhooks").status_code == 200
    clock.now = 1_800_000_061
    assert create(api).status_code == 201


def test_unknown_keys_share_a_quota(make_zof: MakeZof) -> None:
    """Guessing keys is limited, and leaves the quota of a real key alone."""
    zof = make_zof(Behavior(rate_limit=2))
    statuses = [
        httpx.get(f"{zof.url}/webhooks", headers={"Authorization": f"Bearer guess{n}"}).status_code
        for n in range(3)
    ]
    assert statuses == [401, 401, 429]
    headers = {"Authorization": f"Bearer {zof.key.reveal()}"}
    assert httpx.get(f"{zof.url}/webhooks", headers=headers).status_code == 200


# --- settings -------------------------------------------------------------------------------------


def test_a_server_can_insist_on_its_own_secret(api: httpx.Client, zof: ZofServer) -> None:
    """The server can generate the secret itself and return it in another field."""
    zof.behavior = replace(zof.behavior, honour_client_secret=False, secret_field="signing_secret")
    endpoint = create(api, secret="whsec_made_by_the_client").json()
    assert "secret" not in endpoint
    assert endpoint["signing_secret"] != "whsec_made_by_the_client"
    assert zof.signing_secrets()[endpoint["id"]] == Secret(endpoint["signing_secret"])


def test_urls_can_be_unique(api: httpx.Client, zof: ZofServer, connect: Callable[..., httpx.Client]) -> None:
    """With `unique_urls`, an organization's second endpoint with the same URL is a 409 that names the URL."""
    zof.behavior = replace(zof.behavior, unique_urls=True)
    first = create(api).json()["id"]
    assert error_of(create(api, events=["run.started"])) == (409, "url_conflict", "url")
    assert create(connect(zof, zof.add_key("other"))).status_code == 201
    api.delete(f"/webhooks/{first}")
    assert create(api).status_code == 201


def test_deleting_can_be_unsupported(api: httpx.Client, zof: ZofServer) -> None:
    """With `delete_supported=False`, a deletion is a 405 and the endpoint stays."""
    zof.behavior = replace(zof.behavior, delete_supported=False)
    endpoint_id = create(api).json()["id"]
    assert error_of(api.delete(f"/webhooks/{endpoint_id}")) == (405, "method_not_allowed", None)
    assert len(listing(api)) == 1


def test_a_listing_can_have_its_own_spelling(api: httpx.Client, zof: ZofServer) -> None:
    """With `listing_spelling`, only the listing writes an endpoint differently."""
    zof.behavior = replace(zof.behavior, listing_spelling="query_order")
    url = "https://hooks.example.com/zof?x=1&y=2"
    assert create(api, url=url).json()["url"] == url
    assert [each["url"] for each in listing(api)] == ["https://hooks.example.com/zof?y=2&x=1"]


@pytest.mark.parametrize("status", [402, 403, 409, 422])
def test_an_organization_can_have_a_maximum_of_endpoints(
    api: httpx.Client, zof: ZofServer, status: CapStatus
) -> None:
    """With `max_endpoints`, a further creation is refused until an endpoint is deleted; a replay is not."""
    zof.behavior = replace(zof.behavior, max_endpoints=1, cap_status=status)
    endpoint_id = create(api, key="k").json()["id"]
    assert error_of(create(api)) == (status, "endpoint_limit_reached", None)
    assert create(api, key="k").json()["id"] == endpoint_id
    api.delete(f"/webhooks/{endpoint_id}")
    assert create(api).status_code == 201


def test_an_endpoint_can_be_disabled(api: httpx.Client, zof: ZofServer) -> None:
    """The console disables an endpoint; the listing says so in `status` or in `enabled`."""
    endpoint_id = create(api).json()["id"]
    zof.console.edit(endpoint_id, enabled=False)
    assert listing(api)[0]["status"] == "disabled"
    zof.behavior = replace(zof.behavior, state_field="enabled")
    assert listing(api)[0]["enabled"] is False
    zof.console.edit(endpoint_id, enabled=True)
    assert listing(api)[0]["enabled"] is True


def test_a_listing_can_lag_by_requests(api: httpx.Client, zof: ZofServer) -> None:
    """With `listing_lag_requests`, a new endpoint is listed after that many further requests."""
    zof.behavior = replace(zof.behavior, listing_lag_requests=2)
    create(api)
    assert [len(listing(api)) for _ in range(3)] == [0, 0, 1]


def test_a_listing_can_lag_by_time(make_zof: MakeZof, connect: Callable[..., httpx.Client]) -> None:
    """With `listing_lag_seconds`, a new endpoint is listed after that many seconds."""
    clock = Clock()
    api = connect(make_zof(replace(UNLIMITED, listing_lag_seconds=5), clock=clock))
    create(api)
    clock.now += 4
    assert listing(api) == []
    clock.now += 1
    assert len(listing(api)) == 1


def test_a_listing_can_lag_behind_deletions(make_zof: MakeZof, connect: Callable[..., httpx.Client]) -> None:
    """What was deleted through the API is listed for a while, and its second deletion is a 404."""
    clock = Clock()
    zof = make_zof(replace(UNLIMITED, deletion_lag_seconds=5), clock=clock)
    api = connect(zof)
    endpoint_id = create(api).json()["id"]
    assert api.delete(f"/webhooks/{endpoint_id}").status_code == 204
    assert [each["id"] for each in listing(api)] == [endpoint_id]
    assert api.delete(f"/webhooks/{endpoint_id}").status_code == 404
    clock.now += 5
    assert listing(api) == []


def test_a_test_can_lag_behind_the_creation(make_zof: MakeZof, connect: Callable[..., httpx.Client]) -> None:
    """The test of a new endpoint is a 404 for a while."""
    clock = Clock()
    zof = make_zof(replace(UNLIMITED, test_lag_seconds=5), clock=clock)
    api = connect(zof)
    path = f"/webhooks/{create(api).json()['id']}/test"
    assert api.post(path).status_code == 404
    clock.now += 5
    assert api.post(path).status_code == 200


def test_a_listing_can_have_odd_entries(api: httpx.Client, zof: ZofServer) -> None:
    """They come after the last endpoint, as they are set."""
    odd = ({"id": 7, "url": "https://h.example.com/", "events": None}, "nonsense")
    zof.behavior = replace(UNLIMITED, extra_entries=odd, max_page_size=1)
    made = [create(api, url=f"https://h.example.com/{number}").json()["id"] for number in range(2)]
    assert [each["id"] for each in listing(api)[:2]] == made
    assert listing(api)[2:] == list(odd)


def test_answers_can_hold_more_than_is_documented(api: httpx.Client, zof: ZofServer) -> None:
    """Short pages, unknown fields, unknown event types and a `Sunset` header are possible."""
    zof.behavior = replace(
        zof.behavior,
        max_page_size=2,
        extra_fields={"livemode": False},
        extra_event_types=("run.paused",),
        sunset="Wed, 11 Nov 2026 11:11:11 GMT",
    )
    for _ in range(3):
        assert create(api, events=["run.paused"]).json()["livemode"] is False
    page = api.get("/webhooks", params={"limit": 100})
    assert (len(page.json()["data"]), page.json()["has_more"]) == (2, True)
    assert page.headers["Sunset"] == "Wed, 11 Nov 2026 11:11:11 GMT"
    assert [endpoint["events"] for endpoint in listing(api)] == [["run.paused"]] * 3


# --- test deliveries ------------------------------------------------------------------------------


def test_a_test_delivery_is_really_sent(api: httpx.Client, zof: ZofServer) -> None:
    """The receiver gets a signed event at the endpoint's own path, and the answer has its status."""
    with ReceiverServer(lambda _url: list(zof.signing_secrets().values())) as receiver:
        endpoint = create(api, url=f"{receiver.url}/hooks/a?b=%20c").json()
        answer = api.post(f"/webhooks/{endpoint['id']}/test")
        assert answer.json() == {"delivered": True, "status_code": 204}
        (received,) = receiver.wait_for(1)
    assert (received.outcome, received.url) == (DeliveryOutcome.VERIFIED, f"{receiver.url}/hooks/a?b=%20c")
    assert received.event_type == DRAFT["events"][0]
    assert (received.event_id or "").startswith("evt_")


@pytest.mark.parametrize("by_host", [True, False])
def test_deliveries_can_be_sent_elsewhere(api: httpx.Client, zof: ZofServer, by_host: bool) -> None:
    """Deliveries to a public host reach the configured receiver, with the original URL in a header."""
    with ReceiverServer(lambda _url: list(zof.signing_secrets().values())) as receiver:
        zof.behavior = replace(
            zof.behavior, deliver_to={"hooks.example.com": receiver.url} if by_host else receiver.url
        )
        endpoint_id = create(api).json()["id"]
        assert api.post(f"/webhooks/{endpoint_id}/test").json()["delivered"] is True
        assert [received.url for received in receiver.received] == [DRAFT["url"]]


def test_a_wrong_secret_fails_the_delivery(api: httpx.Client, zof: ZofServer) -> None:
    """A receiver that knows another secret answers 401, and the API says that it was not delivered."""
    with ReceiverServer(lambda _url: [Secret("whsec_another")]) as receiver:
        endpoint_id = create(api, url=receiver.url).json()["id"]
        result = api.post(f"/webhooks/{endpoint_id}/test").json()
        assert (result["delivered"], result["status_code"]) == (False, 401)
        assert [received.outcome for received in receiver.received] == [DeliveryOutcome.REJECTED]


def test_public_hosts_are_left_alone(api: httpx.Client, zof: ZofServer) -> None:
    """Without a configured receiver nothing is sent: the delivery is assumed to arrive, or fails."""
    endpoint_id = create(api).json()["id"]
    assert api.post(f"/webhooks/{endpoint_id}/test").json() == {"delivered": True, "status_code": None}
    zof.behavior = replace(zof.behavior, public_deliveries="refuse")
    assert api.post(f"/webhooks/{endpoint_id}/test").json()["delivered"] is False


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("delivered", {"delivered": False, "status_code": None, "error": "no receiver"}),
        ("success", {"success": False, "status_code": None, "error": "no receiver"}),
        ("status_code", {"status_code": None}),
    ],
)
def test_the_answer_to_a_test_has_many_forms(
    api: httpx.Client, zof: ZofServer, form: Any, expected: dict[str, Any]
) -> None:
    """The undocumented answer comes in each form that clients must understand."""
    zof.behavior = replace(zof.behavior, test_result="fail", test_answer=form)
    endpoint_id = create(api).json()["id"]
    result = api.post(f"/webhooks/{endpoint_id}/test").json()
    assert result.keys() == expected.keys()
    assert {**result, "error": "no receiver"} == {**expected, "error": "no receiver"}
    zof.behavior = replace(zof.behavior, test_answer="empty")
    assert api.post(f"/webhooks/{endpoint_id}/test").status_code == 204


def accept_and_close(listening: socket.socket) -> None:
    listening.accept()[0].close()


def test_an_absent_receiver_fails_the_delivery(api: httpx.Client) -> None:
    """Without a listener or TLS the delivery fails, and the answer gives the reason."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        over_tls = create(api, url=f"https://localhost:{port}/").json()["id"]
        silent = create(api, url=f"http://127.0.0.1:{port}/").json()["id"]
        with ThreadPoolExecutor(1) as pool:
            # Close the accepted connection, so that the handshake ends.
            pool.submit(accept_and_close, deaf)
            assert api.post(f"/webhooks/{over_tls}/test").json()["delivered"] is False
    refused = api.post(f"/webhooks/{silent}/test").json()
    assert (refused["delivered"], refused["status_code"]) == (False, None)
    assert "ConnectionRefused" in refused["error"]


def test_a_slow_receiver_fails_the_delivery(api: httpx.Client, zof: ZofServer) -> None:
    """A receiver that does not answer in time has not taken the delivery; other requests go on meanwhile."""
    zof.behavior = replace(zof.behavior, delivery_timeout=0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint_id = create(api, url=f"http://127.0.0.1:{silent.getsockname()[1]}/").json()["id"]
        result = api.post(f"/webhooks/{endpoint_id}/test").json()
    assert (result["delivered"], result["error"]) == (False, "no answer within 0.05 seconds")


def test_an_unreadable_url_fails_the_delivery(api: httpx.Client, zof: ZofServer) -> None:
    """Only the console can create an endpoint with an invalid URL; its delivery fails, and nothing else."""
    for url in ("https://[0]/", "https://h\u2100.example.com/", "http://127.0.0.1:99999/"):
        endpoint = zof.console.create(url, ["run.failed"])
        assert api.post(f"/webhooks/{endpoint.id}/test").json()["delivered"] is False


# --- the receiver ---------------------------------------------------------------------------------


def deliver(url: str, body: bytes, signature: str = "") -> int:
    headers = httpx.Headers({b"X-Zof-Signature": signature.encode()})
    return httpx.post(url, content=body, headers=headers, trust_env=False).status_code


def announce(url: str, length: str) -> int:
    """Send the head of a delivery alone, which no honest client does."""
    with contextlib.closing(
        http.client.HTTPConnection(httpx.URL(url).netloc.decode(), timeout=10)
    ) as connection:
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", length)
        connection.endheaders()
        with connection.getresponse() as answer:
            return answer.status


def test_a_repeated_event_is_known() -> None:
    """The same event delivered twice is verified once and a duplicate afterwards, for each endpoint."""
    body = b'{"id": "evt_1", "type": "run.failed"}'
    with ReceiverServer(lambda _url: [Secret("whsec_a"), Secret("whsec_b")]) as receiver:
        statuses = [deliver(f"{receiver.url}/{path}", body, sign(body, "whsec_b")) for path in "aab"]
        outcomes = [received.outcome for received in receiver.received]
    assert statuses == [204, 204, 204]
    assert outcomes == [DeliveryOutcome.VERIFIED, DeliveryOutcome.DUPLICATE, DeliveryOutcome.VERIFIED]


def test_the_receiver_survives_anything() -> None:
    """Unsigned, unreadable and oversized deliveries get their 4xx, and a secret store that is down a 503."""

    def secrets_for(url: str) -> list[Secret]:
        if "sealed" in url:
            raise ReconcilerError("Vault is sealed")
        return [Secret("whsec_a")]

    with ReceiverServer(secrets_for) as receiver:
        signed = b"[1]"
        assert deliver(receiver.url, b"{}") == 401
        assert deliver(receiver.url, b"{}", "\u00e9") == 401
        assert deliver(receiver.url, signed, sign(signed, "whsec_a")) == 400
        assert deliver(receiver.url, b"[" * 100_000, sign(b"[" * 100_000, "whsec_a")) == 400
        assert deliver(f"{receiver.url}/sealed", b"{}") == 503
        assert announce(receiver.url, "9" * 5000) == 413
        assert announce(receiver.url, "-1") == 411
        outcomes = [received.outcome for received in receiver.received]
    assert outcomes == [
        DeliveryOutcome.REJECTED,
        DeliveryOutcome.REJECTED,
        DeliveryOutcome.UNREADABLE,
        DeliveryOutcome.UNREADABLE,
        DeliveryOutcome.UNAVAILABLE,
    ]


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_commit", [False, True])
def test_a_connection_can_break(api: httpx.Client, zof: ZofServer, after_commit: bool) -> None:
    """A creation without an answer may have been carried out; a retry with its key creates only once."""
    zof.fail("POST", WEBHOOKS, Fault(FaultKind.CLOSE, after_commit=after_commit))
    with pytest.raises(httpx.RemoteProtocolError):
        create(api, key="k")
    assert len(zof.console.list()) == after_commit
    again = create(api, key="k")
    assert ("Idempotent-Replayed" in again.headers) is after_commit
    assert len(zof.console.list()) == 1
    assert [entry.status for entry in zof.requests] == [None, 201]


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "internal_error"), (503, "unavailable"), (429, "rate_limit_exceeded"), (401, "unauthorized")],
)
def test_an_answer_can_be_an_error(api: httpx.Client, zof: ZofServer, status: int, code: str) -> None:
    """An error on demand looks like a real one, with the requested headers and number of times."""
    zof.fail("GET", WEBHOOKS, Fault(FaultKind.STATUS, status=status, headers={"Retry-After": "3"}), times=2)
    for _ in range(2):
        answer = api.get("/webhooks")
        assert error_of(answer) == (status, code, None)
        assert answer.headers["Retry-After"] == "3"
        assert answer.headers["X-Request-Id"]
    assert api.get("/webhooks").status_code == 200


def test_an_error_can_have_any_body(api: httpx.Client, zof: ZofServer) -> None:
    """The body of an error is sent as it is given."""
    zof.fail("*", "/v1/*", Fault(FaultKind.STATUS, status=502, body="<h1>Bad gateway</h1>"))
    assert api.get("/webhooks").text == "<h1>Bad gateway</h1>"


def test_an_answer_can_be_nonsense(api: httpx.Client, zof: ZofServer) -> None:
    """Invalid JSON, a web page, a redirect and half of an answer are possible."""
    for kind in (FaultKind.MALFORMED, FaultKind.HTML, FaultKind.REDIRECT, FaultKind.TRUNCATED):
        zof.fail("GET", WEBHOOKS, Fault(kind))
    malformed, html, redirect = (api.get("/webhooks") for _ in range(3))
    with pytest.raises(json.JSONDecodeError):
        malformed.json()
    assert html.headers["Content-Type"].startswith("text/html")
    assert (redirect.status_code, redirect.headers["Location"][:8]) == (302, "https://")
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        api.get("/webhooks")


def test_a_listing_can_be_misshapen(api: httpx.Client, zof: ZofServer) -> None:
    """Each wrong shape of a listing is possible, on any page."""
    for _ in range(3):
        zof.console.create("https://h.example.com/", ["run.failed"])
    zof.fail("GET", WEBHOOKS, Fault(FaultKind.DATA_NOT_LIST))
    assert isinstance(api.get("/webhooks").json()["data"], dict)
    zof.fail("GET", WEBHOOKS, Fault(FaultKind.NO_CURSOR))
    page = api.get("/webhooks").json()
    assert (page["has_more"], page["next_cursor"]) == (True, None)
    zof.fail("GET", WEBHOOKS, Fault(FaultKind.REPEATED_ID))
    ids = [endpoint["id"] for endpoint in api.get("/webhooks").json()["data"]]
    assert (len(ids), len(set(ids))) == (4, 3)
    zof.fail("GET", WEBHOOKS, Fault(FaultKind.REPEATED_CURSOR), skip=1)
    cursor = api.get("/webhooks", params={"limit": 1}).json()["next_cursor"]
    second = api.get("/webhooks", params={"limit": 1, "starting_after": cursor}).json()
    assert (second["has_more"], second["next_cursor"]) == (True, cursor)


def test_other_answers_have_no_listing_to_spoil(api: httpx.Client, zof: ZofServer) -> None:
    """A fault of a listing's shape leaves any other answer as it is."""
    zof.fail("*", "*", Fault(FaultKind.REPEATED_ID), times=2)
    endpoint_id = create(api).json()["id"]
    assert api.delete(f"/webhooks/{endpoint_id}").status_code == 204


def test_a_client_that_leaves_changes_nothing(zof: ZofServer, caplog: pytest.LogCaptureFixture) -> None:
    """A request whose body never arrives is noted without a status, and is no error of the server's."""
    head = f"POST {WEBHOOKS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{{"
    with socket.create_connection(("127.0.0.1", httpx.URL(zof.url).port or 0)) as client:
        client.sendall(head.encode())
    wait_until(lambda: zof.requests != ())
    assert [entry.status for entry in zof.requests] == [None]
    assert caplog.records == []


def test_a_server_can_hang_before_it_commits(zof: ZofServer, connect: Callable[..., httpx.Client]) -> None:
    """A client that gives up does not stop its request: it is carried out later all the same."""
    impatient, api = connect(zof), connect(zof)
    zof.fail("POST", WEBHOOKS, Fault(FaultKind.HANG, seconds=3))
    with pytest.raises(httpx.ReadTimeout):
        impatient.post("/webhooks", json=DRAFT, headers={"Idempotency-Key": "k"}, timeout=0.05)
    assert listing(api) == []
    wait_until(lambda: zof.console.list() != ())
    assert "Idempotent-Replayed" in create(api, key="k").headers


def test_a_stop_ends_what_hangs(make_zof: MakeZof, connect: Callable[..., httpx.Client]) -> None:
    """Stopping the server breaks the connection of a request that hangs, and does not wait for it."""
    zof = make_zof()
    api = connect(zof)
    zof.fail("GET", WEBHOOKS, Fault(FaultKind.HANG, seconds=3600))
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(api.get, "/webhooks")
        wait_until(lambda: zof.pending_faults() == ())
        zof.stop()
        assert isinstance(hanging.exception(timeout=PATIENCE), httpx.TransportError)
    assert [entry.status for entry in zof.requests] == [None]


def test_faults_wait_for_an_admitted_request(make_zof: MakeZof, connect: Callable[..., httpx.Client]) -> None:
    """A request without a valid key or quota does not use a fault up; clearing forgets what is left."""
    zof = make_zof()
    zof.fail("*", "*", Fault(FaultKind.HTML), times=None)
    assert connect(zof, Secret("wrong")).get("/webhooks").status_code == 401
    api = connect(zof)
    assert [api.get("/webhooks").headers["Content-Type"][:9] for _ in range(3)] == ["text/html"] * 3
    zof.clear_faults()
    assert api.get("/webhooks").json() == {"data": [], "has_more": False}


# --- the console, the log and the controls --------------------------------------------------------


def test_the_console_changes_what_the_api_cannot(api: httpx.Client, zof: ZofServer) -> None:
    """Edits and deletions by hand show in the listing, and in the record of changes."""
    endpoint_id = create(api).json()["id"]
    zof.console.edit(endpoint_id, url="https://edited.example.com/")
    zof.console.edit(endpoint_id, events=["never.heard.of"])
    (live,) = listing(api)
    assert (live["url"], live["events"]) == ("https://edited.example.com/", ["never.heard.of"])
    zof.console.delete(endpoint_id)
    by_hand = zof.console.create("https://h.example.com/", ["run.failed"], secret=Secret("known"))
    assert zof.signing_secrets()[by_hand.id] == Secret("known")
    assert [(change.action, change.by_console) for change in zof.changes] == [
        ("created", False),
        ("edited", True),
        ("edited", True),
        ("deleted", True),
        ("created", True),
    ]


def test_the_console_knows_its_endpoints(zof: ZofServer) -> None:
    """An endpoint that does not exist is an error."""
    for ask in (zof.console.delete, zof.console.edit):
        with pytest.raises(ReconcilerError, match="we_none"):
            ask("we_none")


def test_the_log_has_requests_and_no_bodies(api: httpx.Client, zof: ZofServer) -> None:
    """Each request is noted with its key, status and request id; nothing of a body is."""
    created = create(api, key="k", secret="whsec_never_in_the_log")
    api.get("/webhooks", params={"limit": 5})
    first, second = zof.requests
    assert (first.method, first.path, first.status, first.idempotency_key) == ("POST", WEBHOOKS, 201, "k")
    assert first.request_id == created.headers["X-Request-Id"]
    assert (second.query, second.organization) == ("limit=5", zof.organization)
    assert "whsec" not in repr(zof.requests) + repr(zof.changes) + repr(zof.console.list())


def test_controls_work_over_http(make_zof: MakeZof, connect: Callable[..., httpx.Client]) -> None:
    """Settings, faults, console and log work from another terminal, without a key, and show no secret."""
    zof = make_zof(controls=True)
    api = connect(zof)
    with httpx.Client(base_url=f"{zof.origin}/_sandbox", trust_env=False) as controls:
        assert controls.patch("/behavior", json={"unique_urls": True}).json()["unique_urls"] is True
        assert zof.behavior == replace(UNLIMITED, unique_urls=True)
        assert controls.put("/behavior", json={"rate_limit": 7}).json()["unique_urls"] is False
        assert controls.get("/behavior").json() == Behavior(rate_limit=7).to_json()

        rule = {"method": "GET", "path": WEBHOOKS, "kind": "status", "status": 503, "times": 2}
        assert controls.post("/faults", json=rule).json()["data"][0].items() >= rule.items()
        assert api.get("/webhooks").status_code == 503
        assert controls.get("/faults").json()["data"][0]["times"] == 1
        assert controls.delete("/faults").json() == {"data": []}
        assert api.get("/webhooks").status_code == 200

        made = controls.post("/endpoints", json=DRAFT)
        assert made.status_code == 201
        endpoint = made.json()
        assert controls.get("/endpoints").json()["data"] == [endpoint]
        path = f"/endpoints/{endpoint['id']}"
        assert controls.patch(path, json={"events": ["run.started"]}).json()["events"] == ["run.started"]
        assert controls.patch(path, json={"enabled": False}).json()["enabled"] is False
        assert (
            zof.signing_secrets()[endpoint["id"]].reveal() not in made.text + controls.get("/endpoints").text
        )
        assert controls.delete(path).status_code == 204
        assert [controls.delete(path).status_code, controls.patch(path, json={}).status_code] == [404, 404]
        assert [entry["status"] for entry in controls.get("/requests").json()["data"]] == [503, 200]


def test_keys_of_other_organizations_can_be_added(
    make_zof: MakeZof, connect: Callable[..., httpx.Client]
) -> None:
    """A key sees the endpoints of its organization, and nothing once it is revoked."""
    zof = make_zof(controls=True)
    zof.console.create("https://hooks.example.com/acme", ["run.failed"])
    key = {"key": "zof_globex"}
    with httpx.Client(base_url=f"{zof.origin}/_sandbox", trust_env=False) as controls:
        made = controls.post("/keys", json={**key, "organization": "globex"})
        assert (made.status_code, made.json()["organization"]) == (201, "globex")
        api = connect(zof, Secret("zof_globex"))
        assert listing(api) == []
        controls.post("/keys", json={**key, "organization": "globex", "permissions": []})
        assert api.get("/webhooks").status_code == 403
        assert controls.request("DELETE", "/keys", json=key).status_code == 204
        assert api.get("/webhooks").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "behavior", {"no_such_knob": 1}),
        ("PUT", "behavior", {"deliver_to": "https://hooks.example.com"}),
        ("POST", "faults", {"kind": "explode"}),
        ("POST", "endpoints", {"url": "https://h.example.com/"}),
        ("POST", "endpoints", {"events": ["run.failed"]}),
        ("POST", "endpoints", {**DRAFT, "organization": 7}),
        ("POST", "endpoints", {**DRAFT, "url": 7}),
        ("PATCH", "endpoints/we_1", {"events": "run.failed"}),
        ("PATCH", "endpoints/we_1", {"enabled": "no"}),
        ("POST", "keys", {"organization": "globex"}),
        ("POST", "keys", {"key": "zof_globex"}),
        ("POST", "keys", {"key": "zof_globex", "organization": "globex", "permissions": "all"}),
    ],
)
def test_wrong_controls_are_refused(make_zof: MakeZof, method: str, path: str, body: Any) -> None:
    """An invalid request is a 400 with a message, and changes nothing."""
    zof = make_zof(controls=True)
    answer = httpx.request(method, f"{zof.origin}/_sandbox/{path}", json=body)
    assert error_of(answer)[0] == 400
    assert (zof.behavior, zof.pending_faults(), zof.console.list()) == (UNLIMITED, (), ())


def test_web_pages_cannot_use_the_controls(make_zof: MakeZof) -> None:
    """A page in a browser on this machine can use neither another host name nor a simple request."""
    zof = make_zof(controls=True)
    behavior = f"{zof.origin}/_sandbox/behavior"
    assert httpx.get(behavior, headers={"Host": "rebound.example.com"}).status_code == 403
    assert httpx.put(behavior, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415


def test_controls_exist_only_on_demand(zof: ZofServer) -> None:
    """A server that was started without them has no controls."""
    for path in ("behavior", "faults", "endpoints", "keys", "requests"):
        assert httpx.get(f"{zof.origin}/_sandbox/{path}").status_code == 404


# --- the server itself ----------------------------------------------------------------------------


def test_a_restart_keeps_everything(tmp_path: Path, connect: Callable[..., httpx.Client]) -> None:
    """Endpoints, secrets, API keys, idempotency keys and cursors outlive the server."""
    path = tmp_path / "zof.sqlite"
    with ZofServer(UNLIMITED, path=path) as before:
        api = connect(before)
        created = create(api, key="k").json()
        create(api)
        cursor = api.get("/webhooks", params={"limit": 1}).json()["next_cursor"]
        secrets = before.signing_secrets()
        key = before.key
    with ZofServer(UNLIMITED, path=path) as after:
        assert after.signing_secrets() == secrets
        api = connect(after, key)
        assert create(api, key="k").json() == created
        assert len(api.get("/webhooks", params={"starting_after": cursor}).json()["data"]) == 1
        after.behavior = replace(UNLIMITED, listing_lag_requests=1)
        assert len(listing(api)) == 2
    assert path.stat().st_mode & 0o077 == 0


def test_a_server_says_what_is_wrong_with_its_file(tmp_path: Path) -> None:
    """A file that is not a database or cannot be created is one error, and nothing is left open."""
    other = tmp_path / "notes.txt"
    other.write_text("not a database, but long enough to be taken for one by its size" * 20, encoding="utf-8")
    for path in (other, tmp_path / "missing" / "zof.sqlite"):
        with pytest.raises(ReconcilerError, match=path.name):
            ZofServer(path=path)
    assert other.read_text(encoding="utf-8").startswith("not a database")


def test_a_taken_port_is_said(zof: ZofServer) -> None:
    """A port that is in use is an error of one sentence, for the API and for the receiver."""
    port = httpx.URL(zof.url).port or 0
    with pytest.raises(ReconcilerError, match=str(port)):
        ZofServer(port=port)
    with pytest.raises(ReconcilerError, match=str(port)):
        ReceiverServer(lambda _url: [], port=port)


def test_a_stopped_server_leaves_nothing_behind() -> None:
    """After the stop no thread of it runs, its port is closed, and a second stop does nothing."""
    before = threading.active_count()
    server = ZofServer(UNLIMITED).start()
    port = httpx.URL(server.url).port or 0
    idle = socket.create_connection(("127.0.0.1", port))
    idle.settimeout(10)
    server.stop()
    server.stop()
    # A reset where the connection had not been accepted yet; never a connection left open.
    with contextlib.suppress(ConnectionResetError):
        assert idle.recv(1) == b""
    idle.close()
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do; fail after ten seconds."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)
