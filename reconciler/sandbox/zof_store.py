"""What the embedded Zof API knows, in SQLite: endpoints and their secrets, API keys, idempotency keys."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import threading
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.sandbox.zof_records import (
    ApiKey,
    CreateAnswer,
    EndpointChange,
    EndpointDraft,
    KeyReused,
    StoredEndpoint,
    UrlTaken,
    new_signing_secret,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from reconciler.sandbox.behavior import Behavior

_SCHEMA = """
CREATE TABLE IF NOT EXISTS endpoints (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    organization TEXT NOT NULL,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    created_at REAL NOT NULL,
    created_in INTEGER NOT NULL
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
_COLUMNS = "number, id, organization, url, events, secret, created_at"


class ZofStore:
    """The server's memory. Thread-safe; each method is one transaction."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the file `path`, which holds secrets and is made readable for its owner only; None: memory.

        Raises:
            ReconcilerError: the file cannot be opened, or is something else.
        """
        self._lock = threading.RLock()
        self._changes: list[EndpointChange] = []
        try:
            if path is not None:
                path.touch(mode=0o600)
            self._db = sqlite3.connect(path or ":memory:", check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise ReconcilerError(f"the sandbox's file {path} cannot be opened: {error}") from error
        try:
            # A crash of this process loses nothing; one of the whole machine may, and a sandbox can bear it.
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._db.close()
            raise ReconcilerError(
                f"the sandbox's file {path} is no database of this sandbox: {error}", hint="name another file"
            ) from error

    def close(self) -> None:
        """Close the database; the store is of no use afterwards."""
        with self._lock:
            self._db.close()

    # --- API keys ---------------------------------------------------------------------------------

    def add_key(self, key: Secret, organization: str, permissions: Iterable[str]) -> None:
        """Let `key` act for `organization`. Only the key's hash is kept."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO api_keys VALUES (?, ?, ?)",
                (_hash(key.reveal().encode()), organization, json.dumps(sorted(permissions))),
            )

    def revoke_key(self, key: Secret) -> None:
        """Make `key` unknown."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM api_keys WHERE hash = ?", (_hash(key.reveal().encode()),))

    def find_key(self, key: Secret) -> ApiKey | None:
        """Return what `key` stands for; None for an unknown one."""
        with self._lock:
            row = self._db.execute(
                "SELECT organization, permissions FROM api_keys WHERE hash = ?",
                (_hash(key.reveal().encode()),),
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
        """Create an endpoint, or give the answer again that the idempotency key had.

        Args:
            organization: whose endpoint it is.
            draft: what the request asks for.
            behavior: the knobs that decide about secrets, keys and URLs.
            render: makes the answer's JSON, with the signing secret.
            now: Unix time.
            request_number: the request's number in the log.

        Raises:
            KeyReused: the key was used with another body.
            UrlTaken: the URL is in use and must be unique.
        """
        with self._lock, self._db:
            if draft.idempotency_key is not None:
                known = self._replay(organization, draft, behavior, now)
                if known is not None:
                    return known
            if behavior.unique_urls and self._has_url(organization, draft.url):
                raise UrlTaken
            honoured = draft.secret if behavior.honour_client_secret else None
            endpoint = self._insert(
                organization, draft.url, draft.events, honoured or new_signing_secret(), now, request_number
            )
            self._changes.append(EndpointChange("created", endpoint, by_console=False))
            answer = CreateAnswer(201, render(endpoint), replayed=False)
            if draft.idempotency_key is not None:
                self._remember(organization, draft.idempotency_key, draft.body_hash, answer, now)
            return answer

    def remember_error(self, organization: str, key: str, status: int, body: str, now: float) -> None:
        """Answer `key` with this error from now on, whatever the request was before."""
        with self._lock, self._db:
            self._remember(organization, key, None, CreateAnswer(status, Secret(body), replayed=False), now)

    def page(
        self, organization: str, *, after: int, size: int, created_until: float, created_before_request: int
    ) -> tuple[tuple[StoredEndpoint, ...], bool]:
        """Return the next endpoints in the order of creation, and whether there are more.

        Args:
            organization: whose endpoints.
            after: the number of the last endpoint of the page before.
            size: the most that one page holds.
            created_until: younger ones (Unix time) are left out.
            created_before_request: so are those of this request (its number in the log) and later ones.
        """
        with self._lock:
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM endpoints WHERE organization = ? AND number > ? AND created_at <= ?"  # noqa: S608 (a constant)
                " AND created_in < ? ORDER BY number LIMIT ?",
                (organization, after, created_until, created_before_request, size + 1),
            ).fetchall()
        return tuple(StoredEndpoint.from_row(row) for row in rows[:size]), len(rows) > size

    def find(self, endpoint_id: str, organization: str | None = None) -> StoredEndpoint | None:
        """Return one endpoint, of any organization if none is given; None where there is none."""
        with self._lock:
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM endpoints WHERE id = ?1 AND ?2 IN (organization, '*')",  # noqa: S608 (a constant)
                (endpoint_id, organization or "*"),
            ).fetchone()
        return row and StoredEndpoint.from_row(row)

    def all(self) -> tuple[StoredEndpoint, ...]:
        """Return every endpoint of every organization, in the order of creation."""
        with self._lock:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM endpoints ORDER BY number").fetchall()  # noqa: S608 (a constant)
        return tuple(StoredEndpoint.from_row(row) for row in rows)

    def delete(self, endpoint_id: str, organization: str | None = None, *, by_console: bool = False) -> bool:
        """Delete an endpoint; return whether there was one."""
        with self._lock, self._db:
            endpoint = self.find(endpoint_id, organization)
            if endpoint is None:
                return False
            self._db.execute("DELETE FROM endpoints WHERE number = ?", (endpoint.number,))
            self._changes.append(EndpointChange("deleted", endpoint, by_console=by_console))
            return True

    # --- what only the console does ---------------------------------------------------------------

    def insert(
        self, organization: str, url: str, events: Iterable[str], *, secret: Secret | None, now: float
    ) -> StoredEndpoint:
        """Create an endpoint by hand; nothing is checked."""
        with self._lock, self._db:
            endpoint = self._insert(organization, url, tuple(events), secret or new_signing_secret(), now, 0)
            self._changes.append(EndpointChange("created", endpoint, by_console=True))
            return endpoint

    def edit(
        self, endpoint_id: str, *, url: str | None, events: Iterable[str] | None
    ) -> StoredEndpoint | None:
        """Change an endpoint by hand, which the API cannot do; None where there is no such endpoint."""
        with self._lock, self._db:
            self._db.execute(
                "UPDATE endpoints SET url = coalesce(?, url), events = coalesce(?, events) WHERE id = ?",
                (url, None if events is None else json.dumps(list(events)), endpoint_id),
            )
            endpoint = self.find(endpoint_id)
            if endpoint is not None:
                self._changes.append(EndpointChange("edited", endpoint, by_console=True))
            return endpoint

    def last_request(self) -> int:
        """Return the number of the newest request that created something: the log goes on from there."""
        with self._lock:
            (number,) = self._db.execute("SELECT coalesce(max(created_in), 0) FROM endpoints").fetchone()
        return int(number)

    def changes(self) -> tuple[EndpointChange, ...]:
        """Return what happened to the endpoints since the store was opened, oldest first."""
        with self._lock:
            return tuple(self._changes)

    # --- inside a transaction ---------------------------------------------------------------------

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
            raise KeyReused
        return CreateAnswer(status, Secret(answer), replayed=True)

    def _has_url(self, organization: str, url: str) -> bool:
        found = self._db.execute(
            "SELECT 1 FROM endpoints WHERE organization = ? AND url = ?", (organization, url)
        ).fetchone()
        return found is not None

    def _insert(
        self,
        organization: str,
        url: str,
        events: tuple[str, ...],
        secret: Secret,
        now: float,
        request_number: int,
    ) -> StoredEndpoint:
        endpoint_id = "we_" + secrets.token_hex(12)
        number = self._db.execute(
            "INSERT INTO endpoints (id, organization, url, events, secret, created_at, created_in)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (endpoint_id, organization, url, json.dumps(events), secret.reveal(), now, request_number),
        ).lastrowid
        assert number is not None  # noqa: S101 (an INSERT always has one)
        return StoredEndpoint(number, endpoint_id, organization, url, events, secret, now)

    def _remember(
        self, organization: str, key: str, body_hash: str | None, answer: CreateAnswer, now: float
    ) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO idempotency_keys VALUES (?, ?, ?, ?, ?, ?)",
            (organization, key, body_hash, answer.status, answer.body.reveal(), now),
        )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
