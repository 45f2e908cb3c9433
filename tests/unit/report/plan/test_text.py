"""Plans as text: whole outputs, and hostile text that must not steer a terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from reconciler.model import Endpoint, Location
from reconciler.plan.guards import Refusal
from reconciler.plan.plan import Action, Cause, Change, Cost, FieldChange, Plan, Shape
from reconciler.report.format.escape import visible
from reconciler.report.plan.summary import DRIFT, View
from reconciler.report.plan.text import plan_text
from tests.fixtures.plan import SERVERS

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

ANSI = re.compile(r"\x1b\[[0-9;]*m")
OLD = Shape("https://old.example.com/zof", ("run.completed", "run.started"))
NEW = Shape("https://new.example.com/zof", ("run.completed", "run.failed"))
CREATE = Change(
    "billing",
    Action.CREATE,
    "new in the manifests",
    Cause.MANIFEST,
    after=NEW,
    source=Location("m/b.yaml", 3),
    steps=("write the intent", "create the endpoint"),
    api_requests=2,
)
REPLACE = Change(
    "ci-runs",
    Action.REPLACE,
    "url and events changed",
    Cause.MANIFEST,
    before=OLD,
    after=NEW,
    fields=(FieldChange("url", OLD.url, NEW.url), FieldChange("events", list(OLD.events), list(NEW.events))),
    source=Location("m/c.yaml", 12),
    endpoint_id="wh_2",
    warnings=("deliveries pause for a moment",),
)
DELETE = Change("gone", Action.DELETE, "its manifest is gone", Cause.MANIFEST, before=OLD, endpoint_id="wh_3")
CONFLICT = Change(
    "taken",
    Action.CREATE,
    "new in the manifests",
    Cause.MANIFEST,
    after=OLD,
    problem="wh_9 has this URL and is not ours",
    hint="adopt it",
)
PLAN = Plan(
    "acme", SERVERS, (CREATE, REPLACE, DELETE, CONFLICT), unchanged=1200, owned=1202, cost=Cost(12, 8.0)
)


def test_a_plan_reads_from_the_changes_to_the_totals() -> None:
    """A plan shows each change with its reason, place and differences, then counts, cost and digest."""
    assert (
        plan_text(PLAN)
        == f"""\
Plan for acme: 4 changes
API: https://api.zof.ai/v1  Vault: https://vault.example.com  Path: secret/webhooks/acme-prod

  + create billing  (m/b.yaml:3)
      manifest: new in the manifests
      + url:    https://new.example.com/zof
      + events: run.completed, run.failed

+/- replace ci-runs  (wh_2, m/c.yaml:12)
      manifest: url and events changed
      ~ url:    https://old.example.com/zof → https://new.example.com/zof
      ~ events:   run.completed
                + run.failed
                - run.started
      warning: deliveries pause for a moment

  - delete gone  (wh_3)
      manifest: its manifest is gone
      - url:    https://old.example.com/zof
      - events: run.completed, run.started

  ✗ create taken
      manifest: new in the manifests
      + url:    https://old.example.com/zof
      + events: run.completed, run.started
      conflict: wh_9 has this URL and is not ours
      hint: adopt it

