"""Plans as GitHub's Markdown: whole outputs, the length of a comment, and foreign text that stays text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace

from reconciler.model import Endpoint, Location
from reconciler.plan.drift import Drift, DriftKind
from reconciler.plan.guards import Refusal
from reconciler.plan.outcome import ChangeOutcome, Outcome, Result
from reconciler.plan.plan import Action, Cause, Change, Cost, FieldChange, Plan, Shape
from reconciler.report.format.markdown import link
from reconciler.report.outcome import outcome_markdown
from reconciler.report.plan.github import plan_github
from reconciler.report.plan.markdown import plan_markdown
from reconciler.report.plan.summary import DRIFT, View
from tests.fixtures.plan import SERVERS
from tests.unit.report.plan.test_text import CONFLICT, DELETE, PLAN
from tests.unit.report.test_outcome import PARTLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

REFUSED = (Refusal("deletes", "the plan deletes 12 of 20", "delete fewer at a time"),)
GITHUB_LIMIT = 65_536
"""What GitHub takes as the body of a comment: "Body is too long (maximum is 65536 characters)"."""
MARK = "FOREIGN"
PIECES = st.sampled_from(
    ["`", "```", "~~~", "|", "\n", "<script>", "</code>", "@octocat", "#1", "![x](y)", "-->", "\\", "*", " "]
)
HOSTILE = st.lists(PIECES, max_size=6).map(lambda pieces: MARK.join(["", *pieces, ""]) or MARK)


def test_a_plan_begins_with_what_is_dangerous() -> None:
    """Totals and cost come first, then conflicts, deletions and replacements, then the rest."""
    assert (
        plan_markdown(PLAN)
        == f"""\
### Plan for `acme`

API: `https://api.zof.ai/v1`, Vault: `https://vault.example.com`, Path: `secret/webhooks/acme-prod`

**2 to create, 1 to replace, 1 to delete**; 1,200 unchanged. 12 API requests, at least 8 s at 100 requests a minute.

**1 change is blocked by a conflict; the other changes can be applied.**

**create** `taken`
```diff
# manifest: new in the manifests
! conflict: wh_9 has this URL and is not ours
!   hint: adopt it
+ url: https://old.example.com/zof
+ event: run.completed
+ event: run.started
```

**delete** `gone` · `wh_3`
```diff
# manifest: its manifest is gone
- url: https://old.example.com/zof
- event: run.completed
- event: run.started
```

**replace** `ci-runs` · `m/c.yaml:12` · `wh_2`
```diff
# manifest: url and events changed
- url: https://old.example.com/zof
+ url: https://new.example.com/zof
- events: run.started
  events: run.completed
+ events: run.failed
! warning: deliveries pause for a moment
```

**create** `billing` · `m/b.yaml:3`
```diff
# manifest: new in the manifests
+ url: https://new.example.com/zof
+ event: run.completed
+ event: run.failed
```

Digest: `{PLAN.digest}`
"""  # noqa: E501 (a whole output)
    )


def test_a_refused_plan_shows_the_line_that_approves_it() -> None:
    """The guard's words and the exact line for the configuration stand above the changes."""
    shown = plan_markdown(replace(PLAN, changes=(DELETE,)), REFUSED)
    assert "> [!CAUTION]\n> A guard refuses this plan" in shown
    assert "```text\ndeletes: the plan deletes 12 of 20\n  hint: delete fewer at a time\n```" in shown
    digest = replace(PLAN, changes=(DELETE,)).digest
    assert f"```yaml\nguards: {{approve: [{digest}]}}\n```" in shown
    assert shown.index("CAUTION") < shown.index("**delete**")


def test_no_line_approves_what_nobody_may_approve() -> None:
    """A refusal that a digest does not override, and that has no hint, is shown without them."""
    shown = plan_markdown(PLAN, (Refusal("protected", "x is protected", approvable=False),))
    assert "protected: x is protected\n```" in shown
    assert "approve" not in shown


