"""Carry a plan out: ask for the next step, take it, ask again with what came back.

The runner knows no protocol. It keeps the order of changes (what is in hand first, creations before
deletions), goes on past a failure, and lists honestly what is done, failed and not attempted.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.errors import CasConflict, ReconcilerError, StoreError
from reconciler.plan.outcome import ChangeOutcome, Outcome, Result
from reconciler.plan.plan import Action, Change
from reconciler.plan.protocol import next_step
from reconciler.plan.situation import Progress, Situation
from reconciler.plan.steps import (
    CreateEndpoint,
    DeleteEndpoint,
    DestroyBefore,
    Done,
    Failed,
    Failure,
    ListAgain,
    SoftDelete,
    Step,
    TestEndpoint,
    Undelete,
    Wait,
    WriteDocument,
    WriteProjection,
)
from reconciler.plan.sweep import sweep_step
from reconciler.ports import Created, Deleted, Refused, Stored, VersionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from reconciler.ledger import Document
    from reconciler.model import Organization, Run, Webhook
    from reconciler.plan.live import LiveIndex
    from reconciler.ports import Clock, DocumentStore, EndpointApi, FreshSource, Reporter

# A change takes at most about 30 steps; three attempts and a few lost races stay far below this.
_MAX_STEPS = 200
_MAX_STORE_FAILURES = 3
_LAST = (Action.DELETE, Action.RELEASE)


@dataclass(frozen=True, slots=True)
class World:
    """One organization and everything that its run talks to."""

    organization: Organization
    api: EndpointApi
    store: DocumentStore
    clock: Clock
    fresh: FreshSource
    reporter: Reporter
    run: Run


@dataclass(slots=True)
class _Hand:
    """One change in hand."""

    name: str
    desired: Webhook | None
    stored: Stored
    listing_current: bool
    progress: Progress = field(default_factory=Progress)


class Runner:
    """One run over one organization. `stop`, once set, lets the step in hand finish and no more begin."""

    def __init__(
        self,
        world: World,
        live: LiveIndex,
        desired: dict[str, Webhook],
        listing_began: datetime,
        stop: threading.Event,
    ) -> None:
        """Start from a complete listing that began at `listing_began`."""
        self._world = world
        self._live = live
        self._desired = desired
        self._listing_began = listing_began
        self._stop = stop
        self._abort = threading.Event()
        self._mutex = threading.Lock()
        self._made: set[str] = set()
        self._gone: set[str] = set()
        self._stored: dict[str, Stored] = {}
        """The documents of this run's changes, as they ended."""
        self._store_failures: list[StoreError] = []
        self._acted = False

    def run(self, changes: Sequence[Change], jobs: int = 1, abandoning: Iterable[str] = ()) -> Outcome:
        """Carry `changes` out, then sweep; `abandoning` are other documents with abandoned attempts.

        Raises:
            StoreError: Vault refused everything and nothing was changed.
        """
        clock = self._world.clock
        started = clock.monotonic()
        urgent = [c for c in changes if c.action is Action.RESUME]
        last = [c for c in changes if c.action in _LAST]
        middle = [c for c in changes if c.action is not Action.RESUME and c.action not in _LAST]
        outcomes: list[ChangeOutcome] = []
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            for phase in (urgent, middle, last):
                outcomes += pool.map(self._change, phase)
        if self._store_failures and not self._acted and not any(o.result is Result.DONE for o in outcomes):
            raise self._store_failures[0]
        swept = () if self._halted else self._sweep(abandoning)
        return Outcome(
            changes=tuple(sorted(outcomes, key=lambda outcome: outcome.change.name)),
            api_requests=self._world.api.requests_sent,
            seconds=clock.monotonic() - started,
            swept=swept,
            interrupted=self._stop.is_set(),
        )

    @property
    def _halted(self) -> bool:
        return self._stop.is_set() or self._abort.is_set()

    # --- one change ---------------------------------------------------------------------------------

    def _change(self, change: Change) -> ChangeOutcome:
        if self._halted:
            return ChangeOutcome(change, Result.NOT_ATTEMPTED, hint="run `reconciler apply` again")
        if change.problem is not None:
            outcome = ChangeOutcome(change, Result.FAILED, detail=change.problem, hint=change.hint)
        else:
            try:
                outcome = self._carry_out(change)
            except ReconcilerError as error:
                self._note_failure(error)
                hint = error.hint or "run `reconciler apply` again"
                outcome = ChangeOutcome(change, Result.FAILED, detail=error.message, hint=hint)
        ok = outcome.result in {Result.DONE, Result.WAITING}
        self._world.reporter.finished(change.name, change.action.value, ok=ok, detail=outcome.detail)
        return outcome

    def _note_failure(self, error: ReconcilerError) -> None:
        if isinstance(error, StoreError):
            with self._mutex:
                self._store_failures.append(error)
                if len(self._store_failures) >= _MAX_STORE_FAILURES:
                    self._abort.set()

    def _carry_out(self, change: Change) -> ChangeOutcome:
        stored = self._world.store.read(change.name)
        hand = _Hand(
            change.name,
            self._desired.get(change.name),
            stored,
            listing_current=stored.version == change.version,
        )
        self._own(stored.document)
        for _ in range(_MAX_STEPS):
            step = next_step(self._situation(hand))
            match step:
                case Done():
                    return self._end(change, hand, Result.DONE)
                case Wait(until=until):
                    return self._end(
                        change, hand, Result.WAITING, f"the rest is due at {until:%Y-%m-%d %H:%M:%S} UTC"
                    )
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
            self._world.reporter.step(change.name, step.description, step.api_requests)
            self._take(hand, step)
        return self._end(
            change, hand, Result.FAILED, "no end was in sight: another run keeps writing this document"
        )

    def _situation(self, hand: _Hand) -> Situation:
        world = self._world
        return Situation(
            name=hand.name,
            organization=world.organization,
            desired=hand.desired,
            stored=hand.stored,
            live=self._live,
            listing_began=self._listing_began,
            listing_current=hand.listing_current,
            now=world.clock.now(),
            fresh=world.fresh(),
            run=world.run,
            progress=hand.progress,
        )

    def _take(self, hand: _Hand, step: Step) -> None:
        """Take `step` and note what came back in `hand`."""
        api, store, name = self._world.api, self._world.store, hand.name
        match step:
            case WriteDocument():
                self._write(hand, step)
            case CreateEndpoint(key=key, body=body):
                self._acted = True
                created = api.create(key, body)
                if isinstance(created, Created):
                    self._add(created)
                hand.progress = replace(hand.progress, key=key, created=created)
            case TestEndpoint(endpoint_id=endpoint_id):
                tested = api.test(endpoint_id)
                if isinstance(tested, Refused) and tested.status == 404:  # noqa: PLR2004 - HTTP's number for not found
                    self._remove(endpoint_id)
                hand.progress = replace(hand.progress, tested=(endpoint_id, tested))
            case DeleteEndpoint(endpoint_id=endpoint_id):
                self._delete(hand, endpoint_id)
            case ListAgain():
                self._list_again()
                hand.listing_current = True
            case WriteProjection(projection=projection):
                store.write_projection(name, projection)
                hand.stored = replace(hand.stored, projection=projection)
            case Undelete(version=version):
                store.undelete(name, version)
                hand.stored = store.read(name)
                self._own(hand.stored.document)
            case SoftDelete(version=version):
                store.soft_delete(name, version)
                hand.stored = replace(hand.stored, state=VersionState.DELETED, document=None)
            case DestroyBefore(version=version):
                store.destroy_before(name, version)
                hand.progress = replace(hand.progress, purged=True)
            case Done() | Wait() | Failed():
                pass

    def _write(self, hand: _Hand, step: WriteDocument) -> None:
        try:
            version = self._world.store.write(hand.name, step.document, cas=step.cas)
        except CasConflict:
            # Another run was there first: what it wrote counts, and so does a listing after it.
            hand.stored = self._world.store.read(hand.name)
            hand.listing_current = False
            self._own(hand.stored.document)
            return
        self._acted = True
        self._own(step.document)
        hand.stored = replace(
            hand.stored, version=version, state=VersionState.LIVE, document=step.document, age=0.0
        )
        if step.begins_attempt:
            hand.progress = replace(hand.progress, attempts=hand.progress.attempts + 1)
        if step.then is not None:
            hand.progress = replace(hand.progress, failed=step.then)

    def _delete(self, hand: _Hand, endpoint_id: str) -> None:
        self._acted = True
        answer = self._world.api.delete(endpoint_id)
        if isinstance(answer, Deleted):
            self._remove(endpoint_id)
            hand.progress = replace(hand.progress, deleted=hand.progress.deleted | {endpoint_id})
        else:
            undeleted = {**hand.progress.undeleted, endpoint_id: answer}
            hand.progress = replace(hand.progress, undeleted=undeleted)

    def _failed(self, change: Change, hand: _Hand, failed: Failed) -> ChangeOutcome:
        if failed.failure is Failure.RUN:
            self._abort.set()
        result = Result.UNVERIFIED if failed.failure is Failure.UNVERIFIED else Result.FAILED
        return self._end(change, hand, result, failed.message, failed.hint)

    def _end(
        self,
        change: Change,
        hand: _Hand,
        result: Result,
        detail: str | None = None,
        hint: str | None = None,
    ) -> ChangeOutcome:
        self._stored[change.name] = hand.stored
        document = hand.stored.document
        current = document.ledger.current if document else None
        return ChangeOutcome(change, result, current.endpoint_id if current else None, detail, hint)

    # --- what is live -------------------------------------------------------------------------------

    def _own(self, document: Document | None) -> None:
        if document is not None:
            with self._mutex:
                self._live.own(document.ledger.owned_ids)

    def _add(self, created: Created) -> None:
        with self._mutex:
            self._live.add(created.endpoint)
            self._made.add(created.endpoint.id)

    def _remove(self, endpoint_id: str) -> None:
        with self._mutex:
            self._live.remove(endpoint_id)
            self._gone.add(endpoint_id)

    def _list_again(self) -> None:
        began = self._world.clock.now()
        fresh = [endpoint for page in self._world.api.list_pages() for endpoint in page]
        with self._mutex:
            # A listing may lag behind what this run itself has done.
            listed = {e.id: e for e in fresh if e.id not in self._gone}
            for endpoint in list(self._live):
                if endpoint.id not in listed and endpoint.id not in self._made:
                    self._live.remove(endpoint.id)
            for endpoint in listed.values():
                self._live.add(endpoint)
            self._listing_began = began

    # --- the sweep ----------------------------------------------------------------------------------

    def _sweep(self, abandoning: Iterable[str]) -> tuple[str, ...]:
        """Clear what abandoned attempts left, once every intent of the run is resolved."""
        if any(s.document and s.document.ledger.pending for s in self._stored.values()):
            return ()
        for name in abandoning:
            if name not in self._stored:
                self._stored[name] = self._world.store.read(name)
        found = {
            name: stored
            for name, stored in self._stored.items()
            if stored.document and stored.document.ledger.abandoned
        }
        if any(
            attempt.abandoned_at >= self._listing_began
            for stored in found.values()
            for attempt in (stored.document.ledger.abandoned if stored.document else ())
        ):
            self._list_again()
        swept: frozenset[str] = frozenset()
        for name, stored in sorted(found.items()):
            hand = _Hand(name, self._desired.get(name), stored, listing_current=True)
            while not isinstance(step := sweep_step(self._situation(hand)), Done):
                self._world.reporter.step(name, step.description, step.api_requests)
                self._take(hand, step)
            swept |= hand.progress.deleted
        return tuple(sorted(swept))
