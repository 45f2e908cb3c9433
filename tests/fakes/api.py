"""The Zof API's port in memory: faithful, deterministic, and as badly behaved as a test asks for."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from reconciler.model import Endpoint, Secret
from reconciler.ports import (
    CreateAnswer,
    Created,
    DeleteAnswer,
    Deleted,
    Delivered,
    NotDelivered,
    Refused,
    TestAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from tests.fakes.clock import FakeClock


_Answer = TypeVar("_Answer", bound=CreateAnswer | TestAnswer | DeleteAnswer)


@dataclass(frozen=True)
class ApiBehavior:
    """What the documentation leaves open."""

    honours_client_secret: bool = True
    hides_secret: bool = False
    """Even the first answer has no secret."""
    replay_shows_secret: bool = True
    key_lifetime: float = 24 * 3600.0
    unique_urls: bool = False
    can_delete: bool = True
    accepts_tests: bool = True


@dataclass(frozen=True)
class Deletion:
    """One DELETE that took effect, for the oracle."""

    endpoint: Endpoint
    also_at_url: frozenset[str]
    """The other endpoints that were live at that URL at that moment."""


def _nothing(*_: object) -> None:
    """Let it pass."""


class FakeApi:
    """In-memory `EndpointApi`.

    `before` and `after` are called around each request with its name: a test may raise there (a crash),
    or make `after` return another answer than the one that took effect (a lost answer).
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
        self.before: Callable[[str], None] = _nothing
        self.after: Callable[[str, CreateAnswer | TestAnswer | DeleteAnswer], object] = _nothing
        self._keys: dict[str, tuple[str, datetime, Created]] = {}
        self._count = 0

    @property
    def requests_sent(self) -> int:
        """Return how many requests came."""
        return len(self.requests)

    def list_pages(self) -> Iterator[Sequence[Endpoint]]:
        """Yield all endpoints, a hundred a page."""
        found = [self.endpoints[key] for key in sorted(self.endpoints)]
        for start in range(0, max(1, len(found)), 100):
            self.before("list")
            self.requests.append("list")
            yield found[start : start + 100]

    def create(self, idempotency_key: str, body: Secret) -> CreateAnswer:
        """Create an endpoint, or return what this key made before."""
        self.before("create")
        self.requests.append("create")
        return self._answered("create", self._create(idempotency_key, body))

    def _create(self, key: str, body: Secret) -> CreateAnswer:
        text = body.reveal()
        known = self._keys.get(key)
        if known and (self.clock.now() - known[1]).total_seconds() < self.behavior.key_lifetime:
            if known[0] != text:
                return Refused(409, "idempotency_key_reuse", "another body", "Idempotency-Key")
            made = known[2]
            return made if self.behavior.replay_shows_secret else replace(made, secret=None)
        wanted = json.loads(text)
        if self.behavior.unique_urls and any(e.url == wanted["url"] for e in self.endpoints.values()):
            return Refused(409, "conflict", "an endpoint with this URL exists", "url")
        endpoint = self.console_create(wanted["url"], wanted["events"])
        if self.behavior.honours_client_secret:
            self.secrets[endpoint.id] = wanted["secret"]
        shown = None if self.behavior.hides_secret else Secret(self.secrets[endpoint.id])
        made = Created(endpoint, shown)
        self._keys[key] = (text, self.clock.now(), made)
        return made

    def test(self, endpoint_id: str) -> TestAnswer:
        """Deliver a test."""
        self.before("test")
        self.requests.append("test")
        if endpoint_id not in self.endpoints:
            return self._answered("test", Refused(404, "not_found", "no such endpoint"))
        good = self.behavior.accepts_tests
        return self._answered("test", Delivered() if good else NotDelivered("HTTP 500 from the receiver"))

    def delete(self, endpoint_id: str) -> DeleteAnswer:
        """Delete an endpoint."""
        self.before("delete")
        self.requests.append("delete")
        if not self.behavior.can_delete:
            return self._answered("delete", Refused(405, "method_not_allowed", "no such operation"))
        endpoint = self.endpoints.pop(endpoint_id, None)
        if endpoint is not None:
            others = frozenset(e.id for e in self.endpoints.values() if e.url == endpoint.url)
            self.deletions.append(Deletion(endpoint, others))
        return self._answered("delete", Deleted())

    def _answered(self, request: str, answer: _Answer) -> _Answer:
        return self.after(request, answer) or answer  # type: ignore[return-value]

    def console_create(self, url: str, events: Sequence[str]) -> Endpoint:
        """Create an endpoint as a person would in the console."""
        self._count += 1
        endpoint = Endpoint(f"we_{self._count:04}", url, tuple(sorted(events)), self.clock.now())
        self.endpoints[endpoint.id] = endpoint
        self.secrets[endpoint.id] = f"whsec_server{self._count:04}"
        return endpoint

    def console_delete(self, endpoint_id: str) -> None:
        """Delete an endpoint as a person would in the console."""
        del self.endpoints[endpoint_id]

    def console_change(self, endpoint_id: str, **changes: object) -> None:
        """Change an endpoint as a person would in the console."""
        self.endpoints[endpoint_id] = replace(self.endpoints[endpoint_id], **changes)  # type: ignore[arg-type]
