"""Texts that the API wrote, cleaned for display: no control characters, no secrets, not too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.credentials.redaction import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model import Secret

LIMIT = 300
_READ = 5_000


def clean(text: object, secrets: Iterable[Secret] = (), *, limit: int = LIMIT) -> str:
    """Return `text` on one line of at most `limit` characters, or nothing if it is not a text.

    What it has in common with one of `secrets` is masked.
    """
    if not isinstance(text, str):
        return ""
    printable = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text[:_READ])
    shown = mask_secrets(" ".join(printable.split()), secrets)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
