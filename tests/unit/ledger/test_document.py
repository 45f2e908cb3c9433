"""The ledger as hostile data: whatever stands in Vault, reading gives a sound value or one clear refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from reconciler.errors import DocumentUnreadable
from reconciler.ledger.document import Document
from reconciler.ledger.ledger import Abandoned, Current, Ledger, Manifest, Pending, Previous
from reconciler.ledger.projection import Projection, project
from reconciler.model import DeletionPolicy, Endpoint, Run, Secret, SendingWindow
from reconciler.texts import from_timestamp, is_text, to_timestamp
from tests.fixtures.damage import damaged

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
URL = "https://hooks.example.com/ci"
EVENTS = ("run.completed", "run.failed")
WINDOW = SendingWindow(NOW, NOW + timedelta(seconds=2, microseconds=5))
BODY = Secret(json.dumps({"url": URL, "events": list(EVENTS), "secret": "whsec_pending"}))
LEDGER = Ledger(
    organization="acme",
    api_url="https://api.zof.ai/v1",
    nonce="nonce",
    name="ci",
    generation=3,
    pending=Pending(
        4, 1, "key", BODY, "digest", frozenset({"we_1", "we_2"}), NOW, stuck=True, windows=(WINDOW,)
    ),
    current=Current("we_2", 3, "digest", URL, "client", NOW, verified_at=NOW, live_digest="other"),
    previous=(Previous("we_1", 2, NOW, NOW, NOW + timedelta(days=1)), Previous("we_0", 1, NOW)),
    abandoned=(Abandoned("old", URL, EVENTS, frozenset({"we_0"}), NOW, NOW, (WINDOW,)),),
    deletion_policy=DeletionPolicy.PROTECT,
    manifest=Manifest("manifests/ci.yaml", "digest"),
    owner="platform",
    run=Run("ada", "c0ffee", "https://ci.example.com/1"),
)
DOCUMENT = Document(
    LEDGER, Secret("whsec_one"), {"we_1": Secret("whsec_zero")}, {"note": Secret('{"kept": [1, null]}')}
)
PROJECTION = project(DOCUMENT, 7, tested=True)
INSIDE = frozenset({"ledger", "body", "previous_signing_secrets"})

texts = st.text(st.characters(codec="utf-8"), max_size=20)
counts = st.integers(0, 10**9)
moments = st.datetimes(datetime(1970, 1, 2), datetime(8999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


def built(kind: type[Struct], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Give values of a kind. Hypothesis' own `builds` evaluates annotations, and ours do not all exist."""
    return st.fixed_dictionaries(parts).map(lambda given: kind(**given))


def assert_sound(value: Any) -> None:
    """Every field, however deep, has the type that its annotation says, and every text can be written."""
    for field, kind in type(value).__annotations__.items():
        part = getattr(value, field)
        if part is None:
            assert kind.endswith("| None"), field
        elif kind.removesuffix(" | None") in {"str", "int", "bool"}:
            assert type(part).__name__ == kind.removesuffix(" | None"), field
        for each in part if isinstance(part, tuple | frozenset) else (part,):
            if isinstance(each, str):
                assert is_text(each), field
            elif isinstance(each, datetime):
                assert each.utcoffset() == timedelta(0), field
            elif isinstance(each, Secret):
                assert is_text(each.reveal()), field
            elif isinstance(each, Struct):
                assert_sound(each)
            else:
                assert each is None or isinstance(each, int | dict), field


@given(damaged(DOCUMENT.to_fields(), opened=INSIDE))
@example(DOCUMENT.to_fields())
def test_a_damaged_document_is_sound_or_refused(fields: Any) -> None:
    """With anything in place of any part of a document, it is refused, or everything in it can be used."""
    try:
        document = Document.from_fields(fields)
    except DocumentUnreadable:
        return
    assert_sound(document)
    assert Document.from_fields(document.to_fields()) == document
    # What the program does with any document: the next write, its request, the plan's part.
    json.dumps(document.to_fields(), allow_nan=False)
    if document.ledger.pending is not None:
        assert_sound(document.ledger.pending.abandon(NOW, (WINDOW,)))
    project(document, 1, tested=True).to_metadata()


def test_a_ledger_of_an_older_version_is_read() -> None:
    """Without windows, nothing shows when an intent was sent, and an abandoned attempt has no evidence."""
    fields = DOCUMENT.to_fields()
    ledger = json.loads(fields["ledger"])
    del ledger["pending"]["windows"], ledger["abandoned"][0]["windows"]
    read = Document.from_fields({**fields, "ledger": json.dumps(ledger)}).ledger
    assert read.pending is not None
    assert read.pending.windows is None
    assert read.abandoned[0].windows == ()


