"""At the end of a run: look how the API lists the endpoints that replaced others for their spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.apply.executor import ChangeInProgress
from reconciler.errors import ReconcilerError
from reconciler.plan.protocol.spelling import settle_suspicion
from reconciler.plan.protocol.steps import Done

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from reconciler.apply.executor import StepExecutor
    from reconciler.model import Webhook
    from reconciler.plan.protocol.state import State
    from reconciler.ports import Stored
    from reconciler.session import Session

_WAITS = (2.0, 5.0)
"""Seconds to wait for a listing that lags. If that is not enough, the next run looks."""
_MAX_STEPS = 4


def settle_spellings(
    session: Session,
    executor: StepExecutor,
    stored: dict[str, Stored],
    desired: Mapping[str, Webhook],
    state_of: Callable[[ChangeInProgress], State],
    stop: threading.Event,
) -> None:
    """Record whether a suspected spelling is the API's own, while nobody can have changed the new endpoints.

    Args:
        session: the run's session.
        executor: executes the steps.
        stored: the run's documents, by name; those that are written are replaced.
        desired: the manifests, by name.
        state_of: makes the input of the step function.
        stop: set when the run is to end.
    """
    waits = iter(_WAITS)
    try:
        while suspicious := _suspicious(stored, desired):
            listed = executor.list_again()
            for endpoint_id in suspicious.keys() & listed:
                name = suspicious[endpoint_id]
                ongoing = ChangeInProgress(name, desired[name], stored[name], listing_current=True)
                _settle(session, executor, ongoing, desired[name], state_of)
                stored[name] = ongoing.stored
            pause = next(waits, None)
            if pause is None or suspicious.keys() <= listed or stop.is_set():
                return
            session.reporter.waiting(pause, "the listing does not show a new endpoint yet")
            session.clock.sleep(pause)
    except ReconcilerError as error:
        # Nothing is lost: the suspicion is stored, and the next run looks again.
        session.reporter.warn(f"could not check how the API lists new endpoints: {error.message}")


def _suspicious(stored: Mapping[str, Stored], desired: Mapping[str, Webhook]) -> dict[str, str]:
    """Return the names of the webhooks with an open suspicion, by the id of their current endpoint."""
    found = {}
    for name, each in stored.items():
        ledger = each.document.ledger if each.document else None
        if ledger and ledger.suspected and ledger.current and not ledger.pending and name in desired:
            found[ledger.current.endpoint_id] = name
    return found


def _settle(
    session: Session,
    executor: StepExecutor,
    ongoing: ChangeInProgress,
    webhook: Webhook,
    state_of: Callable[[ChangeInProgress], State],
) -> None:
    before = ongoing.stored.document
    for _ in range(_MAX_STEPS):
        document = ongoing.stored.document
        if document is None or document.ledger.pending is not None:
            return
        step = settle_suspicion(state_of(ongoing), document, webhook)
        if isinstance(step, Done):
            break
        executor.execute(ongoing, step)
    after = ongoing.stored.document
    if before and after and after.ledger.spelling and after.ledger.spelling != before.ledger.spelling:
        session.reporter.warn(
            f"{ongoing.name}: the API lists the URL or the events in its own spelling, as for the endpoint "
            "that was replaced for that: it is recorded, and not drift from now on"
        )
