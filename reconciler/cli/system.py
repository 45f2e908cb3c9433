"""The machine's own clock and randomness, behind the ports."""

from __future__ import annotations

import base64
import secrets
import time
from datetime import UTC, datetime

from reconciler.model import Secret
from reconciler.ports import Fresh

_SECRET_BYTES = 32
_KEY_BYTES = 18
_NONCE_BYTES = 12


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """Return the current time (aware, UTC)."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def fresh() -> Fresh:
    """Return randomness of the operating system: a nonce, a key's suffix (144 bits) and a signing secret."""
    return Fresh(
        nonce=secrets.token_hex(_NONCE_BYTES),
        key_suffix=secrets.token_urlsafe(_KEY_BYTES),
        secret=Secret("whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")),
    )
