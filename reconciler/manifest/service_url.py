"""Whether an address may be sent a key or a token: https, or plain http to this machine itself."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from reconciler.urls import is_loopback

_ALLOWED = re.compile(r"[!-~]+")
# The last label of a name is no number, else it is an IP address in some odd spelling.
_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*(?![0-9]+\.?$|0x)[a-z0-9_-]{1,63}\.?")


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
    if "?" in url or "#" in url:
        # Even an empty one: what is asked of the service is appended to the address.
        return "has a query or a fragment"
    return _problem_of(parts)


def _problem_of(parts: SplitResult) -> str | None:
    """Return why an address with these parts is refused."""
    if parts.scheme not in {"https", "http"}:
        return "must begin with `https://`"
    if "@" in parts.netloc:
        return "holds a user name or password"
    if not parts.hostname or not _is_host(parts.hostname, bracketed="[" in parts.netloc):
        return "names no host"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "uses plain http, which is accepted for loopback only"
    return None


def _is_host(host: str, *, bracketed: bool) -> bool:
    """Return whether a host in lower case is a name or an IP address: clients raise at anything else."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return not bracketed and _NAME.fullmatch(host) is not None
    return "%" not in host
