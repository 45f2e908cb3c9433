"""Apply a plan: ask for the next step of a change, execute it, and ask again with the result.

The runner does not know the protocol. It keeps the order of changes (interrupted ones first, creations
before deletions), continues after a failure, and lists what is done, failed and not attempted.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.apply.ended import ended_by
from reconciler.apply.executor import MAX_SILENCE, ChangeInProgress, StepExecutor
from reconciler.apply.spellings import settle_spellings
from reconciler.errors import (
    ApiError,
    DocumentUnreadable,
    ReconcilerError,
    StoreError,
    StoreUnavailable,
    TokenRefused,
)
from reconciler.plan.outcome import ChangeOutcome, Conflict, Outcome, Result
from reconciler.plan.plan import Action, Change
from reconciler.plan.protocol.cleanup import describe_lookalike, lookalikes, sweep_step
from reconciler.plan.protocol.next_step import is_served, next_step
from reconciler.plan.protocol.state import State
from reconciler.plan.protocol.steps import Done, Failed, Failure, Hold, Wait, WriteProjection
from reconciler.texts import span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from reconciler.model import Webhook
    from reconciler.plan.live import LiveIndex
    from reconciler.plan.protocol.state import Adoption
    from reconciler.plan.protocol.steps import Step
    from reconciler.ports import Stored
    from reconciler.session import Session

# A change takes at most about 30 steps; three attempts and a few lost races stay far below this.
_MAX_STEPS = 200
_LAST = (Action.DELETE, Action.RELEASE)


class Runner:
    """One run for one organization. Once `stop` is set, the current step finishes and no other begins."""

    def __init__(
        self,
        session: Session,
        live: LiveIndex,
        desired: dict[str, Webhook],
        listing_began: datetime,
        stop: threading.Event,
        awaited: Mapping[str, str],
        adoption: Adoption | None = None,
    ) -> None:
        """Start from a complete listing that began at `listing_began`.

        `awaited` are the normalised URLs that manifests want and do not have yet, and their names;
        `adoption` is the endpoint that is to be taken over.
        """
        self._session = session
        self._executor = StepExecutor(session, live, listing_began)
        self._desired = desired
        self._stop = stop
        self._mutex = threading.Lock()
        self._stored: dict[str, Stored] = {}
        """The documents of this run's changes, as of the end of each change."""
        self._unknown: set[str] = set()
        """The changes that an error ended: their documents are unknown."""
        self._awaited = dict(awaited)
        self._adoption = adoption
        self._on_hold: set[str] = set()
        """The changes that wait for another webhook to take over a URL."""
        self._store_failures: list[StoreError] = []
        self._continue = "run `reconciler apply` again"
        """What to do when this run has ended before all changes were attempted."""
        self._store_silence = 0
        """How many changes in a row failed because Vault does not answer."""

    def run(self, changes: Sequence[Change], jobs: int = 1, abandoning: Iterable[str] = ()) -> Outcome:
        """Apply `changes`, then sweep; `abandoning` are other documents with abandoned attempts.

        Raises:
            StoreError: Vault refused everything and nothing was changed.
        """
        clock = self._session.clock
        started = clock.monotonic()
        outcomes: dict[str, ChangeOutcome] = {}
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            for phase in _phases(changes):
                outcomes |= zip((c.name for c in phase), pool.map(self._change, phase), strict=True)
                # Retry the changes that were held: what blocked them has run.
                again = [outcomes[name].change for name in sorted(self._on_hold)]
                self._on_hold.clear()
                outcomes |= zip((c.name for c in again), pool.map(self._change, again), strict=True)
        if len(self._store_failures) == len(outcomes) > 0 and not self._executor.acted:
            raise self._store_failures[0]
        swept, sweep_failure, conflicts = self._sweep(abandoning)
        if not self._halted:
            settle_spellings(
                self._session, self._executor, self._stored, self._desired, self._state, self._stop
            )
        return Outcome(
            changes=tuple(sorted(outcomes.values(), key=lambda outcome: outcome.change.name)),
            api_requests=self._session.api.requests_sent,
            seconds=clock.monotonic() - started,
            swept=swept,
            interrupted=self._stop.is_set(),
            sweep_failure=sweep_failure,
            conflicts=_unreported(conflicts, outcomes),
        )

    @property
    def _halted(self) -> bool:
        return self._stop.is_set() or self._executor.abort.is_set()

    # --- one change ---------------------------------------------------------------------------------

    def _change(self, change: Change) -> ChangeOutcome:
        if self._halted:
            return ChangeOutcome(change, Result.NOT_ATTEMPTED, hint=self._continue)
        ongoing: ChangeInProgress | None = None
        try:
            ongoing = self._begin(change)
            outcome = self._execute_steps(change, ongoing)
            self._store_silence = 0
        except ReconcilerError as error:
            self._note_failure(change, error)
            outcome = ended_by(error, change, ongoing, self._step_after_record(ongoing))
        ok = outcome.result in {Result.DONE, Result.WAITING, Result.UNRECORDED}
        self._session.reporter.finished(change.name, change.verb, ok=ok, detail=outcome.detail)
        return outcome

    def _note_failure(self, change: Change, error: ReconcilerError) -> None:
        with self._mutex:
            self._unknown.add(change.name)
            if isinstance(error, ApiError):
                # A listing failed: the live endpoints are not known any more.
                self._executor.abort.set()
            if isinstance(error, StoreError) and not isinstance(error, DocumentUnreadable):
                self._store_failures.append(error)
            if isinstance(error, TokenRefused):
                # Nothing else can be read or written with it, and no other token will come.
                self._continue = error.hint or self._continue
                self._executor.abort.set()
            if isinstance(error, StoreUnavailable):
                self._store_silence += 1
                if self._store_silence >= MAX_SILENCE:
                    self._executor.abort.set()

    def _step_after_record(self, ongoing: ChangeInProgress | None) -> Step | None:
        """Return what follows the metadata that Vault did not take; None if another step failed."""
        if ongoing is None or not isinstance(ongoing.step, WriteProjection):
            return None
        recorded = replace(ongoing.stored, projection=ongoing.step.projection)
        return next_step(replace(self._state(ongoing), stored=recorded))

    def _begin(self, change: Change) -> ChangeInProgress:
        stored = self._session.store.read(change.name)
        known = self._stored.get(change.name)
        ongoing = ChangeInProgress(
            change.name,
            self._desired.get(change.name),
            stored,
            listing_current=stored.version == (known.version if known else change.version),
        )
        self._executor.learn(stored.document)
        return ongoing

    def _execute_steps(self, change: Change, ongoing: ChangeInProgress) -> ChangeOutcome:
        """Execute steps until the change ends."""
        for _ in range(_MAX_STEPS):
            step = next_step(self._state(ongoing))
            match step:
                case Done():
                    return self._end(change, ongoing, Result.DONE)
                case Wait(until=until):
                    return self._end(change, ongoing, Result.WAITING, _waiting_for(ongoing, until))
                case Hold(name=name, url=url):
                    self._on_hold.add(change.name)
                    detail = f"the endpoint at {url} is kept until {name} serves that URL"
                    return self._end(change, ongoing, Result.NOT_ATTEMPTED, detail)
                case Failed():
                    return self._failed(change, ongoing, step)
                case _:
                    pass
            if self._stop.is_set():
                return self._end(
                    change,
                    ongoing,
                    Result.FAILED,
                    "interrupted before the next step",
                    "run `reconciler apply` again",
                )
            self._session.reporter.step(change.name, step.description, step.api_requests)
            self._executor.execute(ongoing, step)
        return self._end(
            change,
            ongoing,
            Result.FAILED,
            f"gave up after {_MAX_STEPS} steps: another run keeps changing this document",
        )

    def _state(self, ongoing: ChangeInProgress) -> State:
        session = self._session
        return State(
            name=ongoing.name,
            organization=session.organization,
            desired=ongoing.desired,
            stored=ongoing.stored,
            live=self._executor.live,
            listing_began=self._executor.listing_began,
            listing_current=ongoing.listing_current,
            now=session.clock.now(),
            fresh=session.fresh(),
            run=session.run,
            progress=ongoing.progress,
            awaited=self._awaited,
            api_now=session.api.now(),
            adoption=self._adoption if self._adoption and self._adoption.name == ongoing.name else None,
        )

    def _failed(self, change: Change, ongoing: ChangeInProgress, failed: Failed) -> ChangeOutcome:
        if failed.failure is Failure.RUN:
            self._executor.abort.set()
        result = Result.UNVERIFIED if failed.failure is Failure.UNVERIFIED else Result.FAILED
        return self._end(change, ongoing, result, failed.message, failed.hint)

    def _end(
        self,
        change: Change,
        ongoing: ChangeInProgress,
        result: Result,
        detail: str | None = None,
        hint: str | None = None,
    ) -> ChangeOutcome:
        document = ongoing.stored.document
        with self._mutex:
            self._stored[change.name] = ongoing.stored
            if ongoing.desired is not None and is_served(
                ongoing.desired, document, self._executor.live, self._session.clock.now()
            ):
                self._awaited.pop(ongoing.desired.normalized_url, None)
        current = document.ledger.current if document else None
        return ChangeOutcome(change, result, current.endpoint_id if current else None, detail, hint)

    # --- the sweep ----------------------------------------------------------------------------------

    def _sweep(self, abandoning: Iterable[str]) -> tuple[tuple[str, ...], str | None, tuple[Conflict, ...]]:
        """Delete leftovers of abandoned attempts.

        Return the deleted endpoints, why it failed, and the endpoints that may be leftovers or a person's.
        """
        swept: set[str] = set()
        conflicts: dict[str, Conflict] = {}
        if self._halted:
            return (), None, ()
        try:
            self._read_for_sweep(abandoning)
            failure = self._sweep_all(swept, conflicts)
        except ReconcilerError as error:
            failure = error.message
            if error.hint:
                failure += f"; {error.hint}"
        return tuple(sorted(swept)), failure, tuple(conflicts[each] for each in sorted(conflicts))

    def _read_for_sweep(self, abandoning: Iterable[str]) -> None:
        """Read the documents that this run does not know.

        Raises:
            StoreError: one could not be read, so an intent may still be open.
        """
        for name in sorted({*abandoning, *self._unknown} - self._stored.keys() | self._unknown):
            with contextlib.suppress(DocumentUnreadable):
                self._stored[name] = self._session.store.read(name)
                self._executor.learn(self._stored[name].document)

    def _sweep_all(self, swept: set[str], conflicts: dict[str, Conflict]) -> str | None:
        """Sweep document by document, once every intent of the run is resolved."""
        if any(s.document and s.document.ledger.pending for s in self._stored.values()):
            return None
        found = {
            name: stored
            for name, stored in self._stored.items()
            if stored.document and stored.document.ledger.abandoned
        }
        if any(
            attempt.abandoned_at >= self._executor.listing_began
            for stored in found.values()
            for attempt in (stored.document.ledger.abandoned if stored.document else ())
        ):
            self._executor.list_again()
        if found and not self._knows_all():
            return None
        for name, stored in sorted(found.items()):
            ongoing = ChangeInProgress(name, self._desired.get(name), stored, listing_current=True)
            if stored.document is not None:
                # Before an attempt is forgotten, which may be the last time that its endpoint is noticed.
                found_here = lookalikes(stored.document.ledger, self._executor.live)
                conflicts |= {e.id: describe_lookalike(name, stored.document.ledger, e) for e in found_here}
            step = sweep_step(self._state(ongoing))
            while not isinstance(step, Done | Failed | Hold) and not self._stop.is_set():
                self._session.reporter.step(name, step.description, step.api_requests)
                self._executor.execute(ongoing, step)
                swept |= ongoing.progress.deleted
                step = sweep_step(self._state(ongoing))
            if isinstance(step, Failed):
                return f"{name}: {step.message}"
        return None

    def _knows_all(self) -> bool:
        """Learn the owners of all endpoints. False: another run is in the middle of a change.

        This comes after the listing: what is listed and finished is recorded by then.
        """
        for entry in self._executor.learn_owners():
            known = self._stored.get(entry.name)
            is_ours = entry.name in self._unknown or (known is not None and known.version == entry.version)
            if not is_ours:
                return False
        return True


