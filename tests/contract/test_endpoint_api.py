"""What every `EndpointApi` does: one suite for the in-memory fake and for the client over HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol, Self

import pytest
from msgspec.structs import replace

from reconciler.cli.system import SystemClock
from reconciler.errors import ApiError
from reconciler.model import Endpoint, OddEntry, Secret
from reconciler.ports import Created, Deleted, Delivered, NotDelivered, Refused, Unanswered
from reconciler.sandbox.faults import Fault, FaultKind
from reconciler.zof.caller import MAX_ATTEMPTS
from reconciler.zof.client import ZofApi
from tests.fakes.api import ApiBehavior, FakeApi
from tests.fakes.clock import FakeClock
from tests.fakes.world import SilentReporter
from tests.fixtures.zof import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.ports import EndpointApi
    from reconciler.sandbox.behavior import CreatedField, CreatedFormat, StateField
    from reconciler.sandbox.zof_server import ZofServer
    from tests.fixtures.zof import MakeZof

URL = "https://hooks.example.com/a"
EVENTS = ("run.completed", "run.failed")
CLIENT_SECRET = "whsec_from_the_client_side"


class Subject(Protocol):
    """One implementation, and a hand on what stands behind it."""

    @property
    def api(self) -> EndpointApi:
        """The implementation."""

    def behave(self, behavior: ApiBehavior) -> None:
        """Turn the knobs."""

    def by_hand(self, url: str, events: tuple[str, ...] = EVENTS) -> str:
        """Create an endpoint in the console; return its id."""

    def disable(self, endpoint_id: str) -> None:
        """Disable an endpoint in the console."""

    def secret_of(self, endpoint_id: str) -> str:
        """Tell what deliveries are signed with."""

    def lose_creation(self) -> None:
        """Let the next creation take effect and give no usable answer, however often it is tried."""


class Fake:
    """The in-memory fake."""

    def __init__(self) -> None:
        self.api = FakeApi(FakeClock())

    def behave(self, behavior: ApiBehavior) -> None:
        self.api.behavior = behavior

    def by_hand(self, url: str, events: tuple[str, ...] = EVENTS) -> str:
        return self.api.console_create(url, events).id

    def disable(self, endpoint_id: str) -> None:
        self.api.console_change(endpoint_id, enabled=False)

    def secret_of(self, endpoint_id: str) -> str:
        return self.api.secret_of(endpoint_id)

    def lose_creation(self) -> None:
        def lose(request: str, _answer: object) -> object:
            if request != "create":
                return None
            self.api.after = lambda *_: None
            return Unanswered("HTTP 500", stored_error=True)

        self.api.after = lose


class BriefClock(SystemClock):
    """The machine's time, without its pauses: back-off is tested elsewhere."""

    def sleep(self, seconds: float) -> None:
        """Go on at once."""


class OverHttp:
    """The client and the embedded server."""

    def __init__(self, server: ZofServer, api: ZofApi) -> None:
        self._server = server
        self.api = api

    def behave(self, behavior: ApiBehavior) -> None:
        self._server.behavior = replace(
            self._server.behavior,
            honour_client_secret=behavior.honours_client_secret,
            replay_shows_secret=behavior.replay_shows_secret,
            idempotency_ttl=behavior.key_lifetime,
            key_mismatch="refuse" if behavior.refuses_other_body else "replay",
            unique_urls=behavior.unique_urls,
            delete_supported=behavior.can_delete,
            test_result="deliver" if behavior.accepts_tests else "fail",
            max_page_size=behavior.page_size,
            listing_lag_seconds=behavior.listing_lag,
        )

    def by_hand(self, url: str, events: tuple[str, ...] = EVENTS) -> str:
        return self._server.console.create(url, events).id

    def disable(self, endpoint_id: str) -> None:
        self._server.console.edit(endpoint_id, enabled=False)

    def secret_of(self, endpoint_id: str) -> str:
        return self._server.signing_secrets()[endpoint_id].reveal()

    def lose_creation(self) -> None:
        self._server.fail("POST", "/v1/webhooks", Fault(FaultKind.STATUS, after_commit=True), times=5)


