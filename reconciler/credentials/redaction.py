"""Mask credentials in everything that is shown: values, keys, source lines, URLs and servers' texts.

Diagnostics quote values and source lines. A secret that was pasted into the wrong place must not reach a
terminal or a CI log that way, so each quotation asks here first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reconciler.credentials.capabilities import holds_capability
from reconciler.credentials.detector import (
    is_sensitive,
    is_token,
    looks_secret,
    names_any_secret,
    value_looks_secret,
)
from reconciler.credentials.known import MASK
from reconciler.urls import LONGEST_URL, normalize_url

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_LONGEST_SHOWN = 120
_LONGEST_LINE = 400
_ORIGIN = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*")
_PARAMETER_VALUE = re.compile(r"=[^&;#]*")
_LONE_VALUE = re.compile(r"(?<![^&;])[^&;=]+(?=[&;]|$)")
"""A parameter without a name: the query is often the token itself."""
_PATH_VALUE = re.compile(r"=[^/;#]*")
_PART = re.compile(r"[^/?#&;=]+")
_IDENTIFIER = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
"""A UUID: an identifier that nobody is meant to guess."""
_SECRET_LABEL = ".m.pipedream.net"
"""Before this, the host's name has a credential."""


def shown(value: Any, path: Sequence[str | int] = ()) -> str | None:
    """Return `value` as a message may quote it, or None where it must not be quoted.

    Args:
        value: a scalar of a document.
        path: where it is in the document.
    """
    text = value if isinstance(value, str) else "null" if value is None else str(value).lower()
    if len(text) > _LONGEST_SHOWN or is_sensitive(path) or value_looks_secret(text):
        return None
    return f"`{printable(text)}`"


def shown_path(path: Sequence[str | int]) -> str:
    """Return `path` as people write it: `spec.events[1]`; a key that looks like a secret is masked."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + key_text(key)
    return f"`{text}`"


def key_text(key: str) -> str:
    """Return a key as a message may quote it, without quotation marks."""
    return MASK if len(key) > _LONGEST_SHOWN or looks_secret(key) else printable(key)


def printable(text: str) -> str:
    """Return `text` on one line, with visible escapes for whatever would steer a terminal or hide."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def showable_line(line: str) -> str | None:
    """Return a source line, or None where it must not be shown or is too long to be of use.

    The parser does not see comments, so a comment that only names a secret hides its line.
    """
    # A null character means UTF-16, where it separates the letters of a secret.
    if (
        "\0" in line
        or len(line) > _LONGEST_LINE
        or looks_secret(line)
        or names_any_secret(line.partition("#")[2])
    ):
        return None
    return line


def mask_url(url: str) -> str:
    """Return `url` with a mask for user names and passwords, query values, and parts that look like tokens.

    This is for URLs in texts of servers and for names made of URLs; `mask_unreviewed` is for live URLs. A
    manifest's URL is in git, and the rules keep secrets out of it. Of an address that is itself a permission,
    only the host is shown.
    """
    origin, rest = _split(url)
    if holds_capability(url):
        return f"{origin}/{MASK}"
    # No server sees a fragment, so nothing in it needs to be shown.
    rest, hash_sign, _ = rest.partition("#")
    path, mark, query = rest.partition("?")
    values = _PARAMETER_VALUE.sub(f"={MASK}", _LONE_VALUE.sub(MASK, query))
    masked = _PATH_VALUE.sub(f"={MASK}", path) + mark + values
    return origin + _PART.sub(_mask_token, masked) + (f"#{MASK}" if hash_sign else "")


def mask_unreviewed(url: str, *reviewed: str | None) -> str:
    """Return a live URL with a mask for whatever none of the reviewed URLs contains.

    Hosts are shown, apart from parts that look like a token.

    Args:
        url: what the API lists.
        reviewed: the URLs of manifests, which are in git.
    """
    known = [each for each in reviewed if each is not None]
    if any(normalize_url(url) == normalize_url(each) for each in known):
        # Normal forms have no fragment: no server sees it, but somebody may have written a secret there.
        address, mark, _ = url.partition("#")
        return url if url in known or not mark else f"{address}#{MASK}"
    origin, rest = _split(url, {_host_of(each) for each in known})
    parts = {part for each in known for part in _PART.findall(_split(each)[1])}
    if not parts.intersection(_PART.findall(rest)):
        return f"{origin}/{MASK}" if rest.strip("/") else origin + rest
    return origin + _PART.sub(lambda part: part[0] if part[0] in parts else MASK, rest)


def _split(url: str, reviewed_hosts: Collection[str] = ()) -> tuple[str, str]:
    """Return a URL's part up to its host, without credentials, and the rest."""
    if len(url) > LONGEST_URL:
        return MASK, ""
    found = _ORIGIN.match(url)
    origin = found[0] if found else ""
    scheme, slashes, authority = origin.partition("//")
    user, at, host = authority.rpartition("@")
    shown = host if host.lower() in reviewed_hosts else _masked_host(host)
    return f"{scheme}{slashes}{MASK if user or at else ''}{at}{shown}", url[len(origin) :]


def _host_of(url: str) -> str:
    """Return a URL's host and port, in small letters."""
    found = _ORIGIN.match(url)
    return (found[0] if found else "").rpartition("//")[2].rpartition("@")[2].lower()


def _masked_host(host: str) -> str:
    """Return a host with a mask for what may be a credential: some services put it into a name of its own."""
    labels = [
        MASK if is_token(label) and not label.startswith("xn--") else label for label in host.split(".")
    ]
    if host.lower().endswith(_SECRET_LABEL):
        labels[0] = MASK
    return ".".join(labels)


def _mask_token(part: re.Match[str]) -> str:
    return MASK if _IDENTIFIER.search(part[0]) or is_token(part[0]) else part[0]
