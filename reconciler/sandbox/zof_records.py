"""The embedded Zof API's own values: endpoints with their secrets, keys, drafts and answers."""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from typing import Literal, Self

from msgspec import Struct

from reconciler.model import Secret


class UrlTaken(Exception):
    """Another endpoint of the organization has this URL, and the server wants URLs to be unique."""


class KeyReused(Exception):
    """The idempotency key belongs to a request with another body."""


class StoredEndpoint(Struct, frozen=True):
    """An endpoint as the server knows it, its signing secret included."""

    number: int
    """Its place in the order of creation, over all organizations."""
    id: str
    organization: str
    url: str
    events: tuple[str, ...]
    secret: Secret
    created_at: float
    """Unix time."""

    @classmethod
    def from_row(cls, row: tuple[int, str, str, str, str, str, float]) -> Self:
        """Read a row of the database: the fields in their order, the events as JSON."""
        number, endpoint_id, organization, url, events, secret, created_at = row
        return cls(
            number, endpoint_id, organization, url, tuple(json.loads(events)), Secret(secret), created_at
        )


class ApiKey(Struct, frozen=True):
    """Whose key it is and what it may do."""

    organization: str
    permissions: frozenset[str]


class CreateAnswer(Struct, frozen=True):
    """What a creation answered, the first time or again."""

    status: int
    body: Secret
    """JSON; it may hold the signing secret."""
    replayed: bool


class EndpointChange(Struct, frozen=True):
    """One change of the endpoints, for a test that asks what was live when."""

    action: Literal["created", "edited", "deleted"]
    endpoint: StoredEndpoint
    """As it is after the change; after a deletion, as it was before."""
    by_console: bool


class EndpointDraft(Struct, frozen=True):
    """A creation request that was found valid."""

    url: str
    events: tuple[str, ...]
    secret: Secret | None
    body_hash: str
    """SHA-256 (hex) of the raw body: what an idempotency key is bound to."""
    idempotency_key: str | None = None


def new_signing_secret() -> Secret:
    """Return 32 random bytes in the form in which signing secrets are shown."""
    return Secret("whsec_" + b64encode(secrets.token_bytes(32)).decode())
