"""One spelling for one URL: what two manifests, or a manifest and the API, are compared by."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

import idna

_DEFAULT_PORTS = {"https": 443, "http": 80}
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
# The bulk of real fleets: already normal, so a match saves the parse.
_PLAIN = re.compile(r"https://[a-z0-9-]+(?:\.[a-z0-9-]+)+/(?:[A-Za-z0-9_~-]+(?:/[A-Za-z0-9_~-]+)*/?)?")


def normalize_url(url: str) -> str:
    """Return the normal form of `url` (RFC 3986 section 6.2.2 and 6.2.3, hosts as A-labels).

    Scheme and host are lower case, the default port and a trailing dot of the host go, the path is
    at least `/` and without dot segments, escapes of unreserved characters are resolved and the
    others are in upper case. The query is kept as it is but for its escapes; a fragment, which no
    server ever sees, is dropped. What cannot be parsed comes back unchanged: the rules report it.
    """
    return url if _PLAIN.fullmatch(url) else _normalize(url)


@lru_cache(maxsize=8192)
def _normalize(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    scheme = parts.scheme.lower()
    host = _normalize_host(parts.hostname or "")
    if not scheme or not host:
        return url
    userinfo, at, _ = parts.netloc.rpartition("@")
    authority = f"{userinfo}{at}" + (f"[{host}]" if ":" in host else host)
    if port is not None and port != _DEFAULT_PORTS.get(scheme):
        authority += f":{port}"
    path = _remove_dot_segments(_normalize_escapes(parts.path)) or "/"
    query = f"?{_normalize_escapes(parts.query)}" if parts.query else ""
    return f"{scheme}://{authority}{path}{query}"


def _normalize_host(host: str) -> str:
    """Lower-case `host`, drop its trailing dot, turn Unicode labels into A-labels, shorten IPv6 addresses."""
    host = host.lower().removesuffix(".")
    if ":" in host:
        return _shortest(host)
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        return host


def _shortest(address: str) -> str:
    """Return an IPv6 address in its one recommended form (RFC 5952); what is none stays as it is."""
    try:
        return ipaddress.IPv6Address(address).compressed
    except ValueError:
        return address


def _normalize_escapes(text: str) -> str:
    """Resolve escapes of unreserved characters; write the others in upper case."""

    def one(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if char in _UNRESERVED else match[0].upper()

    return _ESCAPE.sub(one, text)


def _remove_dot_segments(path: str) -> str:
    """Resolve `.` and `..` segments (RFC 3986 section 5.2.4, for absolute paths)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or an address that never leaves this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
