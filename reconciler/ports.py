"""The ports: protocols for everything that the use cases need, and the responses as values.

Each protocol has a real implementation (`zof`, `vault`, `cli`) and an in-memory fake in the tests;
one contract suite runs against both.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from reconciler.ledger.document import Document
    from reconciler.ledger.projection import Projection
    from reconciler.model import Endpoint, OddEntry, Secret, SendingWindow


# --- the answers of the API -----------------------------------------------------------------------


class Created(Struct, frozen=True):
    """The endpoint exists. `secret` is None where the answer hides it."""

    endpoint: Endpoint
    secret: Secret | None
    request_id: str | None = None
    windows: tuple[SendingWindow, ...] = ()
    """Of the earlier tries of this request that may have been carried out, too (5xx, no usable response)."""

    @property
    def uncertain(self) -> bool:
        """Whether the server may have made two."""
        return bool(self.windows)


class Deleted(Struct, frozen=True):
    """The endpoint is gone, also where the API itself answered 404."""

    request_id: str | None = None


class Delivered(Struct, frozen=True):
    """The test delivery was sent, and nothing says that it failed."""

    request_id: str | None = None


class NotDelivered(Struct, frozen=True):
    """The API sent the test, and the endpoint did not accept it. `reason` is the API's text."""

    reason: str
    request_id: str | None = None
    status: int | None = None
    """The receiver's answer, if the API says it."""


_CAP_STATUSES = frozenset({402, 403, 409, 422})
# Texts, compiled when a creation is refused: most runs need none of them.
_RATE = r"(?i)\b(?:rate|requests?)\b"
_CAP_CODE = r"^(?!.*\b(?:rate|request|size|length)\b).*\b(?:limit|limits|quota|maximum|cap|too many)\b"
_ENDPOINTS = r"(?:endpoint|webhook|subscription)s?\b"
_MOST = r"\b(?:limit|quota|maximum|max|cap|too many|at most|no more than)\b"
_NOT_OF_ONE = r"(?!.*\b(?:length|characters|bytes|size|events)\b)"
"""Not "the maximum length of an endpoint's URL"."""
_CAP_WORDS = rf"(?is)^{_NOT_OF_ONE}.*(?:{_MOST}.{{0,60}}{_ENDPOINTS}|{_ENDPOINTS}.{{0,60}}{_MOST})"


class Refused(Struct, frozen=True):
    """A definitive 4xx: the same request will be refused again."""

    status: int
    code: str
    message: str
    param: str | None = None
    request_id: str | None = None
    windows: tuple[SendingWindow, ...] = ()
    """Of the earlier tries of a creation that may have been carried out, before the key was refused."""

    @property
    def is_cap(self) -> bool:
        """Whether a creation is refused because the organization has as many endpoints as it may have.

        There is no documented code for that: the API's code or its words say so. A refusal that names a
        parameter is about that parameter.
        """
        if self.status not in _CAP_STATUSES or self.param is not None or re.search(_RATE, self.message):
            return False
        code = self.code.lower().replace("_", " ").replace("-", " ")
        return any(re.search(*each) for each in ((_CAP_CODE, code), (_CAP_WORDS, self.message)))

    def __str__(self) -> str:
        about = f" (param: {self.param})" if self.param else ""
        return f"HTTP {self.status} {self.code}: {self.message}{about}{_quote_request(self.request_id)}"


class Unanswered(Struct, frozen=True):
    """Retries are used up. What the request did is unknown, unless it is a creation without `windows`."""

    reason: str
    stored_error: bool = False
    """The last word was a 5xx, which the server may keep and replay for this idempotency key."""
    request_id: str | None = None
    windows: tuple[SendingWindow, ...] = ()
    """Of each try of a creation that may have been carried out. None: certainly nothing was created."""

    def __str__(self) -> str:
        return f"{self.reason}{_quote_request(self.request_id)}"


def _quote_request(request_id: str | None) -> str:
    return f" [request {request_id}]" if request_id else ""


