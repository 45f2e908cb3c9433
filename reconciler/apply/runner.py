"""Carry a plan out: ask for the next step, take it, ask again with what came back.

The runner knows no protocol. It keeps the order of changes (what is in hand first, creations before
deletions), goes on past a failure, and lists honestly what is done, failed and not attempted.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.errors import (
    ApiError,
    CasConflict,
    DocumentUnreadable,
    ReconcilerError,
    StoreError,
    StoreUnavailable,
)
from reconciler.plan.need import is_served
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
    Hold,
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
from reconciler.ports import Created, Deleted, Refused, Stored, Unanswered, VersionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from reconciler.ledger import Document
    from reconciler.model import Organization, Run, Webhook
    from reconciler.plan.live import LiveIndex
    from reconciler.ports import (
        Clock,
        CreateAnswer,
        DeleteAnswer,
        DocumentStore,
        EndpointApi,
        FreshSource,
        Reporter,
        TestAnswer,
    )

# A change takes at most about 30 steps; three attempts and a few lost races stay far below this.
_MAX_STEPS = 200
_MAX_SILENCE = 3
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
        self._unknown: set[str] = set()
        """The changes whose documents are not known, since an error ended them."""
        self._awaited: dict[str, str] = {}
        """Normalised URLs whose webhooks are not served yet, and the names of these."""
        self._on_hold: set[str] = set()
        """The changes that wait for another webhook to take over a URL."""
        self._store_failures: list[StoreError] = []
        self._api_silence = 0
        """How many API requests in a row got no usable answer, each retried for its whole budget."""
        self._store_silence = 0
        """How many changes in a row failed because Vault does not answer."""
        self._acted = False

    def run(self, changes: Sequence[Change], jobs: int = 1, abandoning: Iterable[str] = ()) -> Outcome:
        """Carry `changes` out, then sweep; `abandoning` are other documents with abandoned attempts.

        Raises:
            StoreError: Vault refused everything and nothing was changed.
        """
        clock = self._world.clock
        started = clock.monotonic()
        wanted = [w for change in changes if (w := self._desired.get(change.name)) is not None]
        self._awaited = {webhook.normalized_url: webhook.name for webhook in wanted}
        outcomes: dict[str, ChangeOutcome] = {}
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            for phase in _phases(changes):
                outcomes |= zip((c.name for c in phase), pool.map(self._change, phase), strict=True)
                # By now whoever was waited for has had its turn.
                again = [outcomes[name].change for name in sorted(self._on_hold)]
                self._on_hold.clear()
                outcomes |= zip((c.name for c in again), pool.map(self._change, again), strict=True)
        if len(self._store_failures) == len(outcomes) > 0 and not self._acted:
            raise self._store_failures[0]
        swept, sweep_failure = self._sweep(abandoning)
        return Outcome(
            changes=tuple(sorted(outcomes.values(), key=lambda outcome: outcome.change.name)),
            api_requests=self._world.api.requests_sent,
            seconds=clock.monotonic() - started,
            swept=swept,
            interrupted=self._stop.is_set(),
            sweep_failure=sweep_failure,
        )

    @property
    def _halted(self) -> bool:
        return self._stop.is_set() or self._abort.is_set()

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
        self._world.reporter.finished(change.name, change.action.value, ok=ok, detail=outcome.detail)
        return outcome

    def _note_failure(self, change: Change, error: ReconcilerError) -> None:
        with self._mutex:
            self._unknown.add(change.name)
            if isinstance(error, ApiError):
                # A listing broke off: nothing may be judged by what is live any more.
                self._abort.set()
            if isinstance(error, StoreError) and not isinstance(error, DocumentUnreadable):
                self._store_failures.append(error)
            if isinstance(error, StoreUnavailable):
                self._store_silence += 1
                if self._store_silence >= _MAX_SILENCE:
                    self._abort.set()

    def _carry_out(self, change: Change) -> ChangeOutcome:
        stored = self._world.store.read(change.name)
        known = self._stored.get(change.name)
        hand = _Hand(
            change.name,
            self._desired.get(change.name),
            stored,
            listing_current=stored.version == (known.version if known else change.version),
        )
        if change.problem is not None and hand.listing_current:
            return ChangeOutcome(change, Result.FAILED, detail=change.problem, hint=change.hint)
        self._own(stored.document)
        return self._walk(change, hand)

    def _walk(self, change: Change, hand: _Hand) -> ChangeOutcome:
        """Take step after step to the end."""
        for _ in range(_MAX_STEPS):
            step = next_step(self._situation(hand))
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
            awaited=self._awaited,
        )

    def _take(self, hand: _Hand, step: Step) -> None:
        """Take `step` and note what came back in `hand`."""
        api, store, name = self._world.api, self._world.store, hand.name
        match step:
            case WriteDocument():
                self._write(hand, step)
            case CreateEndpoint(key=key, body=body, baseline_ids=baseline_ids):
                self._acted = True
                created = api.create(key, body)
                self._listen(created)
                if isinstance(created, Created):
                    self._add(created)
                hand.progress = replace(hand.progress, key=key, created=created, baseline_ids=baseline_ids)
            case TestEndpoint(endpoint_id=endpoint_id):
                tested = api.test(endpoint_id)
                self._listen(tested)
                if isinstance(tested, Refused) and tested.status == 404:  # noqa: PLR2004 - HTTP's number for not found
                    # Only another listing can tell whether it is gone.
                    hand.listing_current = False
                    with self._mutex:
                        self._made.discard(endpoint_id)
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
            case Done() | Wait() | Hold() | Failed():
                pass

    def _listen(self, answer: CreateAnswer | TestAnswer | DeleteAnswer) -> None:
        """Stop the run when the API has fallen silent: each further request would take its whole budget."""
        with self._mutex:
            self._api_silence = self._api_silence + 1 if isinstance(answer, Unanswered) else 0
            if self._api_silence >= _MAX_SILENCE:
                self._abort.set()

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
        pending = step.document.ledger.pending
        if step.begins_attempt and pending is not None:
            hand.progress = replace(
                hand.progress,
                attempts=hand.progress.attempts + 1,
                begun=hand.progress.begun | {pending.idempotency_key},
            )
        if step.then is not None:
            hand.progress = replace(hand.progress, failed=step.then)

    def _delete(self, hand: _Hand, endpoint_id: str) -> None:
        self._acted = True
        answer = self._world.api.delete(endpoint_id)
        self._listen(answer)
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
        document = hand.stored.document
        with self._mutex:
            self._stored[change.name] = hand.stored
            if hand.desired is not None and is_served(
                hand.desired, document, self._live, self._world.clock.now()
            ):
                self._awaited.pop(hand.desired.normalized_url, None)
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
                self._stored[name] = self._world.store.read(name)
                self._own(self._stored[name].document)

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
            attempt.abandoned_at >= self._listing_began
            for stored in found.values()
            for attempt in (stored.document.ledger.abandoned if stored.document else ())
        ):
            self._list_again()
        for name, stored in sorted(found.items()):
            hand = _Hand(name, self._desired.get(name), stored, listing_current=True)
            step = sweep_step(self._situation(hand))
            while not isinstance(step, Done | Failed | Hold) and not self._stop.is_set():
                self._world.reporter.step(name, step.description, step.api_requests)
                self._take(hand, step)
                swept |= hand.progress.deleted
                step = sweep_step(self._situation(hand))
            if isinstance(step, Failed):
                return f"{name}: {step.message}"
        return None


def _phases(changes: Sequence[Change]) -> tuple[list[Change], ...]:
    """Return what is in hand already, then what makes and replaces, then what takes away."""
    urgent = [c for c in changes if c.action is Action.RESUME]
    last = [c for c in changes if c.action in _LAST]
    middle = [c for c in changes if c.action is not Action.RESUME and c.action not in _LAST]
    return urgent, middle, last
