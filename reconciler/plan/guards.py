"""Guards: what a single run may not do without a person saying so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """How much one run may delete, and the digests of the plans that a review approved."""

    max_deletes: int = 10
    max_delete_percent: int = 30
    approve: tuple[str, ...] = ()
