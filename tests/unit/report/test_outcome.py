"""Outcomes: an honest list of what is done and what is not."""

from __future__ import annotations

import re

from reconciler.plan.outcome import ChangeOutcome, Outcome, Result
from reconciler.plan.plan import Action, Cause, Change, Cost
from reconciler.report.outcome import outcome_text, outcome_value, totals


def _change(name: str, action: Action) -> Change:
    return Change(name, action, "why", Cause.MANIFEST)


DONE = ChangeOutcome(_change("a", Action.CREATE), Result.DONE, "wh_1")
PARTLY = Outcome(
    (
        DONE,
        ChangeOutcome(_change("bb", Action.ROTATE), Result.WAITING, "wh_2", "the rest is due at noon"),
        ChangeOutcome(
            _change("c", Action.REPLACE), Result.UNVERIFIED, "wh_3", "HTTP 500 [request r1]", "look"
        ),
        ChangeOutcome(_change("d", Action.DELETE), Result.FAILED, None, "HTTP 405 [request r2]", "by hand"),
        ChangeOutcome(_change("e", Action.CREATE), Result.NOT_ATTEMPTED, None, "interrupted"),
    ),
    api_requests=14,
    seconds=12.34,
    swept=("wh_0",),
    interrupted=True,
)


def test_an_outcome_lists_everything_and_the_next_command() -> None:
    """Each change is shown with its result, detail and hint; what is left has a next safe command."""
    assert (
        outcome_text(PARTLY)
        == """\
  ✓ a   created  wh_1
  ✓ bb  rotated  wh_2
      the rest is due at noon
  ! c   replaced, not verified  wh_3
      HTTP 500 [request r1]
      hint: look
  ✗ d   delete failed
      HTTP 405 [request r2]
      hint: by hand
  ○ e   create not attempted
      interrupted
  ✓ deleted leftover endpoint wh_0

Interrupted: the current step was finished and nothing is lost.
Next: `reconciler plan` shows what is left; `reconciler apply` safely continues.
Partly done: 2 done (1 with a later cleanup), 1 unverified, 1 failed, 1 not attempted; \
14 API requests in 12 s.
"""
    )


def test_a_complete_outcome_asks_for_nothing() -> None:
    """A complete run is two lines: what was done, and what it took."""
    text = outcome_text(Outcome((DONE,), api_requests=1, seconds=0.42))
    assert text == "  ✓ a  created  wh_1\n\nDone: 1 done; 1 API request in 0.4 s.\n"
    assert outcome_text(Outcome((), 1, 0.0)) == "Done: no changes; 1 API request in 0 s.\n"


def test_what_it_took_is_beside_what_was_planned() -> None:
    """Requests beside requests; time beside the least that the quota allows, where it holds the plan."""
    short = Outcome((DONE,), api_requests=3, seconds=0.42, planned=Cost.of(3, 100))
    assert totals(short) == "Done: 1 done; 3 API requests in 0.4 s (planned: 3)."
    long = Outcome((DONE,), api_requests=1_204, seconds=684.0, planned=Cost.of(1_201, 100))
    expected = "Done: 1 done; 1,204 API requests in 11 min 24 s (planned: 1,201 in 11 min 1 s or more)."
    assert totals(long) == expected


def test_every_result_of_every_action_has_words() -> None:
    """No action and no result is without words, in colours as without."""
    for action in Action:
        for result in Result:
            outcome = Outcome((ChangeOutcome(_change("a", action), result),), 1, 1.0)
            plain, colored = outcome_text(outcome), outcome_text(outcome, color=True)
            assert plain == re.sub(r"\x1b\[[0-9;]*m", "", colored) != colored


def test_hostile_text_reaches_no_terminal() -> None:
    """Names, details, hints and ids of foreign origin are escaped."""
    bad = "x\x1b[2J\u202e\n"
    outcome = Outcome(
        (ChangeOutcome(_change(bad, Action.CREATE), Result.FAILED, bad, bad, bad),), 1, 1.0, (bad,)
    )
    text = outcome_text(outcome).replace("\n", "")
    assert text.isprintable()
    assert text.count(r"x\x1b[2J\u202e\n") == 5


def test_the_json_has_the_same_facts() -> None:
    """The JSON object holds each change's result, what it took, and whether all is done."""
    value = outcome_value("acme", "sha256:00", PARTLY)
    assert [each["result"] for each in value["changes"]] == [each.result.value for each in PARTLY.changes]
    assert value["changes"][3] == {
        "name": "d",
        "action": "delete",
        "result": "failed",
        "endpoint_id": None,
        "detail": "HTTP 405 [request r2]",
        "hint": "by hand",
    }
    assert (value["complete"], value["interrupted"], value["swept"]) == (False, True, ["wh_0"])
    assert (value["organization"], value["digest"]) == ("acme", "sha256:00")
    assert (value["api_requests"], value["seconds"]) == (14, 12.34)
