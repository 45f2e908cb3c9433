"""The ledger: what we recorded about one webhook beside its secrets. There is no state file.

It lies in the webhook's Vault document (`document`), whose metadata repeats a part of it (`projection`).
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct, field

from reconciler.model import DeletionPolicy, Run, Secret

if TYPE_CHECKING:
    from datetime import datetime

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How much the clocks of the API, of Vault and of this machine may differ."""


class Pending(Struct, frozen=True):
    """An intent, written before its request is sent: the request's exact bytes and its key."""

    generation: int
    attempt: int
    idempotency_key: str
    body: Secret
    """The request body, JSON; it holds the secret that we made."""
    digest: str
    baseline_ids: frozenset[str]
    """The endpoints that had this normalised URL before: none of them can be ours."""
    written_at: datetime
    resent: bool = False
    """Another run than the one that wrote it may send it, too: a server that forgot the key makes two."""
    stuck: bool = False
    """The server's last word on this key was an error that it may have stored."""
    gap: bool = False
    """The replaced endpoint goes before this one comes (`allowEventGap`)."""
    revoke: bool = False
    """The secret that is replaced is known to others: nothing signed with it counts any longer."""

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

    def abandon(self, last_sent: datetime, *, also: frozenset[str] = frozenset()) -> Abandoned:
        """Return the note that lets a later sweep find what this request may have made.

        It was not sent again after `last_sent`. `also` are ids that are accounted for and must not be swept.
        """
        baseline = self.baseline_ids | also
        return Abandoned(self.idempotency_key, self.url, self.events, baseline, self.written_at, last_sent)


class Current(Struct, frozen=True):
    """The endpoint that this webhook is, now."""

    endpoint_id: str
    generation: int
    digest: str
    url: str
    source: str
    """Who made the secret that counts: `client` or `server`; `adopted`: a person took the endpoint over."""
    created_at: datetime
    verified_at: datetime | None = None
    live_digest: str = ""
    """The digest of what the API made of it; empty where that is unknown and so taken for the same."""


class Previous(Struct, frozen=True):
    """A replaced endpoint whose secret may still be needed."""

    endpoint_id: str
    generation: int
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
    """A request that was given up, or may have been carried out twice."""

    idempotency_key: str
    url: str
    events: tuple[str, ...]
    baseline_ids: frozenset[str]
    written_at: datetime
    """When the intent was written: what it made cannot be much older."""
    abandoned_at: datetime
    """Its last request was sent before this moment."""

    @property
    def watched_until(self) -> datetime:
        """From then on a listing shows everything that the request can have created."""
        return self.abandoned_at + CLOCK_TOLERANCE


class Ledger(Struct, frozen=True):
    """Everything that we know about one webhook beside its secrets."""

    organization: str
    api_url: str
    nonce: str = ""
    """Random, new with each write: tells after a lost answer whether the write was ours."""
    name: str = ""
    """Whose ledger it is: a copy of the document under another name owns nothing."""
    generation: int = 0
    pending: Pending | None = None
    current: Current | None = None
    previous: tuple[Previous, ...] = ()
    abandoned: tuple[Abandoned, ...] = ()
    removing: bool = False
    released: bool = False
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    manifest_path: str | None = None
    manifest_digest: str | None = None
    owner: str | None = None
    run: Run = field(default_factory=Run)

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
    def next_due(self) -> datetime | None:
        """When the next step of an overlap or of a sweep is due, if one is."""
        moments = [p.next_due for p in self.previous] + [a.watched_until for a in self.abandoned]
        return min((moment for moment in moments if moment is not None), default=None)
