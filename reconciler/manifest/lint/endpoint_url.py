"""Check whether deliveries can reach a URL, as far as that is known without a network."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import idna

from reconciler.credentials.detector import looks_secret
from reconciler.credentials.redaction import shown
from reconciler.manifest import rules
from reconciler.manifest.problems import Problem, foreign
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.diagnostics import Rule

URL_PATH = ("spec", "url")
"""Where a manifest has the URL."""
# The bulk of real fleets: a plain public host and a plain path need no closer look.
_PLAINLY_GOOD = re.compile(
    r"https://(?:(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,3}(?:com|net|org|io|dev|app|ai|eu|de|uk|us)"
    r"(?:/[A-Za-z0-9._~-]{0,200}){0,20}"
)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\\"<>^`{|}\u2028\u2029]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
_BRACKETED = re.compile(r"(?:[^\[\]]*@)?\[[^\[\]]*\](?::[0-9]*)?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LOCAL = re.compile(
    r"(?:.*\.)?(?:alt|arpa|consul|corp|default|home|internal|intranet|invalid|lan|local|localdomain|localhost"
    r"|onion|private|svc|test)"
)
"""Names that only a local network, a cluster or the infrastructure of the DNS itself resolves."""
_LONGEST_HOST = 253
_LONGEST_URL = 2048
"""Characters, as in the schema."""
# Where addresses of the internet are. The rest, such as NAT64, leads to the inside of some network.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# What releases of Python do not agree on: protocol assignments, 6to4 (deprecated by RFC 7526), documentation;
# and the one public address that Azure serves its machines' metadata from.
_RESERVED = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "168.63.129.16/32", "2001::/23", "2002::/16", "3fff::/20"),
    )
)
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""The third quarter of an IPv6 address whose last one is an IPv4 address (RFC 5214)."""

_UNPARSABLE = "the URL cannot be parsed"
_UNPARSABLE_HINT = "check the letters of the host, brackets, and the port"


def check_endpoint_url(url: str) -> list[Problem]:
    """Return what is wrong with the URL of an endpoint; not its length, which the schema checks.

    Messages never quote the URL: it may contain a password or token.
    """
    if len(url) > _LONGEST_URL or _PLAINLY_GOOD.fullmatch(url):
        return []
    if bad := _FORBIDDEN.search(url):
        return [_forbidden(bad[0])]
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [_malformed(_UNPARSABLE, _UNPARSABLE_HINT)]
    # Releases of Python do not agree on text beside the brackets of an address.
    if ("[" in parts.netloc or "]" in parts.netloc) and not _BRACKETED.fullmatch(parts.netloc):
        return [_malformed(_UNPARSABLE, _UNPARSABLE_HINT)]
    return list(_check_parts(url, parts, port)) or _check_canonical(normalize_url(url))


def _check_canonical(url: str) -> list[Problem]:
    """Return why the API would refuse a good URL in its canonical form, which is what is sent.

    schemas/zof-webhooks.openapi.yaml describes what the API accepts.
    """
    if len(url) > _LONGEST_URL:
        message = f"the URL has more than {_LONGEST_URL} characters in the form in which it is sent"
        return [_malformed(message, "escapes and letters outside ASCII take several characters: shorten it")]
    if url.startswith("https://["):
        return [
            _malformed("the URL's host is an IPv6 address, which the API does not accept", "use a host name")
        ]
    return []


def _malformed(message: str, hint: str) -> Problem:
    return Problem(rules.URL_MALFORMED, message, URL_PATH, hint)


def _forbidden(char: str) -> Problem:
    """Return the problem of a character that no URL may contain."""
    hint = "percent-encode it, or remove it"
    if char == "\n":
        hint = "a block text keeps its line break at the end unless it begins with `>-` or `|-`"
    elif char in "{}":
        hint = "manifests have no variables: write the URL out"
    quoted = f"`{char}`" if char.isprintable() and char not in " `" else f"U+{ord(char):04X}"
    return _malformed(f"the URL contains the character {quoted}", hint)