def _unreported(conflicts: Iterable[Conflict], outcomes: Mapping[str, ChangeOutcome]) -> tuple[Conflict, ...]:
    """Return the conflicts that no failed change reports already."""
    reported = " ".join(outcome.detail or "" for outcome in outcomes.values()).split()
    return tuple(conflict for conflict in conflicts if conflict.endpoint_id not in reported)


def _waiting_for(ongoing: ChangeInProgress, until: datetime) -> str:
    """Say what happens at `until`."""
    ledger = ongoing.stored.document.ledger if ongoing.stored.document else None
    at = f"{until:%Y-%m-%d %H:%M} UTC"
    if ledger is not None and any(p.deleted_at is None and p.retire_after == until for p in ledger.previous):
        overlap = f" (overlap {span(ongoing.desired.overlap)})" if ongoing.desired else ""
        stays = f"old endpoint stays live until {at}{overlap}"
        return f"{stays}; the first `reconciler apply` after that deletes it"
    if ledger is not None and any(p.expire_at == until for p in ledger.previous):
        return f"old secret stays in Vault until {at}; the first `reconciler apply` after that drops it"
    return f"an abandoned attempt is watched until {at}"


def _phases(changes: Sequence[Change]) -> tuple[list[Change], ...]:
    """Return interrupted changes, then those that create and replace, then those that remove."""
    interrupted = [c for c in changes if c.action is Action.RESUME]
    last = [c for c in changes if c.action in _LAST]
    middle = [c for c in changes if c.action is not Action.RESUME and c.action not in _LAST]
    return interrupted, middle, last
