"""Mask credentials in everything that is shown: values, keys, source lines, URLs and servers' texts.

Diagnostics quote values and source lines. A secret that was pasted into the wrong place must not reach a
terminal or a CI log that way, so each quotation asks here first.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reconciler.credentials.detector import (
    is_sensitive,
    looks_secret,
    names_any_secret,
    value_looks_secret,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.model import Secret

MASK = "***"
_LONGEST_SHOWN = 120
_LONGEST_LINE = 400
_ORIGIN = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*")
_PARAMETER_VALUE = re.compile(r"=[^&;#]*")
_PART = re.compile(r"[^/?#&;=]+")
_IDENTIFIER = re.compile(
    r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
)
"""A long run of letters and digits, or a UUID: an identifier that nobody is meant to guess."""
_COMMON = 8
"""A run of this many characters that a text has in common with a secret is masked."""


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

    This is for URLs that nobody reviewed, such as those of unmanaged endpoints. A manifest's URL is in git,
    and the rules keep secrets out of it.
    """
    found = _ORIGIN.match(url)
    origin = found[0] if found else ""
    path, mark, query = url[len(origin) :].partition("?")
    if "@" in origin:
        origin = f"{origin.partition('//')[0]}//{MASK}@{origin.rpartition('@')[2]}"
    return origin + _PART.sub(_mask_part, path + mark + _PARAMETER_VALUE.sub(f"={MASK}", query))


def _mask_part(part: re.Match[str]) -> str:
    is_token = _IDENTIFIER.search(part[0]) or looks_secret(part[0])
    return MASK if is_token else part[0]


def mask_secrets(text: str, secrets: Iterable[Secret]) -> str:
    """Return `text` with a mask for every run of eight characters that it shares with one of `secrets`.

    A secret is found as it is, in JSON and in a URL: servers quote what they were sent, and cut it anywhere.
    """
    spellings = {
        spelling
        for secret in secrets
        if (raw := secret.reveal())
        for spelling in (raw, quote(raw, safe="", errors="replace"), json.dumps(raw)[1:-1])
    }
    hidden = [False] * len(text)
    for spelling in spellings:
        size = min(_COMMON, len(spelling))
        runs = {spelling[i : i + size] for i in range(len(spelling) - size + 1)}
        for start in range(len(text) - size + 1):
            if text[start : start + size] in runs:
                hidden[start : start + size] = [True] * size
    parts: list[str] = []
    for char, is_hidden in zip(text, hidden, strict=True):
        if not is_hidden:
            parts.append(char)
        elif not parts or parts[-1] != MASK:
            parts.append(MASK)
    return "".join(parts)
