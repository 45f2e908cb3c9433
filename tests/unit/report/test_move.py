"""A move's preview and outcome as text and JSON."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.model import Organization
from reconciler.plan.guards import Refusal
from reconciler.plan.move import DocumentMove, DocumentOutcome, Move, MoveOutcome, Part, UnreadableDocument
from reconciler.plan.outcome import Result
from reconciler.report.move import move_outcome_text, move_text, move_value

OLD = Organization("acme", "https://api.zof.ai/v1")
NEW = Organization("acme-prod", "https://api.zof.ai/v2")
MOVE = Move(
    OLD,
    NEW,
    (
        DocumentMove("ci", Part.DOCUMENT, ("we_1", "we_2"), ("we_2",)),
        DocumentMove("long-name", Part.METADATA, note="the webhook was removed"),
    ),
    1,
    (UnreadableDocument("alien", "no ledger", "move it away"),),
    (Refusal("missing", "1 of 2 recorded endpoints are not listed", "check the key"),),
    {"ci": 1, "long-name": 2, "alien": 1, "done": 4},
)
OUTCOME = MoveOutcome(
    (
        DocumentOutcome("ci", Result.FAILED, "another writer was first", "run again"),
        DocumentOutcome("long-name", Result.DONE),
        DocumentOutcome("z", Result.NOT_ATTEMPTED),
    )
)


def test_the_preview_as_text() -> None:
    """What changes in every ledger, each document with its endpoints, and what forbids it."""
    assert (
        move_text(MOVE)
        == """\
Move of acme-prod: 2 documents
  organization  acme → acme-prod
  API           https://api.zof.ai/v1 → https://api.zof.ai/v2

  ~ ci         we_1 live, we_2 not listed
  ~ long-name  no endpoint
      the webhook was removed

1 document moved before.
  ✗ alien  not moved: no ledger
      hint: move it away

  ✗ refused: 1 of 2 recorded endpoints are not listed
      hint: check the key
"""
    )
    empty = replace(MOVE, documents=(), unreadable=(), refusals=())
    assert move_text(empty) == "Nothing to move: 1 document of acme-prod at https://api.zof.ai/v2.\n"
    assert "\x1b[33m" in move_text(MOVE, color=True)


def test_the_outcome_as_text() -> None:
    """What was not moved, and the command that moves it."""
    assert (
        move_outcome_text(MOVE, OUTCOME)
        == """\
  ✗ ci  move failed
      another writer was first
      hint: run again
  ○ z  move not attempted
Partly done: 1 document moved, 2 left.
Next: `reconciler move --from-api-url https://api.zof.ai/v1 --from-organization acme \
--organization acme-prod` moves the rest.
"""
    )
    done = MoveOutcome((DocumentOutcome("ci", Result.DONE),))
    shown = "Done: 1 document moved. Next: `reconciler plan` with the new settings.\n"
    assert move_outcome_text(MOVE, done) == shown


def test_the_move_as_json() -> None:
    """Every part has its key; without a confirmation there is no outcome."""
    value = move_value(MOVE, OUTCOME)
    assert value["documents"][0] == {
        "name": "ci",
        "writes": "document",
        "endpoint_ids": ["we_1", "we_2"],
        "missing": ["we_2"],
        "note": None,
    }
    assert value["outcome"]["documents"][0]["hint"] == "run again"
    assert (value["outcome"]["complete"], value["refused"][0]["guard"]) == (False, "missing")
    assert move_value(MOVE, None)["outcome"] is None


def test_control_characters_are_escaped() -> None:
    """Foreign text cannot control a terminal."""
    hostile = replace(
        MOVE,
        origin=Organization("\x1b[31m", "https://\x1b"),
        documents=(DocumentMove("\x1b[31m", Part.DOCUMENT, ("\x1b",), note="\x1b]0;\n"),),
    )
    outcome = MoveOutcome((DocumentOutcome("\x1b[31m", Result.FAILED, "\x1b", "\x1b"),))
    assert "\x1b" not in move_text(hostile) + move_outcome_text(hostile, outcome)
