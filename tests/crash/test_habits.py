"""An API with its own habits: a webhook is replaced at most once, and nothing is made twice because of lag.

The oracle (`people.Watch`) judges every request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
from msgspec.structs import replace

from reconciler.sandbox.spelling import Spelling
from tests.crash.people import Crash, begin, converge, go
from tests.fakes.api import ApiBehavior
from tests.fakes.world import webhook

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model import Webhook

    Record = Callable[[str, object], None]

A, B = webhook("a", url="https://hooks.example.com/a?x=1&y=2"), webhook("b")
A2 = replace(A, events=("run.started",))


# --- an API with its own spelling -------------------------------------------------------------------------

SPELLINGS = [each for each in get_args(Spelling) if each != "as_sent"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("before", [(), (A2,), (B,)], ids=["create", "replace", "beside another"])
def test_no_spelling_is_replaced_in_a_loop(
    spelling: Spelling, before: tuple[Webhook, ...], record_property: Record
) -> None:
    """However a listing writes what was sent, at most one replacement, then every plan is empty."""
    watch = begin(ApiBehavior(listing_spelling=spelling), *before)
    record_property("cases", 1)
    for _ in range(6):
        watch.org.clock.advance(minutes=10)
        watch.org.apply(A, *(w for w in before if w.name != A.name))
    watch.check()
    made = watch.org.api.ever_made
    assert made <= 3 + 2 * len(before), "replaced again and again"
    assert not watch.org.plan(A, *(w for w in before if w.name != A.name)).plan.changes
    assert watch.org.store.fields("a")["signing_secret"] == watch.org.api.secrets[watch.current("a")]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_is_replaced_in_a_loop_after_a_crash(spelling: Spelling, record_property: Record) -> None:
    """The same though the run that replaces dies at any moment."""
    moment, cases = 0, 0
    while True:
        watch = begin(ApiBehavior(listing_spelling=spelling), A)
        first = watch.moments + moment

        def die(now: int, first: int = first) -> None:
            if now == first:
                raise Crash

        watch.visit = die
        go(watch.org, A)
        if watch.moments <= first:
            break
        watch.calm()
        for _ in range(5):
            watch.org.clock.advance(minutes=10)
            go(watch.org, A)
        watch.check()
        assert not watch.org.plan(A).plan.changes
        moment, cases = moment + 1, cases + 1
    record_property("cases", cases)


# --- lag ----------------------------------------------------------------------------------------------------

LAGS = {
    "the test lags": ApiBehavior(test_lag=5),
    "the listing lags": ApiBehavior(listing_lag=5),
    "both lag": ApiBehavior(listing_lag=5, test_lag=5),
    "both lag for long": ApiBehavior(listing_lag=120, test_lag=120),
    "deletions lag": ApiBehavior(deletion_lag=5),
}


@pytest.mark.parametrize("title", LAGS)
@pytest.mark.parametrize("before", [(), (A2,)], ids=["create", "replace"])
def test_lag_makes_no_second_endpoint(
    title: str, before: tuple[Webhook, ...], record_property: Record
) -> None:
    """A 404 for the test of what was just made is lag: one endpoint for each manifest, and no more."""
    record_property("cases", 1)
    watch = begin(LAGS[title], *before)
    for _ in range(4):
        go(watch.org, A)
        watch.org.clock.advance(minutes=10)
    assert watch.org.api.ever_made == 2 + len(before), "more than one was made"
    converge(watch, A)


@pytest.mark.parametrize("before", [(), (A2,)], ids=["create", "replace"])
def test_a_cap_blocks_nothing_for_good(before: tuple[Webhook, ...], record_property: Record) -> None:
    """At the vendor's cap a replacement waits for `allowEventGap`, and is then carried out."""
    record_property("cases", 1)
    watch = begin(ApiBehavior(max_endpoints=2), *before, *([] if before else [B]))
    rest = () if before else (B,)
    outcome = watch.org.apply(A, *rest)
    (failed,) = (each for each in outcome.changes if each.change.name == "a")
    words = f"{failed.detail} {failed.hint}"
    assert "limit" in words or "cap" in words, words
    assert "check the API key" not in words
    watch.org.clock.advance(minutes=10)
    if before:
        watch.org.apply(replace(A, allow_event_gap=True))
        converge(watch, replace(A, allow_event_gap=True))
    watch.check()