@pytest.mark.parametrize(
    ("created", "is_leftover"),
    [
        (NOW, True),
        (NOW - timedelta(seconds=5), True),
        (NOW - timedelta(seconds=6), False),
        (NOW + timedelta(seconds=7), True),
        (NOW + timedelta(seconds=8), False),
        (NOW + timedelta(minutes=4), False),
        (None, False),
    ],
)
def test_an_endpoint_is_a_leftover_only_if_it_was_created_in_a_window(
    created: datetime | None, is_leftover: bool
) -> None:
    """A window is a few seconds wider at each end; without a time of creation there is no evidence."""
    attempt = LEDGER.abandoned[0]
    endpoint = Endpoint("we_9", URL, EVENTS, created)
    assert attempt.resembles(endpoint)
    assert attempt.may_have_made(endpoint) is is_leftover
    assert not attempt.resembles(replace(endpoint, id="we_0"))
    assert not attempt.resembles(replace(endpoint, events=("run.started",)))
    assert not attempt.resembles(replace(endpoint, url="https://hooks.example.com/other"))


@pytest.mark.parametrize(
    "change",
    [
        {"version": True},
        {"version": 2},
        {"organization": None},
        {"generation": "3"},
        {"generation": True},
        {"generation": -1},
        {"generation": 10**400},
        {"nonce": "\ud800"},
        {"pending": False},
        {"pending": ""},
        {"current": 0},
        {"previous": {}},
        {"previous": [["we_1"]]},
        {"abandoned": "none"},
        {"removing": "false"},
        {"released": 0},
        {"deletion_policy": ["Delete"]},
        {"manifest": {"path": 1, "digest": None}},
        {"owner": 5},
        {"run": "ada"},
    ],
)
def test_a_part_of_another_type_is_damage(change: dict[str, Any]) -> None:
    """Nothing is made to fit: a number for a text, a text for a list or a word for a truth is damage."""
    fields = DOCUMENT.to_fields()
    ledger = {**json.loads(fields["ledger"]), **change}
    with pytest.raises(DocumentUnreadable):
        Document.from_fields({**fields, "ledger": json.dumps(ledger)})


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("abandoned", {"events": [1, "a"]}),
        ("abandoned", {"events": "ab"}),
        ("abandoned", {"baseline_ids": "we_1"}),
        ("abandoned", {"baseline_ids": [["we_1"]]}),
        ("abandoned", {"abandoned_at": "9999-12-31T23:59:59Z"}),
        ("previous", {"retire_after": "0001-01-01T00:00:00+23:59"}),
        ("previous", {"endpoint_id": None}),
    ],
)
def test_a_damaged_entry_is_damage(part: str, change: dict[str, Any]) -> None:
    """A list of mixed types, a text for a list and a date at the calendar's edge are damage, too."""
    fields = DOCUMENT.to_fields()
    ledger = json.loads(fields["ledger"])
    ledger[part][0].update(change)
    with pytest.raises(DocumentUnreadable):
        Document.from_fields({**fields, "ledger": json.dumps(ledger)})


def test_a_run_is_told_as_far_as_it_is_known() -> None:
    """Who ran it is for people alone: what is no text counts as unknown."""
    fields = DOCUMENT.to_fields()
    ledger = {**json.loads(fields["ledger"]), "run": {"actor": 5, "commit": "\ud800", "url": "https://ci"}}
    read = Document.from_fields({**fields, "ledger": json.dumps(ledger)})
    assert read.ledger.run == Run(url="https://ci")


documents = built(
    Document,
    ledger=built(
        Ledger,
        organization=texts,
        api_url=texts,
        nonce=texts,
        generation=counts,
        pending=st.none()
        | built(
            Pending,
            generation=counts,
            attempt=counts,
            idempotency_key=texts,
            body=st.builds(
                lambda url, events, secret: Secret(
                    json.dumps({"url": url, "events": events, "secret": secret})
                ),
                texts,
                st.lists(texts, max_size=3),
                texts,
            ),
            digest=texts,
            baseline_ids=st.frozensets(texts, max_size=3),
            written_at=moments,
            stuck=st.booleans(),
            gap=st.booleans(),
        ),
        current=st.none()
        | built(
            Current,
            endpoint_id=texts,
            generation=counts,
            digest=texts,
            url=texts,
            source=texts,
            created_at=moments,
            verified_at=st.none() | moments,
        ),
        previous=st.lists(
            built(
                Previous,
                endpoint_id=texts,
                generation=counts,
                retire_after=moments,
                deleted_at=st.none() | moments,
                expire_at=st.none() | moments,
            ),
            max_size=2,
        ).map(tuple),
        abandoned=st.lists(
            built(
                Abandoned,
                idempotency_key=texts,
                url=texts,
                events=st.lists(texts, max_size=3).map(tuple),
                baseline_ids=st.frozensets(texts, max_size=3),
                written_at=moments,
                abandoned_at=moments,
            ),
            max_size=2,
        ).map(tuple),
        removing=st.booleans(),
        released=st.booleans(),
        deletion_policy=st.sampled_from(DeletionPolicy),
        manifest=built(Manifest, path=st.none() | texts, digest=st.none() | texts),
        owner=st.none() | texts,
        run=built(Run, actor=st.none() | texts, commit=st.none() | texts, url=st.none() | texts),
    ),
    signing_secret=st.none() | texts.filter(bool).map(Secret),
    previous_secrets=st.dictionaries(texts, texts.map(Secret), max_size=3),
    extra=st.dictionaries(
        texts.map("x-{}".format),
        (st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | texts).map(
            lambda value: Secret(json.dumps(value))
        ),
        max_size=3,
    ),
)


