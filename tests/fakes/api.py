"""The Zof API's port in memory: deterministic, and as badly behaved as a test wants it."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from reconciler.model import Endpoint, OddEntry, Secret, SendingWindow
from reconciler.ports import (
    CreateAnswer,
    Created,
    DeleteAnswer,
    Deleted,
    Delivered,
    NotDelivered,
    Refused,
    TestAnswer,
    Unanswered,
)
from reconciler.sandbox.spelling import Spelling, respell
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from tests.fakes.clock import FakeClock


_Answer = TypeVar("_Answer", bound=CreateAnswer | TestAnswer | DeleteAnswer)


class ApiBehavior(Struct, frozen=True):
    """What the documentation leaves open."""

    honours_client_secret: bool = True
    hides_secret: bool = False
    """Even the first answer has no secret."""
    secret_suffix: str = ""
    """What each secret ends with."""
    replay_shows_secret: bool = True
    key_lifetime: float = 24 * 3600.0
    unique_urls: bool = False
    adds_slash: bool = False
    """Each URL is kept with a slash at its end."""
    listing_spelling: Spelling = "as_sent"
    """How the listing writes URLs and events; the answer to a creation writes them as they were sent."""
    max_endpoints: int | None = None
    """A creation that would make more is refused with `cap`."""
    cap: Refused = Refused(403, "endpoint_limit_reached", "the maximum of webhook endpoints is reached")
    refuses_other_body: bool = True
    """What a known key with another body gets: a 409, or the original result."""
    stores_server_errors: bool = False
    """A 5xx that a test put in place of a creation's answer is replayed under its key."""
    can_delete: bool = True
    accepts_tests: bool = True
    failing_tests: frozenset[str] = frozenset()
    """The endpoints that do not take a test delivery."""
    page_size: int = 100
    id_prefix: str = "we_"
    """How ids begin: two organizations never have the same."""
    listing_lag: float = 0.0
    """A listing omits endpoints younger than so many seconds."""
    test_lag: float = 0.0
    """A test of an endpoint younger than so many seconds is answered with a 404."""
    deletion_lag: float = 0.0
    """A listing still shows what was deleted less than so many seconds ago (202 for the DELETE)."""
    announced_quota: int | None = None
    """The requests a minute that the API's headers announce."""
    shows_created: bool = True
    """Whether there is a `created` that can be read: with a time zone, and under that name."""


class Deletion(Struct, frozen=True):
    """One DELETE that took effect, for the oracle."""

    endpoint: Endpoint
    also_at_url: frozenset[str]
    """The other endpoints that were live at that URL at that moment."""


def _nothing(*_: object) -> None:
    """Let it pass."""


class NotCarriedOut(Unanswered, frozen=True):
    """What a hook returns for a creation that certainly had no effect: no connection, or nothing but 429."""


