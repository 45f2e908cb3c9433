"""The embedded servers: a Zof Webhooks API, OpenBao, and a demo receiver. All listen on this machine only."""

from __future__ import annotations

from urllib.parse import urlsplit

from reconciler.urls import is_loopback

LOOPBACK = "127.0.0.1"
"""The address that every embedded server listens on."""


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