@pytest.fixture(params=["fake", "http"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Give each implementation in turn, empty."""
    if request.param == "fake":
        yield Fake()
        return
    server: ZofServer = request.getfixturevalue("zof")
    with ZofApi(server.url, server.key, clock=BriefClock(), reporter=SilentReporter()) as api:
        yield OverHttp(server, api)


def body(url: str = URL, events: tuple[str, ...] = EVENTS, secret: str | None = CLIENT_SECRET) -> Secret:
    asked = {"url": url, "events": list(events)} | ({} if secret is None else {"secret": secret})
    return Secret(json.dumps(asked))


def listed(subject: Subject) -> dict[str, Endpoint]:
    return {e.id: e for page in subject.api.list_pages() for e in page if isinstance(e, Endpoint)}


def made(subject: Subject, key: str = "key-1", asked: Secret | None = None) -> Created:
    answer = subject.api.create(key, asked or body())
    assert isinstance(answer, Created), answer
    return answer


# --- the listing ----------------------------------------------------------------------------------


def test_an_empty_listing_is_one_empty_page(subject: Subject) -> None:
    """With nothing live there is one page, and nothing on it."""
    assert [list(page) for page in subject.api.list_pages()] == [[]]
    assert subject.api.requests_sent == 1


@pytest.mark.parametrize(("live", "pages"), [(1, 1), (99, 1), (100, 1), (101, 2), (250, 3)])
def test_a_listing_takes_a_request_for_each_hundred(subject: Subject, live: int, pages: int) -> None:
    """Each endpoint comes once, and a full last page is not followed by an empty one."""
    expected = {subject.by_hand(f"{URL}/{number}") for number in range(live)}
    got = [endpoint.id for page in subject.api.list_pages() for endpoint in page]
    assert len(got) == live
    assert set(got) == expected
    assert subject.api.requests_sent == pages


def test_pages_may_be_short(subject: Subject) -> None:
    """A page that is shorter than was asked for does not end the listing."""
    subject.behave(ApiBehavior(page_size=3))
    expected = {subject.by_hand(f"{URL}/{number}") for number in range(8)}
    assert set(listed(subject)) == expected
    assert subject.api.requests_sent == 3


def test_what_is_listed(subject: Subject) -> None:
    """An endpoint has its URL as it was given, sorted events (unknown ones too) and an aware time."""
    endpoint_id = subject.by_hand(URL, ("z.unheard_of", "run.failed"))
    endpoint = listed(subject)[endpoint_id]
    assert endpoint.url == URL
    assert endpoint.events == ("run.failed", "z.unheard_of")
    assert isinstance(endpoint.created, datetime)
    assert endpoint.created.tzinfo is not None


def test_an_endpoint_that_a_person_disabled(subject: Subject) -> None:
    """An endpoint is enabled, unless the listing says that it is not."""
    first, second = subject.by_hand(f"{URL}/1"), subject.by_hand(f"{URL}/2")
    subject.disable(second)
    assert {endpoint.id: endpoint.enabled for endpoint in listed(subject).values()} == {
        first: True,
        second: False,
    }


def test_a_listing_may_lag(subject: Subject) -> None:
    """What was just created may be missing from a listing, which is complete all the same."""
    subject.behave(ApiBehavior(listing_lag=3600))
    made(subject)
    assert listed(subject) == {}


# --- creations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("honours", [True, False])
def test_a_creation_shows_the_secret_that_signs(subject: Subject, honours: bool) -> None:
    """The secret in the answer is the one that deliveries are signed with, whoever made it."""
    subject.behave(ApiBehavior(honours_client_secret=honours))
    answer = made(subject)
    assert answer.secret is not None
    assert answer.secret.reveal() == subject.secret_of(answer.endpoint.id)
    assert (answer.secret.reveal() == CLIENT_SECRET) is honours
    assert not answer.uncertain
    assert listed(subject) == {answer.endpoint.id: answer.endpoint}


def test_a_creation_without_a_secret(subject: Subject) -> None:
    """Where none is proposed, the API makes one."""
    answer = made(subject, asked=body(secret=None))
    assert answer.secret is not None
    assert answer.secret.reveal() == subject.secret_of(answer.endpoint.id)


def test_the_same_key_makes_one_endpoint(subject: Subject) -> None:
    """A repeated creation returns the same endpoint and the same secret, and makes nothing."""
    subject.behave(ApiBehavior(honours_client_secret=False))
    first, again = made(subject), made(subject)
    assert again.endpoint.id == first.endpoint.id
    assert again.secret == first.secret
    assert len(listed(subject)) == 1


def test_a_replay_may_hide_the_secret(subject: Subject) -> None:
    """Where replays hide the secret, the answer has none: nothing stands in for it."""
    subject.behave(ApiBehavior(replay_shows_secret=False))
    first, again = made(subject), made(subject)
    assert again.endpoint.id == first.endpoint.id
    assert first.secret is not None
    assert again.secret is None


def test_a_forgotten_key_makes_another(subject: Subject) -> None:
    """A key that the API no longer knows makes a second endpoint with the same URL."""
    subject.behave(ApiBehavior(key_lifetime=0))
    first, again = made(subject), made(subject)
    assert again.endpoint.id != first.endpoint.id
    assert len(listed(subject)) == 2


def test_a_known_key_with_another_body(subject: Subject) -> None:
    """The same key with another body is a 409 that is not about the URL, and makes nothing."""
    made(subject)
    answer = subject.api.create("key-1", body(f"{URL}/other"))
    assert isinstance(answer, Refused)
    assert answer.status == 409
    assert answer.param != "url"
    assert len(listed(subject)) == 1


def test_a_known_key_with_another_body_may_be_a_replay(subject: Subject) -> None:
    """Other servers give the original result for it."""
    subject.behave(ApiBehavior(refuses_other_body=False))
    first, again = made(subject), made(subject, asked=body(f"{URL}/other"))
    assert again.endpoint == first.endpoint


def test_a_url_may_be_taken(subject: Subject) -> None:
    """Where URLs are unique, a second endpoint is a 409 with `param` `url`, and makes nothing."""
    subject.behave(ApiBehavior(unique_urls=True))
    made(subject)
    answer = subject.api.create("key-2", body())
    assert isinstance(answer, Refused)
    assert (answer.status, answer.param) == (409, "url")
    assert len(listed(subject)) == 1


def test_a_body_that_is_refused(subject: Subject) -> None:
    """A body that the API does not accept is a 400 that names the part, and makes nothing."""
    answer = subject.api.create("key-1", body(events=()))
    assert isinstance(answer, Refused)
    assert (answer.status, answer.param) == (400, "events")
    assert listed(subject) == {}


def test_a_lost_answer_is_found_again(subject: Subject) -> None:
    """A creation whose every answer was a 5xx is unanswered; its key finds what it made later."""
    subject.lose_creation()
    answer = subject.api.create("key-1", body())
    assert isinstance(answer, Unanswered)
    assert answer.stored_error
    (endpoint_id,) = listed(subject)
    again = made(subject)
    assert again.windows == ()
    assert again.endpoint.id == endpoint_id
    assert again.secret is not None
    assert len(listed(subject)) == 1


def test_a_lost_answer_says_when_it_was_under_way(subject: Subject) -> None:
    """An endpoint of unknown outcome was created in one of the windows, give or take the clock's second."""
    before = subject.by_hand(f"{URL}/before")
    subject.lose_creation()
    answer = subject.api.create("key-1", body())
    assert isinstance(answer, Unanswered)
    endpoint = next(e for e in listed(subject).values() if e.id != before)
    assert endpoint.created is not None
    slack = timedelta(seconds=2)
    assert any(w.began - slack <= endpoint.created <= w.ended + slack for w in answer.windows)
    assert all(w.began <= w.ended for w in answer.windows)


# --- tests and deletions --------------------------------------------------------------------------


def test_a_test_delivery(subject: Subject) -> None:
    """A test of a live endpoint is delivered or not; of one that is unknown it is a 404."""
    endpoint_id = made(subject).endpoint.id
    assert isinstance(subject.api.test(endpoint_id), Delivered)
    subject.behave(ApiBehavior(accepts_tests=False))
    failed = subject.api.test(endpoint_id)
    assert isinstance(failed, NotDelivered)
    assert failed.reason
    unknown = subject.api.test("we_unknown")
    assert isinstance(unknown, Refused)
    assert unknown.status == 404


def test_a_deletion(subject: Subject) -> None:
    """A deleted endpoint is gone, the others stay, and deleting it again is a success."""
    endpoint_id, other = made(subject).endpoint.id, subject.by_hand(URL)
    assert isinstance(subject.api.delete(endpoint_id), Deleted)
    assert set(listed(subject)) == {other}
    assert isinstance(subject.api.delete(endpoint_id), Deleted)


def test_deletion_may_be_missing(subject: Subject) -> None:
    """An API that cannot delete says so with a 405, and the endpoint stays."""
    subject.behave(ApiBehavior(can_delete=False))
    endpoint_id = made(subject).endpoint.id
    answer = subject.api.delete(endpoint_id)
    assert isinstance(answer, Refused)
    assert answer.status in {405, 501}
    assert set(listed(subject)) == {endpoint_id}


def test_every_request_is_counted(subject: Subject) -> None:
    """Each request is counted once, whatever came of it."""
    endpoint_id = made(subject).endpoint.id
    subject.api.test(endpoint_id)
    subject.api.delete(endpoint_id)
    subject.api.delete(endpoint_id)
    listed(subject)
    assert subject.api.requests_sent == 5


# --- over HTTP alone: what a fake cannot get wrong ------------------------------------------------


@pytest.fixture
def api(zof: ZofServer) -> Iterator[ZofApi]:
    """Give the client of the embedded server, without pauses and with little patience."""
    with ZofApi(zof.url, zof.key, clock=BriefClock(), reporter=SilentReporter(), read_timeout=2) as client:
        yield client


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.CLOSE),
        Fault(FaultKind.CLOSE, after_commit=True),
        Fault(FaultKind.TRUNCATED),
        Fault(FaultKind.MALFORMED, after_commit=True),
        Fault(FaultKind.HTML, after_commit=True),
        Fault(FaultKind.STATUS, after_commit=True, status=503),
        Fault(FaultKind.HANG, seconds=4),
    ],
    ids=lambda fault: f"{fault.kind}-{'after' if fault.after_commit else 'before'}",
)
def test_a_creation_survives_one_bad_answer(zof: ZofServer, api: ZofApi, fault: Fault) -> None:
    """Whatever goes wrong once, the second try under the same key finds or makes the one endpoint."""
    zof.fail("POST", "/v1/webhooks", fault)
    answer = api.create("key-1", body())
    assert isinstance(answer, Created)
    assert answer.uncertain
    assert [endpoint.id for endpoint in zof.console.list()] == [answer.endpoint.id]
    assert answer.secret == zof.signing_secrets()[answer.endpoint.id]


