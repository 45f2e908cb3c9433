"""The live endpoints, by id and by normalised URL. No step scans or copies the listing."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.urls import normalize_url, spelling_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from reconciler.ledger.ledger import Ledger
    from reconciler.ledger.projection import Projection
    from reconciler.model import Endpoint

RECENT = timedelta(days=7)
"""Until this age an endpoint is new: people read reports at least once a week."""


class LiveIndex:
    """The listed endpoints, and which of them are owned. Many threads may read while one writes.

    A fork reads through to its parent and keeps its own additions and removals: a simulated run changes a
    fork and pays only for what it changes.
    """

    def __init__(self, endpoints: Iterable[Endpoint] = ()) -> None:
        """Index `endpoints`."""
        self._by_id: dict[str, Endpoint | None] = {e.id: e for e in endpoints}
        self._mutex = threading.Lock()
        """Held while an index is built or changed: what is added meanwhile would be missing from it."""
        self._by_url: dict[str, tuple[str, ...]] | None = None
        self._by_spelling_key: dict[str, tuple[str, ...]] | None = None
        self._sent: dict[str, str] = {}
        """The URLs of recorded endpoints as they were sent: the listing may spell them differently."""
        self._by_sent: dict[str, tuple[str, ...]] | None = None
        self._owned: set[str] = set()
        self._released: set[str] = set()
        self._parent: LiveIndex | None = None

    def fork(self) -> LiveIndex:
        """Return an index that starts as this one and whose changes stay its own."""
        child = LiveIndex()
        child._parent = self
        return child

    def __iter__(self) -> Iterator[Endpoint]:
        """Yield the endpoints of the listing itself (not of a fork)."""
        # A copy: another thread may add an endpoint meanwhile.
        return (endpoint for endpoint in list(self._by_id.values()) if endpoint is not None)

    def unowned(self) -> list[Endpoint]:
        """Return the endpoints of the listing itself (not of a fork) that no ledger owns, by id."""
        return [e for i in sorted(self._by_id.keys() - self._owned) if (e := self._by_id[i]) is not None]

    def get(self, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint with this id if it is live."""
        if endpoint_id in self._by_id:
            return self._by_id[endpoint_id]
        return self._parent.get(endpoint_id) if self._parent else None

    def at(self, normalized_url: str) -> tuple[Endpoint, ...]:
        """Return the live endpoints with this normalised URL, as it is listed or as it was sent, by id."""
        found = {e.id: e for e in self._parent.at(normalized_url)} if self._parent else {}
        for endpoint_id in self._urls().get(normalized_url, ()):
            endpoint = self._by_id[endpoint_id]
            # A later listing may have shown it at another URL.
            if endpoint is not None and endpoint.normalized_url == normalized_url:
                found[endpoint_id] = endpoint
        for endpoint_id in self._sent_urls().get(normalized_url, ()):
            endpoint = self.get(endpoint_id)
            # Somebody may have changed it since.
            if endpoint is not None and spelling_key(endpoint.url) == spelling_key(normalized_url):
                found[endpoint_id] = endpoint
        return tuple(found[key] for key in sorted(found) if self.get(key) is not None)

    def spelled_like(self, url: str) -> tuple[Endpoint, ...]:
        """Return the live endpoints that an API with a spelling of its own may list for `url`, by id."""
        key = spelling_key(url)
        found = {e.id: e for e in self._parent.spelled_like(url)} if self._parent else {}
        for endpoint_id in self._spelling_keys().get(key, ()):
            endpoint = self._by_id[endpoint_id]
            if endpoint is not None and spelling_key(endpoint.url) == key:
                found[endpoint_id] = endpoint
        return tuple(found[key] for key in sorted(found) if self.get(key) is not None)

    def add(self, endpoint: Endpoint) -> None:
        """Note that `endpoint` is live."""
        urls, url = self._urls(), endpoint.normalized_url
        with self._mutex:
            self._by_id[endpoint.id] = endpoint
            urls[url] = (*(i for i in urls.get(url, ()) if i != endpoint.id), endpoint.id)
            # Rebuilt on its next use: few runs need it.
            self._by_spelling_key = None

    def remove(self, endpoint_id: str) -> None:
        """Note that this endpoint is gone."""
        self._by_id[endpoint_id] = None

    def learn(self, ledger: Ledger | Projection) -> None:
        """Record the endpoints that `ledger` owns, or accounts for because it released them."""
        with self._mutex:
            self._sent.update(ledger.sent)
            self._by_sent = None
        owned = ledger.owned_ids
        if owned:
            self._owned.update(owned)
        else:
            self._released.update(ledger.recorded_ids)

    def is_owned(self, endpoint_id: str) -> bool:
        """Whether some ledger owns this endpoint."""
        return endpoint_id in self._owned or (self._parent is not None and self._parent.is_owned(endpoint_id))

    def is_recorded(self, endpoint_id: str) -> bool:
        """Whether some ledger accounts for this endpoint: it is owned or was released."""
        if endpoint_id in self._released or self.is_owned(endpoint_id):
            return True
        return self._parent is not None and self._parent.is_recorded(endpoint_id)

    def _urls(self) -> dict[str, tuple[str, ...]]:
        # Built on first use: a plan without changes never needs it.
        with self._mutex:
            if self._by_url is None:
                self._by_url = _grouped((endpoint.normalized_url, endpoint.id) for endpoint in self)
            return self._by_url

    def _sent_urls(self) -> dict[str, tuple[str, ...]]:
        with self._mutex:
            if self._by_sent is None:
                self._by_sent = _grouped((normalize_url(url), each) for each, url in self._sent.items())
            return self._by_sent

    def _spelling_keys(self) -> dict[str, tuple[str, ...]]:
        with self._mutex:
            if self._by_spelling_key is None:
                self._by_spelling_key = _grouped((spelling_key(e.url), e.id) for e in self)
            return self._by_spelling_key


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the ids of each key."""
    found: dict[str, list[str]] = {}
    for key, endpoint_id in pairs:
        found.setdefault(key, []).append(endpoint_id)
    return {key: tuple(ids) for key, ids in found.items()}


def newest_first(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Return endpoints by age, the newest first; undated ones come last, by id."""
    return sorted(endpoints, key=lambda e: (-e.created.timestamp() if e.created else 0.0, e.id))


def is_new(endpoint: Endpoint, now: datetime) -> bool:
    """Whether an endpoint was created recently. A time in the future is a clock error and counts as now."""
    return endpoint.created is not None and now - endpoint.created < RECENT
