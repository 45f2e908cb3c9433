"""What a receiver takes from strangers at most."""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True):
    """Limits of requests, connections and memory."""

    header_seconds: float = 5.0
    """Within which the headers of a request must arrive. Only our own server has this limit."""
    body_seconds: float = 5.0
    """Within which a body must arrive. The sender gives up after ten."""
    body_bytes: int = 1024 * 1024
    """Of the largest body that is accepted."""
    held_bytes: int = 64 * 1024 * 1024
    """Of all bodies that are being received, verified or stored."""
    connections: int = 1000
    keep_alive_seconds: int = 30


LIMITS = Limits()
"""Those of the reference."""
