"""OpenBao's listing of all metadata, read by its types: half the time of reading JSON and looking at it.

Types tell what is ordinary. An answer or an entry that does not fit them is left to `answers` and `metadata`,
which are the reference; a property test holds both against each other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder

from reconciler.ports import Metadata, VersionState
from reconciler.vault.answers import json_object
from reconciler.vault.metadata import UnexpectedShape, known_moment, parse_metadata, parse_projection

if TYPE_CHECKING:
    from datetime import datetime


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


_BODY = Decoder(_Body)
_ENTRY = Decoder(_Entry)
_VERSIONS = range(1, 2**53)


def listing_object(data: bytes | bytearray) -> dict[str, Any] | None:
    """Return the JSON object of an answer; the entries of a listing in it are not read yet (`Raw`)."""
    try:
        if not data.isascii():
            # By its types only what is asked for is decoded, and the rest must be UTF-8, too.
            data.decode()
        entries = _BODY.decode(data).data.key_info
    except (MsgspecError, RecursionError, UnicodeDecodeError):
        return json_object(data)
    return {"data": {"key_info": entries}}


def parse_entry(name: str, value: object, now: datetime) -> Metadata:
    """Read one document's metadata, as an entry of a listing gives it.

    Raises:
        UnexpectedShape: it is something else.
    """
    if not isinstance(value, Raw):
        return parse_metadata(name, value, now)
    try:
        entry = _ENTRY.decode(value)
    except (MsgspecError, RecursionError):
        return _parse_anew(name, value, now)
    number = entry.current_version
    version = entry.versions.get(str(number))
    if version is None or version.deletion_time or version.destroyed or number not in _VERSIONS:
        return _parse_anew(name, value, now)
    projection = parse_projection(entry.custom_metadata)
    return Metadata(name, number, VersionState.LIVE, projection, known_moment(version.created_time))


def _parse_anew(name: str, value: Raw, now: datetime) -> Metadata:
    try:
        read = json.loads(bytes(value))
    except (ValueError, RecursionError):
        raise UnexpectedShape from None
    return parse_metadata(name, read, now)
