"""Read KV version 2's metadata and documents from JSON. Pure."""

from __future__ import annotations

import re
import threading
from codecs import getincrementaldecoder
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta, MsgspecError, Raw, Struct
from msgspec.json import Decoder

from reconciler.ledger.document import Document
from reconciler.ledger.projection import Projection
from reconciler.ports import Metadata, SeenLock, Stored, VersionState
from reconciler.texts import is_text
from reconciler.untrusted_json import load_json
from reconciler.vault.responses import json_object

_DATE_RESOLUTION = timedelta(seconds=1)
"""Vault's time comes from a header in whole seconds, rounded down."""
_VERSION_LIMIT = 2**63
_FEW_BYTES = 16 * 1024 * 1024
"""As many entries as fit in so many bytes do no harm."""
_MOST_ENTRIES = 250_000
_LONGEST_NAME = 512
_NUMBER = re.compile(r"[0-9]{1,18}")


class UnexpectedShape(ValueError):
    """The JSON is not a response of KV version 2."""


def parse_metadata(name: str, value: object, now: datetime) -> Metadata:
    """Read one document's metadata, from `<mount>/metadata/<path>`.

    Args:
        name: the document's name.
        value: the answer's `data`.
        now: Vault's time, to distinguish past deletions from scheduled ones.

    Raises:
        UnexpectedShape: it is something else.
    """
    data = _mapping(value)
    number = _version(data.get("current_version"))
    if number == 0:
        # Without a version the document does not exist, whatever the metadata says.
        return Metadata(name, 0, VersionState.ABSENT, None)
    version = _mapping(_mapping(data.get("versions")).get(str(number)))
    projection = parse_projection(data.get("custom_metadata"))
    state = _state(version, now)
    moment = version.get("deletion_time" if state is VersionState.DELETED else "created_time")
    expires_at = known_moment(version.get("deletion_time")) if state is VersionState.LIVE else None
    return Metadata(name, number, state, projection, known_moment(moment), expires_at)


def parse_stored(name: str, value: object, now: datetime) -> Stored:
    """Read a document, from `<mount>/data/<path>`.

    Raises:
        UnexpectedShape: it is something else.
        DocumentUnreadable: the document has no readable ledger.
    """
    data = _mapping(value)
    version = _mapping(data.get("metadata"))
    number = _written_version(version.get("version"))
    projection = parse_projection(version.get("custom_metadata"))
    fields = data.get("data")
    if fields is None:
        state = _state(version, now)
        if state is VersionState.LIVE:
            raise UnexpectedShape
        return Stored(name, number, state, None, projection=projection)
    age = max(0.0, (now - _moment(version.get("created_time"))).total_seconds())
    return Stored(
        name, number, VersionState.LIVE, Document.from_fields(fields), age=age, projection=projection
    )


def parse_newest(value: object) -> tuple[int, dict[str, Any] | None]:
    """Read a version's number and its fields, of any content; None if they are deleted.

    Raises:
        UnexpectedShape: it is something else.
    """
    data = _mapping(value)
    fields = data.get("data")
    number = _written_version(_mapping(data.get("metadata")).get("version"))
    return number, fields if isinstance(fields, dict) else None


def parse_seen_lock(value: object, now: datetime) -> SeenLock | None:
    """Read what the metadata of the lock shows; None if it has no version or is not a lock's."""
    try:
        data = _mapping(load_json(bytes(value)) if isinstance(value, Raw) else value)
        versions = _mapping(data.get("versions"))
        written = _moment(_mapping(versions.get(str(data.get("current_version")))).get("created_time"))
    except ValueError:
        return None
    custom = data.get("custom_metadata")
    note = custom if isinstance(custom, dict) else {}
    texts = {key: text for key, text in note.items() if is_text(text)}
    return SeenLock(max(0.0, (now - written).total_seconds()), texts)


def parse_written(value: object, cas: int) -> int:
    """Read the number of the version that a write after version `cas` created.

    Raises:
        UnexpectedShape: it is something else, or not the next version.
    """
    number = _version(_mapping(value).get("version"))
    if number != cas + 1:
        raise UnexpectedShape
    return number


def undestroyed_before(value: object, version: int) -> list[int]:
    """Return the versions before `version` that are not destroyed, in order.

    Raises:
        UnexpectedShape: it is not metadata.
    """
    versions = _mapping(_mapping(value).get("versions"))
    if not all(_NUMBER.fullmatch(number) for number in versions):
        raise UnexpectedShape
    return sorted(
        int(number)
        for number, kept in versions.items()
        if int(number) < version and not _is_destroyed(_mapping(kept))
    )