def test_nothing_to_do_is_one_sentence() -> None:
    """Without changes there is no digest and no cost; drift has its own words."""
    empty = Plan("acme", SERVERS, (), unchanged=3, owned=3, cost=Cost(1, 0.0))
    where = (
        "API: `https://api.zof.ai/v1`, Vault: `https://vault.example.com`, Path: `secret/webhooks/acme-prod`"
    )
    nothing = "**No changes.** 3 webhooks match their manifests."
    assert plan_markdown(empty) == f"### Plan for `acme`\n\n{where}\n\n{nothing}\n"
    assert plan_markdown(empty, title=DRIFT).startswith(f"### Drift in `acme`\n\n{where}\n\n**No drift.**")


def test_more_is_told_when_asked_for() -> None:
    """The verbose view numbers the steps and lists unmanaged endpoints; the plain one counts them."""
    endpoint = Endpoint("wh_7", "https://legacy.example.com/", ("run.started",))
    plan = replace(PLAN, unmanaged=(endpoint,), cost=Cost(0, 0.0))
    assert "1 live endpoint is unmanaged and is not changed." in plan_markdown(plan)
    assert "wh_7" not in plan_markdown(plan)
    verbose = plan_markdown(replace(plan, unmanaged=(endpoint,) * 23), view=View(verbose=True))
    assert "# 1. write the intent\n# 2. create the endpoint" in verbose
    assert "23 live endpoints are unmanaged" in verbose
    assert verbose.count("wh_7  https://legacy.example.com/") == 20
    assert "and 3 more\n```" in verbose


def test_new_unmanaged_endpoints_are_told_apart() -> None:
    """A drift report lists those of the last week with their age, and all of them in the verbose view."""
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    ages = {"wh_1": timedelta(days=8), "wh_2": timedelta(minutes=5)}
    unmanaged = tuple(Endpoint(i, "https://x.example.com/", ("x",), now - age) for i, age in ages.items())
    plan = Plan("acme", SERVERS, (), 0, 0, unmanaged=unmanaged)
    assert plan_markdown(plan, title=DRIFT, view=View(now=now)).endswith(
        "2 live endpoints are unmanaged and are not changed.\n\n1 of them appeared in the last 7 days.\n\n"
        "```text\nwh_2  https://x.example.com/  x  created 5 min ago\n```\n"
    )
    verbose = plan_markdown(plan, title=DRIFT, view=View(now=now, verbose=True))
    assert verbose.index("wh_2") < verbose.index("wh_1")
    old = replace(plan, unmanaged=unmanaged[:1])
    assert plan_markdown(old, title=DRIFT, view=View(now=now)).endswith("is not changed.\n")


def test_new_unmanaged_endpoints_do_not_crowd_the_changes_out() -> None:
    """Whoever makes endpoints with endless events keeps no report from being taken, and hides no change."""
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    endless = tuple(Endpoint(f"wh_{n:02}", "https://x.example.com/", ("x" * 4000,), now) for n in range(30))
    gone = Drift((DriftKind.ENDPOINT_REMOVED,))
    changes = tuple(replace(DELETE, name=f"d{n}", reason="r" * 200, drift=gone) for n in range(500))
    plan = Plan("acme", SERVERS, changes, 0, 0, unmanaged=endless)
    shown = plan_markdown(plan, title=DRIFT, view=View(now=now))
    assert len(shown) < GITHUB_LIMIT
    assert "30 of them appeared in the last 7 days." in shown
    assert "wh_02  https" in shown
    assert "\nand 27 more\n```" in shown
    assert shown.count("**delete**") > 100


def test_a_rotation_shows_no_fields() -> None:
    """Where nothing differs there is just the reason; absent values are left out."""
    shape = Shape("https://a.example.com/", ("run.failed",))
    rotate = Change("a", Action.ROTATE, "old", Cause.ROTATION, before=shape, after=shape)
    moved = replace(rotate, name="b", fields=(FieldChange("url", None, "x"),))
    shown = plan_markdown(replace(PLAN, changes=(rotate, moved)))
    assert "**rotate** `a`\n```diff\n# rotation: old\n```" in shown
    assert "# rotation: old\n+ url: x\n```" in shown


# --- length -----------------------------------------------------------------------------------------------


def _many(number: int) -> Plan:
    shape = Shape("https://hooks.example.com/" + "x" * 200, ("run.completed", "run.failed"))
    actions = (Action.CREATE, Action.DELETE, Action.REPLACE)
    changes = tuple(
        Change(f"webhook-{i:05}", actions[i % 3], "why", Cause.MANIFEST, before=shape, after=shape)
        for i in range(number)
    )
    return Plan("acme", SERVERS, changes, unchanged=0, owned=number, cost=Cost(6000, 3540.0))


