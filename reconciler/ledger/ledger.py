"""The ledger: our record of one webhook, without its secrets. There is no state file.

It is stored in the webhook's Vault document (`document`), whose metadata repeats a part of it (`projection`).
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct, field

from reconciler.model import DeletionPolicy, Run, Secret, SendingWindow
from reconciler.texts import MOST_DIGITS
from reconciler.urls import normalize_url, spelling_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.model import Endpoint

Count = Annotated[int, Meta(ge=0, lt=10**MOST_DIGITS)]

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How much the clocks of the API, of Vault and of this machine may differ."""
SENDING_MARGIN = timedelta(seconds=5)
"""By how much a sending window is widened at each end: times of the API count whole seconds."""


def is_within(created: datetime | None, windows: Iterable[SendingWindow]) -> bool:
    """Whether an endpoint created at this time (None: unknown) was created in one of `windows`."""
    return created is not None and any(
        window.began - SENDING_MARGIN <= created <= window.ended + SENDING_MARGIN for window in windows
    )


class Pending(Struct, frozen=True):
    """An intent, written before its request is sent: the request's exact bytes and its key."""

    generation: Count
    attempt: Count
    idempotency_key: str
    body: Secret
    """The request body, JSON; it holds the secret that we made."""
    digest: str
    baseline_ids: frozenset[str]
    """The endpoints that had this normalised URL before: they cannot be ours."""
    written_at: datetime
    resent: bool = False
    """Another run may send it, too: a server that forgot the key then creates two endpoints."""
    stuck: bool = False
    """The server's last response for this key was an error that it may have stored."""
    gap: bool = False
    """The replaced endpoint is deleted before this one is created (`allowEventGap`)."""
    revoke: bool = False
    """The replaced secret has leaked: deliveries signed with it are not valid any more."""
    windows: tuple[SendingWindow, ...] | None = None
    """When its request was under way and may have been carried out; empty: certainly nothing was created.

    Each run that is about to send it opens a window, which ends at the latest possible moment, and replaces
    it by the true ones when it has its response. None: an older version wrote this intent.
    """

    @property
    def url(self) -> str:
        """The URL that the request asks for."""
        return str(json.loads(self.body.reveal())["url"])

    @property
    def events(self) -> tuple[str, ...]:
        """The events that the request asks for, sorted."""
        return tuple(sorted(json.loads(self.body.reveal())["events"]))

    @property
    def client_secret(self) -> Secret:
        """The signing secret that we proposed."""
        return Secret(json.loads(self.body.reveal())["secret"])

    def abandon(
        self,
        last_sent: datetime,
        windows: tuple[SendingWindow, ...],
        *,
        also: frozenset[str] = frozenset(),
    ) -> Abandoned:
        """Return the record that lets a later sweep find what this request may have created.

        It was not sent again after `last_sent`, and may have been carried out in `windows`. `also` are known
        endpoints that must not be swept.
        """
        return Abandoned(
            self.idempotency_key,
            self.url,
            self.events,
            self.baseline_ids | also,
            self.written_at,
            last_sent,
            windows,
        )


class Current(Struct, frozen=True):
    """The webhook's current endpoint."""

    endpoint_id: str
    generation: Count
    digest: str
    url: str
    source: str
    """Who created the secret: `client` or `server`; `adopted`: a person adopted the endpoint."""
    created_at: datetime
    verified_at: datetime | None = None
    live_digest: str = ""
    """The digest of the endpoint that the API created; if empty, it is assumed to be `digest`."""


class Previous(Struct, frozen=True):
    """A replaced endpoint whose secret may still be needed."""

    endpoint_id: str
    generation: Count
    retire_after: datetime
    """From then on the endpoint is deleted, once its successor is verified."""
    deleted_at: datetime | None = None
    expire_at: datetime | None = None
    """From then on the secret is dropped and destroyed."""
    url: str = ""
    """Empty where that is unknown."""

    @property
    def next_due(self) -> datetime | None:
        """When the endpoint is to be deleted or, after that, its secret dropped; None: unknown."""
        return self.expire_at if self.deleted_at else self.retire_after


