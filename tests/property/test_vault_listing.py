"""The listing's own reading of metadata against the general one: the same, or the same refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from msgspec import Raw

from reconciler.ledger.document import Document
from reconciler.ledger.ledger import Current, Ledger
from reconciler.ledger.projection import project
from reconciler.model import Secret
from reconciler.vault.metadata import UnexpectedShape, listing_object, parse_entry, parse_metadata
from reconciler.vault.responses import json_object
from tests.fixtures.damage import damaged

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MOMENT = "2026-11-01T11:00:00.123456789Z"
LEDGER = Ledger("acme", "https://api.zof.ai/v1", current=Current("we_1", 1, "d", "https://a/", "client", NOW))
VERSION = {"created_time": MOMENT, "deletion_time": "", "destroyed": False}
ENTRY = {
    "cas_required": True,
    "current_version": 2,
    "custom_metadata": project(Document(LEDGER, Secret("whsec_one")), 2, tested=True).to_metadata(),
    "versions": {"1": {**VERSION, "deletion_time": MOMENT, "destroyed": True}, "2": VERSION},
}
LISTING = {"request_id": "1", "data": {"key_info": {"ci": ENTRY, "other": {}}, "keys": ["ci", "other"]}}


def _read(name: str, value: object, *, generally: bool) -> object:
    """Return what is read, or the refusal's type."""
    try:
        return parse_metadata(name, value, NOW) if generally else parse_entry(name, value, NOW)
    except UnexpectedShape:
        return UnexpectedShape


def _entries(body: dict[str, Any] | None) -> str:
    """Return the entries of a listing, or whatever stands there, as JSON: NaN equals itself there."""
    data = (body or {}).get("data")
    entries = data.get("key_info") if isinstance(data, dict) else None
    return json.dumps(entries, default=lambda raw: json.loads(bytes(raw)))


@given(damaged(ENTRY))
@example(ENTRY)
@example({**ENTRY, "current_version": 2.0})
@example({**ENTRY, "current_version": 2**64})
@example({**ENTRY, "custom_metadata": {"v": "\ud800"}})
@example({**ENTRY, "versions": {"2": {**VERSION, "destroyed": True}}})
@example({**ENTRY, "versions": {"2": {**VERSION, "deletion_time": "2026-11-01T13:00:00Z"}}})
def test_an_entry_means_the_same_however_it_is_read(value: Any) -> None:
    """What does not fit the types is read again without them."""
    text = json.dumps(value)
    assert _read("ci", Raw(text.encode()), generally=False) == _read("ci", json.loads(text), generally=True)


@pytest.mark.parametrize(
    ("place", "bytes_"), [("request_id", b"\xff"), ("ours", b"\xed\xa0\x80"), ("ours", "ü".encode())]
)
def test_a_listing_is_utf_8_in_every_part(place: str, bytes_: bytes) -> None:
    """Parts that nobody looks at and entries that are read later count, too."""
    entry = {**ENTRY, "custom_metadata": {"ours": "?"}}
    body = json.dumps({**LISTING, "request_id": "?", "data": {"key_info": {"ci": entry}}}).encode()
    body = body.replace(f'"{place}": "?"'.encode(), f'"{place}": "'.encode() + bytes_ + b'"')
    assert bytes_ in body
    assert _entries(listing_object(body)) == _entries(json_object(body))


@given(damaged(LISTING))
@example(LISTING)
def test_a_listing_has_the_same_entries_however_it_is_read(value: Any) -> None:
    """An answer of another shape is left to whoever reads all others."""
    body = json.dumps(value).encode()
    assert _entries(listing_object(body)) == _entries(json_object(body))
