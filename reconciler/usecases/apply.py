"""Apply a plan: under the lock, with a run log, and no further than what was shown."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.apply.run_log import Reporters
from reconciler.apply.runner import Runner
from reconciler.errors import GuardRefused
from reconciler.plan.outcome import ChangeOutcome, Outcome, Result
from reconciler.plan.plan import Action
from reconciler.usecases.adopt import plan_adoption
from reconciler.usecases.plan import Planned, bounded_by, has_moved_on, only, only_due, plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.apply.lock import Lock
    from reconciler.apply.run_log import RunLog
    from reconciler.plan.plan import Plan

_STALE_SECONDS = 60.0
"""How old a plan may be when it is carried out: somebody may have thought about it for an hour."""


def apply(
    planned: Planned,
    *,
    jobs: int = 1,
    lock: Lock | None = None,
    stop: threading.Event | None = None,
    log: RunLog | None = None,
) -> Outcome:
    """Apply `planned` in its session, under `lock`, until done or until `stop` is set.

    Nothing is written, not even the lock or `log`, when there are no changes. After a wait for the lock, or
    a long time to decide, the plan is made again.

    Raises:
        GuardRefused: a guard refuses the plan, or the plan has changed during the wait.
        LockHeld: another run kept the lock for too long.
        StoreError: Vault refused everything and nothing was changed.
    """
    _refuse(planned)
    session = planned.session
    if not planned.plan.pending:
        return Outcome(left_alone(planned.plan), session.api.requests_sent, 0.0)
    with _held(lock) as waited, log or nullcontext():
        age = (session.clock.now() - planned.listing_began).total_seconds()
        # No check-and-set spans two documents: who owns an endpoint is looked up again under the lock.
        is_overtaken = planned.adoption is not None and has_moved_on(planned)
        if waited or age > _STALE_SECONDS or is_overtaken:
            renewed = _plan_again(planned)
            _refuse(renewed)
            if bounded_by(renewed, planned.plan.to_json()):
                raise GuardRefused(
                    "what is to be done changed while this run waited",
                    hint="look at `reconciler plan`, then run `reconciler apply` again",
                )
            planned = renewed
        if log is not None:
            log.began(planned.plan)
            session = replace(session, reporter=Reporters(log, session.reporter))
        session.reporter.planned(planned.plan.cost.api_requests)
        desired = {webhook.name: webhook for webhook in session.desired}
        # Of everything that is pending, also of what this run is not about.
        pending = [w for c in planned.comparison.plan.changes if (w := desired.get(c.name)) is not None]
        runner = Runner(
            session,
            planned.comparison.live,
            desired,
            planned.listing_began,
            stop or threading.Event(),
            {webhook.normalized_url: webhook.name for webhook in pending},
            planned.adoption,
        )
        due = [change for change in planned.plan.changes if change.action is not Action.NONE]
        outcome = runner.run(due, jobs, planned.comparison.abandoning)
        ended = (_with_plan_hint(each) for each in outcome.changes)
        changes = sorted((*ended, *left_alone(planned.plan)), key=lambda each: each.change.name)
        return replace(outcome, changes=tuple(changes), planned=planned.plan.cost)


def _with_plan_hint(ended: ChangeOutcome) -> ChangeOutcome:
    """Return the outcome of a conflict with the plan's hint, which takes all changes into account."""
    is_same = ended.change.problem is not None and ended.change.problem == ended.detail
    return replace(ended, hint=ended.change.hint) if is_same else ended


def left_alone(plan: Plan) -> tuple[ChangeOutcome, ...]:
    """Return the outcomes of what no run changes, with what a person can do."""
    return tuple(
        ChangeOutcome(
            change,
            Result.LEFT_ALONE,
            change.endpoint_id,
            change.reason,
            change.drift.remedy if change.drift is not None else None,
        )
        for change in plan.changes
        if change.action is Action.NONE
    )


def _plan_again(planned: Planned) -> Planned:
    if planned.adoption is not None:
        return plan_adoption(planned.session, planned.adoption)
    renewed = plan(planned.session)
    if planned.due is not None:
        return only_due(renewed, planned.due)
    return renewed if planned.names is None else only(renewed, planned.names)


def _refuse(planned: Planned) -> None:
    if planned.refusals:
        refusal = planned.refusals[0]
        raise GuardRefused(refusal.message, hint=refusal.hint)


@contextmanager
def _held(lock: Lock | None) -> Iterator[bool]:
    """Hold the lock, if there is one; return whether it had to be waited for."""
    if lock is None:
        yield False
        return
    waited = lock.acquire()
    try:
        yield waited
    finally:
        lock.release()
