"""What a delivery meets at a receiver, as whoever looked has seen it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.report.format.style import count

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

HTTPS = 443
SOON = timedelta(days=14)
"""A certificate that expires within this is not well: somebody must still have time to renew it."""


class Certificate(Struct, frozen=True):
    """What a receiver showed, and was trusted by."""

    expires_at: datetime
    """Aware, UTC."""
    protocol: str
    """For example `TLSv1.3`."""

    def __str__(self) -> str:
        return f"{self.protocol}, certificate valid until {self.expires_at:%Y-%m-%d}"


class Trouble(Struct, frozen=True):
    """Why a delivery could not be made."""

    message: str
    hint: str | None = None

    def __str__(self) -> str:
        return self.message


class Receiver(Struct, frozen=True):
    """One host and port that manifests name, and what was seen there."""

    host: str
    port: int
    names: tuple[str, ...]
    """The webhooks that deliver there, sorted."""
    seen: Certificate | Trouble

    @property
    def address(self) -> str:
        """The host, and the port where it is not the usual one."""
        return self.host if self.port == HTTPS else f"{self.host}:{self.port}"

    def expires_in(self, now: datetime) -> str | None:
        """Return in how many days its certificate expires, if it has one and that is soon."""
        if isinstance(self.seen, Trouble) or (left := self.seen.expires_at - now) > SOON:
            return None
        return count(max(0, left.days), "day")


def receivers_in_short(receivers: Iterable[Receiver], now: datetime) -> str:
    """Return how the receivers stand, in a sentence."""
    seen = list(receivers)
    unfit = sum(isinstance(each.seen, Trouble) for each in seen)
    late = sum(each.expires_in(now) is not None for each in seen)
    told = [f"{unfit:,} cannot take deliveries"] if unfit else []
    told += (
        [f"{late:,} must renew {'its certificate' if late == 1 else 'their certificates'}"] if late else []
    )
    return f"{count(len(seen), 'receiver')} looked at: {', '.join(told) or 'deliveries can be made'}."