@pytest.mark.parametrize("status", [429, 403])
def test_a_rate_limit_of_an_hour(zof: ZofServer, status: int) -> None:
    """The message says until when the API asks to wait, whichever status it uses for that."""
    words = json.dumps({"error": {"code": "slow_down", "message": "secondary rate limit"}})
    fault = Fault(FaultKind.STATUS, status=status, body=words, headers={"Retry-After": "3600"})
    zof.fail("*", "/v1/webhooks", fault, times=None)
    clock = FakeClock()
    with ZofApi(zof.url, zof.key, clock=clock, reporter=SilentReporter()) as api:
        with pytest.raises(ApiError, match="rate limit of the Zof API is used up") as refused:
            list(api.list_pages())
        answer = api.create("key-1", body())
    assert "after 2026-11-01 13:00:00 UTC" in (refused.value.hint or "")
    assert isinstance(answer, Unanswered)
    assert "wait until 2026-11-01 13:00:00 UTC" in answer.reason


def test_a_creation_that_certainly_failed(zof: ZofServer) -> None:
    """After nothing but 429 a creation has no window, since it cannot have made an endpoint."""
    zof.fail("POST", "/v1/webhooks", Fault(FaultKind.STATUS, status=429), times=9)
    with ZofApi(zof.url, zof.key, clock=FakeClock(), reporter=SilentReporter()) as api:
        answer = api.create("key-1", body())
    assert isinstance(answer, Unanswered)
    assert answer.windows == ()
    assert zof.console.list() == ()


