"""Which files may hold a secret: small ones are searched together, since starting a search is what costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.manifest.credentials import may_hold_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.manifest.files import Unreadable

_BATCH = 65_536
"""Bytes that are enough for one search."""


def screened(
    files: Iterable[tuple[str, bytes | Unreadable]],
) -> Iterator[tuple[str, bytes | Unreadable, bool]]:
    """Yield each file of (path, content) with whether it may hold a secret, in the same order."""
    batch: list[tuple[str, bytes | Unreadable]] = []
    size = 0
    for path, content in files:
        batch.append((path, content))
        size += len(content) if isinstance(content, bytes) else 0
        if size >= _BATCH:
            yield from _judged(batch)
            batch, size = [], 0
    yield from _judged(batch)


def _judged(batch: list[tuple[str, bytes | Unreadable]]) -> Iterator[tuple[str, bytes | Unreadable, bool]]:
    # What stands in one file stands in all of them, so where nothing is found there is nothing in any.
    is_doubtful = may_hold_secret(b"\n".join(content for _, content in batch if isinstance(content, bytes)))
    for path, content in batch:
        yield path, content, is_doubtful and isinstance(content, bytes) and may_hold_secret(content)