Plan: 2 to create, 1 to replace, 1 to delete; 1,200 unchanged.
✗ 1 change is blocked by a conflict; the other changes can be applied.
Cost: 12 API requests, at least 8 s at 100 requests a minute.
Digest: {PLAN.digest}
"""
    )


def test_colours_change_nothing_but_colours() -> None:
    """With colours the text is the same once the SGR sequences are taken out, and there are some."""
    colored = plan_text(PLAN, view=View(color=True))
    assert colored != plan_text(PLAN)
    assert ANSI.sub("", colored) == plan_text(PLAN)


def test_steps_are_numbered_when_asked_for() -> None:
    """Steps appear, numbered, in the verbose view alone."""
    plan = replace(PLAN, changes=(CREATE,))
    assert "      1. write the intent\n      2. create the endpoint\n" in plan_text(
        plan, view=View(verbose=True)
    )
    assert "write the intent" not in plan_text(plan)


def test_a_plan_within_the_quota_names_no_least_time() -> None:
    """If the quota allows all requests without a wait, no least time is shown."""
    plan = replace(PLAN, cost=Cost(1, 0.0, requests_per_minute=60))
    assert "\nCost: 1 API request, within the quota of 60 requests a minute.\n" in plan_text(plan)
    assert "Cost:" not in plan_text(replace(PLAN, cost=Cost(0, 0.0)))


def test_nothing_to_do_is_one_sentence() -> None:
    """A plan without changes says so, how many webhooks match, and where; drift has its own words."""
    where = "API: https://api.zof.ai/v1  Vault: https://vault.example.com  Path: secret/webhooks/acme-prod\n"
    empty = Plan("acme", SERVERS, (), unchanged=3, owned=3)
    assert plan_text(empty) == "No changes. 3 webhooks in acme match their manifests.\n" + where
    assert (
        plan_text(replace(empty, unchanged=1), title=DRIFT)
        == "No drift. 1 webhook in acme matches its manifest.\n" + where
    )


def test_unmanaged_endpoints_are_counted_and_listed_on_demand() -> None:
    """Unmanaged endpoints are a count, and a list in the verbose view."""
    plan = Plan(
        "acme", SERVERS, (), 0, 0, unmanaged=(Endpoint("wh_7", "https://x.example.com/", ("run.failed",)),)
    )
    assert "1 live endpoint is unmanaged and is not changed (-v lists them).\n" in plan_text(plan)
    assert "  wh_7  https://x.example.com/  run.failed\n" in plan_text(plan, view=View(verbose=True))


def test_new_unmanaged_endpoints_are_told_apart() -> None:
    """A drift report lists those of the last week, newest first with their age; the undated are counted."""
    made = {
        "wh_1": timedelta(days=7),
        "wh_2": timedelta(days=6),
        "wh_3": timedelta(hours=3),
        "wh_5": timedelta(0),
    }
    unmanaged = [Endpoint(i, "https://x.example.com/", ("run.failed",), NOW - age) for i, age in made.items()]
    undated = Endpoint("wh_4", "https://y.example.com/", ())
    plan = Plan("acme", SERVERS, (), 0, 0, unmanaged=(*unmanaged, undated), released=frozenset({"wh_5"}))
    view = View(now=NOW)
    assert plan_text(plan, title=DRIFT, view=view).split("\n", 2)[2] == (
        "5 live endpoints are unmanaged and are not changed (-v lists them).\n"
        "The API does not say when 1 of them appeared; 2 of them appeared in the last 7 days:\n"
        "  wh_3  https://x.example.com/  run.failed  created 3 h ago\n"
        "  wh_2  https://x.example.com/  run.failed  created 6 d ago\n"
    )
    verbose = plan_text(plan, title=DRIFT, view=replace(view, verbose=True))
    assert [line.split()[0] for line in verbose.splitlines()[3:8]] == ["wh_5", "wh_3", "wh_2", "wh_1", "wh_4"]
    assert verbose.endswith("appeared in the last 7 days.\n")
    calm = plan_text(replace(plan, unmanaged=tuple(unmanaged[:1])), title=DRIFT, view=view)
    assert calm.endswith("(-v lists them).\n")
    many = plan_text(replace(plan, unmanaged=(unmanaged[1],) * 23), title=DRIFT, view=view)
    assert many.count("created 6 d ago") == 20
    assert many.endswith("  and 3 more\n")


def test_a_refusal_names_the_exact_line_that_approves_it() -> None:
    """A guard's refusal is shown with its hint, and both ways to approve exactly this plan."""
    refusal = Refusal("deletes", "12 deletions, 10 are allowed", "look at the manifests", approvable=True)
    text = plan_text(PLAN, (refusal,))
    assert "refused[deletes]: 12 deletions, 10 are allowed\n  hint: look at the manifests\n" in text
    assert f"\n  reconciler apply --approve {PLAN.digest}\n" in text
    assert f"\n  guards: {{approve: [{PLAN.digest}]}}\n" in text


def test_what_cannot_be_approved_offers_no_approval() -> None:
    """One refusal that no approval lifts makes the approval lines disappear."""
    refusals = (
        Refusal("deletes", "too many", "look", approvable=True),
        Refusal("protected", "it is protected", "change the policy first", approvable=False),
    )
    assert "--approve" not in plan_text(PLAN, refusals)


@pytest.mark.parametrize("action", Action)
def test_every_action_has_a_symbol_and_a_place_in_the_summary(action: Action) -> None:
    """Each action is named in its headline and counted in the summary line."""
    text = plan_text(Plan("acme", SERVERS, (Change("x", action, "why", Cause.DRIFT),), 0, 1))
    assert re.search(rf"^ *(\+|-|~|\+/-|↻|»|!) {action.value} x$", text, re.MULTILINE)
    counted = "resolve by hand" if action is Action.NONE else action.value
    assert f"Plan: 1 to {counted}; 0 unchanged." in text


HOSTILE = "a\x1b]0;pwned\x07\r\nb\u202ec\u200bd\u2028e\x7f\x9b31m\ud800"


def test_hostile_text_is_no_command_to_githubs_runner() -> None:
    """Commands of its older form count anywhere in a line of a log."""
    assert visible("a##[add-mask]b") == r"a##\x5badd-mask]b"
    assert visible("\x1b##[error]") == r"\x1b##\x5berror]"
    assert visible("a #[b] # [c]") == "a #[b] # [c]"


def test_hostile_text_reaches_no_terminal() -> None:
    """Control characters, overrides, invisible characters and surrogates of foreign text are escaped."""
    shape = Shape(HOSTILE, (HOSTILE,))
    change = Change(
        HOSTILE,
        Action.REPLACE,
        HOSTILE,
        Cause.DRIFT,
        shape,
        shape,
        (FieldChange(HOSTILE, HOSTILE, None), FieldChange("events", [HOSTILE], [])),
        Location(HOSTILE, 1),
        HOSTILE,
        steps=(HOSTILE,),
        warnings=(HOSTILE,),
        problem=HOSTILE,
        hint=HOSTILE,
    )
    create = replace(change, action=Action.CREATE, fields=())
    plan = Plan("org", SERVERS, (change, create), 0, 0, (Endpoint(HOSTILE, HOSTILE, (HOSTILE,)),))
    refusal = Refusal(HOSTILE, HOSTILE, HOSTILE, approvable=False)
    text = plan_text(plan, (refusal,), view=View(verbose=True)).replace("\n", "")
    assert text.isprintable()
    assert r"a\x1b]0;pwned\x07\r\nb\u202ec\u200bd\u2028e\x7f\x9b31m\ud800" in text
