"""Whether deliveries can reach a URL, as far as that can be told without a network."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from reconciler.manifest import rules
from reconciler.manifest.redaction import printable
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Iterator

# The bulk of real fleets: a plain public host and a plain path need no closer look.
_PLAINLY_GOOD = re.compile(
    r"https://(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,3}(?:com|net|org|io|dev|app|ai|eu|de|uk|us)"
    r"(?:/[A-Za-z0-9._~-]{0,200}){0,20}"
)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\\"<>^`{|}\u2028\u2029]")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LOCAL = (
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "lan",
    "home.arpa",
    "test",
    "invalid",
    "onion",
)
_LONGEST_HOST = 253

Finding = tuple[rules.Rule, str, str | None]
"""A rule, a sentence, a hint. The sentence never quotes the URL: it may hold a password or token."""


def check_endpoint_url(url: str) -> list[Finding]:
    """Return what is wrong with the URL of an endpoint; nothing where it is fine."""
    if _PLAINLY_GOOD.fullmatch(url):
        return []
    if bad := _FORBIDDEN.search(url):
        char = f"U+{ord(bad[0]):04X}" if not bad[0].isprintable() or bad[0].isspace() else f"`{bad[0]}`"
        return [
            (rules.URL_MALFORMED, f"the URL holds the character {char}", "percent-encode it, or remove it")
        ]
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [(rules.URL_MALFORMED, "the URL cannot be parsed", "check brackets and the port")]
    return list(_check_parts(url, parts, port))


def _check_parts(url: str, parts: SplitResult, port: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the parts of a URL."""
    if parts.scheme != "https":
        yield rules.URL_NOT_HTTPS, "the URL must begin with `https://`", None
    if "@" in parts.netloc:
        hint = "remove it; receivers verify the signature instead"
        yield rules.URL_CREDENTIALS, "the URL holds a user name or password", hint
    if "#" in url:
        yield (
            rules.URL_FRAGMENT,
            "the URL has a fragment, which no server ever sees",
            "remove the `#` and what follows",
        )
    if port == 0:
        yield rules.URL_MALFORMED, "the URL's port is 0", None
    if not f"{parts.path}{parts.query}".isascii():
        yield (
            rules.URL_MALFORMED,
            "the URL's path or query holds letters outside ASCII",
            "percent-encode them",
        )
    yield from _check_host(urlsplit(normalize_url(url)).hostname or "")


def _check_host(host: str) -> Iterator[Finding]:
    """Yield what is wrong with a normalised host."""
    hint = "deliveries come from the internet: name a public host"
    if address := _ip_address(host):
        if not address.is_global or address.is_multicast:
            yield rules.URL_NOT_PUBLIC, f"the URL's host `{host}` is no public address", hint
        return
    labels = host.split(".")
    if not host or len(host) > _LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        yield rules.URL_MALFORMED, f"the URL's host `{printable(host[:80])}` is no valid host name", None
    elif labels[-1].isdigit() or labels[-1].startswith("0x"):
        yield rules.URL_MALFORMED, f"the URL's host `{host}` is no valid IP address", hint
    elif len(labels) == 1 or host.endswith(tuple(f".{name}" for name in _LOCAL)):
        yield rules.URL_NOT_PUBLIC, f"the URL's host `{host}` is a name in a local network", hint


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that `host` is, seen through an IPv4 address mapped into IPv6; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
