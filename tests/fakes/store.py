"""The document store in memory, with virtual time and places to crash: what KV version 2 does, no more."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.errors import CasConflict, DocumentUnreadable
from reconciler.ledger.document import Document
from reconciler.ledger.projection import Projection, other_keys
from reconciler.ports import Metadata, SeenLock, Stored, VersionState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from reconciler.ports import Clock

_T = TypeVar("_T")
LOCK = "_lock"
PROBE = "_probe"
_MAX_VERSIONS = 10


def _do_nothing(_operation: str, _name: str) -> None:
    """Stand in for a hook that nobody has set."""


@dataclass(slots=True)
class _Version:
    text: str
    """The fields as JSON; empty once destroyed."""
    created: datetime
    deleted_at: datetime | None = None
    expires_at: datetime | None = None
    """When it is deleted by itself."""
    destroyed: bool = False

    @property
    def state(self) -> VersionState:
        if self.destroyed:
            return VersionState.DESTROYED
        return VersionState.DELETED if self.deleted_at else VersionState.LIVE


@dataclass(slots=True)
class _Path:
    newest: int = 0
    versions: dict[int, _Version] = field(default_factory=dict)
    custom_metadata: dict[str, str] | None = None

    @property
    def state(self) -> VersionState:
        return self.versions[self.newest].state if self.newest else VersionState.ABSENT

    @property
    def changed_at(self) -> datetime | None:
        version = self.versions.get(self.newest)
        return (version.deleted_at or version.created) if version else None

    @property
    def expires_at(self) -> datetime | None:
        version = self.versions.get(self.newest)
        return version.expires_at if version and version.state is VersionState.LIVE else None

    @property
    def projection(self) -> Projection | None:
        return Projection.from_metadata(self.custom_metadata) if self.newest else None


def _nothing(*_: object) -> None:
    """Let it pass."""


class FakeStore:
    """A `DocumentStore` and `LockStore`. Operations are named as the port's methods are.

    `before(operation, name)` and `after(operation, name)` may raise: before is a request that never
    arrived, after is an answer that never came, or a process that died with the change made.
    """

    def __init__(self, clock: Clock) -> None:
        """Start empty; `clock` gives versions their age."""
        self._clock = clock
        self._mutex = threading.RLock()
        self._paths: dict[str, _Path] = {}
        self.before: Callable[[str, str], None] = _do_nothing
        self.after: Callable[[str, str], None] = _do_nothing
        self.delete_version_after: timedelta | None = None
        """After what time versions are deleted by themselves, as the mount's setting says."""
        self._seen_lock: SeenLock | None = None
        self.calls: list[tuple[str, str]] = []
        """Every operation that was carried out, in order."""

    def copy(self, clock: Clock) -> FakeStore:
        """Return an independent store in the same state, without hooks."""
        other = FakeStore(clock)
        other.calls = list(self.calls)
        other.delete_version_after = self.delete_version_after
        for name, path in self._paths.items():
            versions = {number: replace(version) for number, version in path.versions.items()}
            metadata = None if path.custom_metadata is None else dict(path.custom_metadata)
            other._paths[name] = _Path(path.newest, versions, metadata)
        return other

    # --- the oracle: what a test may know and do without being seen ---------------------------------

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The operations that changed a document or its metadata, in order; the lock's are left out."""
        left_out = {
            "read", "list_metadata", "read_lock", "write_lock", "note_lock", "read_probe", "write_probe",
        }  # fmt: skip
        return [call for call in self.calls if call[0] not in left_out]

    @property
    def names(self) -> list[str]:
        """Every path that exists, the lock's and the probe's left out."""
        return sorted(self._paths.keys() - {LOCK, PROBE})

    def fields(self, name: str) -> dict[str, Any]:
        """Return the newest version's fields as consumers see them; none where they see nothing."""
        path = self._paths.get(name, _Path())
        if path.state is not VersionState.LIVE:
            return {}
        fields: dict[str, Any] = json.loads(path.versions[path.newest].text)
        return fields

    def states(self, name: str) -> dict[int, VersionState]:
        """Return what is left of each version that is still known."""
        return {number: version.state for number, version in self._paths[name].versions.items()}

    def texts(self, name: str) -> list[str]:
        """Return what every version holds that can still be read or undeleted."""
        return [version.text for version in self._paths[name].versions.values()]

    def put(self, name: str, fields: Mapping[str, Any]) -> int:
        """Write fields by hand, as somebody with the Vault command line does."""
        return self._append(name, json.dumps(dict(fields)))

    def put_metadata(self, name: str, values: dict[str, str] | None) -> None:
        """Set `custom_metadata` by hand."""
        self._path(name).custom_metadata = values

    def metadata(self, name: str) -> dict[str, str] | None:
        """Return `custom_metadata`."""
        return self._paths[name].custom_metadata

    def forget(self, name: str) -> None:
        """Remove a path with all its versions and metadata."""
        self._paths.pop(name, None)

    # --- DocumentStore ------------------------------------------------------------------------------

    def list_metadata(self) -> Mapping[str, Metadata]:
        """As the port says."""
        return self._carry_out("list_metadata", "", self._list)

    def seen_lock(self) -> SeenLock | None:
        """As the port says."""
        return self._seen_lock

    def read(self, name: str) -> Stored:
        """As the port says."""
        return self._carry_out("read", name, lambda: self._read(name))

    def write(self, name: str, document: Document, *, cas: int) -> int:
        """As the port says."""
        return self._carry_out("write", name, lambda: self._write(name, document, cas))

    def write_projection(self, name: str, projection: Projection) -> None:
        """As the port says."""
        self._carry_out("write_projection", name, lambda: self._merge(name, projection))

    def soft_delete(self, name: str, version: int) -> None:
        """As the port says."""
        self._carry_out("soft_delete", name, lambda: self._mark(name, version, deleted=True))

    def undelete(self, name: str, version: int) -> None:
        """As the port says."""
        self._carry_out("undelete", name, lambda: self._mark(name, version, deleted=False))

    def destroy_before(self, name: str, version: int) -> None:
        """As the port says."""
        self._carry_out("destroy_before", name, lambda: self._destroy_before(name, version))

    # --- LockStore ----------------------------------------------------------------------------------

    def read_lock(self) -> tuple[int, Mapping[str, str] | None]:
        """As the port says."""
        return self._carry_out(
            "read_lock", LOCK, lambda: (self._paths.get(LOCK, _Path()).newest, self.fields(LOCK) or None)
        )

    def write_lock(self, fields: Mapping[str, str] | None, *, cas: int) -> int:
        """As the port says."""
        return self._carry_out("write_lock", LOCK, lambda: self._append(LOCK, json.dumps(fields or {}), cas))

    def note_lock(self, note: Mapping[str, str]) -> None:
        """As the port says."""
        self._carry_out("note_lock", LOCK, lambda: self.put_metadata(LOCK, dict(note)))

    # --- ProbeStore ---------------------------------------------------------------------------------

    def read_probe(self) -> tuple[int, Mapping[str, str] | None]:
        """As the port says."""
        return self._carry_out(
            "read_probe", PROBE, lambda: (self._paths.get(PROBE, _Path()).newest, self.fields(PROBE) or None)
        )

    def write_probe(self, fields: Mapping[str, str] | None, *, cas: int) -> int:
        """As the port says."""
        return self._carry_out(
            "write_probe", PROBE, lambda: self._append(PROBE, json.dumps(fields or {}), cas)
        )

    # --- how it is done -----------------------------------------------------------------------------

    def _carry_out(self, operation: str, name: str, change: Callable[[], _T]) -> _T:
        self.before(operation, name)
        with self._mutex:
            if self.delete_version_after is not None:
                self._expire()
            result = change()
            self.calls.append((operation, name))
        self.after(operation, name)
        return result

    def _expire(self) -> None:
        """Delete the versions whose time has come."""
        for path in self._paths.values():
            for version in path.versions.values():
                if version.expires_at is not None and version.expires_at <= self._clock.now():
                    version.deleted_at, version.expires_at = version.expires_at, None

    def _expiry(self) -> datetime | None:
        return self._clock.now() + self.delete_version_after if self.delete_version_after else None

    def _merge(self, name: str, projection: Projection) -> None:
        others = other_keys(self._path(name).custom_metadata)
        self.put_metadata(name, others | projection.to_metadata())

    def _path(self, name: str) -> _Path:
        return self._paths.setdefault(name, _Path())

    def _append(self, name: str, text: str, cas: int | None = None) -> int:
        path = self._paths.get(name, _Path())
        if cas is not None and cas != path.newest:
            raise CasConflict(f"version {cas} of {name} was to be replaced, it is at version {path.newest}")
        path.newest += 1
        path.versions[path.newest] = _Version(text, self._clock.now(), expires_at=self._expiry())
        path.versions.pop(path.newest - _MAX_VERSIONS, None)
        self._paths[name] = path
        return path.newest

    def _list(self) -> Mapping[str, Metadata]:
        lock = self._paths.get(LOCK)
        if lock is not None and lock.newest:
            age = (self._clock.now() - lock.versions[lock.newest].created).total_seconds()
            self._seen_lock = SeenLock(age, lock.custom_metadata or {})
        return {
            name: Metadata(name, path.newest, path.state, path.projection, path.changed_at, path.expires_at)
            for name, path in sorted(self._paths.items())
            if not name.startswith("_")
        }

    def _read(self, name: str) -> Stored:
        path = self._paths.get(name, _Path())
        if path.state is not VersionState.LIVE:
            return Stored(name, path.newest, path.state, None, projection=path.projection)
        version = path.versions[path.newest]
        age = (self._clock.now() - version.created).total_seconds()
        document = Document.from_fields(json.loads(version.text))
        return Stored(name, path.newest, path.state, document, age=age, projection=path.projection)

    def _write(self, name: str, document: Document, cas: int) -> int:
        try:
            return self._append(name, json.dumps(document.to_fields()), cas)
        except CasConflict:
            # As the real store does: the write that was "first" may have been this one.
            if self._newest_nonce(name) == document.ledger.nonce != "":
                return self._paths[name].newest
            raise

    def _newest_nonce(self, name: str) -> str:
        try:
            document = self._read(name).document
        except DocumentUnreadable:
            return ""
        return document.ledger.nonce if document else ""

    def _mark(self, name: str, number: int, *, deleted: bool) -> None:
        version = self._path(name).versions.get(number)
        if version:
            version.deleted_at = self._clock.now() if deleted else None
            version.expires_at = None if deleted else self._expiry()

    def _destroy_before(self, name: str, number: int) -> None:
        for known, version in self._path(name).versions.items():
            if known < number:
                version.text, version.destroyed = "", True
