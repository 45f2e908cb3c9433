"""Plans for people to read: Vault and the API are asked side by side, so that one is the other's pause.

Whoever acts asks Vault first: that an endpoint is absent from the listing counts only against documents that
were written before the listing began. A preview asks both at once, looks at when each document that misses
its endpoint was written, and where one is too young it does as whoever acts.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError
from reconciler.plan.need import CLOCK_TOLERANCE
from reconciler.plan.plan import Cause
from reconciler.workflow.planning import (
    Seen,
    has_moved_on,
    list_endpoints,
    looks_wrong,
    plan,
    planned_from,
    read_metadata,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.apply.world import World
    from reconciler.model import Webhook
    from reconciler.plan.guards import GuardLimits
    from reconciler.ports import Metadata
    from reconciler.workflow.planning import Planned


def preview(
    world: World, desired: Sequence[Webhook], limits: GuardLimits, requests_per_minute: int = 100
) -> Planned:
    """Return what `plan` returns, sooner.

    Raises:
        ApiError: the listing is not complete.
        StoreError: Vault did not answer.
        ForeignDocument: the prefix holds another organization's documents.
    """
    planned = planned_from(_look(world), world, desired, limits, requests_per_minute)
    if _misses_young_ones(planned) or (looks_wrong(planned) and has_moved_on(world, planned)):
        return plan(world, desired, limits, requests_per_minute)
    return planned


def drift(
    world: World, desired: Sequence[Webhook], limits: GuardLimits, requests_per_minute: int = 100
) -> Planned:
    """Return the plan restricted to what changed without a manifest having changed."""
    planned = preview(world, desired, limits, requests_per_minute)
    changes = tuple(c for c in planned.plan.changes if c.cause is not Cause.MANIFEST)
    return replace(planned, plan=planned.plan.restricted_to(changes), verdicts=())


def _look(world: World) -> Seen:
    """Ask Vault and the API at the same time."""
    vault = _MetadataReader(world)
    vault.start()
    began = world.clock.now()
    try:
        endpoints, pages = list_endpoints(world)
    except ReconcilerError:
        # Of two troubles Vault's is told, as where it is asked first.
        vault.result()
        raise
    return Seen(vault.result(), began, endpoints, pages)


class _MetadataReader(threading.Thread):
    """Reads the metadata of every document. A daemon: an interrupted preview does not wait for Vault."""

    def __init__(self, world: World) -> None:
        super().__init__(name="metadata", daemon=True)
        self._world = world
        self._found: Mapping[str, Metadata] | Exception | None = None

    def run(self) -> None:
        """Read; what comes of it waits for `result`."""
        try:
            self._found = read_metadata(self._world)
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            self._found = error

    def result(self) -> Mapping[str, Metadata]:
        """Wait for the end, and return the metadata.

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


def _misses_young_ones(planned: Planned) -> bool:
    """Whether a document that misses its endpoint may have been written after the listing began."""
    settled = planned.listing_began - CLOCK_TOLERANCE
    missing = planned.comparison.missing
    return any(entry.changed_at is None or entry.changed_at > settled for entry in missing)