def parse_projection(value: object) -> Projection | None:
    """Read `custom_metadata`; None if it is null, not ours or damaged."""
    return Projection.from_metadata(value) if isinstance(value, dict) else None


def _state(version: dict[str, Any], now: datetime) -> VersionState:
    if _is_destroyed(version):
        return VersionState.DESTROYED
    # With `delete_version_after` the time is in the future: the version exists until then.
    deleted = version.get("deletion_time")
    gone = deleted not in (None, "") and _moment(deleted) <= now + _DATE_RESOLUTION
    return VersionState.DELETED if gone else VersionState.LIVE


def _is_destroyed(version: dict[str, Any]) -> bool:
    destroyed = version.get("destroyed", False)
    if not isinstance(destroyed, bool):
        raise UnexpectedShape
    return destroyed


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnexpectedShape
    return value


def _version(value: object) -> int:
    # In Python, True is an int.
    if type(value) is not int or not 0 <= value < _VERSION_LIMIT:
        raise UnexpectedShape
    return value


def _written_version(value: object) -> int:
    if value == 0:
        raise UnexpectedShape
    return _version(value)


def known_moment(value: object) -> datetime | None:
    """Read a moment for information only; None if it is invalid."""
    try:
        moment = _moment(value)
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (UnexpectedShape, OverflowError):
        return None


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise UnexpectedShape from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# OpenBao lists all metadata in one response. Decoding it by types takes half the time of `parse_metadata`;
# entries that do not fit the types are left to that function. A property test compares the two.


class _Version(Struct):
    created_time: str = ""
    deletion_time: str = ""
    destroyed: bool = False


class _Entry(Struct):
    current_version: int
    versions: dict[str, _Version]
    custom_metadata: dict[str, str] | None = None


class _Data(Struct):
    key_info: dict[str, Raw]


class _Body(Struct):
    data: _Data


_COUNT = threading.local()


class _Counted(Struct):
    """An entry of which only the number counts: a hostile listing has millions of a few bytes each."""

    def __post_init__(self) -> None:
        _COUNT.left -= 1
        if _COUNT.left < 0:
            raise ValueError("too many entries")


class _CountedData(Struct):
    key_info: dict[Annotated[str, Meta(max_length=_LONGEST_NAME)], _Counted]


class _CountedBody(Struct):
    data: _CountedData


_COUNTED = Decoder(_CountedBody)
_BODY = Decoder(_Body)
_ENTRY = Decoder(_Entry)
_VERSIONS = range(1, 2**53)


def listing_object(data: bytes | bytearray) -> dict[str, Any] | None:
    """Return the JSON object in a response; the entries of a listing stay undecoded (`Raw`)."""
    try:
        _check_utf8(data)
        if len(data) > _FEW_BYTES:
            _COUNT.left = _MOST_ENTRIES
            _COUNTED.decode(data)
        entries = _BODY.decode(data).data.key_info
    except (MsgspecError, RecursionError, UnicodeDecodeError):
        return json_object(data)
    return {"data": {"key_info": entries}}


def _check_utf8(data: bytes | bytearray) -> None:
    """Make sure that all of it is UTF-8: typed decoding skips unknown fields.

    Raises:
        UnicodeDecodeError: it is not.
    """
    if data.isascii():
        return
    decoder = getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _FEW_BYTES):
        decoder.decode(data[start : start + _FEW_BYTES])
    decoder.decode(b"", final=True)


def entry_object(entry: object) -> dict[str, Any]:
    """Return the JSON object that an entry of a listing is; empty for anything else."""
    value = json_object(bytes(entry)) if isinstance(entry, Raw) else entry
    return value if isinstance(value, dict) else {}


def parse_entry(name: str, value: object, now: datetime) -> Metadata:
    """Read one document's metadata, from an entry of a listing.

    Raises:
        UnexpectedShape: it is something else.
    """
    if not isinstance(value, Raw):
        return parse_metadata(name, value, now)
    try:
        entry = _ENTRY.decode(value)
    except (MsgspecError, RecursionError):
        return _parse_undecoded(name, value, now)
    number = entry.current_version
    version = entry.versions.get(str(number))
    if version is None or version.deletion_time or version.destroyed or number not in _VERSIONS:
        return _parse_undecoded(name, value, now)
    projection = parse_projection(entry.custom_metadata)
    return Metadata(name, number, VersionState.LIVE, projection, known_moment(version.created_time))


def _parse_undecoded(name: str, value: Raw, now: datetime) -> Metadata:
    try:
        read = load_json(bytes(value))
    except ValueError:
        raise UnexpectedShape from None
    return parse_metadata(name, read, now)
