"""When and by whom a page is made: now, and here."""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.cli.attribution import current_run, sources_url
from reconciler.cli.system import SystemClock
from reconciler.report.pages.templates import PageContext


def current_occasion(actor: str | None) -> PageContext:
    """Return the occasion of a page that this run makes; `actor` is who was said to run it."""
    return PageContext(
        SystemClock().now(), current_run(os.environ, actor), sources_url(os.environ, Path.cwd())
    )
