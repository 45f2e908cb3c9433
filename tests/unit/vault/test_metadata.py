"""KV version 2's JSON as hostile data: a sound value, or a refusal to understand; never anything else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.errors import DocumentUnreadable, StoreError
from reconciler.http_client import Reply
from reconciler.ledger.document import Document
from reconciler.ledger.ledger import Current, Ledger
from reconciler.ledger.projection import project
from reconciler.model import Secret
from reconciler.ports import VersionState
from reconciler.vault.metadata import (
    UnexpectedShape,
    parse_metadata,
    parse_newest,
    parse_stored,
    parse_written,
    undestroyed_before,
)
from reconciler.vault.responses import Answer, Purpose, interpret
from tests.fixtures.damage import EXTREMES, JSON, damaged

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MOMENT = "2026-11-01T11:00:00.123456789Z"
DOCUMENT = Document(
    Ledger("acme", "https://api.zof.ai/v1", current=Current("we_1", 1, "d", "https://a/", "client", NOW)),
    Secret("whsec_one"),
)
CUSTOM = project(DOCUMENT, 2, tested=True).to_metadata()
VERSION = {"created_time": MOMENT, "deletion_time": "", "destroyed": False}
METADATA = {
    "current_version": 2,
    "custom_metadata": CUSTOM,
    "versions": {"1": {**VERSION, "deletion_time": MOMENT, "destroyed": True}, "2": VERSION},
}
DATA = {"data": DOCUMENT.to_fields(), "metadata": {**VERSION, "version": 2, "custom_metadata": CUSTOM}}
DELETED = {"data": None, "metadata": {**VERSION, "version": 2, "deletion_time": MOMENT}}
INSIDE = frozenset({"ledger"})


@given(damaged(METADATA))
@example(METADATA)
def test_damaged_metadata(value: Any) -> None:
    """Metadata is understood or refused; a version that is destroyed, deleted or live is said to be so."""
    try:
        metadata = parse_metadata("ci", value, NOW)
    except UnexpectedShape:
        return
    assert type(metadata.version) is int
    assert (metadata.state is VersionState.ABSENT) is (metadata.version == 0)
    assert metadata.version or metadata.projection is None


@given(damaged(DATA, opened=INSIDE) | damaged(DELETED))
@example(DATA)
@example(DELETED)
def test_a_damaged_read(value: Any) -> None:
    """A document is read, refused as damaged, or refused as no answer of Vault."""
    try:
        stored = parse_stored("ci", value, NOW)
    except (UnexpectedShape, DocumentUnreadable):
        return
    assert type(stored.version) is int
    assert stored.version > 0
    assert (stored.document is not None) is (stored.state is VersionState.LIVE)
    assert stored.age >= 0


@given(damaged(DATA) | damaged(DELETED))
def test_a_damaged_version(value: Any) -> None:
    """A version's number and fields, or a refusal."""
    try:
        number, fields = parse_newest(value)
    except UnexpectedShape:
        return
    assert type(number) is int
    assert number > 0
    assert fields is None or isinstance(fields, dict)


@given(damaged(METADATA), st.integers(0, 5))
def test_damaged_versions(value: Any, version: int) -> None:
    """What is destroyed are whole numbers below the given one, or nothing."""
    try:
        doomed = undestroyed_before(value, version)
    except UnexpectedShape:
        return
    assert all(type(number) is int and 0 <= number < version for number in doomed)


@given(damaged({"version": 3}) | JSON)
def test_a_damaged_write(value: Any) -> None:
    """A write made the next version, or its answer is refused."""
    try:
        assert parse_written(value, 2) == 3
    except UnexpectedShape:
        return


@pytest.mark.parametrize(
    "change",
    [
        {"current_version": True},
        {"current_version": 2**64},
        {"current_version": 1.0},
        {"versions": {"2": {**VERSION, "destroyed": "false"}}},
        {"versions": {"2": {**VERSION, "deletion_time": 20261101}}},
        {"versions": {"2": {**VERSION, "deletion_time": []}}},
    ],
)
def test_what_vault_never_says(change: dict[str, Any]) -> None:
    """A part of another type is refused: nothing is made to fit."""
    with pytest.raises(UnexpectedShape):
        parse_metadata("ci", {**METADATA, **change}, NOW)