class Exchange(Struct, frozen=True):
    """What a response of the API looked like, without the values of its body: for a probe."""

    method: str
    status: int
    rate_limit_headers: tuple[str, ...] = ()
    """The names of those that it had."""
    date: datetime | None = None
    """Its `Date` (aware)."""
    fields: tuple[str, ...] = ()
    """The names of the body's fields; of a listing: those of its endpoints."""


CreateAnswer = Created | Refused | Unanswered
TestAnswer = Delivered | NotDelivered | Refused | Unanswered
DeleteAnswer = Deleted | Refused | Unanswered


class EndpointApi(Protocol):
    """The Zof Webhooks API of one organization. Thread-safe.

    Requests wait for the quota by themselves and retry what may be retried.
    """

    def list_pages(self) -> Iterator[Sequence[Endpoint | OddEntry]]:
        """Yield the pages of the listing, one after another, to its end.

        An entry that cannot be read as an endpoint comes as an `OddEntry`.

        Raises:
            ApiError: a page failed, a cursor or an id came twice, or an answer made no sense. What was
                yielded before is then incomplete and must not be acted on.
        """

    def create(self, idempotency_key: str, body: Secret) -> CreateAnswer:
        """POST exactly `body` (JSON) under `idempotency_key`; retried with the same key only.

        The answer says when each try was under way that may have been carried out. There is no window for a
        try that certainly was not: no connection, no TLS, 401, 403, 429 or another definitive 4xx.
        """

    def test(self, endpoint_id: str) -> TestAnswer:
        """Ask for a signed test delivery. A 404 of the API's own comes back as `Refused`."""

    def delete(self, endpoint_id: str) -> DeleteAnswer:
        """Delete the endpoint; a 404 of the API's own is success.

        A 405 or 501 (no such operation) is `Refused`.
        """

    def now(self) -> datetime:
        """Return the API's time (aware): ours, corrected by the last `Date` that it sent."""
        ...

    @property
    def announced_quota(self) -> int | None:
        """How many requests a minute the API allows, by its last answer; None if it has not said."""

    @property
    def requests_sent(self) -> int:
        """How many requests went out so far, retries included."""


# --- the document store ---------------------------------------------------------------------------


class VersionState(StrEnum):
    """What is left of a document's newest version."""

    ABSENT = "absent"
    """It has no version: the path is free."""
    LIVE = "live"
    DELETED = "deleted"
    """Soft-deleted: it can be undeleted."""
    DESTROYED = "destroyed"


class Metadata(Struct, frozen=True, gc=False):
    """What can be known of a document without reading it."""

    name: str
    version: int
    """The newest version's number; 0 where there is none."""
    state: VersionState
    projection: Projection | None
    """None where `custom_metadata` is absent, or not ours."""
    changed_at: datetime | None = None
    """When the newest version was written, or else deleted, by Vault's clock; None where that is unknown."""
    expires_at: datetime | None = None
    """When Vault will delete the newest version by itself (`delete_version_after`); None: never."""

    @property
    def is_settled(self) -> bool:
        """Whether the projection describes the newest version: no change was interrupted after it."""
        return self.projection is not None and self.projection.version == self.version

    @property
    def is_removed(self) -> bool:
        """Whether the webhook was removed: a deleted version is not to be undeleted."""
        return self.is_settled and self.projection is not None and self.projection.state == "deleted"

    @property
    def is_interrupted(self) -> bool:
        """Whether there is a version that the projection does not describe: only its document shows more."""
        is_lost = self.state is VersionState.DESTROYED and self.projection is None
        return self.state is not VersionState.ABSENT and not is_lost and not self.is_settled


class Stored(Struct, frozen=True):
    """A document as it was read."""

    name: str
    version: int
    state: VersionState
    document: Document | None
    """None unless `state` is live."""
    age: float = 0.0
    """Seconds since the version was written, by Vault's own clock in both terms."""
    projection: Projection | None = None

    @property
    def is_removed(self) -> bool:
        """Whether the webhook was removed: a deleted version is not to be undeleted."""
        projection = self.projection
        return projection is not None and projection.state == "deleted" and projection.version == self.version


class SeenLock(Struct, frozen=True):
    """What the metadata of the lock document shows: enough to name the run that holds it."""

    age: float
    """Seconds since the lock was last written, by Vault's own clock in both terms."""
    note: Mapping[str, str]
    """As the holder wrote it (`LockStore.note_lock`); empty where the lock is free."""


