"""One organization with everything that a use case needs: values, and the ports to talk to the servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.plan.guards import GuardLimits

if TYPE_CHECKING:
    from reconciler.model import Organization, Run, VaultPlace, Webhook
    from reconciler.plan.scope import PathScope
    from reconciler.ports import Clock, DocumentStore, EndpointApi, FreshSource, Reporter

TYPICAL_QUOTA = 100
"""Requests per minute that the API's documentation calls typical: for estimates."""

_DEFAULT_LIMITS = GuardLimits()


class Session(Struct, frozen=True, kw_only=True):
    """One organization with everything that a use case needs. `cli.session.open_session` opens it."""

    organization: Organization
    place: VaultPlace
    run: Run
    api: EndpointApi
    store: DocumentStore
    clock: Clock
    fresh: FreshSource
    reporter: Reporter
    desired: tuple[Webhook, ...] = ()
    """The webhooks that the manifests declare."""
    scope: PathScope | None = None
    """The scope that PATHs on the command line limit; None: all webhooks."""
    limits: GuardLimits = _DEFAULT_LIMITS
    requests_per_minute: int | None = None
    """The limit that the configuration sets; None: only the API's own."""

    @property
    def quota(self) -> int:
        """Requests per minute, for estimates: the lower of what is configured and what the API announces."""
        known = (self.requests_per_minute, self.api.announced_quota)
        return min((each for each in known if each), default=TYPICAL_QUOTA)
