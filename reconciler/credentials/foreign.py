"""The way in for texts that others wrote: what servers answer, and what libraries say about connections.

Such a text is put on one line, cut, and masked before it becomes part of a message.
"""

from __future__ import annotations

import re

from reconciler.credentials.detector import known_secret, looks_secret
from reconciler.credentials.known import KNOWN, MASK
from reconciler.credentials.redaction import mask_url

TEXT_LIMIT = 300
"""Characters of a text that are shown."""
_ID_LIMIT = 128
_READ = 5_000
_PIECE = re.compile(r"[^\s\"'<>()\[\]{},;`]+")
_SPREAD = re.compile(r"(?<!\S)(?:\S ){11,}\S(?!\S)")
"""A text that is spread with spaces: nobody writes twelve words of one letter."""


def foreign_text(value: object, *, limit: int = TEXT_LIMIT) -> str:
    """Return a text as a message may quote it; nothing if `value` is not a text.

    The run's secrets are masked in any spelling, and so is whatever looks like a secret or a token.
    """
    masked = _SPREAD.sub(MASK, _line(value))
    return _cut(_PIECE.sub(_mask_piece, masked), limit)


def foreign_id(value: object, *, limit: int = _ID_LIMIT) -> str:
    """Return an identifier, such as that of a request: it may be random, so only secrets are masked."""
    text = _line(value)
    return MASK if known_secret(text) else _cut(text, limit)


def _line(value: object) -> str:
    if not isinstance(value, str):
        return ""
    text = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in value[:_READ])
    return KNOWN.mask(" ".join(text.split()))


def _mask_piece(piece: re.Match[str]) -> str:
    text = piece[0]
    if "://" in text:
        return mask_url(text)
    # Where a server writes all in capitals, a known beginning is in capitals, too.
    return MASK if looks_secret(text) or looks_secret(text.lower()) else text


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
