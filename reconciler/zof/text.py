"""Texts that the API wrote, made fit to be shown: no control characters, no secrets, not too long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model import Secret

LIMIT = 300
_READ = 5_000
# A run of this many characters that a text has in common with a secret is hidden.
_GRAM = 8
_HIDDEN = "<secret>"


def clean(text: object, secrets: Iterable[Secret] = (), *, limit: int = LIMIT) -> str:
    """Return `text` on one line of at most `limit` characters, or nothing where it is no text.

    Every run of eight characters that it shares with one of `secrets`, as it is, in JSON or in a URL, is
    hidden: servers quote what they were sent, and cut it where they like.
    """
    if not isinstance(text, str):
        return ""
    printable = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text[:_READ])
    shown = _hide(" ".join(printable.split()), secrets)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _hide(text: str, secrets: Iterable[Secret]) -> str:
    spellings = {
        spelling
        for secret in secrets
        if (raw := secret.reveal())
        for spelling in (raw, quote(raw, safe="", errors="replace"), json.dumps(raw)[1:-1])
    }
    hidden = [False] * len(text)
    for spelling in spellings:
        size = min(_GRAM, len(spelling))
        grams = {spelling[i : i + size] for i in range(len(spelling) - size + 1)}
        for start in range(len(text) - size + 1):
            if text[start : start + size] in grams:
                hidden[start : start + size] = [True] * size
    parts: list[str] = []
    for char, is_hidden in zip(text, hidden, strict=True):
        if not is_hidden:
            parts.append(char)
        elif not parts or parts[-1] != _HIDDEN:
            parts.append(_HIDDEN)
    return "".join(parts)