class FakeApi:
    """In-memory `EndpointApi`.

    `before` and `after` are called around each request with its name: a test may raise there (a crash),
    make `before` return an answer for a request that then has no effect, or make `after` return another
    answer than the one that took effect (a lost answer). `arguments` holds what the request was given.

    An `Unanswered` that a hook returns for a creation gets the window in which the request was under way,
    unless it has some, or is a `NotCarriedOut`.
    """

    def __init__(self, clock: FakeClock, behavior: ApiBehavior | None = None) -> None:
        """Begin empty."""
        self.clock = clock
        self.behavior = behavior or ApiBehavior()
        self.endpoints: dict[str, Endpoint] = {}
        self.secrets: dict[str, str] = {}
        """The oracle: what each endpoint's deliveries are signed with."""
        self.requests: list[str] = []
        self.deletions: list[Deletion] = []
        self.arguments: tuple[object, ...] = ()
        self.before: Callable[[str], object] = _nothing
        self.after: Callable[[str, CreateAnswer | TestAnswer | DeleteAnswer], object] = _nothing
        self._keys: dict[str, tuple[str, datetime, CreateAnswer]] = {}
        self._count = 0
        self.most_at_one_url = 0
        """The most endpoints that ever were live at one URL at the same time."""
        self._born: dict[str, datetime] = {}
        self._gone: dict[str, tuple[Endpoint, datetime]] = {}
        self._mutex = threading.RLock()
        """Held by each request while it has its effect: changes run in parallel."""
        self.odd: list[OddEntry] = []
        """What the listing has at its end, instead of the endpoints with the same ids."""

    def copy(self, clock: FakeClock) -> FakeApi:
        """Return an independent API in the same state, without hooks."""
        other = FakeApi(clock, self.behavior)
        other.endpoints, other.secrets = dict(self.endpoints), dict(self.secrets)
        other.requests, other.deletions = list(self.requests), list(self.deletions)
        other.arguments, other.most_at_one_url = self.arguments, self.most_at_one_url
        other._keys, other._born, other._count = dict(self._keys), dict(self._born), self._count
        other._gone, other.odd = dict(self._gone), list(self.odd)
        return other

    def now(self) -> datetime:
        """Return the API's time."""
        return self.clock.now()

    @property
    def announced_quota(self) -> int | None:
        """Return what the API announces."""
        return self.behavior.announced_quota

    @property
    def requests_sent(self) -> int:
        """Return how many requests came."""
        return len(self.requests)

    @property
    def posts(self) -> int:
        """Return how many creations were asked for."""
        return self.requests.count("create")

    @property
    def ever_made(self) -> int:
        """Return how many endpoints there have been."""
        return self._count

    def secret_of(self, endpoint_id: str) -> str:
        """Return what the endpoint's deliveries are signed with."""
        return self.secrets[endpoint_id]

    def list_pages(self) -> Iterator[Sequence[Endpoint | OddEntry]]:
        """Yield all endpoints in the order of creation; the cursor is the last id of the page before."""
        last = ""
        while True:
            self._arrives("list", last)
            found = [endpoint for i, endpoint in self._listed().items() if i > last]
            page = found[: self.behavior.page_size]
            shown = [self._shown(endpoint) for endpoint in page]
            if len(page) == len(found):
                yield [*(e for e in shown if e.id not in {odd.id for odd in self.odd}), *self.odd]
                return
            yield shown
            last = page[-1].id

    def _shown(self, endpoint: Endpoint) -> Endpoint:
        url, events = respell(endpoint.url, endpoint.events, self.behavior.listing_spelling)
        created = endpoint.created if self.behavior.shows_created else None
        return replace(endpoint, url=url, events=tuple(sorted(events)), created=created)

    def _listed(self) -> dict[str, Endpoint]:
        """Return what the listing has now, by id in order."""
        now, behavior = self.clock.now(), self.behavior
        with self._mutex:
            found = {i: e for i, e in self.endpoints.items() if self._age(i) >= behavior.listing_lag}
            if behavior.deletion_lag:
                for endpoint, at in self._gone.values():
                    if (now - at).total_seconds() < behavior.deletion_lag:
                        found.setdefault(endpoint.id, endpoint)
        return dict(sorted(found.items()))

    def _age(self, endpoint_id: str) -> float:
        return (self.clock.now() - self._born[endpoint_id]).total_seconds()

    def create(self, idempotency_key: str, body: Secret) -> CreateAnswer:
        """Create an endpoint, or return what this key made before."""
        text, began = body.reveal(), self.clock.now()
        answer = self._arrives("create", idempotency_key, text)
        answer = self._answered("create", answer or self.perform_create(idempotency_key, text))
        if isinstance(answer, Unanswered) and not isinstance(answer, NotCarriedOut) and not answer.windows:
            answer = replace(answer, windows=(SendingWindow(began, self.clock.now()),))
        if self.behavior.stores_server_errors and isinstance(answer, Unanswered) and answer.stored_error:
            self._keys[idempotency_key] = (text, self.clock.now(), replace(answer, windows=()))
        return answer  # type: ignore[no-any-return]

    def perform_create(self, key: str, text: str) -> CreateAnswer:
        """Carry a creation out, past `before` and `after`."""
        with self._mutex:
            return self._create_or_repeat(key, text)

    def _create_or_repeat(self, key: str, text: str) -> CreateAnswer:
        known = self._keys.get(key)
        if known and (self.clock.now() - known[1]).total_seconds() < self.behavior.key_lifetime:
            if known[0] != text and self.behavior.refuses_other_body:
                return Refused(409, "idempotency_key_reuse", "another body", "Idempotency-Key")
            first = known[2]
            if isinstance(first, Created) and not self.behavior.replay_shows_secret:
                return replace(first, secret=None)
            return first
        wanted = json.loads(text)
        if refused := self._refusal(wanted):
            return refused
        url = wanted["url"] + "/" if self.behavior.adds_slash else wanted["url"]
        endpoint = self.console_create(url, wanted["events"])
        if self.behavior.honours_client_secret and "secret" in wanted:
            self.secrets[endpoint.id] = wanted["secret"]
        shown = None if self.behavior.hides_secret else Secret(self.secrets[endpoint.id])
        made = Created(endpoint if self.behavior.shows_created else replace(endpoint, created=None), shown)
        self._keys[key] = (text, self.clock.now(), made)
        return made

    def _refusal(self, wanted: dict[str, Any]) -> Refused | None:
        """Return why the creation is refused for good, if it is."""
        if not wanted.get("events"):
            return Refused(400, "invalid_parameter", "at least one event is needed", "events")
        if self.behavior.unique_urls and self.at_url(normalize_url(wanted["url"])):
            return Refused(409, "conflict", "an endpoint with this URL exists", "url")
        limit = self.behavior.max_endpoints
        return self.behavior.cap if limit is not None and len(self.endpoints) >= limit else None

    def test(self, endpoint_id: str) -> TestAnswer:
        """Deliver a test."""
        answer = self._arrives("test", endpoint_id)
        return self._answered("test", answer or self._test(endpoint_id))

    def _test(self, endpoint_id: str) -> TestAnswer:
        if endpoint_id not in self.endpoints or self._age(endpoint_id) < self.behavior.test_lag:
            return Refused(404, "not_found", "no such endpoint")
        if not self.behavior.accepts_tests or endpoint_id in self.behavior.failing_tests:
            return NotDelivered("HTTP 500 from the receiver")
        return Delivered()

    def delete(self, endpoint_id: str) -> DeleteAnswer:
        """Delete an endpoint."""
        answer = self._arrives("delete", endpoint_id)
        return self._answered("delete", answer or self._delete(endpoint_id))

    def _delete(self, endpoint_id: str) -> DeleteAnswer:
        if not self.behavior.can_delete:
            return Refused(405, "method_not_allowed", "no such operation")
        with self._mutex:
            endpoint = self.endpoints.pop(endpoint_id, None)
            if endpoint is not None:
                self.deletions.append(Deletion(endpoint, self.at_url(endpoint.normalized_url)))
                self._gone[endpoint_id] = endpoint, self.clock.now()
        return Deleted()

    def at_url(self, normalized: str) -> frozenset[str]:
        """Return the endpoints that are live at a normalised URL."""
        with self._mutex:
            return frozenset(e.id for e in self.endpoints.values() if e.normalized_url == normalized)

    def _arrives(self, request: str, *arguments: object) -> Any:
        self.arguments = arguments
        answer = self.before(request)
        self.requests.append(request)
        return answer

    def _answered(self, request: str, answer: _Answer) -> _Answer:
        # What a test returns instead is its own affair.
        other: Any = self.after(request, answer)
        return answer if other is None else other

    def console_create(self, url: str, events: Sequence[str]) -> Endpoint:
        """Create an endpoint as a person would in the console."""
        with self._mutex:
            return self._add(url, events)

    def _add(self, url: str, events: Sequence[str]) -> Endpoint:
        self._count += 1
        endpoint = Endpoint(
            f"{self.behavior.id_prefix}{self._count:04}", url, tuple(sorted(set(events))), self.clock.now()
        )
        self.endpoints[endpoint.id] = endpoint
        beside = sum(each.normalized_url == endpoint.normalized_url for each in self.endpoints.values())
        self.most_at_one_url = max(self.most_at_one_url, beside)
        self._born[endpoint.id] = self.clock.now()
        self.secrets[endpoint.id] = f"whsec_server{self._count:04}{self.behavior.secret_suffix}"
        return endpoint

    def console_delete(self, endpoint_id: str) -> None:
        """Delete an endpoint as a person would in the console."""
        del self.endpoints[endpoint_id]

    def console_change(self, endpoint_id: str, **changes: object) -> None:
        """Change an endpoint as a person would in the console."""
        self.endpoints[endpoint_id] = replace(self.endpoints[endpoint_id], **changes)
