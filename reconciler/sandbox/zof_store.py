"""The data of the embedded Zof API, in SQLite: endpoints and their secrets, API keys, idempotency keys."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.sandbox.zof_requests import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from reconciler.sandbox.behavior import Behavior
    from reconciler.sandbox.zof_requests import EndpointDraft

_SCHEMA = """
CREATE TABLE IF NOT EXISTS endpoints (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    organization TEXT NOT NULL,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    created_at REAL NOT NULL,
    created_in INTEGER NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX IF NOT EXISTS listing ON endpoints (organization, number);
CREATE INDEX IF NOT EXISTS by_url ON endpoints (organization, url);
CREATE TABLE IF NOT EXISTS api_keys (
    hash TEXT PRIMARY KEY,
    organization TEXT NOT NULL,
    permissions TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS idempotency_keys (
    organization TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash TEXT,
    status INTEGER NOT NULL,
    answer TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (organization, key)
) STRICT;
"""
_SELECT = "SELECT number, id, organization, url, events, secret, created_at, enabled FROM endpoints "


class StoredEndpoint(Struct, frozen=True):
    """An endpoint in the store, with its signing secret."""

    number: int
    """Its position in the order of creation, across all organizations."""
    id: str
    organization: str
    url: str
    events: tuple[str, ...]
    secret: Secret
    created_at: float
    """Unix time."""
    enabled: bool = True


class ApiKey(Struct, frozen=True):
    """The organization and the permissions of an API key."""

    organization: str
    permissions: frozenset[str]


class CreateAnswer(Struct, frozen=True):
    """The answer to a creation, or its replay."""

    status: int
    body: Secret
    """JSON, which may contain the signing secret."""
    replayed: bool


class EndpointChange(Struct, frozen=True):
    """One change of an endpoint, for tests that check which endpoints were live at a time."""

    action: Literal["created", "edited", "deleted"]
    endpoint: StoredEndpoint
    """As it is after the change; for a deletion, as it was before."""
    by_console: bool


class ZofStore:
    """The server's database. Thread-safe; each method is one transaction."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the database.

        Args:
            path: the file. It contains secrets, so only its owner gets access to it. None: memory.

        Raises:
            ReconcilerError: the file cannot be opened, or is not a database of a sandbox.
        """
        self._lock = threading.RLock()
        self._changes: list[EndpointChange] = []
        self._deleted: list[tuple[float, StoredEndpoint]] = []
        try:
            if path is not None:
                path.touch(mode=0o600)
            self._db = sqlite3.connect(path or ":memory:", check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise ReconcilerError(f"cannot open the sandbox's file {path}: {error}") from error
        try:
            # Without fsync: only a crash of the whole machine loses data, which is acceptable in a sandbox.
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_SCHEMA)
            if "enabled" not in [row[1] for row in self._db.execute("PRAGMA table_info(endpoints)")]:
                # An earlier version made this file.
                self._db.execute("ALTER TABLE endpoints ADD COLUMN enabled INTEGER NOT NULL DEFAULT 1")
        except sqlite3.Error as error:
            self._db.close()
            raise ReconcilerError(
                f"the file {path} is not a database of a sandbox: {error}", hint="choose another file"
            ) from error

    def close(self) -> None:
        """Close the database. The store cannot be used afterwards."""
        with self._lock:
            self._db.close()

    # --- API keys ---------------------------------------------------------------------------------

    def add_key(self, key: Secret, organization: str, permissions: Iterable[str]) -> None:
        """Add an API key of `organization`. Only its hash is stored."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO api_keys VALUES (?, ?, ?)",
                (_hash(key), organization, json.dumps(sorted(permissions))),
            )

    def revoke_key(self, key: Secret) -> None:
        """Remove an API key."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM api_keys WHERE hash = ?", (_hash(key),))

    def find_key(self, key: Secret) -> ApiKey | None:
        """Return the organization and the permissions of a key; None for an unknown one."""
        with self._lock:
            row = self._db.execute(
                "SELECT organization, permissions FROM api_keys WHERE hash = ?", (_hash(key),)
            ).fetchone()
        return row and ApiKey(row[0], frozenset(json.loads(row[1])))

    # --- endpoints --------------------------------------------------------------------------------

    def create(
        self,
        organization: str,
        draft: EndpointDraft,
        *,
        behavior: Behavior,
        render: Callable[[StoredEndpoint], Secret],
        now: float,
        request_number: int,
    ) -> CreateAnswer:
        """Create an endpoint, or replay the answer that its idempotency key had.

        Args:
            organization: the owner of the endpoint.
            draft: the request.
            behavior: the settings for secrets, keys and URLs.
            render: makes the answer's JSON, with the signing secret.
            now: Unix time.
            request_number: the request's number in the log.

        Raises:
            Problem: 409; the key was used with another body, or the URL is in use and must be unique. Or
                `cap_status`; the organization has as many endpoints as it may have.
        """
        with self._lock, self._db:
            known = self._replay(organization, draft, behavior, now)
            if known is not None:
                return known
            if behavior.unique_urls and self._select("organization = ? AND url = ?", organization, draft.url):
                raise Problem(409, "url_conflict", "Another endpoint has this URL.", param="url")
            limit = behavior.max_endpoints
            if limit is not None and len(self._select("organization = ?", organization)) >= limit:
                message = f"This organization has reached its maximum of {limit} webhook endpoints."
                raise Problem(behavior.cap_status, "endpoint_limit_reached", message)
            secret = (draft.secret if behavior.honour_client_secret else None) or _new_signing_secret()
            secret = Secret(secret.reveal() + behavior.secret_suffix)
            endpoint = self._insert(organization, draft.url, draft.events, secret, now, request_number)
            answer = CreateAnswer(201, render(endpoint), replayed=False)
            if draft.idempotency_key is not None:
                self._remember(organization, draft.idempotency_key, draft.body_hash, answer, now)
            return answer

    def remember_error(self, organization: str, key: str, status: int, body: str, now: float) -> None:
        """Answer every request with the idempotency key `key` with this error from now on."""
        with self._lock, self._db:
            self._remember(organization, key, None, CreateAnswer(status, Secret(body), replayed=False), now)

    def page(
        self, organization: str, *, after: int, size: int, created_until: float, created_before_request: int
    ) -> tuple[tuple[StoredEndpoint, ...], bool]:
        """Return a page of endpoints in the order of creation, and whether there are more.

        Args:
            organization: the owner of the endpoints.
            after: the number of the last endpoint on the previous page.
            size: the most endpoints on a page.
            created_until: endpoints created later (Unix time) are omitted.
            created_before_request: endpoints created by this request (its number) or later are omitted.
        """
        with self._lock:
            found = self._select(
                "organization = ? AND number > ? AND created_at <= ? AND created_in < ?"
                " ORDER BY number LIMIT ?",
                *(organization, after, created_until, created_before_request, size + 1),
            )
        return found[:size], len(found) > size

    def find(self, endpoint_id: str, organization: str | None = None) -> StoredEndpoint | None:
        """Return one endpoint, of any organization if none is given; None if it does not exist."""
        with self._lock:
            found = self._select("id = ?1 AND ?2 IN (organization, '*')", endpoint_id, organization or "*")
        return found[0] if found else None

    def all(self) -> tuple[StoredEndpoint, ...]:
        """Return every endpoint of every organization, in the order of creation."""
        with self._lock:
            return self._select("true ORDER BY number")

    def delete(
        self,
        endpoint_id: str,
        organization: str | None = None,
        *,
        by_console: bool = False,
        now: float | None = None,
    ) -> bool:
        """Delete an endpoint; return whether it existed. At `now` (Unix time) a listing may lag behind."""
        with self._lock, self._db:
            endpoint = self.find(endpoint_id, organization)
            if endpoint is None:
                return False
            self._db.execute("DELETE FROM endpoints WHERE number = ?", (endpoint.number,))
            self._changes.append(EndpointChange("deleted", endpoint, by_console=by_console))
            if now is not None:
                self._deleted.append((now, endpoint))
            return True

    def deleted_since(self, organization: str, moment: float) -> list[StoredEndpoint]:
        """Return the endpoints that were deleted through the API after `moment` (Unix time)."""
        with self._lock:
            return [e for at, e in self._deleted if at > moment and e.organization == organization]

    def insert(
        self, organization: str, url: str, events: Iterable[str], *, secret: Secret | None, now: float
    ) -> StoredEndpoint:
        """Create an endpoint as the console does, without checks."""
        with self._lock, self._db:
            return self._insert(
                organization, url, tuple(events), secret or _new_signing_secret(), now, by_console=True
            )

    def edit(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        events: Iterable[str] | None = None,
        enabled: bool | None = None,
    ) -> StoredEndpoint | None:
        """Change an endpoint as the console does; return None if it does not exist."""
        with self._lock, self._db:
            self._db.execute(
                "UPDATE endpoints SET url = coalesce(?, url), events = coalesce(?, events),"
                " enabled = coalesce(?, enabled) WHERE id = ?",
                (url, None if events is None else json.dumps(list(events)), enabled, endpoint_id),
            )
            endpoint = self.find(endpoint_id)
            if endpoint is not None:
                self._changes.append(EndpointChange("edited", endpoint, by_console=True))
            return endpoint

    def last_request(self) -> int:
        """Return the number of the newest request that created an endpoint; a new log continues there."""
        with self._lock:
            (number,) = self._db.execute("SELECT coalesce(max(created_in), 0) FROM endpoints").fetchone()
        return int(number)

    def changes(self) -> tuple[EndpointChange, ...]:
        """Return the changes of endpoints since the store was opened, oldest first."""
        with self._lock:
            return tuple(self._changes)

    # --- inside a transaction ---------------------------------------------------------------------

    def _select(self, condition: str, *values: object) -> tuple[StoredEndpoint, ...]:
        return tuple(
            StoredEndpoint(
                number,
                endpoint_id,
                owner,
                url,
                tuple(json.loads(events)),
                Secret(secret),
                created_at,
                bool(enabled),
            )
            for number, endpoint_id, owner, url, events, secret, created_at, enabled in self._db.execute(
                f"{_SELECT} WHERE {condition}",
                values,
            )
        )

    def _replay(
        self, organization: str, draft: EndpointDraft, behavior: Behavior, now: float
    ) -> CreateAnswer | None:
        row = self._db.execute(
            "SELECT body_hash, status, answer FROM idempotency_keys"
            " WHERE organization = ? AND key = ? AND created_at > ?",
            (organization, draft.idempotency_key, now - behavior.idempotency_ttl),
        ).fetchone()
        if row is None:
            return None
        body_hash, status, answer = row
        if body_hash not in {None, draft.body_hash} and behavior.key_mismatch == "refuse":
            raise Problem(
                409, "idempotency_key_reuse", "This key belongs to another request.", param="Idempotency-Key"
            )
        return CreateAnswer(status, Secret(answer), replayed=True)

    def _insert(
        self,
        organization: str,
        url: str,
        events: tuple[str, ...],
        secret: Secret,
        now: float,
        request_number: int = 0,
        *,
        by_console: bool = False,
    ) -> StoredEndpoint:
        endpoint_id = "we_" + secrets.token_hex(12)
        number = self._db.execute(
            "INSERT INTO endpoints (id, organization, url, events, secret, created_at, created_in)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (endpoint_id, organization, url, json.dumps(events), secret.reveal(), now, request_number),
        ).lastrowid
        assert number is not None  # noqa: S101 (an INSERT always sets it)
        endpoint = StoredEndpoint(number, endpoint_id, organization, url, events, secret, now)
        self._changes.append(EndpointChange("created", endpoint, by_console=by_console))
        return endpoint

    def _remember(
        self, organization: str, key: str, body_hash: str | None, answer: CreateAnswer, now: float
    ) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO idempotency_keys VALUES (?, ?, ?, ?, ?, ?)",
            (organization, key, body_hash, answer.status, answer.body.reveal(), now),
        )


def _new_signing_secret() -> Secret:
    return Secret("whsec_" + b64encode(secrets.token_bytes(32)).decode())


def _hash(key: Secret) -> str:
    return hashlib.sha256(key.reveal().encode()).hexdigest()
