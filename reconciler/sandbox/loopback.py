"""What counts as this machine: the embedded servers bind to nothing else and call nothing else."""

from __future__ import annotations

from urllib.parse import urlsplit

from reconciler.errors import UsageError
from reconciler.urls import is_loopback


def is_loopback_url(url: object) -> bool:
    """Whether `url` is a text that names an http or https server on this machine."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and is_loopback(parts.hostname or "")


def require_loopback(host: str) -> None:
    """Refuse to serve anything but this machine.

    Raises:
        UsageError: `host` could be reached from elsewhere.
    """
    if not is_loopback(host):
        raise UsageError(
            f"the sandbox serves this machine only, not {host!r}", hint="leave the host out, or use 127.0.0.1"
        )