def test_two_thousand_changes_fit_a_comment() -> None:
    """It is cut between two changes; what is left out is counted by action, and all ends well-formed."""
    page = "https://github.example.com/acme/hooks/actions/runs/7"
    cut: list[str] = []
    shown = plan_markdown(_many(2000), REFUSED * 2000, page=page, on_cut=lambda: cut.append("cut"))
    assert cut == ["cut"]
    assert len(shown) < GITHUB_LIMIT
    assert "and 1,980 more" in shown
    said = shown.count("**delete** `webhook-") + shown.count("**replace** `webhook-")
    assert said == 20 + int(shown.split("<summary>")[1].split(" ")[0])
    assert f"**{2000 - said:,} changes not shown here** (" in shown
    assert f"): [the run's log]({page}) has the full plan." in shown
    assert shown.count("```diff") == said
    assert shown.count("<details>") == shown.count("</details>") == 1
    # Deletions first: nothing dangerous is out of sight while something harmless is shown.
    assert "create" not in shown.split("not shown here")[0].split("\n\n", 3)[3]


def test_a_single_change_that_is_too_long_is_counted() -> None:
    """A change that alone is longer than a comment is left out and counted."""
    events = tuple(f"e{i}" for i in range(30_000))
    huge = Change(
        "huge", Action.DELETE, "gone", Cause.MANIFEST, before=Shape("https://a.example.com/", events)
    )
    shown = plan_markdown(replace(PLAN, changes=(huge,)))
    assert len(shown) < GITHUB_LIMIT
    assert "**1 change not shown here** (1 delete): the run's log has the full plan." in shown


def test_an_outcome_of_thousands_fits_a_comment() -> None:
    """Failures come first, and what is left out is counted."""
    change = Change("webhook", Action.CREATE, "why", Cause.MANIFEST)
    done = tuple(ChangeOutcome(change, Result.DONE, "we_" + "1" * 20) for _ in range(3000))
    failed = ChangeOutcome(replace(change, name="z"), Result.FAILED, detail="HTTP 500", hint="again")
    cut: list[str] = []
    outcome = Outcome((*done, failed), api_requests=3, seconds=1.0)
    shown = outcome_markdown("acme", outcome, on_cut=lambda: cut.append("cut"))
    assert cut == ["cut"]
    assert len(shown) < GITHUB_LIMIT
    assert shown.index("| `z` | create failed |") < shown.index("| `webhook` |")
    assert "changes not shown here; the run's log has them." in shown


# --- outcomes ---------------------------------------------------------------------------------------------


def test_an_outcome_says_what_became_of_the_plan() -> None:
    """Each change has its result, reason and hint; what is left has a next safe step."""
    assert (
        outcome_markdown("acme", replace(PARTLY, sweep_failure="no answer"))
        == """\
### Partly applied to `acme`

Partly done: 2 done (1 with a later cleanup), 1 unverified, 1 failed, 1 not attempted; 14 API requests in 12 s.

Interrupted: the current step was finished and nothing is lost.

Next: run the job again; it safely continues.

Deleted 1 leftover endpoint of earlier runs.

Could not check for leftover endpoints: `no answer`

| Webhook | Result | Endpoint |  |
| --- | --- | --- | --- |
| `d` | delete failed |  | `HTTP 405 [request r2]`<br>`by hand` |
| `c` | replaced, not verified | `wh_3` | `HTTP 500 [request r1]`<br>`look` |
| `e` | create not attempted |  | `interrupted` |
| `bb` | rotated | `wh_2` | `the rest is due at noon` |
| `a` | created | `wh_1` |  |
"""  # noqa: E501 (a whole output)
    )


def test_an_outcome_without_changes_has_no_table() -> None:
    """Nothing to do is two lines."""
    shown = outcome_markdown("acme", Outcome((), api_requests=1, seconds=0.2))
    assert shown == "### Applied to `acme`\n\nDone: no changes; 1 API request in 0.2 s.\n"


# --- annotations ------------------------------------------------------------------------------------------