class DocumentStore(Protocol):
    """The documents of one organization in a KV v2 mount. Thread-safe.

    Every method raises `StoreError` when Vault refuses or does not answer.
    """

    def list_metadata(self) -> Mapping[str, Metadata]:
        """Return the metadata of every document, by name, without reading a secret.

        Names that begin with an underscore are the store's own (the lock) and are left out.
        """

    def seen_lock(self) -> SeenLock | None:
        """Return the lock as the last `list_metadata` showed it; None if it has never been held."""

    def read(self, name: str) -> Stored:
        """Return the newest version, and its metadata's projection.

        Raises:
            DocumentUnreadable: it has no ledger that we understand.
        """

    def write(self, name: str, document: Document, *, cas: int) -> int:
        """Write a new version if the newest is still `cas`; return its number.

        A lost answer is settled by reading back and comparing `document.ledger.nonce`.

        Raises:
            CasConflict: another writer was there first; nothing was written.
        """

    def write_projection(self, name: str, projection: Projection) -> None:
        """Write our keys of `custom_metadata` and require check-and-set; nothing else is changed."""

    def soft_delete(self, name: str, version: int) -> None:
        """Delete `version` so that it can be undeleted."""

    def undelete(self, name: str, version: int) -> None:
        """Bring a soft-deleted `version` back."""

    def destroy_before(self, name: str, version: int) -> None:
        """Destroy the content of every version before `version`, for good."""


# --- time, randomness and progress ------------------------------------------------------------------


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def now(self) -> datetime:
        """Return the current time (aware, UTC)."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Fresh(Struct, frozen=True):
    """Randomness for one step: the core itself has none."""

    nonce: str
    key_suffix: str
    """At least 128 random bits, as text: makes an idempotency key that was never used."""
    secret: Secret
    """A signing secret of 32 random bytes: `whsec_` and base64."""


class FreshSource(Protocol):
    """Where the runner takes randomness from: the operating system, or a test's seed."""

    def __call__(self) -> Fresh:
        """Return new randomness."""


class Reporter(Protocol):
    """Receives the progress of a run. Thread-safe; never given a secret."""

    def listed(self, endpoints: int, pages: int) -> None:
        """So many endpoints are listed so far."""

    def planned(self, api_requests: int) -> None:
        """The run is going to need so many API requests; called before its first change."""

    def step(self, name: str, description: str, api_requests: int) -> None:
        """`name` is about to take a step that costs so many API requests."""

    def answered(
        self, name: str, request: str, *, endpoint_id: str | None, request_id: str | None, ok: bool
    ) -> None:
        """A request of `name` to create or delete an endpoint has its result; `request` says which."""

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        """A change ended."""

    def waiting(self, seconds: float, reason: str) -> None:
        """The run must wait; 0 seconds: a wait ended early."""

    def warn(self, message: str) -> None:
        """There is a problem that does not stop the run."""


class LockStore(Protocol):
    """The lock document of one organization (`<prefix>/_lock`), written by check-and-set only."""

    def read_lock(self) -> tuple[int, Mapping[str, str] | None]:
        """Return the newest version's number (0 where there is none) and its fields (None when free)."""

    def write_lock(self, fields: Mapping[str, str] | None, *, cas: int) -> int:
        """Write the fields (None frees the lock) if the newest version is still `cas`.

        Raises:
            CasConflict: another run was there first.
        """

    def note_lock(self, note: Mapping[str, str]) -> None:
        """Write who holds the lock into its metadata, which everybody may read who plans; empty: nobody."""


class ProbeStore(Protocol):
    """The record of a probe (`<prefix>/_probe`), written by check-and-set only."""

    def read_probe(self) -> tuple[int, Mapping[str, str] | None]:
        """Return the newest version's number (0 where there is none) and its fields (None: no record)."""

    def write_probe(self, fields: Mapping[str, str] | None, *, cas: int) -> int:
        """Write the fields (None: nothing is left) if the newest version is still `cas`.

        Raises:
            CasConflict: another run was there first.
        """
