"""Carry a plan out: ask for the next step, take it, ask again with what came back.

The runner knows no protocol. It keeps the order of changes (what is in hand first, creations before
deletions), goes on past a failure, and lists honestly what is done, failed and not attempted.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from reconciler.apply.executor import MAX_SILENCE, Hand, StepTaker
from reconciler.errors import (
    ApiError,
    DocumentUnreadable,
    ReconcilerError,
    StoreError,
    StoreUnavailable,
)
from reconciler.plan.outcome import ChangeOutcome, Outcome, Result
from reconciler.plan.plan import Action, Change
from reconciler.plan.protocol.cleanup import sweep_step
from reconciler.plan.protocol.next_step import is_served, next_step
from reconciler.plan.protocol.state import State
from reconciler.plan.protocol.steps import Done, Failed, Failure, Hold, Wait
from reconciler.ports import VersionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from reconciler.model import Webhook
    from reconciler.plan.live import LiveIndex
    from reconciler.plan.protocol.state import Adoption
    from reconciler.ports import Stored
    from reconciler.session import Session

# A change takes at most about 30 steps; three attempts and a few lost races stay far below this.
_MAX_STEPS = 200
_LAST = (Action.DELETE, Action.RELEASE)


class Runner:
    """One run over one organization. `stop`, once set, lets the step in hand finish and no more begin."""

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
        self._taker = StepTaker(session, live, listing_began)
        self._desired = desired
        self._stop = stop
        self._mutex = threading.Lock()
        self._stored: dict[str, Stored] = {}
        """The documents of this run's changes, as they ended."""
        self._unknown: set[str] = set()
        """The changes whose documents are not known, since an error ended them."""
        self._awaited = dict(awaited)
        self._adoption = adoption
        self._on_hold: set[str] = set()
        """The changes that wait for another webhook to take over a URL."""
        self._store_failures: list[StoreError] = []
        self._store_silence = 0
        """How many changes in a row failed because Vault does not answer."""

    def run(self, changes: Sequence[Change], jobs: int = 1, abandoning: Iterable[str] = ()) -> Outcome:
        """Carry `changes` out, then sweep; `abandoning` are other documents with abandoned attempts.

        Raises:
            StoreError: Vault refused everything and nothing was changed.
        """
        clock = self._session.clock
        started = clock.monotonic()
        outcomes: dict[str, ChangeOutcome] = {}
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            for phase in _phases(changes):
                outcomes |= zip((c.name for c in phase), pool.map(self._change, phase), strict=True)
                # By now whoever was waited for has had its turn.
                again = [outcomes[name].change for name in sorted(self._on_hold)]
                self._on_hold.clear()
                outcomes |= zip((c.name for c in again), pool.map(self._change, again), strict=True)
        if len(self._store_failures) == len(outcomes) > 0 and not self._taker.acted:
            raise self._store_failures[0]
        swept, sweep_failure = self._sweep(abandoning)
        return Outcome(
            changes=tuple(sorted(outcomes.values(), key=lambda outcome: outcome.change.name)),
            api_requests=self._session.api.requests_sent,
            seconds=clock.monotonic() - started,
            swept=swept,
            interrupted=self._stop.is_set(),
            sweep_failure=sweep_failure,
        )

    @property
    def _halted(self) -> bool:
        return self._stop.is_set() or self._taker.abort.is_set()

    # --- one change ---------------------------------------------------------------------------------

    def _change(self, change: Change) -> ChangeOutcome:
        if self._halted:
            return ChangeOutcome(change, Result.NOT_ATTEMPTED, hint="run `reconciler apply` again")
        try:
            outcome = self._carry_out(change)
            self._store_silence = 0
        except ReconcilerError as error:
            self._note_failure(change, error)
            hint = error.hint or "run `reconciler apply` again"
            outcome = ChangeOutcome(change, Result.FAILED, detail=error.message, hint=hint)
        ok = outcome.result in {Result.DONE, Result.WAITING}
        self._session.reporter.finished(change.name, change.action.value, ok=ok, detail=outcome.detail)
        return outcome

    def _note_failure(self, change: Change, error: ReconcilerError) -> None:
        with self._mutex:
            self._unknown.add(change.name)
            if isinstance(error, ApiError):
                # A listing broke off: nothing may be judged by what is live any more.
                self._taker.abort.set()
            if isinstance(error, StoreError) and not isinstance(error, DocumentUnreadable):
                self._store_failures.append(error)
            if isinstance(error, StoreUnavailable):
                self._store_silence += 1
                if self._store_silence >= MAX_SILENCE:
                    self._taker.abort.set()

    def _carry_out(self, change: Change) -> ChangeOutcome:
        stored = self._session.store.read(change.name)
        known = self._stored.get(change.name)
        hand = Hand(
            change.name,
            self._desired.get(change.name),
            stored,
            listing_current=stored.version == (known.version if known else change.version),
        )
        self._taker.own(stored.document)
        return self._walk(change, hand)

    def _walk(self, change: Change, hand: Hand) -> ChangeOutcome:
        """Take step after step to the end."""
        for _ in range(_MAX_STEPS):
            step = next_step(self._state(hand))
            match step:
                case Done():
                    return self._end(change, hand, Result.DONE)
                case Wait(until=until):
                    return self._end(
                        change, hand, Result.WAITING, f"the rest is due at {until:%Y-%m-%d %H:%M:%S} UTC"
                    )
                case Hold(name=name, url=url):
                    self._on_hold.add(change.name)
                    detail = f"the endpoint at {url} is kept until {name} serves that URL"
                    return self._end(change, hand, Result.NOT_ATTEMPTED, detail)
                case Failed():
                    return self._failed(change, hand, step)
                case _:
                    pass
            if self._stop.is_set():
                return self._end(
                    change,
                    hand,
                    Result.FAILED,
                    "interrupted before the next step",
                    "run `reconciler apply` again",
                )
            self._session.reporter.step(change.name, step.description, step.api_requests)
            self._taker.take(hand, step)
        return self._end(
            change, hand, Result.FAILED, "no end was in sight: another run keeps writing this document"
        )

    def _state(self, hand: Hand) -> State:
        session = self._session
        return State(
            name=hand.name,
            organization=session.organization,
            desired=hand.desired,
            stored=hand.stored,
            live=self._taker.live,
            listing_began=self._taker.listing_began,
            listing_current=hand.listing_current,
            now=session.clock.now(),
            fresh=session.fresh(),
            run=session.run,
            progress=hand.progress,
            awaited=self._awaited,
            adoption=self._adoption if self._adoption and self._adoption.name == hand.name else None,
        )

    def _failed(self, change: Change, hand: Hand, failed: Failed) -> ChangeOutcome:
        if failed.failure is Failure.RUN:
            self._taker.abort.set()
        result = Result.UNVERIFIED if failed.failure is Failure.UNVERIFIED else Result.FAILED
        return self._end(change, hand, result, failed.message, failed.hint)

    def _end(
        self,
        change: Change,
        hand: Hand,
        result: Result,
        detail: str | None = None,
        hint: str | None = None,
    ) -> ChangeOutcome:
        document = hand.stored.document
        with self._mutex:
            self._stored[change.name] = hand.stored
            if hand.desired is not None and is_served(
                hand.desired, document, self._taker.live, self._session.clock.now()
            ):
                self._awaited.pop(hand.desired.normalized_url, None)
        current = document.ledger.current if document else None
        return ChangeOutcome(change, result, current.endpoint_id if current else None, detail, hint)

    # --- the sweep ----------------------------------------------------------------------------------

    def _sweep(self, abandoning: Iterable[str]) -> tuple[tuple[str, ...], str | None]:
        """Clear what abandoned attempts left; return the endpoints that went, and why it is not finished."""
        swept: set[str] = set()
        if self._halted:
            return (), None
        try:
            self._read_for_sweep(abandoning)
            failure = self._sweep_all(swept)
        except ReconcilerError as error:
            failure = error.message
        return tuple(sorted(swept)), failure

    def _read_for_sweep(self, abandoning: Iterable[str]) -> None:
        """Read the documents that this run does not know yet, or not any more.

        Raises:
            StoreError: one could not be read, so it is not known whether an intent is still open.
        """
        for name in sorted({*abandoning, *self._unknown} - self._stored.keys() | self._unknown):
            with contextlib.suppress(DocumentUnreadable):
                self._stored[name] = self._session.store.read(name)
                self._taker.own(self._stored[name].document)

    def _sweep_all(self, swept: set[str]) -> str | None:
        """Sweep document by document, once every intent of the run is resolved."""
        if any(s.document and s.document.ledger.pending for s in self._stored.values()):
            return None
        found = {
            name: stored
            for name, stored in self._stored.items()
            if stored.document and stored.document.ledger.abandoned
        }
        if any(
            attempt.abandoned_at >= self._taker.listing_began
            for stored in found.values()
            for attempt in (stored.document.ledger.abandoned if stored.document else ())
        ):
            self._taker.list_again()
        if found and not self._knows_all():
            return None
        for name, stored in sorted(found.items()):
            hand = Hand(name, self._desired.get(name), stored, listing_current=True)
            step = sweep_step(self._state(hand))
            while not isinstance(step, Done | Failed | Hold) and not self._stop.is_set():
                self._session.reporter.step(name, step.description, step.api_requests)
                self._taker.take(hand, step)
                swept |= hand.progress.deleted
                step = sweep_step(self._state(hand))
            if isinstance(step, Failed):
                return f"{name}: {step.message}"
        return None

    def _knows_all(self) -> bool:
        """Learn what every ledger records by now. False: another run is in the middle of a change.

        It comes after the listing: what is listed and finished is recorded by then.
        """
        metadata = self._session.store.list_metadata()
        for name, entry in metadata.items():
            if entry.projection is not None:
                self._taker.live.own(entry.projection.owned_ids)
                self._taker.live.record(entry.projection.recorded_ids)
            known = self._stored.get(name)
            is_settled = entry.state is not VersionState.LIVE or (
                entry.projection is not None and entry.projection.version == entry.version
            )
            is_ours = name in self._unknown or (known is not None and known.version == entry.version)
            if not is_settled and not is_ours:
                return False
        return True


def _phases(changes: Sequence[Change]) -> tuple[list[Change], ...]:
    """Return what is in hand already, then what makes and replaces, then what takes away."""
    urgent = [c for c in changes if c.action is Action.RESUME]
    last = [c for c in changes if c.action in _LAST]
    middle = [c for c in changes if c.action is not Action.RESUME and c.action not in _LAST]
    return urgent, middle, last
