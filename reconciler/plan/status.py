"""The fleet's status: one row for each webhook and each unmanaged endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.ledger.projection import Projection
    from reconciler.model import Endpoint, Location, Webhook
    from reconciler.plan.plan import Change


class StatusRow(Struct, frozen=True):
    """One webhook, or one unmanaged endpoint."""

    name: str
    """The webhook's name; of an unmanaged endpoint its id."""
    endpoint_id: str | None
    url: str | None
    state: str
    secret_created_at: datetime | None = None
    verified_at: datetime | None = None
    """When a test delivery last succeeded."""
    owner: str | None = None
    source: Location | None = None
    """Where the manifest is."""
    unmanaged: bool = False
    webhook: Webhook | None = None
    """The manifest."""
    projection: Projection | None = None
    endpoint: Endpoint | None = None
    """The live endpoint."""
    change: Change | None = None
    """The pending change."""
    secret_expires_at: datetime | None = None
    """When Vault will delete the stored secret by itself; None: never."""

    @property
    def events(self) -> tuple[str, ...]:
        """The live endpoint's events; without one, those of the manifest."""
        source = self.endpoint or self.webhook
        return source.events if source else ()
