"""What counts as an event."""

from __future__ import annotations

import json

import pytest

from reconciler.receiver.event import NotAnEvent, parse_event
from tests.fixtures.inbox import event_body


def test_an_event_has_its_content() -> None:
    """Id and type are read; the body stays as it is and is available as JSON."""
    body = event_body("evt_1", "a.new.type")
    event = parse_event("ci", body, "abc", 5.0)
    assert (event.webhook, event.id, event.type, event.body) == ("ci", "evt_1", "a.new.type", body)
    assert event.content["data"] == {"object": {"id": "x"}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"[]",
        b"null",
        b'{"id": "evt_1"}',
        b'{"id": 1, "type": "run.completed"}',
        b'{"id": "", "type": "run.completed"}',
        b'{"id": "evt_1", "type": ""}',
        b'{"id": "evt\\u0000", "type": "run.completed"}',
        b'{"id": "evt_1", "type": "\\ud800"}',
        b'{"id": "\xff", "type": "run.completed"}',
        json.dumps({"id": "x" * 256, "type": "run.completed"}).encode(),
        b"[" * 100_000,
        b"\x1f\x8b\x08\x00" + b"\x00" * 100,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_anything_else_is_not_an_event(body: bytes) -> None:
    """A body without a usable id and type is refused; nothing of it is in the message."""
    with pytest.raises(NotAnEvent):
        parse_event("ci", body, "abc", 5.0)
