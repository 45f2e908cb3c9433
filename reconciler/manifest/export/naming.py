"""Names for endpoints that have none yet: from host and path, the same in whatever order they are listed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.credentials.detector import looks_secret
from reconciler.urls import normalize_url

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_LONGEST = 63
_NO_LETTER = re.compile(r"[^a-z0-9]+")
# Digits of the id's digest: more only where fewer do not tell two apart.
_DIGITS = (8, 16, 40)


def suggest_names(urls: Mapping[str, str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return a valid and unique name for each endpoint, by id.

    Where several would have one name, or somebody else has it, each gets a digest of its id at its end.

    Args:
        urls: the endpoints' URLs by id.
        taken: names that others have.
    """
    wished = {endpoint_id: _wish(url) for endpoint_id, url in urls.items()}
    wishes = Counter([*wished.values(), *taken])
    alone = {endpoint_id: wish for endpoint_id, wish in wished.items() if wishes[wish] == 1}
    names = alone
    for digits in _DIGITS:
        others = wished.keys() - alone.keys()
        names = alone | {each: _with_digest(wished[each], each, digits) for each in others}
        if len({*names.values(), *taken}) == len(names) + len(set(taken)):
            break
    return names


def _wish(url: str) -> str:
    """Return host and path as a name; neither the query nor what looks like a token of the path."""
    try:
        parts = urlsplit(normalize_url(url))
        host = parts.hostname or ""
    except ValueError:
        return "webhook"
    words = [host, *(part for part in parts.path.split("/") if not looks_secret(part))]
    return _trim("-".join(words), _LONGEST) or "webhook"


def _with_digest(wish: str, endpoint_id: str, digits: int) -> str:
    digest = hashlib.sha256(endpoint_id.encode(errors="surrogatepass")).hexdigest()[:digits]
    return f"{_trim(wish, _LONGEST - digits - 1)}-{digest}"


def _trim(text: str, length: int) -> str:
    return _NO_LETTER.sub("-", text.lower()).strip("-")[:length].rstrip("-")