@given(documents)
def test_a_sound_document_round_trips(document: Document) -> None:
    """Through Vault's JSON and back, a document stays the same."""
    fields = json.loads(json.dumps(document.to_fields()))
    assert Document.from_fields(fields) == document
    assert list(Document.from_fields(fields).previous_secrets) == list(document.previous_secrets)


@given(moments)
def test_a_moment_round_trips(moment: datetime) -> None:
    """A timestamp is read as what was written."""
    assert from_timestamp(to_timestamp(moment)) == moment


# --- the metadata ---------------------------------------------------------------------------------


@given(damaged(PROJECTION.to_metadata()).filter(lambda value: isinstance(value, dict)))
def test_damaged_metadata_is_sound_or_nothing(values: Any) -> None:
    """With anything in place of any value of the metadata, there is no projection, or a sound one."""
    projection = Projection.from_metadata(values)
    if projection is not None:
        assert_sound(projection)
        assert projection.endpoint_id or projection.state not in {"active", "unverified", "released"}
        projection.to_metadata()


@pytest.mark.parametrize(
    "change",
    [
        {"v": "7 "},
        {"v": "+7"},
        {"v": "\u0667"},
        {"v": "9" * 5000},
        {"generation": "9" * 400},
        {"abandoned": "-1"},
        {"state": "bogus"},
        {"endpoint_id": ""},
        {"next_due": "0001-01-01T00:00:00+23:59"},
        {"secret_created_at": "9999-12-31T23:59:59-23:59"},
        {"verified_at": "2026-11-01"},
        {"deletion_policy": "Never"},
        {"note": "\ud800"},
        {"note": 5},
    ],
)
def test_metadata_that_nobody_wrote(change: dict[str, Any]) -> None:
    """Metadata that `to_metadata` cannot have written is no projection, so the ledger is read instead."""
    assert Projection.from_metadata({**PROJECTION.to_metadata(), **change}) is None


UNPRINTABLE = (
    "a\tb",
    "a\nb",
    "a\xa0b",
    "a\u200bb",
    "a\u2003b",
    "a\u202eb",
    "a\x7fb",
    "\ud800",
    "x" * 513,
    "é" * 257,
)


@pytest.mark.parametrize("text", UNPRINTABLE)
def test_what_vault_refuses_is_left_out(text: str) -> None:
    """Values that are for people alone are left out where Vault would refuse all metadata for them."""
    run = Run(text, text, text)
    projection = replace(PROJECTION, owner=text, manifest=text, url=text, run=run)
    expected = replace(PROJECTION, owner=None, manifest=None, url=None, run=Run())
    assert Projection.from_metadata(projection.to_metadata()) == expected


@pytest.mark.parametrize("text", UNPRINTABLE)
@pytest.mark.parametrize("field", ["organization", "api_url", "endpoint_id", "digest", "live_digest"])
def test_a_plan_never_misses_what_it_decides_by(field: str, text: str) -> None:
    """Without a value that the comparison needs there is no projection: the ledger itself is read."""
    change: dict[str, Any] = {field: text}
    projection = replace(PROJECTION, **change)
    metadata = projection.to_metadata()
    assert text not in metadata.values()
    assert Projection.from_metadata(metadata) is None


@pytest.mark.parametrize("endpoint_id", ["a,b", "a\tb"])
def test_a_replaced_endpoint_that_cannot_be_listed(endpoint_id: str) -> None:
    """An id that would be read as two, or as none, leaves no projection either."""
    projection = replace(PROJECTION, previous_ids=("we_0", endpoint_id))
    assert Projection.from_metadata(projection.to_metadata()) is None


@given(
    built(
        Projection,
        version=counts,
        organization=st.text(),
        api_url=st.text(),
        generation=counts,
        state=st.sampled_from(["active", "unverified", "released", "removing", "deleted", "empty"]),
        endpoint_id=st.none() | st.text(),
        url=st.none() | st.text(),
        digest=st.none() | st.text(),
        previous_ids=st.lists(st.text(min_size=1), max_size=3).map(tuple),
        next_due=st.none() | moments,
        abandoned=counts,
        secret_created_at=st.none() | moments,
        verified_at=st.none() | moments,
        deletion_policy=st.sampled_from(DeletionPolicy),
        owner=st.none() | st.text(),
        manifest=st.none() | st.text(),
        run=built(Run, actor=st.none() | st.text()),
    )
)
def test_metadata_says_less_never_something_else(projection: Projection) -> None:
    """All that is written can be stored; what is read back is what it was, or is left out as a whole."""
    metadata = projection.to_metadata()
    assert all(text.isprintable() and 0 < len(text.encode()) <= 512 for text in metadata.values())
    read = Projection.from_metadata(metadata)
    if read is None:
        return
    for field in Projection.__struct_fields__:
        was, now = getattr(projection, field), getattr(read, field)
        if field in {"owner", "manifest", "url"}:
            assert now in {was, None}
        elif field != "run":
            assert now == (was or (None if was == "" else was)), field