class Abandoned(Struct, frozen=True):
    """A request that was given up, or that the API may have carried out twice."""

    idempotency_key: str
    url: str
    events: tuple[str, ...]
    baseline_ids: frozenset[str]
    written_at: datetime
    """When the intent was written."""
    abandoned_at: datetime
    """Its last request was sent before this moment."""
    windows: tuple[SendingWindow, ...] = ()
    """When it may have been carried out: only an endpoint that was created then is taken for its work."""

    @property
    def watched_until(self) -> datetime:
        """From then on a listing shows everything that the request can have created."""
        return self.abandoned_at + CLOCK_TOLERANCE

    def resembles(self, endpoint: Endpoint) -> bool:
        """Whether `endpoint` has this request's URL and exactly its events, and did not exist before it."""
        return (
            endpoint.id not in self.baseline_ids
            and endpoint.events == tuple(sorted(self.events))
            and endpoint.normalized_url == normalize_url(self.url)
        )

    def may_be_spelled(self, endpoint: Endpoint) -> bool:
        """Whether `endpoint` may be this request's work if the API has a spelling of its own.

        That is less than `resembles`: it never explains an endpoint, whenever that was created.
        """
        return (
            endpoint.id not in self.baseline_ids
            and set(self.events) <= set(endpoint.events)
            and spelling_key(endpoint.url) == spelling_key(self.url)
        )

    def may_have_made(self, endpoint: Endpoint) -> bool:
        """Whether there is evidence that `endpoint` is this request's work: it was created in its time.

        Without that, an endpoint that resembles it may as well be a person's.
        """
        return self.resembles(endpoint) and is_within(endpoint.created, self.windows)


class Spelling(Struct, frozen=True):
    """How the API lists an endpoint, where it writes the URL or the events differently from what was sent."""

    digest: str
    """The digest of what was sent."""
    listed: str
    """The digest of what is listed."""


class Manifest(Struct, frozen=True):
    """The manifest that the webhook was last applied from."""

    path: str | None = None
    digest: str | None = None


class Ledger(Struct, frozen=True):
    """Everything that we know about one webhook apart from its secrets."""

    organization: str
    api_url: str
    nonce: str = ""
    """Random, new with each write: after a lost response it shows whether the write was ours."""
    name: str = ""
    """The webhook's name: a copy of the document under another name does not own anything."""
    generation: Count = 0
    pending: Pending | None = None
    current: Current | None = None
    previous: tuple[Previous, ...] = ()
    abandoned: tuple[Abandoned, ...] = ()
    spelling: Spelling | None = None
    """The API's spelling, learned: not drift."""
    suspected: Spelling | None = None
    """What the replaced endpoint looked like: if its successor looks the same, it is the API's spelling."""
    removing: bool = False
    released: bool = False
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    manifest: Manifest = field(default_factory=Manifest)
    owner: str | None = None
    run: Run = field(default_factory=Run)
    version: Literal[1] = 1
    """The version of this format."""

    @property
    def recorded_ids(self) -> frozenset[str]:
        """The endpoints that this ledger accounts for: current, and previous ones not yet deleted."""
        ids = {p.endpoint_id for p in self.previous if p.deleted_at is None}
        if self.current:
            ids.add(self.current.endpoint_id)
        return frozenset(ids)

    @property
    def owned_ids(self) -> frozenset[str]:
        """The recorded endpoints that are ours: a released one is not."""
        return frozenset() if self.released else self.recorded_ids

    @property
    def sent(self) -> Mapping[str, str]:
        """The URLs of the recorded endpoints as they were sent, by id."""
        urls = {p.endpoint_id: p.url for p in self.previous if p.deleted_at is None}
        return urls if self.current is None else {**urls, self.current.endpoint_id: self.current.url}

    @property
    def next_due(self) -> datetime | None:
        """When the next step of an overlap or of a sweep is due, if one is."""
        moments = [p.next_due for p in self.previous] + [a.watched_until for a in self.abandoned]
        return min((moment for moment in moments if moment is not None), default=None)
