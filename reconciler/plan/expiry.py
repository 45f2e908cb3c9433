"""Stored secrets that Vault will delete by itself, because of `delete_version_after`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_NAMED = 5


def expiry_warnings(expiring: Iterable[tuple[datetime, str]]) -> tuple[str, ...]:
    """Return a warning about documents that Vault will delete at a time; nothing if there are none."""
    due = sorted(expiring)
    if not due:
        return ()
    first, names = due[0][0], [name for _, name in due]
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    secrets = "1 stored secret" if len(names) == 1 else f"{len(names):,} stored secrets"
    warning = (
        f"Vault will delete {secrets} ({', '.join(names[:_NAMED])}{more}) by itself, the first at "
        f"{first:%Y-%m-%d %H:%M} UTC: delete_version_after is set; `reconciler doctor` shows how to keep them"
    )
    return (warning,)
