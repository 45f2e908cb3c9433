"""The embedded servers: a Zof Webhooks API, OpenBao, and a demo receiver. All use only loopback addresses."""

from __future__ import annotations

from urllib.parse import urlsplit

from reconciler.errors import UsageError
from reconciler.urls import is_loopback


def is_loopback_url(url: object) -> bool:
    """Whether `url` is the http or https URL of a server on this machine."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and is_loopback(parts.hostname or "")


def require_loopback(host: str) -> None:
    """Refuse a host that other machines can reach.

    Raises:
        UsageError: `host` is not a loopback address.
    """
    if not is_loopback(host):
        raise UsageError(
            f"the sandbox listens on this machine only, not on {host!r}",
            hint="omit the host, or use 127.0.0.1",
        )