@pytest.mark.parametrize("number", ["\u0661", "1_0", " 1", "+1", "-1", ""])
def test_version_numbers_are_plain_digits(number: str) -> None:
    """A version whose number only Python would read is no version."""
    with pytest.raises(UnexpectedShape):
        undestroyed_before({"versions": {number: VERSION}}, 99)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_moments_at_the_calendars_edge(moment: str) -> None:
    """Times that no zone can hold are compared all the same."""
    data = {**DATA, "metadata": {**DATA["metadata"], "created_time": moment, "deletion_time": moment}}
    assert parse_stored("ci", data, NOW).age >= 0
    versions = {"2": {**VERSION, "deletion_time": moment}}
    state = parse_metadata("ci", {**METADATA, "versions": versions}, NOW).state
    assert state is (VersionState.DELETED if moment.startswith("0") else VersionState.LIVE)


@pytest.mark.parametrize(
    ("moment", "known"),
    [
        (MOMENT, datetime(2026, 11, 1, 11, 0, 0, 123456, UTC)),
        ("2026-11-01T14:00:00+02:00", datetime(2026, 11, 1, 12, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:59", None),
        ("yesterday", None),
        (7, None),
        (None, None),
    ],
)
def test_a_moment_that_nothing_depends_on(moment: object, known: datetime | None) -> None:
    """When a version was written is told in UTC, or not at all."""
    versions = {"2": {**VERSION, "created_time": moment}}
    assert parse_metadata("ci", {**METADATA, "versions": versions}, NOW).changed_at == known


def test_metadata_without_a_version_is_about_nothing() -> None:
    """A path that never had a version is absent, and whatever its metadata says is no projection."""
    for custom in (None, CUSTOM):
        metadata = parse_metadata(
            "ci", {"current_version": 0, "custom_metadata": custom, "versions": {}}, NOW
        )
        assert (metadata.version, metadata.state, metadata.projection) == (0, VersionState.ABSENT, None)


ODD_DATES = (
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Sat, 01 Jan 1000 00:00:00 +2359",
)


def response(status: int, body: bytes, headers: dict[str, str]) -> Reply:
    """Return an answer as the HTTP client gives it."""
    pairs = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    return Reply(status, httpx.Headers(pairs), body)


@pytest.mark.parametrize("date", ODD_DATES)
def test_a_date_that_is_nobodys_clock(date: str) -> None:
    """A `Date` beyond the calendar, or at its edge, is no time of Vault's."""
    answer = interpret(
        response(200, b'{"data": {"a": 1}}', {"Date": date}), Purpose("read", "secret/data/ci")
    )
    assert answer.at is None


@given(
    st.sampled_from([200, 204, 206, 302, 400, 403, 404, 405, 412, 429, 500, 501, 503]),
    damaged({"data": METADATA, "auth": None, "errors": ["words"]}).map(json.dumps).map(str.encode)
    | st.binary(max_size=20),
    st.sampled_from(["Date", "Retry-After"]),
    st.text(max_size=30)
    | st.sampled_from([*ODD_DATES, *(each for each in EXTREMES if isinstance(each, str))]),
    st.booleans(),
)
def test_any_answer(status: int, body: bytes, header: str, value: str, confidential: bool) -> None:
    """Whatever comes as an answer is one, or one of our errors in a line that can be written."""
    purpose = Purpose("read", "secret/data/ci", confidential=confidential)
    try:
        answer = interpret(response(status, body, {header: value}), purpose)
    except StoreError as error:
        told = error
    else:
        assert isinstance(answer, Answer)
        assert isinstance(answer.data, dict)
        return
    assert told.message.encode()
    assert "\n" not in told.message
