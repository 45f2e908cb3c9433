"""When and by whom a page was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.model import Run


class Occasion(Struct, frozen=True):
    """When and by whom a page was made, and what it can link to."""

    now: datetime
    """Aware; ages count to it."""
    run: Run
    sources: str | None = None
    """The web address of the folder that manifests' paths are relative to."""
