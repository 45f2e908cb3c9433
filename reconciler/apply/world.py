"""What a run talks to. A module of its own: a preview needs nothing else of `apply`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from reconciler.model import Organization, Run
    from reconciler.ports import Clock, DocumentStore, EndpointApi, FreshSource, Reporter


class World(Struct, frozen=True):
    """One organization and everything that its run talks to."""

    organization: Organization
    api: EndpointApi
    store: DocumentStore
    clock: Clock
    fresh: FreshSource
    reporter: Reporter
    run: Run
