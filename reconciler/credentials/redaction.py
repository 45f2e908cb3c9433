"""What of a file may be shown: never a value that is, or looks like, a secret.

Diagnostics quote values and source lines. A secret pasted into the wrong place must not reach a
terminal or a CI log that way, so each quotation asks here first. When in doubt, nothing is shown.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from reconciler.credentials.detector import known_secret, likely_secret

if TYPE_CHECKING:
    from collections.abc import Sequence

_SENSITIVE = r"secret|token|passw|pwd|api.?key|key.?env|private.?key|credential|authoriz|bearer"
_SENSITIVE_KEY = re.compile(_SENSITIVE, re.IGNORECASE)
# `password: x` or `token=x` within a text. Bounded, as all patterns here: a file may have 8 MiB of anything.
_ASSIGNMENT = re.compile(rf"(?:{_SENSITIVE})[\w.-]{{0,40}}[\"']?\s{{0,9}}[:=]", re.IGNORECASE)
_PARAMETER = re.compile(
    rf"[?&;][\w.%-]{{0,40}}?(?:{_SENSITIVE}|key|sig|auth|code)[\w.%-]{{0,40}}=", re.IGNORECASE
)
# The settings of the signing secret that our own format has: times, not secrets.
_HARMLESS = frozenset({("secret", "createdAfter"), ("secret", "overlap")})
_KNOWN_SECRET = re.compile(
    r"whsec_|eyJ[\w-]{10}|AKIA[0-9A-Z]{12}|PRIVATE KEY|://[^/@\n]*@|:[^\s:@]*@"
    r"|\b(?:hv[sbr]\.|s\.[A-Za-z0-9]{20}|gh[opsu]_|github_pat_|xox[abp]-|[sr]k_|zof_)"
)
_RUN = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_PART = re.compile(r"[A-Za-z0-9+/_=-]{12,}")
"""What may be the rest of a secret, where a file breaks off in the middle of it."""
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_LONGEST_SHOWN = 120
_LONGEST_LINE = 400


def is_sensitive(path: Sequence[str | int]) -> bool:
    """Return whether the value at `path` can hold a secret, judged by the keys on the way."""
    return any(isinstance(key, str) and can_hold_secret(key, below) for key, below in pairwise((*path, None)))


def can_hold_secret(key: str, below: str | int | None) -> bool:
    """Return whether what stands under `key`, at its own key or index `below`, can be a secret."""
    return _SENSITIVE_KEY.search(key) is not None and (key, below) not in _HARMLESS


def looks_secret(text: str) -> bool:
    """Return whether `text` contains something made like a key, token, digest or password in a URL."""
    if _KNOWN_SECRET.search(text) or _HEX.search(text) or _PARAMETER.search(text):
        return True
    if any(_is_random(run) for run in _RUN.findall(text)):
        return True
    # What the rules report is never shown.
    return known_secret(text) is not None or likely_secret(text, target=True) is not None


def value_looks_secret(value: str) -> bool:
    """Return whether a scalar's text is made like a secret, or names one and says it."""
    return looks_secret(value) or _ASSIGNMENT.search(value) is not None


def _is_random(run: str) -> bool:
    """Return whether a long run mixes digits and both cases, as base64 does and words do not."""
    return (
        any("0" <= char <= "9" for char in run)
        and any("a" <= char <= "z" for char in run)
        and any("A" <= char <= "Z" for char in run)
    )


def shown(value: Any, path: Sequence[str | int] = ()) -> str | None:
    """Return `value` as a message may quote it, or None where it must stay unsaid.

    Args:
        value: a scalar of a document.
        path: where it stands.
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
    return "***" if len(key) > _LONGEST_SHOWN or looks_secret(key) else printable(key)


def printable(text: str) -> str:
    """Return `text` on one line, with visible escapes for whatever would steer a terminal or hide."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def showable_line(line: str) -> str | None:
    """Return a source line, or None where it must not be shown or is too long to be of use.

    The loader knows nothing of comments, so one that as much as names a secret hides its line.
    """
    # A null character is no text: in UTF-16 it stands between the letters of whatever must not be shown.
    if (
        "\0" in line
        or len(line) > _LONGEST_LINE
        or looks_secret(line)
        or _SENSITIVE_KEY.search(line.partition("#")[2])
    ):
        return None
    return line


def mentions_secrets(text: str) -> bool:
    """Return whether a text that could not be parsed has the name or a part of a secret anywhere."""
    return _SENSITIVE_KEY.search(text) is not None or any(map(_is_random, _PART.findall(text)))
