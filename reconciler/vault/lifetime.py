"""How long a token is valid, and when it is renewed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.texts import as_count

if TYPE_CHECKING:
    from datetime import datetime


class Lifetime(Struct, frozen=True):
    """When a token expires. All times are seconds of one monotonic clock."""

    expires_at: float | None
    """None: never."""
    lease: float = 0.0
    """For how long it was issued, or last renewed."""
    renewable: bool = False
    ends_at: float | None = None
    """Until when renewals can extend it; None: unknown."""

    def left(self, now: float) -> float | None:
        """Return the seconds until it expires; None: it never does."""
        return None if self.expires_at is None else max(0.0, self.expires_at - now)

    def is_due(self, now: float) -> bool:
        """Whether to renew it: half of its lease has passed."""
        left = self.left(now)
        return self.renewable and left is not None and 0.0 < left <= self.lease / 2

    def renewed(self, auth: dict[str, Any], now: float) -> Lifetime:
        """Return the lifetime after a renewal that Vault answered with `auth`."""
        fresh = from_login(auth, now)
        # Near the end of its longest lifetime, a renewal adds less, and the next one nothing.
        capped = fresh.expires_at is not None and fresh.lease + 1 < self.lease
        return Lifetime(fresh.expires_at, fresh.lease, fresh.renewable and not capped, self.ends_at)


def from_login(auth: dict[str, Any], now: float) -> Lifetime:
    """Read the lifetime from the `auth` of a login or a renewal."""
    lease = as_count(auth.get("lease_duration"))
    if not lease:
        return Lifetime(None)
    return Lifetime(now + lease, lease, auth.get("renewable") is True)


def from_lookup(data: dict[str, Any], at: datetime | None, now: float) -> Lifetime:
    """Read the lifetime from a token's description.

    Args:
        data: the answer of `auth/token/lookup-self`.
        at: Vault's time.
        now: the same moment on the monotonic clock.
    """
    left = as_count(data.get("ttl"))
    if not left:
        return Lifetime(None)
    longest, created = as_count(data.get("explicit_max_ttl")), as_count(data.get("creation_time"))
    ends_at = now + created + longest - at.timestamp() if longest and created and at is not None else None
    lease = max(left, as_count(data.get("creation_ttl")) or 0)
    return Lifetime(now + left, lease, data.get("renewable") is True, ends_at)
