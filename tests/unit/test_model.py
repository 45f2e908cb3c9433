"""The domain's values: secrets stay hidden, documents round-trip."""

from __future__ import annotations

import copy
import gc
import json
import pickle
from datetime import UTC, datetime

import pytest

from reconciler.errors import DocumentUnreadable
from reconciler.ledger.document import Document
from reconciler.ledger.ledger import Current, Ledger, Pending
from reconciler.ledger.projection import Projection, project
from reconciler.model import Endpoint, Location, Secret, Webhook
from reconciler.ports import Metadata, VersionState

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TEXT = "whsec_0123456789abcdef"


def document() -> Document:
    """Return a document with something in every kind of slot."""
    body = Secret(json.dumps({"url": "https://a.example.com/", "events": ["run.failed"], "secret": TEXT}))
    pending = Pending(2, 1, "key", body, "d", frozenset({"we_1"}), NOW)
    current = Current("we_1", 1, "d", "https://a.example.com/", "client", NOW, NOW)
    ledger = Ledger("acme", "https://api.zof.ai/v1", pending=pending, current=current, generation=2)
    return Document(ledger, Secret(TEXT), {"we_0": Secret("old")}, {"theirs": Secret('{"x": 1}')})


def test_a_secret_is_never_shown() -> None:
    """No ordinary way of turning a secret into text yields its bytes."""
    secret = Secret(TEXT)
    for shown in (repr(secret), str(secret), f"{secret:>20}", f"{secret!r}", repr(document())):
        assert TEXT not in shown
    for leak in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(secret)


def test_the_collector_has_nothing_to_do_with_a_fleet() -> None:
    """What there is one of for each webhook is not tracked, so that no search for cycles visits it."""
    webhook = Webhook(
        "a", "https://a.example.com/", ("run.failed",), Location("a.yaml"), labels={"team": "a"}
    )
    endpoint = Endpoint("we_1", webhook.url, webhook.events, NOW)
    projection = project(document(), 1, tested=True)
    metadata = Metadata("a", 1, VersionState.LIVE, projection, NOW)
    assert not any(map(gc.is_tracked, (webhook, webhook.location, endpoint, projection, metadata)))


def test_a_document_round_trips() -> None:
    """What is written is what is read, keys of others included."""
    fields = document().to_fields()
    assert Document.from_fields(fields) == document()
    assert fields["theirs"] == {"x": 1}
    assert fields["previous_signing_secret"] == "old"
    assert fields["pending_signing_secret"] == TEXT


@pytest.mark.parametrize(
    "fields", [None, {}, {"ledger": 1}, {"ledger": "{}"}, {"ledger": f'"{TEXT}'}, {"ledger": "[" * 99999}]
)
def test_a_damaged_document_is_refused_without_quoting_it(fields: object) -> None:
    """A document that we cannot read raises one clear error, and no byte of it is told."""
    with pytest.raises(DocumentUnreadable) as caught:
        Document.from_fields(fields)
    assert TEXT not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_projection_round_trips_within_vaults_limits() -> None:
    """Metadata is texts of at most 512 bytes, and reads back the same where it fits."""
    projection = Projection(
        3, "acme", "https://api.zof.ai/v1", 2, "active", "we_1", previous_ids=("we_0",), next_due=NOW
    )
    assert Projection.from_metadata(projection.to_metadata()) == projection
    many = Projection(
        3, "a", "b", 2, "active", url="u" * 600, previous_ids=tuple(f"we_{i}" for i in range(500))
    )
    assert all(len(value.encode()) <= 512 for value in many.to_metadata().values())
