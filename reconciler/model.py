"""The nouns of the domain, frozen: what manifests want, what the API lists, and secrets.

Values that a fleet has one of for each webhook say `gc=False`: no cycle runs through texts and times, so
there is nothing to find in 100,000 of them, and a plan of so many takes a twentieth less.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import asdict

from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NO_OVERLAP = timedelta(0)
DEFAULT_API_URL = "https://api.zof.ai/v1"


class Secret:
    """A text that must never be shown. Printing, logging, pickling or copying it yields no byte.

    The only way to the text is `reveal()`, so every place that uses one can be found by its name.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Wrap `text`."""
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Callers hand it to HTTP bodies and signatures, nowhere else."""
        return self._text

    @property
    def has_outer_whitespace(self) -> bool:
        """Whether it begins or ends with whitespace, which a consumer must not trim."""
        return self._text != self._text.strip()

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        import hmac  # noqa: PLC0415 (loads OpenSSL; `validate` compares no secrets)

        return hmac.compare_digest(self._text.encode(), other._text.encode())

    # Secrets are compared, never looked up: a hash would be a fingerprint of the text.
    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        msg = "a secret is never pickled"
        raise TypeError(msg)


class VaultPlace(Struct, frozen=True):
    """Where an organization's documents are in Vault: `<mount>/<prefix>/<name>`."""

    address: str
    mount: str
    prefix: str


class DeletionPolicy(StrEnum):
    """What becomes of an endpoint whose manifest goes."""

    DELETE = "Delete"
    RETAIN = "Retain"
    PROTECT = "Protect"


POLICIES = {policy.value: policy for policy in DeletionPolicy}
"""By their names: a tenth of the time that `DeletionPolicy(name)` takes."""


class Location(Struct, frozen=True, order=True, gc=False):
    """A place in a file. `line` and `column` count from 1; `path` is as the user gave it."""

    path: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


def body_digest(url: str, events: Iterable[str]) -> str:
    """Return the SHA-256 (hex) of what an endpoint is: its normalised URL and its set of events."""
    import hashlib  # noqa: PLC0415 (loads OpenSSL; `validate` needs no digest)

    canonical = json.dumps([normalize_url(url), sorted(set(events))], separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class Webhook(Struct, frozen=True, gc=False):
    """A webhook as its manifest declares it (desired)."""

    name: str
    url: str
    events: tuple[str, ...]
    """Sorted, without repetitions: order does not matter to the API."""
    location: Location
    description: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    runbook: str | None = None
    """The annotation `runbook`: where it is written what to do about it. Other annotations are not kept."""
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    created_after: datetime | None = None
    """The stored secret is replaced when it is older than this (aware, UTC)."""
    overlap: timedelta = NO_OVERLAP
    """How long the replaced endpoint and its secret stay valid."""
    allow_event_gap: bool = False
    test: bool = True
    rotate: bool = False
    """A person asked for a new secret (`reconciler rotate`): `created_after` is the time of that command."""
    revoke: bool = False
    """The secret that is replaced is known to others: it is dropped with its endpoint (`rotate --now`)."""
    source: str | None = None
    """The manifest's path from the root of its repository; None if it is not known."""

    @property
    def recorded_path(self) -> str:
        """The manifest's path as the ledger records it."""
        return self.source or self.location.path

    @property
    def normalized_url(self) -> str:
        """The URL in the spelling that comparisons use."""
        return normalize_url(self.url)

    @property
    def digest(self) -> str:
        """The digest of URL and events, as `body_digest` makes it."""
        return body_digest(self.url, self.events)

    @property
    def owner(self) -> str | None:
        """Who answers for it: the label `owner`, else `team`."""
        return self.labels.get("owner") or self.labels.get("team")


class Endpoint(Struct, frozen=True, gc=False):
    """A webhook endpoint as the API lists it (live)."""

    id: str
    url: str
    events: tuple[str, ...]
    """Sorted, without repetitions; event types that we do not know are kept."""
    created: datetime | None = None
    """When the API made it (aware, UTC), where the API says so."""
    enabled: bool = True
    """Whether it takes deliveries: a person, or the vendor after failing deliveries, may have disabled it."""

    @property
    def normalized_url(self) -> str:
        """The URL in the spelling that comparisons use."""
        return normalize_url(self.url)

    @property
    def digest(self) -> str:
        """The digest of URL and events, as `body_digest` makes it."""
        return body_digest(self.url, self.events)

    def serves(self, webhook: Webhook) -> bool:
        """Whether this is what `webhook` asks for: the same normalised URL and the same events."""
        return self.events == webhook.events and (
            self.url == webhook.url or self.normalized_url == webhook.normalized_url
        )


class SendingWindow(Struct, frozen=True, gc=False):
    """When one try of a request that may have been carried out was under way.

    On the API's clock: ours, corrected by the last `Date` header seen, and no finer than a second or two.
    """

    began: datetime
    """Just before it was sent (aware)."""
    ended: datetime
    """When its response, or its failure, had come."""


class OddEndpoint(Endpoint, frozen=True, gc=False):
    """A live endpoint of which the API's listing shows hardly more than the id: it is never ours."""

    problem: str = ""
    """What cannot be read."""

    def __str__(self) -> str:
        return f"endpoint {self.id}, of which {self.problem}"


class OddEntry(Struct, frozen=True, gc=False):
    """An entry of the API's listing that cannot be read as an endpoint."""

    id: str | None
    url: str | None
    """Each None where it cannot be read."""
    problem: str
    """What cannot be read, in words that follow "of which"."""

    def __str__(self) -> str:
        if self.id is not None:
            return f"endpoint {self.id}, of which {self.problem}"
        # The rest of a URL may be a secret.
        host = urlsplit(normalize_url(self.url)).hostname if self.url else None
        return f"an entry {f'at {host}' if host else 'without a URL'}, of which {self.problem}"

    def as_endpoint(self) -> OddEndpoint | None:
        """Return the endpoint that occupies its URL; None without an id."""
        return None if self.id is None else OddEndpoint(self.id, self.url or "", (), problem=self.problem)


class Run(Struct, frozen=True):
    """Who runs this, for the record: each part is None where it is unknown."""

    actor: str | None = None
    commit: str | None = None
    url: str | None = None
    """The run's page."""
    pull_request: str | None = None
    """The page of the pull request that brought the commit."""
    key_fingerprint: str | None = None
    """The first 8 hex digits of the SHA-256 of the API key: shows whether two runs used the same one."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that the ledger keeps."""
        return asdict(self)


class Organization(Struct, frozen=True):
    """Whose endpoints these are: the scope of names, of URLs and of the ledger."""

    name: str
    api_url: str