def test_annotations_stand_at_the_manifests() -> None:
    """Each change is a notice at its manifest, or a warning or error; refusals come first."""
    assert plan_github(PLAN, (*REFUSED, Refusal("empty", "none"))) == (
        "::error title=refused%3A deletes::the plan deletes 12 of 20%0Ahint: delete fewer at a time\n"
        "::error title=refused%3A empty::none\n"
        "::notice file=m/b.yaml,line=3,col=1,title=create billing::manifest: new in the manifests\n"
        "::warning file=m/c.yaml,line=12,col=1,title=replace ci-runs::manifest: url and events changed"
        "%0Adeliveries pause for a moment\n"
        "::notice title=delete gone::manifest: its manifest is gone\n"
        "::error title=create taken::wh_9 has this URL and is not ours%0Ahint: adopt it\n"
        "::notice title=plan of acme::API: https://api.zof.ai/v1, Vault: https://vault.example.com, "
        "Path: secret/webhooks/acme-prod\n"
    )


def test_an_annotation_is_one_line_whatever_it_holds() -> None:
    """Foreign text neither ends a command nor begins another; the last line names the servers."""
    hostile = "x\n::error::y%0A,z:\x1b[31m"
    change = replace(
        CONFLICT, name=hostile, problem=hostile, hint=hostile, source=Location("a,b:\nc.yaml", 1)
    )
    shown = plan_github(replace(PLAN, changes=(change,)))
    assert [line[:7] for line in shown.splitlines()] == ["::error", "::notic"]
    assert shown.startswith("::error file=a%2Cb%3A\\nc.yaml,line=1,col=1,title=create x\\n%3A%3Aerror")
    assert "\x1b" not in shown


# --- foreign text -----------------------------------------------------------------------------------------


def _tokens(markdown: str) -> Iterator[Token]:
    """Yield every leaf of the document as a GitHub-like renderer sees it."""
    for token in MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(markdown):
        yield from token.children or [token]


def _assert_only_in_code(markdown: str) -> None:
    """Foreign text is there, and nowhere but in code."""
    found = False
    for token in _tokens(markdown):
        if MARK in token.content:
            assert token.type in {"code_inline", "fence"}, (token.type, token.content)
            found = True
    assert found


@given(foreign=HOSTILE)
def test_foreign_text_in_a_plan_is_code(foreign: str) -> None:
    """Names, URLs, events, reasons, paths, ids and guards' words cannot break out of their code."""
    shape = Shape(foreign, (foreign,))
    change = Change(
        foreign,
        Action.REPLACE,
        foreign,
        Cause.DRIFT,
        before=shape,
        after=Shape("y", ("z",)),
        fields=(FieldChange(foreign, foreign, [foreign]),),
        source=Location(foreign, 1),
        endpoint_id=foreign,
        steps=(foreign,),
        warnings=(foreign,),
        problem=foreign,
        hint=foreign,
    )
    plan = Plan(foreign, SERVERS, (change, DELETE), 0, 0, unmanaged=(Endpoint(foreign, foreign, (foreign,)),))
    refusals = (Refusal(foreign, foreign, foreign),)
    shown = plan_markdown(plan, refusals, view=View(verbose=True), page=foreign)
    _assert_only_in_code(shown)
    # The structure is the one of a harmless plan.
    kinds = [token.type for token in _tokens(shown)]
    assert kinds.count("fence") == 5
    assert not {"html_block", "html_inline", "link_open", "image", "mention"} & set(kinds)


@given(foreign=HOSTILE)
def test_foreign_text_in_an_outcome_is_code(foreign: str) -> None:
    """Names, ids, details and hints cannot break out of their table cells."""
    change = Change(foreign, Action.CREATE, foreign, Cause.MANIFEST)
    each = ChangeOutcome(change, Result.FAILED, foreign, foreign, foreign)
    shown = outcome_markdown(foreign, Outcome((each,), 1, 1.0, sweep_failure=foreign))
    _assert_only_in_code(shown)
    kinds = [token.type for token in _tokens(shown)]
    assert kinds.count("td_open") == 4
    assert kinds.count("tr_open") == 2


@pytest.mark.parametrize("page", ["javascript:alert(1)", "https://x/)[y](z", "https://x/ y", "", None])
def test_an_odd_page_is_no_link(page: str | None) -> None:
    """What the environment calls the run's page is a link only where it can be nothing else."""
    assert link("the run", page) == "the run"
