"""The sample events of the embedded API, which are also in `examples/events`."""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path

import pytest

from reconciler.receiver.event import parse_event
from reconciler.sandbox.deliveries import sample_event
from reconciler.sandbox.zof_requests import EVENT_TYPES

EXAMPLES = Path(__file__).parents[3] / "examples" / "events"
CREATED = 1_779_278_400


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_there_is_a_sample_of_every_event(kind: str) -> None:
    """The file in examples/events is what the sandbox sends, but for its ids; UPDATE_GOLDEN=1 writes it."""
    numbers = count(1)
    event = sample_event(kind, "acme", CREATED, lambda: f"{next(numbers):016x}")
    text = json.dumps(event, indent=2) + "\n"
    path = EXAMPLES / f"{kind}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
    parsed = parse_event("hooks", text.encode(), "", 0.0)
    assert (parsed.type, parsed.id) == (kind, event["id"])
    assert event["created"] == "2026-05-20T12:00:00Z"
    assert event["data"]["object"].keys() == {"id", "organization_id", "run_id"}


def test_there_is_no_sample_of_anything_else() -> None:
    """No file in examples/events is for a type that does not exist."""
    assert {path.stem for path in EXAMPLES.iterdir()} == set(EVENT_TYPES)


def test_ids_differ() -> None:
    """Two events of one type have nothing in common but their type and their organization."""
    one, other = (sample_event("run.failed", "acme", CREATED) for _ in range(2))
    assert one["id"] != other["id"]
    assert one["data"]["object"]["organization_id"] == other["data"]["object"]["organization_id"]
    assert one["data"]["object"]["run_id"] != other["data"]["object"]["run_id"]