class _Listener:
    """Accepts connections, reads, and closes them or answers nothing."""

    def __init__(self, *, answers: bytes, hangs: bool) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._answers, self._hangs = answers, hangs
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._held: list[socket.socket] = []
        self.accepted = 0

    @property
    def address(self) -> str:
        """The listener's host and port."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.accepted += 1
                connection.recv(4096)
                if self._answers:
                    connection.sendall(self._answers)
                    connection.recv(4096)
                if self._hangs:
                    self._held.append(connection)
                else:
                    connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake the thread.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._held:
            connection.close()


@pytest.mark.parametrize(
    ("answers", "hangs"),
    [
        (b"", True),
        (b"", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", False),
    ],
)
def test_a_proxy_that_never_connects(monkeypatch: pytest.MonkeyPatch, answers: bytes, hangs: bool) -> None:
    """Without a tunnel and TLS to the API not a byte of a creation is sent: it has no window."""
    with _Listener(answers=answers, hangs=hangs) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        with ZofApi(
            "https://api.example.com/v1",
            Secret("zof_key"),
            clock=BriefClock(),
            reporter=SilentReporter(),
            read_timeout=0.2,
        ) as api:
            answer = api.create("key-1", body())
        assert proxy.accepted
    assert isinstance(answer, Unanswered)
    assert answer.windows == ()


def test_a_server_that_takes_the_request(zof: ZofServer) -> None:
    """Once the request is sent, a connection that is closed leaves a window for each try."""
    with (
        _Listener(answers=b"", hangs=False) as server,
        ZofApi(f"http://{server.address}/v1", zof.key, clock=BriefClock(), reporter=SilentReporter()) as api,
    ):
        answer = api.create("key-1", body())
    assert isinstance(answer, Unanswered)
    assert len(answer.windows) == MAX_ATTEMPTS


@pytest.mark.parametrize(
    ("kind", "skip", "words"),
    [
        (FaultKind.DATA_NOT_LIST, 1, "`data`"),
        (FaultKind.NO_CURSOR, 0, "`next_cursor`"),
        (FaultKind.REPEATED_CURSOR, 1, "a cursor was repeated"),
        (FaultKind.REPEATED_ID, 1, "listed twice"),
        (FaultKind.MALFORMED, 1, "not JSON"),
        (FaultKind.HTML, 2, "web page"),
        (FaultKind.REDIRECT, 1, "redirects to another"),
    ],
)
def test_a_listing_does_not_survive_nonsense(
    zof: ZofServer, api: ZofApi, kind: FaultKind, skip: int, words: str
) -> None:
    """A page that makes no sense, the first or a later one, refuses the listing with its request id."""
    for number in range(250):
        zof.console.create(f"{URL}/{number}", EVENTS)
    zof.fail("GET", "/v1/webhooks", Fault(kind), skip=skip)
    with pytest.raises(ApiError, match=words) as caught:
        list(api.list_pages())
    assert "[request req_" in caught.value.message


@pytest.mark.parametrize("kind", [FaultKind.CLOSE, FaultKind.TRUNCATED, FaultKind.STATUS])
def test_a_listing_survives_one_bad_connection(zof: ZofServer, api: ZofApi, kind: FaultKind) -> None:
    """A page whose connection breaks, or that is a 500, is asked for again with the same cursor."""
    for number in range(150):
        zof.console.create(f"{URL}/{number}", EVENTS)
    zof.fail("GET", "/v1/webhooks", Fault(kind), skip=1)
    assert sum(map(len, api.list_pages())) == 150
    assert api.requests_sent == 3


@pytest.mark.parametrize("field", ["created", "created_at", "none"])
@pytest.mark.parametrize("form", ["utc", "no_zone", "unix"])
@pytest.mark.parametrize("shown", ["status", "enabled"])
def test_a_listing_with_habits_of_its_own(
    zof: ZofServer, api: ZofApi, field: CreatedField, form: CreatedFormat, shown: StateField
) -> None:
    """The time of creation and the status are read under each name; an ambiguous time counts as unknown."""
    zof.behavior = replace(zof.behavior, created_field=field, created_format=form, state_field=shown)
    zof.console.edit(zof.console.create(URL, EVENTS).id, enabled=False)
    (endpoint,) = next(iter(api.list_pages()))
    assert isinstance(endpoint, Endpoint)
    assert (endpoint.created is None) is (field == "none" or form == "no_zone")
    assert not endpoint.enabled


def test_odd_entries_beside_endpoints(zof: ZofServer, api: ZofApi) -> None:
    """An entry that cannot be read comes as a value; the others on its page are read as ever."""
    endpoint_id = zof.console.create(URL, EVENTS).id
    odd = ({"id": 17, "url": URL, "events": None}, {"id": 18, "url": URL, "events": ["x"]}, None)
    zof.behavior = replace(zof.behavior, extra_entries=odd)
    (page,) = list(api.list_pages())
    assert [entry.id for entry in page] == [endpoint_id, "17", "18", None]
    assert [isinstance(entry, OddEntry) for entry in page] == [False, True, False, True]


@pytest.mark.parametrize("status", [200, 202, 204])
def test_each_success_of_a_deletion(zof: ZofServer, api: ZofApi, status: Literal[200, 202, 204]) -> None:
    """A deletion that the API has accepted is a deletion, whatever the status of its answer."""
    zof.behavior = replace(zof.behavior, delete_status=status)
    assert isinstance(api.delete(zof.console.create(URL, EVENTS).id), Deleted)
    assert zof.console.list() == ()


def test_a_server_that_is_away(zof: ZofServer, api: ZofApi) -> None:
    """Where nobody listens the sentence says so, and nothing is in doubt."""
    zof.stop()
    with pytest.raises(ApiError, match="no connection") as caught:
        list(api.list_pages())
    assert caught.value.status is None
    assert isinstance(api.create("key-1", body()), Unanswered)


def test_a_key_that_is_wrong_or_weak(zof: ZofServer, api: ZofApi) -> None:
    """A revoked key and one without the permission are told apart, for reading and for writing."""
    weak = zof.add_key(zof.organization, permissions=())
    zof.revoke_key(zof.key)
    for key, status in ((zof.key, 401), (weak, 403)):
        with ZofApi(zof.url, key, clock=BriefClock(), reporter=SilentReporter()) as client:
            with pytest.raises(ApiError) as caught:
                client.probe()
            assert caught.value.status == status
            answer = client.create("key-1", body())
            assert isinstance(answer, Refused)
            assert answer.status == status


def test_threads_share_a_client(zof: ZofServer) -> None:
    """Eight threads use one client at once: every answer is right and every request is counted."""
    with (
        ZofApi(zof.url, zof.key, clock=BriefClock(), reporter=SilentReporter()) as api,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = list(pool.map(lambda n: api.create(f"key-{n}", body(f"{URL}/{n}")), range(40)))
    urls = {answer.endpoint.url for answer in answers if isinstance(answer, Created)}
    assert urls == {f"{URL}/{n}" for n in range(40)}
    assert api.requests_sent == 40
    assert len(zof.requests) == 40


def test_a_real_quota_is_kept(make_zof: MakeZof) -> None:
    """Against a running quota several threads lose no request, little time, and hardly ever a try."""
    server = make_zof(replace(UNLIMITED, rate_limit=20, rate_window=1.0))
    clock = SystemClock()
    with ZofApi(server.url, server.key, clock=clock, reporter=SilentReporter()) as api:
        began = clock.monotonic()
        api.probe()
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(api.delete, [f"we_{n}" for n in range(30)]))
        seconds = clock.monotonic() - began
    assert all(isinstance(answer, Deleted) for answer in answers)
    assert sum(request.status == 429 for request in server.requests) <= 4
    assert seconds < 10