def _check_parts(url: str, parts: SplitResult, port: int | None) -> Iterator[Problem]:
    """Yield what is wrong with the parts of a URL."""
    if parts.scheme != "https":
        yield Problem(rules.URL_NOT_HTTPS, "the URL must begin with `https://`", URL_PATH)
    if "@" in parts.netloc:
        hint = "remove it; receivers verify the signature instead"
        yield Problem(rules.URL_CREDENTIALS, "the URL contains a user name or password", URL_PATH, hint)
    if "#" in url:
        message = "the URL has a fragment, which is never sent to the server"
        yield Problem(rules.URL_FRAGMENT, message, URL_PATH, "remove the `#` and what follows")
    if port == 0:
        yield _malformed("the URL's port is 0", "remove it, or write the port of the server")
    if letter := foreign(f"{parts.path}{parts.query}"):
        message = f"the URL's path or query contains letters outside ASCII{letter}"
        yield _malformed(message, "percent-encode them")
    yield from _check_escapes(url)
    host = urlsplit(normalize_url(url)).hostname or ""
    if not host.strip("."):
        if parts.scheme == "https":
            yield _malformed("the URL has no host", "write `https://`, a host name and a path")
    elif problem := _host_problem(host, bracketed="[" in parts.netloc):
        rule, words, help_ = problem
        # A normalised host is in lower case, which hides that it is a secret.
        written = (parts.hostname or host) if ":" in host else host
        quoted = None if looks_secret(parts.netloc) else shown(written)
        message = f"the URL's host {quoted} {words}" if quoted else f"the URL's host {words}"
        yield Problem(rule, message, URL_PATH, help_)


def _check_escapes(url: str) -> Iterator[Problem]:
    """Yield what is wrong with the escapes of a URL."""
    if _BAD_ESCAPE.search(url):
        hint = "write `%25` for a percent sign"
        yield _malformed("the URL has a `%` that does not begin an escape", hint)
    if control := _ESCAPED_CONTROL.search(url):
        # A program that decodes it before writing it to a header or a log would write two lines.
        yield _malformed(f"the URL contains the escape `{control[0]}` of a control character", "remove it")


def _host_problem(host: str, *, bracketed: bool) -> tuple[Rule, str, str | None] | None:
    """Return what is wrong with a normalised host, or None where it is fine."""
    hint = "deliveries come from the internet: use a public host"
    if address := _ip_address(host):
        return None if is_public(address) else (rules.URL_NOT_PUBLIC, "is not a public address", hint)
    labels = host.split(".")
    if bracketed or len(host) > _LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        return rules.URL_MALFORMED, "is not a valid host name", None
    if not all(map(_is_idna, labels)):
        return rules.URL_MALFORMED, "has a label that begins with `xn--` but is not valid punycode", None
    # No top-level domain begins with a digit, in any script; parsers take one that does for an address.
    if _readable(labels[-1])[0].isdecimal():
        return rules.URL_MALFORMED, "is not a valid IP address", hint
    if len(labels) == 1 or _LOCAL.fullmatch(host):
        return rules.URL_NOT_PUBLIC, "is a name in a local network", hint
    return None


def _is_idna(label: str) -> bool:
    """Return whether a label is valid: if it begins with `xn--`, it can be decoded."""
    try:
        return bool(_readable(label))
    except idna.IDNAError:
        return False


def _readable(label: str) -> str:
    """Return a label as people read it.

    Raises:
        idna.IDNAError: it begins with `xn--` and cannot be decoded.
    """
    return idna.ulabel(label) if label.startswith("xn--") else label


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that `host` is; None for a name, and for an address with a zone of this machine."""
    try:
        return None if "%" in host else ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether an address, or the IPv4 address that it represents, can be reached from the internet."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address not in _GLOBAL_UNICAST:
            return False
        if int.from_bytes(address.packed[8:12]) in _ISATAP:
            return is_public(ipaddress.IPv4Address(address.packed[12:]))
    # Networks of the other version hold nothing of this one.
    if any(address in network for network in _RESERVED):
        return False
    return address.is_global and not address.is_multicast
