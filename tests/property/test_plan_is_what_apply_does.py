"""The law of plans: a run that nothing disturbs does what its plan announced, and then nothing is left to do.

Hypothesis makes up an organization's past: manifests come, change and go, runs are killed or meet faults, and
people change endpoints and documents by hand. Then everything is calm, and a plan is made and applied.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.errors import GuardRefused, ReconcilerError
from reconciler.model import DeletionPolicy
from reconciler.plan.outcome import Result
from reconciler.plan.plan import Action, Cause
from reconciler.plan.protocol.decide import EITHER_WAY
from reconciler.ports import Unanswered, VersionState
from reconciler.usecases.apply import apply
from tests.fakes.api import ApiBehavior
from tests.fakes.world import Org, SilentReporter, webhook

if TYPE_CHECKING:
    from reconciler.model import Webhook
    from reconciler.plan.plan import Change, Plan
    from reconciler.ports import Metadata

RECORDED = "record the result in the metadata"
"""The step that a run repeats each time that a change pauses."""
SETTLED = {Result.DONE, Result.WAITING}


class Killed(BaseException):
    """The process is killed here."""


class Recorder(SilentReporter):
    """Remembers the steps of each change; those after its end belong to the sweep."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[str, list[str]] = defaultdict(list)
        self.swept: dict[str, list[str]] = defaultdict(list)
        self.held: set[str] = set()

    def step(self, name: str, description: str, api_requests: int) -> None:
        self.swept[name].append(description)

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        self.steps[name] += self.swept.pop(name, [])
        if detail is not None and "is kept until" in detail:
            self.held.add(name)


# --- the past ---------------------------------------------------------------------------------------------

NAMES = st.sampled_from("abc")
URLS = st.sampled_from([f"https://hooks.example.com/{path}" for path in "abcd"])
EVENTS = st.sampled_from([("run.completed",), ("run.failed",), ("run.completed", "run.failed")])
MANIFESTS = st.fixed_dictionaries(
    {
        "url": URLS,
        "events": EVENTS,
        "deletion_policy": st.sampled_from(DeletionPolicy),
        "overlap": st.sampled_from([timedelta(0), timedelta(hours=2), timedelta(days=7)]),
        "test": st.booleans(),
        "age": st.sampled_from([None, timedelta(0), timedelta(hours=3)]),
        "revoke": st.booleans(),
    }
)
PAUSES = st.sampled_from(
    [timedelta(minutes=1), timedelta(minutes=6), timedelta(hours=3), timedelta(hours=30)]
)
ACTS = st.one_of(
    st.tuples(st.just("write"), NAMES, MANIFESTS),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("apply")),
    st.tuples(st.just("killed"), st.integers(0, 40)),
    st.tuples(st.just("unanswered"), st.booleans()),
    st.tuples(st.just("unverified")),
    st.tuples(st.just("hidden")),
    st.tuples(st.just("pass"), PAUSES),
    st.tuples(st.just("delete endpoint"), st.integers(0, 5)),
    st.tuples(st.just("change endpoint"), st.integers(0, 5), EVENTS),
    st.tuples(st.just("create endpoint"), URLS, EVENTS),
    st.tuples(st.just("delete secret"), NAMES),
    st.tuples(st.just("destroy secret"), NAMES),
    st.tuples(st.just("lose secret"), NAMES),
    st.tuples(st.just("rewrite document"), NAMES),
)


class Past:
    """An organization, and everything that happened to it."""

    def __init__(self) -> None:
        self.org = Org()
        self.manifests: dict[str, Webhook] = {}

    @property
    def desired(self) -> tuple[Webhook, ...]:
        """The manifests, at most one for each URL."""
        first = {wanted.url: wanted for wanted in reversed(self.manifests.values())}
        return tuple(sorted(first.values(), key=lambda wanted: wanted.name))

    def apply(self) -> None:
        """Run once, whatever comes of it."""
        with contextlib.suppress(Killed, ReconcilerError):
            self.org.apply(*self.desired)
        self.org.api.before = self.org.api.after = lambda *_: None  # type: ignore[assignment]
        self.org.store.before = self.org.store.after = lambda *_: None
        self.org.api.behavior = ApiBehavior()

    def happen(self, act: tuple[Any, ...]) -> None:  # noqa: C901, PLR0912 (one case for each act)
        """Let one thing happen."""
        org = self.org
        match act:
            case "write", name, values:
                age = values["age"]
                kept = {key: value for key, value in values.items() if key != "age"}
                created_after = None if age is None else org.clock.now() - age
                self.manifests[name] = webhook(name, **kept, created_after=created_after)
            case "remove", name:
                self.manifests.pop(name, None)
            case ("apply",):
                self.apply()
            case "killed", moments:
                self._kill_after(moments)
                self.apply()
            case "unanswered", stored_error:
                org.api.after = lambda request, _: (
                    Unanswered("no answer", stored_error=stored_error) if request == "create" else None
                )
                self.apply()
            case ("unverified",):
                org.api.behavior = ApiBehavior(accepts_tests=False)
                self.apply()
            case ("hidden",):
                org.api.behavior = ApiBehavior(hides_secret=True)
                self.apply()
            case "pass", pause:
                org.clock.advance(seconds=pause.total_seconds())
            case "delete endpoint", number if len(org.api.endpoints) > number:
                org.api.console_delete(sorted(org.api.endpoints)[number])
            case "change endpoint", number, events if len(org.api.endpoints) > number:
                org.api.console_change(sorted(org.api.endpoints)[number], events=events)
            case "create endpoint", url, events:
                org.api.console_create(url, events)
            case _ if org.store.fields(name := act[1] if len(act) > 1 else ""):
                self._touch(act[0], name)
            case _:
                pass

    def _touch(self, act: str, name: str) -> None:
        store = self.org.store
        newest = max(store.states(name))
        match act:
            case "delete secret":
                store.soft_delete(name, newest)
            case "destroy secret":
                store.destroy_before(name, newest + 1)
            case "lose secret":
                # As an adoption with `--rotate` leaves it, if it is killed.
                stored = store.read(name)
                if stored.document is not None and stored.projection is not None:
                    store.write(name, replace(stored.document, signing_secret=None), cas=newest)
                    projection = replace(stored.projection, version=newest + 1, secret_created_at=None)
                    store.write_projection(name, projection)
            case _:
                store.put(name, store.fields(name))

    def _kill_after(self, moments: int) -> None:
        left = iter(range(moments))

        def moment(*_: object) -> None:
            if next(left, None) is None:
                raise Killed

        self.org.api.before = self.org.store.after = moment


