"""Live endpoints that are not ours: which of them appeared of late, as far as the API tells."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from reconciler.model import Endpoint

LATE = timedelta(days=7)
"""Until this age an endpoint is new. Nothing is kept of earlier looks; in a week everybody looks once."""


def newest_first(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Return endpoints in the order in which a person looks for them; undated ones come last, by id."""
    return sorted(endpoints, key=lambda e: (-e.created.timestamp() if e.created else 0.0, e.id))


def is_new(endpoint: Endpoint, now: datetime) -> bool:
    """Whether an endpoint appeared of late; a moment in the future is a clock's error and counts as now."""
    return endpoint.created is not None and now - endpoint.created < LATE
