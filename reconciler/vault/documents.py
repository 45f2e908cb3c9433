"""The documents, the lock and the probe's record of one organization, in a KV version 2 mount."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from hvac.utils import format_url

from reconciler.credentials.known import KNOWN
from reconciler.errors import CasConflict, DocumentUnreadable, InvalidInput, StoreError
from reconciler.ledger.document import SECRET_FIELDS
from reconciler.ledger.projection import other_keys
from reconciler.model import Secret
from reconciler.ports import Metadata, SeenLock, Stored, VersionState
from reconciler.retry import LONGEST_LISTING
from reconciler.texts import is_text
from reconciler.vault.checks import require_version_2
from reconciler.vault.connection import ALL_METADATA, NAMES
from reconciler.vault.metadata import (
    UnexpectedShape,
    listing_object,
    parse_entry,
    parse_metadata,
    parse_newest,
    parse_seen_lock,
    parse_stored,
    parse_written,
    undestroyed_before,
)
from reconciler.vault.other_keys import OtherKeys
from reconciler.vault.responses import (
    Denied,
    NoAnswer,
    NotExecuted,
    NotFound,
    Purpose,
    Rejected,
    Unsupported,
    unexpected_shape,
)
from reconciler.vault.session import until_answered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import hvac

    from reconciler.http_client import Reply
    from reconciler.ledger.document import Document
    from reconciler.ledger.projection import Projection
    from reconciler.ports import Clock
    from reconciler.vault.responses import Answer
    from reconciler.vault.session import VaultSession

_T = TypeVar("_T")
LOCK = "_lock"
PROBE = "_probe"
_READERS = 8
_WRITE_ATTEMPTS = 3
_UNSAFE = re.compile(r"[/\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class VaultDocuments:
    """A `DocumentStore`, `LockStore` and `ProbeStore` below `<mount>/<prefix>/`. Thread-safe."""

    def __init__(self, session: VaultSession, *, mount: str, prefix: str, clock: Clock) -> None:
        """Set the place of the documents; nothing is sent yet.

        Raises:
            InvalidInput: the mount or the prefix is not a path.
        """
        self._session = session
        self._mount = _check_path(mount, "mount")
        self._prefix = _check_path(prefix, "prefix")
        self._clock = clock
        self._mount_checked = False
        self._other_keys = OtherKeys()
        self._seen_lock: SeenLock | None = None

    def seconds_left(self, needed: float) -> float | None:
        """Return for how many seconds the token is valid, if that is less than `needed` (`VaultSession`)."""
        return self._session.seconds_left(needed)

    def list_metadata(self) -> Mapping[str, Metadata]:
        """Return the metadata of every document, by name; no secret is read.

        OpenBao returns all of it in one response. Other servers, or policies that forbid that path, need a
        listing and one request for each name.
        """
        purpose = Purpose("list", f"{self._mount}/detailed-metadata/{self._prefix}", harmless=True)
        try:
            answer = self._session.call(
                lambda client: _send_listing(client, purpose.path),
                purpose,
                listing_object,
                bounds=ALL_METADATA,
            )
        except (NotFound, Unsupported, Denied):
            return self._list_one_by_one()
        details = answer.data.get("key_info")
        if not answer.found or not isinstance(details, dict):
            return self._list_one_by_one()
        if not is_text("".join(details)):
            raise unexpected_shape(purpose)
        self._mount_checked = True
        now = answer.at or self._clock.now()
        found = _parse(
            lambda: {name: parse_entry(name, details[name], now) for name in _ours(details)}, purpose
        )
        for metadata in found.values():
            if metadata.version == 0:
                # A read of a path without versions does not return its metadata.
                self._other_keys.note(metadata.name, details[metadata.name])
        self._other_keys.note_listing()
        self._seen_lock = parse_seen_lock(details[LOCK], now) if LOCK in details else None
        return found

    def seen_lock(self) -> SeenLock | None:
        """As the port says."""
        return self._seen_lock

    def read(self, name: str) -> Stored:
        """As the port says."""
        purpose = self._purpose("read", "data", name)
        answer = self._read_newest(name, purpose)
        if answer is None:
            return Stored(name, 0, VersionState.ABSENT, None)
        self._other_keys.note(name, answer.data.get("metadata"))
        now = answer.at or self._clock.now()
        try:
            stored = _parse(lambda: parse_stored(name, answer.data, now), purpose)
        except DocumentUnreadable as error:
            raise DocumentUnreadable(f"{purpose.path}: {error.message}", hint=error.hint) from None
        if stored.document is not None:
            KNOWN.add(*stored.document.secrets)
        return stored

    def read_fields(self, name: str) -> Mapping[str, object]:
        """Return the fields of a document as they are: its ledger may be from another version.

        Raises:
            StoreError: the document does not exist, its secret was deleted, or Vault did not answer.
        """
        _, fields = self._newest(name)
        if fields is None:
            path = self._purpose("read", "data", name).path
            raise StoreError(f"no secret at {path}", hint="check the name, the mount and the prefix")
        KNOWN.add(*(Secret(v) for key, v in fields.items() if key in SECRET_FIELDS and is_text(v)))
        return fields

    def write(self, name: str, document: Document, *, cas: int) -> int:
        """Write a new version with check-and-set, which a new path requires before its first version.

        If the process dies in between, a path without versions is left: it counts as absent.
        """
        KNOWN.add(*document.secrets)
        if cas == 0:
            self._set_metadata(name, {"cas_required": True}, "create", harmless=True)
        nonce = document.ledger.nonce
        return self._check_and_set(
            name, document.to_fields(), cas, lambda fields: nonce != "" and _nonce(fields) == nonce
        )

    def write_projection(self, name: str, projection: Projection) -> None:
        """Write our keys of `custom_metadata`, and keep those of others as they were when last read.

        A patch by the server would need a capability that the policies of existing installations lack.
        Some servers accept only ASCII: if they reject values, those in ASCII are written.
        """
        others, values = self._others_of(name), projection.to_metadata()
        try:
            self._write_metadata(name, others | values)
        except Rejected:
            plain = {key: value for key, value in values.items() if value.isascii()}
            if plain == values:
                raise
            self._write_metadata(name, others | plain)

    def soft_delete(self, name: str, version: int) -> None:
        """As the port says."""
        self._change_versions("delete", name, [version])

    def undelete(self, name: str, version: int) -> None:
        """As the port says."""
        self._change_versions("undelete", name, [version])

    def destroy_before(self, name: str, version: int) -> None:
        """As the port says."""
        purpose = self._purpose("read", "metadata", name, confidential=False)
        try:
            answer = self._read_metadata(name, purpose)
        except NotFound:
            return
        if doomed := _parse(lambda: undestroyed_before(answer.data, version), purpose):
            self._change_versions("destroy", name, doomed)

    def read_lock(self) -> tuple[int, Mapping[str, str] | None]:
        """Return the lock's version and fields, without fields that are not strings: they are not ours."""
        return self._read_texts(LOCK)

    def write_lock(self, fields: Mapping[str, str] | None, *, cas: int) -> int:
        """As the port says."""
        return self._write_texts(LOCK, fields, cas)

    def note_lock(self, note: Mapping[str, str]) -> None:
        """As the port says. It is tried once: a silent server delays the lock by one timeout only."""
        self._set_metadata(LOCK, {"custom_metadata": dict(note)}, "update")

    def read_probe(self) -> tuple[int, Mapping[str, str] | None]:
        """As the port says."""
        return self._read_texts(PROBE)

    def write_probe(self, fields: Mapping[str, str] | None, *, cas: int) -> int:
        """As the port says."""
        return self._write_texts(PROBE, fields, cas)

    def _read_texts(self, name: str) -> tuple[int, Mapping[str, str] | None]:
        version, fields = self._newest(name)
        if not fields:
            return version, None
        return version, {key: value for key, value in fields.items() if is_text(value)}

    def _write_texts(self, name: str, fields: Mapping[str, str] | None, cas: int) -> int:
        wanted = dict(fields or {})
        return self._check_and_set(name, wanted, cas, lambda found: found == wanted)

    def _others_of(self, name: str) -> dict[str, str]:
        """Return the keys of `custom_metadata` that are not ours; they are read if nothing has shown them."""
        known = self._other_keys.of(name)
        if known is not None:
            return known
        purpose = self._purpose("read", "metadata", name, confidential=False)
        try:
            return other_keys(self._read_metadata(name, purpose).data.get("custom_metadata"))
        except NotFound:
            return {}

    def _write_metadata(self, name: str, values: dict[str, str]) -> None:
        settings = {"custom_metadata": values, "cas_required": True}
        self._set_metadata(name, settings, "update", harmless=True)

    def _set_metadata(
        self, name: str, settings: dict[str, Any], capability: str, *, harmless: bool = False
    ) -> None:
        """Change only these settings of a path.

        hvac's own method always sends `delete_version_after`, and so would reset it.
        """
        self._require_version_2()
        path = f"{self._mount}/metadata/{self._path(name)}"
        purpose = Purpose(capability, path, confidential=False, harmless=harmless)
        url = format_url("/v1/{path}", path=path)
        self._session.call(lambda client: client.adapter.post(url, json=settings), purpose)

    def _list_one_by_one(self) -> Mapping[str, Metadata]:
        self._require_version_2()
        purpose = Purpose("list", f"{self._mount}/metadata/{self._prefix}", harmless=True)
        try:
            answer = self._session.call(
                lambda client: _send_listing(client, purpose.path), purpose, bounds=NAMES
            )
        except NotFound:
            self._other_keys.note_listing()
            return {}
        keys = answer.data.get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise unexpected_shape(purpose)
        deadline = self._clock.monotonic() + LONGEST_LISTING
        with ThreadPoolExecutor(_READERS, thread_name_prefix="vault") as pool:
            found = pool.map(lambda name: self._metadata(name, deadline), _ours(keys))
            listed = {metadata.name: metadata for metadata in found if metadata is not None}
        self._other_keys.note_listing()
        self._seen_lock = self._read_seen_lock() if LOCK in keys else None
        return listed

    def _read_seen_lock(self) -> SeenLock | None:
        try:
            answer = self._read_metadata(LOCK, self._purpose("read", "metadata", LOCK, confidential=False))
        except NotFound:
            return None
        return parse_seen_lock(answer.data, answer.at or self._clock.now())

    def _metadata(self, name: str, deadline: float) -> Metadata | None:
        """Return one document's metadata; None if it was deleted after the listing."""
        purpose = self._purpose("read", "metadata", name, confidential=False)
        if self._clock.monotonic() > deadline:
            raise NoAnswer(
                f"reading the metadata below {self._prefix} took more than an hour",
                hint="check the load of Vault, then run again",
                retriable=False,
            )
        try:
            answer = self._read_metadata(name, purpose)
        except NotFound:
            return None
        self._other_keys.note(name, answer.data)
        return _parse(lambda: parse_metadata(name, answer.data, answer.at or self._clock.now()), purpose)

    def _read_metadata(self, name: str, purpose: Purpose) -> Answer:
        path = self._path(name)
        return self._session.call(
            lambda client: client.secrets.kv.v2.read_secret_metadata(path, mount_point=self._mount), purpose
        )

    def _read_newest(self, name: str, purpose: Purpose) -> Answer | None:
        """Return the newest version, deleted or not; None without versions."""
        path = self._path(name)
        try:
            answer = self._session.call(
                lambda client: client.secrets.kv.v2.read_secret_version(
                    path, mount_point=self._mount, raise_on_deleted_version=False
                ),
                purpose,
            )
        except NotFound:
            # On another kind of mount every document looks absent.
            self._require_version_2()
            return None
        return answer

    def _newest(self, name: str) -> tuple[int, dict[str, Any] | None]:
        """Return the newest version's number (0: no version) and its fields, of any content."""
        purpose = self._purpose("read", "data", name)
        answer = self._read_newest(name, purpose)
        return _parse(lambda: parse_newest(answer.data), purpose) if answer else (0, None)

    def _check_and_set(
        self, name: str, fields: dict[str, Any], cas: int, ours: Callable[[dict[str, Any]], bool]
    ) -> int:
        """Write `fields` if the newest version is still `cas`; `ours` recognizes them when read back."""
        self._require_version_2()

        def attempt(_elapsed: float) -> int | NoAnswer:
            try:
                return self._write_once(name, fields, cas)
            except NotExecuted:
                # It was retried for a while, and there is nothing to read back.
                raise
            except (CasConflict, NoAnswer) as error:
                version, found = self._newest(name)
                if found is not None and ours(found):
                    return version
                if version != cas:
                    path = self._purpose("update", "data", name).path
                    raise CasConflict(
                        f"another writer was first at {path}: version {version} instead of {cas}",
                        hint="run again",
                    ) from None
                if isinstance(error, CasConflict):
                    raise
                return error

        return until_answered(attempt, self._clock, attempts=_WRITE_ATTEMPTS)

    def _write_once(self, name: str, fields: dict[str, Any], cas: int) -> int:
        purpose = self._purpose("update" if cas else "create", "data", name)
        path = self._path(name)
        answer = self._session.call(
            lambda client: client.secrets.kv.v2.create_or_update_secret(
                path, fields, cas=cas, mount_point=self._mount
            ),
            purpose,
        )
        return _parse(lambda: parse_written(answer.data, cas), purpose)

    def _change_versions(self, verb: str, name: str, versions: list[int]) -> None:
        self._require_version_2()
        path = self._path(name)
        purpose = self._purpose("update", verb, name, confidential=False)
        self._session.call(
            lambda client: getattr(client.secrets.kv.v2, f"{verb}_secret_versions")(
                path, versions, mount_point=self._mount
            ),
            purpose,
        )

    def _require_version_2(self) -> None:
        if not self._mount_checked:
            require_version_2(self._session, self._mount)
            self._mount_checked = True

    def _purpose(self, capability: str, area: str, name: str, *, confidential: bool = True) -> Purpose:
        path = f"{self._mount}/{area}/{self._path(name)}"
        return Purpose(capability, path, confidential=confidential, harmless=capability == "read")

    def _path(self, name: str) -> str:
        """Return the document's path in the mount; hvac quotes it.

        Raises:
            StoreError: `name` would result in another path.
        """
        if not name or name in {".", ".."} or _UNSAFE.search(name):
            raise StoreError(
                f"{json.dumps(name)} cannot be the name of a document", hint="rename it in Vault"
            )
        return f"{self._prefix}/{name}"


def _send_listing(client: hvac.Client, path: str) -> Reply:
    """List as every server and proxy understands it: many proxies refuse the method LIST, which hvac uses."""
    answer: Reply = client.adapter.get(format_url("/v1/{path}", path=path), params={"list": "true"})
    return answer


def _ours(names: Iterable[str]) -> list[str]:
    """Return the names of documents, sorted, without folders and the store's own names."""
    return sorted(name for name in names if not name.startswith("_") and not name.endswith("/"))


def _nonce(fields: dict[str, Any]) -> object:
    """Return the nonce in the stored ledger; None if it cannot be read."""
    try:
        ledger = json.loads(fields["ledger"])
        return ledger.get("nonce")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def _parse(parse: Callable[[], _T], purpose: Purpose) -> _T:
    try:
        return parse()
    except UnexpectedShape:
        raise unexpected_shape(purpose) from None


def _check_path(path: str, what: str) -> str:
    parts = path.strip("/").split("/")
    if any(part in {"", ".", ".."} or _UNSAFE.search(part) for part in parts):
        raise InvalidInput(
            f"the Vault {what} {json.dumps(path)} is not a path", hint="use one like webhooks/acme-prod"
        )
    return "/".join(parts)
