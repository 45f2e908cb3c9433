"""The record of a probe's requests: written before each is sent, so that a later run removes what is left."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from reconciler.errors import DocumentUnreadable
from reconciler.model import Secret
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.model import Endpoint

_FIELD = "requests"
_CLOCKS_DIFFER = timedelta(seconds=10)
_LONGEST_REQUEST = timedelta(minutes=3)
"""How long after its first byte a request may still create an endpoint, retries included."""


class ProbeRequest(Struct, frozen=True):
    """One creation of a probe."""

    key: str
    body: Secret
    """The request body, JSON; it holds a signing secret."""
    sent_at: datetime
    """Just before it was sent, on the API's clock."""
    endpoint_ids: tuple[str, ...] = ()
    """The endpoints that the API returned for this key, until they are deleted."""
    uncertain: bool = True
    """Whether it may have created an endpoint that no response has named."""
    ended_at: datetime | None = None
    """When its last try had ended, on the API's clock; None: the probe was killed before that."""

    @property
    def url(self) -> str:
        """The URL that it asks for."""
        return str(json.loads(self.body.reveal())["url"])

    @property
    def events(self) -> tuple[str, ...]:
        """The events that it asks for, sorted."""
        return tuple(sorted(json.loads(self.body.reveal())["events"]))

    def may_have_created(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint can be this request's: as asked for, and created while it was under way."""
        return self.asks_for(endpoint) and self.was_under_way(endpoint.created)

    def asks_for(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint has the URL and the events of this request."""
        return endpoint.normalized_url == normalize_url(self.url) and endpoint.events == self.events

    def may_be(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint may be this request's in the listing's own spelling, or a look-alike."""
        return _address(endpoint.url) == _address(self.url) and not self.predates(endpoint.created)

    def was_under_way(self, moment: datetime | None) -> bool:
        """Whether `moment` is one at which this request can have created an endpoint; None: unknown."""
        if moment is None:
            return False
        ended = self.sent_at + _LONGEST_REQUEST if self.ended_at is None else self.ended_at + _CLOCKS_DIFFER
        return self.sent_at - _CLOCKS_DIFFER <= moment <= ended

    def predates(self, moment: datetime | None) -> bool:
        """Whether something that was created at `moment` existed before this request."""
        return moment is not None and moment < self.sent_at - _CLOCKS_DIFFER


def _address(url: str) -> str:
    """Return a URL without what listings of other APIs write differently: the query and the last slash."""
    return normalize_url(url.partition("?")[0]).removesuffix("/")


def probe_fields(requests: Sequence[ProbeRequest]) -> dict[str, str]:
    """Return the fields that Vault stores. This reveals secrets: for the Vault adapter alone."""
    return {_FIELD: msgspec.json.encode(list(requests), enc_hook=_reveal).decode()}


def read_probe_fields(fields: Mapping[str, str] | None) -> tuple[ProbeRequest, ...]:
    """Read what `probe_fields` wrote; no request without fields.

    Raises:
        DocumentUnreadable: somebody else wrote it. The message quotes nothing of it.
    """
    if not fields:
        return ()
    try:
        requests = msgspec.json.decode(fields[_FIELD], type=tuple[ProbeRequest, ...], dec_hook=_wrap)
        for request in requests:
            _ = request.url, request.events, request.was_under_way(request.sent_at)
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError):
        raise DocumentUnreadable(
            "the record of an earlier probe (the document _probe) cannot be read",
            hint="remove its endpoint in Admin Center > Developer > Webhooks, then delete the document",
        ) from None
    return requests


def _reveal(value: object) -> str:
    """Encode a secret: the record is secret material, and is stored as such."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _wrap(kind: type, value: object) -> Secret:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError
