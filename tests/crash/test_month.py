"""A month of thirty webhooks: who is alarmed by the scheduled jobs, and what is left lying.

Every six hours a job looks for drift and then runs `apply --cleanup-only --rotate-due`, as the workflows do.
In between, people merge edits, additions, rotations and removals, an apply is killed now and then, and
somebody changes something outside. The jobs may raise an alarm for the last and for a run that nobody has
resumed, and for nothing else; and nothing that is due when a job begins is due when it has ended.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.apply.holder import Holder
from reconciler.plan.drift import DriftState
from reconciler.usecases.apply import apply
from reconciler.usecases.plan import only_due, plan
from reconciler.usecases.preview import drift
from tests.fakes.world import NO_LIMITS, Org, webhook

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.model import Webhook
    from reconciler.session import Session

DUE = frozenset({DriftState.CLEANUP_DUE, DriftState.ROTATION_DUE})
OVERLAPS = (timedelta(0), timedelta(hours=2), timedelta(hours=24), timedelta(days=3))
PIPELINE = Holder("1", "ada", "runner-1", "a boot", 100, "5", "https://ci.example.com/1")


class Killed(BaseException):
    """The process is killed here."""


@dataclass
class Month:
    """An organization, its repository, and what is known to be wrong."""

    chance: random.Random
    org: Org = field(default_factory=Org)
    manifests: dict[str, Webhook] = field(default_factory=dict)
    changed_outside: dict[str, str] = field(default_factory=dict)
    """What somebody did outside, by webhook or by the id of the endpoint that they created."""
    is_cut_off: bool = False
    """Whether a run was killed, and no run has followed it."""
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def session(self) -> Session:
        """The session of a run on the main branch."""
        return self.org.wanting(self.manifests.values(), replace(NO_LIMITS, unmanaged="drift"))

    # --- the pipeline -----------------------------------------------------------------------------------

    def apply(self, *, kill_at: int | None = None, look_at: int | None = None) -> None:
        """Run an apply under the lock; at some request it is killed, or the scheduled job looks at it."""
        moments = iter(range(10**6))
        looking = False

        def moment() -> None:
            nonlocal looking
            if looking:
                return
            number = next(moments)
            if kill_at is not None and number >= kill_at:
                raise Killed
            if number == look_at:
                looking = True
                self.look_while_it_runs()
                looking = False

        api, store = self.org.api, self.org.store
        planned = plan(self.session)
        self.org.hold_lock(PIPELINE)
        api.before = lambda _request: moment()
        api.after = lambda _request, _answer: moment()
        store.before = store.after = lambda _operation, _name: moment()
        try:
            outcome = apply(planned)
        except Killed:
            self.is_cut_off = True
            self.seen["killed"] += 1
        else:
            assert outcome.complete, outcome
            self.is_cut_off = False
            self.changed_outside = {
                name: act
                for name, act in self.changed_outside.items()
                if act == "created" or (act == "disabled" and name in self.manifests)
            }
        finally:
            api.before = lambda _request: None
            api.after = lambda _request, _answer: None
            store.before = store.after = lambda _operation, _name: None
        if not self.is_cut_off:
            self.org.free_lock()

    def look_while_it_runs(self) -> None:
        """Look for drift in the middle of a run: only what somebody did outside is drift."""
        found = drift(self.session).plan
        assert found.active_run is not None
        self.check_alarm({change.name for change in found.in_state(DriftState.DRIFT)}, set(found.disallowed))
        self.seen["looked at a run"] += 1
        self.seen["in progress"] += bool(found.in_state(DriftState.IN_PROGRESS))

    def scheduled(self) -> None:
        """Look for drift, then clean up."""
        found = drift(self.session).plan
        drifted = {change.name for change in found.in_state(DriftState.DRIFT)}
        self.check_alarm(drifted, set(found.disallowed))
        assert drifted | found.disallowed >= self.changed_outside.keys(), "an alarm is missing"
        half_done = {n for n, entry in self.org.store.list_metadata().items() if entry.is_interrupted}
        assert drifted >= half_done, "an interrupted run is not reported"
        self.seen["alarms"] += found.has_drift
        self.seen["alarms for interrupted runs"] += bool(half_done)
        self.seen["cleanups"] += len(found.in_state(DriftState.CLEANUP_DUE))
        self.seen["dated rotations"] += len(found.in_state(DriftState.ROTATION_DUE))
        assert apply(only_due(plan(self.session), DUE)).complete
        if not self.is_cut_off:
            self.check_nothing_is_due(self.org.clock.now())

    def check_alarm(self, drifted: set[str], unmanaged: set[str]) -> None:
        """Check that each part of an alarm is about what somebody did outside, or a run that was cut off."""
        unexplained = (drifted | unmanaged) - self.changed_outside.keys()
        assert not unexplained or self.is_cut_off, f"a false alarm: {unexplained}"

    def check_nothing_is_due(self, now: datetime) -> None:
        """Check that nothing is overdue, except where somebody interfered."""
        due = {
            name
            for name, entry in self.org.store.list_metadata().items()
            if entry.projection is not None
            and entry.projection.next_due is not None
            and entry.projection.next_due <= now
        }
        assert not due - self.changed_outside.keys(), "cleanup is overdue"
        late = {change.name for change in plan(self.session).plan.in_state(DriftState.ROTATION_DUE)}
        assert not late - self.changed_outside.keys(), "a rotation is overdue"

    # --- people -----------------------------------------------------------------------------------------

    def merge(self) -> None:
        """Merge a change of a few manifests, and let the pipeline apply it."""
        for _ in range(self.chance.randint(1, 3)):
            name = self.chance.choice(sorted(self.manifests))
            wanted, now = self.manifests[name], self.org.clock.now()
            match self.chance.choice(["edit", "rotate", "dated rotation", "remove", "overlap"]):
                case "edit":
                    events = self.chance.sample(("run.completed", "run.failed", "run.started"), 2)
                    self.manifests[name] = replace(wanted, events=tuple(sorted(events)))
                case "rotate":
                    self.manifests[name] = replace(wanted, created_after=now)
                case "dated rotation":
                    later = now + timedelta(hours=self.chance.randint(1, 100))
                    self.manifests[name] = replace(wanted, created_after=later)
                case "remove":
                    del self.manifests[name]
                    added = f"{name.partition('-')[0]}-{self.seen['removed']}"
                    self.manifests[added] = webhook(added, overlap=self.chance.choice(OVERLAPS))
                    self.seen["removed"] += 1
                case _:
                    self.manifests[name] = replace(wanted, overlap=self.chance.choice(OVERLAPS))
        fate = self.chance.random()
        at = self.chance.randint(0, 25)
        if fate < 0.3:
            self.apply(kill_at=at)
            if self.is_cut_off and self.chance.random() < 0.5:
                # Somebody runs the job again.
                self.org.clock.advance(minutes=10)
                self.apply()
        else:
            self.apply(look_at=at)

    def interfere(self) -> None:
        """Change something outside."""
        api, store = self.org.api, self.org.store
        name = self.chance.choice(sorted(self.manifests.keys() - self.changed_outside.keys()))
        endpoint_id = store.fields(name)["endpoint_id"]
        match self.chance.choice(["deleted", "changed", "disabled", "secret deleted", "created"]):
            case "deleted":
                api.console_delete(endpoint_id)
                self.changed_outside[name] = "deleted"
            case "changed":
                api.console_change(endpoint_id, events=("agent.offline",))
                self.changed_outside[name] = "changed"
            case "disabled":
                api.console_change(endpoint_id, enabled=False)
                self.changed_outside[name] = "disabled"
            case "secret deleted":
                store.soft_delete(name, max(store.states(name)))
                self.changed_outside[name] = "secret deleted"
            case _:
                url = f"https://else.example.com/{self.seen['interfered']}"
                self.changed_outside[api.console_create(url, ("run.failed",)).id] = "created"
        self.seen["interfered"] += 1

    def respond(self) -> None:
        """Follow the alarm: undo what apply leaves alone, and apply."""
        for name, act in list(self.changed_outside.items()):
            if act == "created":
                self.org.api.console_delete(name)
            elif act == "disabled":
                self.org.api.console_change(self.org.store.fields(name)["endpoint_id"], enabled=True)
            if act in {"created", "disabled"}:
                del self.changed_outside[name]
        self.apply()


def test_a_month_of_scheduled_jobs() -> None:
    """Alarms have a reason that a person can do something about; cleanup never needs one."""
    month = Month(random.Random(1))
    names = [f"w{number:02}" for number in range(30)]
    month.manifests = {name: webhook(name, overlap=month.chance.choice(OVERLAPS)) for name in names}
    month.apply()
    for _ in range(4 * 30):
        month.org.clock.advance(hours=month.chance.uniform(0.2, 2.5))
        if month.chance.random() < 0.3:
            month.merge()
        month.org.clock.advance(hours=month.chance.uniform(0.2, 2.5))
        if not month.is_cut_off and month.chance.random() < 0.1:
            month.interfere()
        month.org.clock.advance(hours=1)
        month.scheduled()
        if (month.changed_outside or month.is_cut_off) and month.chance.random() < 0.7:
            month.respond()
    month.respond()
    # Whatever was still waiting comes due, and is cleaned up without anybody.
    for _ in range(20):
        month.org.clock.advance(hours=6)
        month.scheduled()
    month.org.check(list(month.manifests.values()))
    missing = {
        "killed", "looked at a run", "in progress", "alarms", "alarms for interrupted runs", "cleanups",
        "dated rotations", "removed", "interfered",
    } - {act for act, times in month.seen.items() if times}  # fmt: skip
    assert not missing, month.seen