# --- the law ----------------------------------------------------------------------------------------------


def is_ambiguous(change: Change, metadata: Metadata | None) -> bool:
    """Whether the metadata cannot say which of several things is due: it has one time for all of them."""
    projection = metadata.projection if metadata is not None else None
    if projection is None or not (projection.previous_ids or projection.abandoned):
        return False
    return change.action is not Action.UPDATE or change.cause is not Cause.MANIFEST


def check(org: Org, desired: tuple[Webhook, ...]) -> Plan:
    """Plan and apply; what was announced is what is done. Returns the plan."""
    recorder = Recorder()
    org.session = replace(org.session, reporter=recorder)
    planned = org.plan(*desired)
    sent = org.api.requests_sent
    try:
        outcome = apply(planned)
    except GuardRefused:
        assert planned.refusals
        assert org.api.requests_sent == sent
        return planned.plan
    announced = {change.name: change for change in planned.plan.changes}
    assert {each.change.name for each in outcome.changes} == announced.keys()
    assert recorder.steps.keys() <= announced.keys()
    assert recorder.swept.keys() <= set(planned.comparison.abandoning) | announced.keys()
    exact = not recorder.swept and not recorder.held
    for each in outcome.changes:
        change, metadata = each.change, planned.metadata.get(each.change.name)
        done = recorder.steps[change.name]
        if metadata is not None and metadata.is_interrupted:
            exact = False
            continue
        if change.problem is not None:
            # The metadata only counts abandoned attempts. A run reads them, and may rule one possibility out.
            assert each.result is Result.FAILED
            assert each.detail in {change.problem, change.problem.removesuffix(EITHER_WAY)}
        else:
            assert each.result in SETTLED, each
        if is_ambiguous(change, metadata):
            exact = False
            continue
        if change.name in recorder.held:
            done = [step for step in done if step != RECORDED]
            assert done == [step for step in change.steps if step != RECORDED]
        else:
            assert (done, change.name) == (list(change.steps), change.name), change
        if change.action in {Action.UPDATE, Action.RELEASE} and change.cause is not Cause.DRIFT:
            assert change.problem or change.api_requests <= len(metadata.projection.previous_ids)  # type: ignore[union-attr]
    if exact and planned.plan.changes:
        # The plan has listed already.
        assert org.api.requests_sent - sent + 1 == planned.plan.cost.api_requests
    return planned.plan


@settings(max_examples=150, deadline=None, derandomize=True, print_blob=False)
@given(st.tuples(MANIFESTS, MANIFESTS), st.lists(ACTS, max_size=10))
def test_an_undisturbed_run_does_what_its_plan_announced(
    first: tuple[dict[str, Any], dict[str, Any]], acts: list[tuple[Any, ...]]
) -> None:
    """Names, steps, requests and results are as announced; after that, only what is blocked is left."""
    past = Past()
    begun = [*(("write", name, values) for name, values in zip("ab", first, strict=True)), ("apply",)]
    for act in (*begun, *acts):
        past.happen(act)
    org, desired = past.org, past.desired
    blocked: set[str] = set()
    for _ in range(4):
        plan = check(org, desired)
        blocked = {change.name for change in plan.changes}
    planned = org.plan(*desired)
    unreadable = {
        name
        for name, entry in planned.metadata.items()
        if entry.is_interrupted and entry.state is not VersionState.LIVE
    }
    if not planned.refusals:
        left = {c.name for c in planned.plan.changes if c.problem is None} - unreadable
        assert not left, (left, blocked)
        for wanted in desired:
            if wanted.name in {change.name for change in planned.plan.changes}:
                continue
            fields = org.store.fields(wanted.name)
            endpoint = org.api.endpoints[fields["endpoint_id"]]
            assert endpoint.serves(wanted)
            assert fields["signing_secret"] == org.api.secrets[endpoint.id]
