"""Execute one step against the servers, and keep the state of the run up to date.

All changes of a run share the live endpoints: an endpoint that one change created or deleted counts for the
others immediately, even if a listing lags behind.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.errors import CasConflict, DocumentUnreadable
from reconciler.model import OddEndpoint
from reconciler.plan.odd_entries import as_endpoints, unreadable_entry
from reconciler.plan.protocol.state import NOT_OURS, Progress, is_not_found
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
from reconciler.ports import Created, Deleted, Stored, Unanswered, VersionState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from reconciler.ledger.document import Document
    from reconciler.model import Webhook
    from reconciler.plan.live import LiveIndex
    from reconciler.ports import (
        CreateAnswer,
        DeleteAnswer,
        Metadata,
        TestAnswer,
    )
    from reconciler.session import Session

MAX_SILENCE = 3
"""How often in a row a server may fail to answer, each time after all retries, before a run gives up."""

LAG_PAUSES = (1.0, 2.0, 4.0)
"""Seconds to wait before each further test of a new endpoint that the API does not know yet."""


class ChangeInProgress(Struct):
    """One change that is being processed."""

    name: str
    desired: Webhook | None
    stored: Stored
    listing_current: bool
    progress: Progress = field(default_factory=Progress)
    step: Step | None = None
    """The last step that was executed, or tried."""


class StepExecutor:
    """Executes the steps of one run's changes, from any number of threads."""

    def __init__(self, session: Session, live: LiveIndex, listing_began: datetime) -> None:
        """Start from a complete listing that began at `listing_began`."""
        self.live = live
        self.listing_began = listing_began
        self.acted = False
        """Whether anything was written, or requested that changes something."""
        self.abort = threading.Event()
        """Set when the API no longer responds: each further request would use up its whole time budget."""
        self._session = session
        self._mutex = threading.Lock()
        self._made: set[str] = set()
        self._gone: set[str] = set()
        self._api_silence = 0

    def execute(self, ongoing: ChangeInProgress, step: Step) -> None:
        """Execute `step` and record the result in `ongoing`."""
        api, store, name = self._session.api, self._session.store, ongoing.name
        ongoing.step = step
        match step:
            case WriteDocument():
                self._write(ongoing, step)
            case CreateEndpoint(key=key, body=body, baseline_ids=baseline_ids):
                self.acted = True
                created = api.create(key, body)
                self._listen(created)
                if isinstance(created, Created):
                    with self._mutex:
                        self.live.add(created.endpoint)
                        self._made.add(created.endpoint.id)
                    self._warn_of_whitespace(name, created)
                self._report(
                    ongoing, "create", created.endpoint.id if isinstance(created, Created) else None, created
                )
                ongoing.progress = replace(
                    ongoing.progress, key=key, created=created, baseline_ids=baseline_ids
                )
            case TestEndpoint(endpoint_id=endpoint_id):
                self._test(ongoing, endpoint_id)
            case DeleteEndpoint(endpoint_id=endpoint_id):
                self._delete(ongoing, endpoint_id)
            case ListAgain():
                self.list_again()
                ongoing.listing_current = True
            case WriteProjection(projection=projection):
                store.write_projection(name, projection)
                ongoing.stored = replace(ongoing.stored, projection=projection)
            case Undelete(version=version, is_known=is_known):
                self._undelete(ongoing, version, is_known=is_known)
            case SoftDelete(version=version):
                store.soft_delete(name, version)
                ongoing.stored = replace(ongoing.stored, state=VersionState.DELETED, document=None)
            case DestroyBefore(version=version):
                store.destroy_before(name, version)
                ongoing.progress = replace(ongoing.progress, purged=True)
            case Done() | Wait() | Hold() | Failed():
                pass

    def _test(self, ongoing: ChangeInProgress, endpoint_id: str) -> None:
        """Send a test delivery. If the API does not know an endpoint of this run yet, wait and try again."""
        tested = self._session.api.test(endpoint_id)
        if endpoint_id in self._made:
            for seconds in LAG_PAUSES:
                if not is_not_found(tested):
                    break
                self._session.reporter.waiting(seconds, "the API does not know the new endpoint yet")
                self._session.clock.sleep(seconds)
                tested = self._session.api.test(endpoint_id)
        elif is_not_found(tested):
            # Only another listing can show whether it is gone.
            ongoing.listing_current = False
        self._listen(tested)
        ongoing.progress = replace(ongoing.progress, tested=(endpoint_id, tested))

    def _listen(self, answer: CreateAnswer | TestAnswer | DeleteAnswer) -> None:
        """Notice when the API no longer responds."""
        with self._mutex:
            self._api_silence = self._api_silence + 1 if isinstance(answer, Unanswered) else 0
            if self._api_silence >= MAX_SILENCE:
                self.abort.set()

    def _report(
        self,
        ongoing: ChangeInProgress,
        request: str,
        endpoint_id: str | None,
        answer: CreateAnswer | DeleteAnswer,
    ) -> None:
        """Report the result of a request that creates or deletes an endpoint."""
        ok = isinstance(answer, Created | Deleted)
        self._session.reporter.answered(
            ongoing.name, request, endpoint_id=endpoint_id, request_id=answer.request_id, ok=ok
        )

    def _warn_of_whitespace(self, name: str, created: Created) -> None:
        if created.secret is not None and created.secret.has_outer_whitespace:
            self._session.reporter.warn(
                f"{name}: the API returned a signing secret with a line break or a space at its beginning or "
                "end; it is stored exactly so, because the API signs with all of it. Check that what reads "
                "it from Vault does not trim it (docs/reference/vault.md, Documents)"
            )

    def _undelete(self, ongoing: ChangeInProgress, version: int, *, is_known: bool) -> None:
        """Bring a version back, and look at it; delete it again if it is not ours."""
        store, name = self._session.store, ongoing.name
        store.undelete(name, version)
        try:
            ongoing.stored = store.read(name)
        except DocumentUnreadable as error:
            if is_known:
                raise
            store.soft_delete(name, version)
            raise DocumentUnreadable(
                f"the document was deleted in Vault, and it is not ours ({error.message}): it was read and "
                "deleted again",
                hint=NOT_OURS,
            ) from error
        self.learn(ongoing.stored.document)
        if not is_known:
            ongoing.progress = replace(ongoing.progress, revived=version)

    def _write(self, ongoing: ChangeInProgress, step: WriteDocument) -> None:
        try:
            version = self._session.store.write(ongoing.name, step.document, cas=step.cas)
        except CasConflict:
            # Another run wrote first: continue from its version, and from a listing after it.
            ongoing.stored = self._session.store.read(ongoing.name)
            ongoing.listing_current = False
            self.learn(ongoing.stored.document)
            return
        self.acted = True
        self.learn(step.document)
        ongoing.stored = replace(
            ongoing.stored, version=version, state=VersionState.LIVE, document=step.document, age=0.0
        )
        ongoing.progress = ongoing.progress.after_write(step)

    def _delete(self, ongoing: ChangeInProgress, endpoint_id: str) -> None:
        if not self.live.is_recorded(endpoint_id) and endpoint_id not in self._made:
            # A leftover, as far as was known when the listing began. Another run may have recorded it since.
            self._learn_all_owners()
            if self.live.is_recorded(endpoint_id):
                return
        self.acted = True
        answer = self._session.api.delete(endpoint_id)
        self._listen(answer)
        self._report(ongoing, "delete", endpoint_id, answer)
        if isinstance(answer, Deleted):
            with self._mutex:
                self.live.remove(endpoint_id)
                self._gone.add(endpoint_id)
            ongoing.progress = replace(ongoing.progress, deleted=ongoing.progress.deleted | {endpoint_id})
        else:
            undeleted = {**ongoing.progress.undeleted, endpoint_id: answer}
            ongoing.progress = replace(ongoing.progress, undeleted=undeleted)

    # --- what is live -------------------------------------------------------------------------------

    def learn(self, document: Document | None) -> None:
        """Record which endpoints `document` owns."""
        if document is not None:
            with self._mutex:
                self.live.learn(document.ledger)
                self._refuse_odd(document.ledger.recorded_ids)

    def _refuse_odd(self, ids: Iterable[str]) -> None:
        """Refuse endpoints of ours that the listing does not show as they are.

        Raises:
            ApiError: there is one.
        """
        for endpoint_id in ids:
            endpoint = self.live.get(endpoint_id)
            if isinstance(endpoint, OddEndpoint):
                raise unreadable_entry(f"{endpoint}, is in a ledger")

    def learn_owners(self) -> list[Metadata]:
        """Record which endpoints all metadata owns; return the live documents that may own others.

        Raises:
            StoreError: Vault did not answer.
        """
        metadata = self._session.store.list_metadata().values()
        with self._mutex:
            for entry in metadata:
                if entry.projection is not None:
                    self.live.learn(entry.projection)
        return [entry for entry in metadata if entry.state is VersionState.LIVE and not entry.is_settled]

    def _learn_all_owners(self) -> None:
        """Record which endpoints any ledger owns, including those whose metadata is outdated."""
        for entry in self.learn_owners():
            with contextlib.suppress(DocumentUnreadable):
                self.learn(self._session.store.read(entry.name).document)

    def list_again(self) -> frozenset[str]:
        """List the endpoints again; return the ids that the listing shows.

        An endpoint that this run created is live even if the listing does not show it yet.

        Raises:
            ApiError: the listing is not complete.
        """
        began = self._session.clock.now()
        fresh = as_endpoints(entry for page in self._session.api.list_pages() for entry in page)
        with self._mutex:
            for endpoint in fresh:
                mine = endpoint.id in self._made or self.live.is_recorded(endpoint.id)
                if mine and isinstance(endpoint, OddEndpoint):
                    raise unreadable_entry(f"{endpoint}, is in a ledger")
            # A listing may lag behind the requests of this run.
            listed = {e.id: e for e in fresh if e.id not in self._gone}
            for endpoint in list(self.live):
                if endpoint.id not in listed and endpoint.id not in self._made:
                    self.live.remove(endpoint.id)
            for endpoint in listed.values():
                self.live.add(endpoint)
            self.listing_began = began
        return frozenset(listed)
