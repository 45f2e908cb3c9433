"""Take one step against the real world, and keep what is known of it up to date.

What is live is shared by all changes of a run: an endpoint that one of them made or deleted counts for the
others at once, whatever a listing says that lags behind.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.errors import CasConflict, DocumentUnreadable
from reconciler.plan.protocol.state import Progress
from reconciler.plan.protocol.steps import (
    CreateEndpoint,
    DeleteEndpoint,
    DestroyBefore,
    Done,
    Failed,
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
from reconciler.ports import Created, Deleted, Refused, Stored, Unanswered, VersionState

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.ledger.document import Document
    from reconciler.model import Webhook
    from reconciler.plan.live import LiveIndex
    from reconciler.ports import (
        CreateAnswer,
        DeleteAnswer,
        TestAnswer,
    )
    from reconciler.session import Session

MAX_SILENCE = 3
"""How often in a row a server may fail to answer, each time after all retries, before a run gives up."""


class Hand(Struct):
    """One change in hand."""

    name: str
    desired: Webhook | None
    stored: Stored
    listing_current: bool
    progress: Progress = field(default_factory=Progress)


class StepTaker:
    """Takes the steps of one run's changes, from any number of threads."""

    def __init__(self, session: Session, live: LiveIndex, listing_began: datetime) -> None:
        """Start from a complete listing that began at `listing_began`."""
        self.live = live
        self.listing_began = listing_began
        self.acted = False
        """Whether anything was written or asked for that changes something."""
        self.abort = threading.Event()
        """Set when the API has fallen silent: each further request would take its whole budget."""
        self._session = session
        self._mutex = threading.Lock()
        self._made: set[str] = set()
        self._gone: set[str] = set()
        self._api_silence = 0

    def take(self, hand: Hand, step: Step) -> None:
        """Take `step` and note what came back in `hand`."""
        api, store, name = self._session.api, self._session.store, hand.name
        match step:
            case WriteDocument():
                self._write(hand, step)
            case CreateEndpoint(key=key, body=body, baseline_ids=baseline_ids):
                self.acted = True
                created = api.create(key, body)
                self._listen(created)
                if isinstance(created, Created):
                    self._add(created)
                self._tell(
                    hand, "create", created.endpoint.id if isinstance(created, Created) else None, created
                )
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
                self.list_again()
                hand.listing_current = True
            case WriteProjection(projection=projection):
                store.write_projection(name, projection)
                hand.stored = replace(hand.stored, projection=projection)
            case Undelete(version=version):
                store.undelete(name, version)
                hand.stored = store.read(name)
                self.own(hand.stored.document)
            case SoftDelete(version=version):
                store.soft_delete(name, version)
                hand.stored = replace(hand.stored, state=VersionState.DELETED, document=None)
            case DestroyBefore(version=version):
                store.destroy_before(name, version)
                hand.progress = replace(hand.progress, purged=True)
            case Done() | Wait() | Hold() | Failed():
                pass

    def _listen(self, answer: CreateAnswer | TestAnswer | DeleteAnswer) -> None:
        """Notice when the API has fallen silent."""
        with self._mutex:
            self._api_silence = self._api_silence + 1 if isinstance(answer, Unanswered) else 0
            if self._api_silence >= MAX_SILENCE:
                self.abort.set()

    def _tell(
        self, hand: Hand, request: str, endpoint_id: str | None, answer: CreateAnswer | DeleteAnswer
    ) -> None:
        """Tell what became of a request that changes what is live."""
        ok = isinstance(answer, Created | Deleted)
        self._session.reporter.answered(
            hand.name, request, endpoint_id=endpoint_id, request_id=answer.request_id, ok=ok
        )

    def _write(self, hand: Hand, step: WriteDocument) -> None:
        try:
            version = self._session.store.write(hand.name, step.document, cas=step.cas)
        except CasConflict:
            # Another run was there first: what it wrote counts, and so does a listing after it.
            hand.stored = self._session.store.read(hand.name)
            hand.listing_current = False
            self.own(hand.stored.document)
            return
        self.acted = True
        self.own(step.document)
        hand.stored = replace(
            hand.stored, version=version, state=VersionState.LIVE, document=step.document, age=0.0
        )
        hand.progress = hand.progress.after_write(step)

    def _delete(self, hand: Hand, endpoint_id: str) -> None:
        if not self.live.is_recorded(endpoint_id) and endpoint_id not in self._made:
            # A leftover, by what was known when the listing began. Another run may have recorded it since.
            self._learn_owners()
            if self.live.is_recorded(endpoint_id):
                return
        self.acted = True
        answer = self._session.api.delete(endpoint_id)
        self._listen(answer)
        self._tell(hand, "delete", endpoint_id, answer)
        if isinstance(answer, Deleted):
            self._remove(endpoint_id)
            hand.progress = replace(hand.progress, deleted=hand.progress.deleted | {endpoint_id})
        else:
            undeleted = {**hand.progress.undeleted, endpoint_id: answer}
            hand.progress = replace(hand.progress, undeleted=undeleted)

    # --- what is live -------------------------------------------------------------------------------

    def own(self, document: Document | None) -> None:
        """Note which endpoints `document` records, and which are ours by it."""
        if document is not None:
            with self._mutex:
                self.live.own(document.ledger.owned_ids)
                self.live.record(document.ledger.recorded_ids)

    def _learn_owners(self) -> None:
        """Learn which endpoints are recorded by now, also by documents whose metadata lags behind.

        Raises:
            StoreError: Vault did not answer.
        """
        for name, entry in self._session.store.list_metadata().items():
            projection = entry.projection
            if projection is not None:
                with self._mutex:
                    self.live.own(projection.owned_ids)
                    self.live.record(projection.recorded_ids)
            is_settled = projection is not None and projection.version == entry.version
            if entry.state is VersionState.LIVE and not is_settled:
                with contextlib.suppress(DocumentUnreadable):
                    self.own(self._session.store.read(name).document)

    def _add(self, created: Created) -> None:
        with self._mutex:
            self.live.add(created.endpoint)
            self._made.add(created.endpoint.id)

    def _remove(self, endpoint_id: str) -> None:
        with self._mutex:
            self.live.remove(endpoint_id)
            self._gone.add(endpoint_id)

    def list_again(self) -> None:
        """List the endpoints anew.

        Raises:
            ApiError: the listing is not complete.
        """
        began = self._session.clock.now()
        fresh = [endpoint for page in self._session.api.list_pages() for endpoint in page]
        with self._mutex:
            # A listing may lag behind what this run itself has done.
            listed = {e.id: e for e in fresh if e.id not in self._gone}
            for endpoint in list(self.live):
                if endpoint.id not in listed and endpoint.id not in self._made:
                    self.live.remove(endpoint.id)
            for endpoint in listed.values():
                self.live.add(endpoint)
            self.listing_began = began
