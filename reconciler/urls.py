"""URLs: their normal form, for comparisons, and which ones may be sent a key or a token."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

import idna

LONGEST_URL = 4096
"""Characters. No longer URL is read, compared or shown; manifests have shorter ones."""
_DEFAULT_PORTS = {"https": 443, "http": 80}
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
# Most URLs of real fleets are in normal form already; a match saves the parse.
_NORMAL = re.compile(r"https://[a-z0-9-]+(?:\.[a-z0-9-]+)+/(?:[A-Za-z0-9_~-]+(?:/[A-Za-z0-9_~-]+)*/?)?")
_SERVICE_CHARACTERS = re.compile(r"[!-~]+")
# A name's last label is not a number; with one it is an IP address in an unusual spelling.
_HOST_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*(?![0-9]+\.?$|0x)[a-z0-9_-]{1,63}\.?")


def normalize_url(url: str) -> str:
    """Return the normal form of `url` (RFC 3986 section 6.2.2 and 6.2.3, hosts as A-labels).

    Scheme and host are lower case, the default port and a trailing dot of the host go, the path is
    at least `/` and without dot segments, escapes of unreserved characters are resolved and the
    others are in upper case; brackets are escaped, as a path and a query must not contain them. The query
    is kept as it is otherwise; a fragment, which no server ever sees, is dropped. A text that cannot be
    parsed is returned unchanged: the rules report it.
    """
    return url if _NORMAL.fullmatch(url) else _normalize(url)


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


def spelling_key(url: str) -> str:
    """Return what the spellings that APIs are known to use for one URL have in common.

    They may add a final slash or leave it out, sort the query, and mask its values. Two different URLs can
    have the same key: it shows that two may be one, not that they are.
    """
    address, _, query = normalize_url(url).partition("?")
    names = sorted(parameter.partition("=")[0] for parameter in query.split("&"))
    return f"{address.rstrip('/')}?{'&'.join(names)}"


def _normalize_host(host: str) -> str:
    """Lower-case `host`, drop its trailing dot, turn Unicode into A-labels, shorten IPv6 (RFC 5952)."""
    host = host.lower().removesuffix(".")
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host).compressed
        except ValueError:
            return host
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        return host


def _normalize_escapes(text: str) -> str:
    """Resolve escapes of unreserved characters, write the others in upper case, and escape brackets."""

    def one(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if char in _UNRESERVED else match[0].upper()

    return _ESCAPE.sub(one, text).replace("[", "%5B").replace("]", "%5D")


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


def origin_of(url: str) -> str:
    """Return scheme, host and port of a service's URL, in normal form: `https://vault.example.com:8200`."""
    parts = urlsplit(normalize_url(url))
    return f"{parts.scheme}://{parts.netloc}"


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or an address that never leaves this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def service_url_problem(url: str, *, query: bool = False) -> str | None:
    """Return why a key or token must not be sent to `url`; None if it may be: https, or http on loopback.

    The text follows the name of a setting. It never quotes the URL, which may contain a password.

    Args:
        url: the URL of a service, or of a file that a service refers to.
        query: whether it may have a query; a service's own URL may not, since paths are appended to it.
    """
    if not _SERVICE_CHARACTERS.fullmatch(url) or "\\" in url:
        return "contains a space, a backslash or a character outside ASCII"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is not a URL"
    if "#" in url or ("?" in url and not query):
        return "has a query or a fragment"
    return _problem_of(parts)


def _problem_of(parts: SplitResult) -> str | None:
    if parts.scheme not in {"https", "http"}:
        return "must begin with `https://`"
    if "@" in parts.netloc:
        return "contains a user name or password"
    if not parts.hostname or not _is_host(parts.hostname, bracketed="[" in parts.netloc):
        return "names no host"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "uses plain http, which is accepted for loopback only"
    return None


def _is_host(host: str, *, bracketed: bool) -> bool:
    """Whether `host`, in lower case, is a name or an IP address: HTTP clients raise for other texts."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return not bracketed and _HOST_NAME.fullmatch(host) is not None
    return "%" not in host
