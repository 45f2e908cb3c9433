"""Plans for people to read: if Vault is slow, the API is asked at the same time.

An apply asks Vault first: that an endpoint is absent from the listing counts only against documents that
were written before the listing began. A preview asks Vault first, too, if Vault answers quickly. If it does
not, a difference may be the work of a run that wrote to Vault meanwhile: then it asks again, Vault first.
Unless the API is at its usual URL, Vault is always asked first: its record must name that URL.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.errors import ReconcilerError
from reconciler.ledger.ledger import CLOCK_TOLERANCE
from reconciler.model import DEFAULT_API_URL
from reconciler.plan.guards import EMPTY
from reconciler.plan.plan import Cause
from reconciler.usecases.plan import (
    Seen,
    has_moved_on,
    list_endpoints,
    look_at_vault,
    looks_wrong,
    plan,
    planned_from,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.plan.plan import ActiveRun
    from reconciler.ports import Metadata
    from reconciler.session import Session
    from reconciler.usecases.plan import Planned

_DOUBTS = {EMPTY, "key"}
"""The guards whose refusals mean that the drift that was found may not be drift."""
_EMPTY_HINT = (
    "check the manifests' path; `reconciler plan` shows what would be deleted, and how to approve it"
)
_AT_ONCE = 0.1
"""Seconds that Vault may take before the API is asked, too. It takes longer for thousands of documents."""


def preview(session: Session) -> Planned:
    """Return what `plan` returns, sooner.

    Raises:
        ApiError: the listing is not complete.
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds another organization's documents.
    """
    seen, vault_was_first = _look(session)
    planned = planned_from(seen, session)
    if looks_wrong(planned) and (
        (not vault_was_first and _has_young_documents(planned)) or has_moved_on(planned)
    ):
        return plan(session)
    return planned


def drift(session: Session) -> Planned:
    """Return the plan restricted to what changed without a manifest having changed.

    Of the guards' refusals, those stay that doubt what was read; the others are about an apply.
    """
    planned = preview(session)
    changes = tuple(c for c in planned.plan.changes if c.cause is not Cause.MANIFEST)
    refusals = tuple(
        replace(each, hint=_EMPTY_HINT, approvable=False) if each.guard == EMPTY else each
        for each in planned.refusals
        if each.guard in _DOUBTS
    )
    return replace(planned, plan=planned.plan.restricted_to(changes), refusals=refusals)


def _look(session: Session) -> tuple[Seen, bool]:
    """Ask Vault and the API; return their state, and whether Vault had answered before the API was asked."""
    vault = _MetadataReader(session)
    vault.start()
    # Another API than the usual one gets the key only if Vault's record does not name a different one.
    vault.join(_AT_ONCE if session.organization.api_url == DEFAULT_API_URL else None)
    read = None if vault.is_alive() else vault.result()
    began = session.clock.now()
    try:
        entries, pages = list_endpoints(session)
    except ReconcilerError:
        # If both fail, Vault's error is reported, as where Vault is asked first.
        if read is None:
            vault.result()
        raise
    vault_was_first = read is not None
    metadata, run = read or vault.result()
    return Seen(metadata, began, entries, pages, run), vault_was_first


class _MetadataReader(threading.Thread):
    """Reads the metadata of every document. A daemon: an interrupted preview does not wait for Vault."""

    def __init__(self, session: Session) -> None:
        super().__init__(name="metadata", daemon=True)
        self._session = session
        self._found: tuple[Mapping[str, Metadata], ActiveRun | None] | Exception | None = None

    def run(self) -> None:
        """Read; `result` returns the metadata or raises the error."""
        try:
            self._found = look_at_vault(self._session)
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            self._found = error

    def result(self) -> tuple[Mapping[str, Metadata], ActiveRun | None]:
        """Wait for the end, and return what `look_at_vault` does.

        Raises:
            StoreError: Vault did not answer.
            ForeignDocument: the prefix holds another organization's documents.
        """
        self.join()
        # Given away: an error holds the frames that it passed, and with them this thread.
        found, self._found = self._found, None
        assert found is not None, "the thread has ended, and is asked once"  # noqa: S101 - an invariant
        if isinstance(found, Exception):
            raise found
        return found


def _has_young_documents(planned: Planned) -> bool:
    """Whether a document may have been written since the listing began, as far as clocks agree."""
    settled = planned.listing_began - CLOCK_TOLERANCE
    return any(
        entry.version > 0 and (entry.changed_at is None or entry.changed_at > settled)
        for entry in planned.metadata.values()
    )
