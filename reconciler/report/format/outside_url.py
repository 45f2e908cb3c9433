"""URLs that nobody reviewed: an unmanaged endpoint's may hold what no pull request or page may show.

A manifest's URL is in git, and the rules keep secrets out of it. What was typed into the console is neither.
"""

from __future__ import annotations

import re

_HIDDEN = "***"
_ORIGIN = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*")
_VALUE = re.compile(r"=[^&;#]*")
_PART = re.compile(r"[^/?#&;=]+")
_RUN = re.compile(r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}")
"""So many letters and digits in a row are an identifier that nobody is meant to guess."""
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def without_credentials(url: str) -> str:
    """Return `url` with `***` for names and passwords, for the query's values, and for parts like tokens."""
    found = _ORIGIN.match(url)
    origin = found[0] if found else ""
    path, mark, query = url[len(origin) :].partition("?")
    if "@" in origin:
        origin = f"{origin.partition('//')[0]}//{_HIDDEN}@{origin.rpartition('@')[2]}"
    return origin + _PART.sub(_shown, path + mark + _VALUE.sub(f"={_HIDDEN}", query))


def _shown(part: re.Match[str]) -> str:
    return _HIDDEN if _RUN.search(part[0]) or _UUID.search(part[0]) else part[0]
