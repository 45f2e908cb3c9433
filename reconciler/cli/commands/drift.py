"""`reconciler drift`: show what changed without us."""

from __future__ import annotations

import click

from reconciler.cli.options import PLAN_FORMATS, Settings, settings


@click.command("drift")
@settings(formats=(*PLAN_FORMATS, "html"))
def command(settings: Settings) -> int:
    """Show what changed without us: live, in Vault, or both. Changes nothing.

    Pending changes of manifests are no drift. Exit codes: 0 there is none, 2 there is some.

    \b
    Examples:
      reconciler drift
      reconciler drift --organization acme-prod --format json
      reconciler drift --format markdown
      reconciler drift --format html --output drift.html
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import fleet_page, preview  # noqa: PLC0415 (loads the libraries that do the work)

    if settings.format == "html":
        return fleet_page.write_page(settings, drift=True)
    return preview.drift(settings)
