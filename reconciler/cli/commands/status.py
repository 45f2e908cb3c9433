"""`reconciler status`: show the fleet."""

from __future__ import annotations

import click

from reconciler.cli.options import Settings, settings


@click.command("status")
@settings(formats=("text", "json", "markdown", "html"))
def command(settings: Settings) -> int:
    """Show every webhook: its state, its secret's age, when it was verified, and who owns it.

    \b
    Examples:
      reconciler status
      reconciler status --organization acme-prod --format json --output fleet.json
      reconciler status --format html --output fleet.html
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import fleet_page, preview  # noqa: PLC0415 (loads the libraries that do the work)

    if settings.format == "html":
        return fleet_page.write_page(settings, drift=False)
    return preview.status(settings)
