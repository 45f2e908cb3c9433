"""Whether an address may be sent a key or a token: https, or plain http to this machine itself."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from reconciler.urls import is_loopback

_ALLOWED = re.compile(r"[!-~]+")


def service_url_problem(url: str) -> str | None:
    """Return why `url` is no address for the Zof API or Vault, or None where it is.

    The sentence goes on after the name of the setting, and never quotes the URL: it may hold a password.
    """
    if not _ALLOWED.fullmatch(url) or "\\" in url:
        return "holds a space, a backslash or a letter outside ASCII"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is no URL"
    return _problem_of(parts)


def _problem_of(parts: SplitResult) -> str | None:
    """Return why an address with these parts is refused."""
    if parts.scheme not in {"https", "http"}:
        return "must begin with `https://`"
    if "@" in parts.netloc:
        return "holds a user name or password"
    if not parts.hostname or "%" in parts.netloc:
        return "names no host"
    if parts.query or parts.fragment:
        return "has a query or a fragment"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "uses plain http, which is accepted for loopback only"
    return None
