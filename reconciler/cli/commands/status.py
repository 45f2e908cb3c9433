"""`reconciler status`: show the fleet."""

from __future__ import annotations

import click

from reconciler.cli.options import Settings, settings
from reconciler.errors import UsageError


@click.command("status")
@click.option(
    "--endpoints",
    is_flag=True,
    help="Connect to each manifest's receiver, so that the page tells its TLS, too.",
)
@settings(formats=("text", "json", "markdown", "html"))
def command(settings: Settings, *, endpoints: bool) -> int:
    """Show every webhook: its state, its secret's age, when it was verified, and who owns it.

    \b
    Examples:
      reconciler status
      reconciler status --organization acme-prod --format json --output fleet.json
      reconciler status --format html --output fleet.html
      reconciler status --format html --output fleet.html --endpoints
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import fleet_page, preview  # noqa: PLC0415 (loads the libraries that do the work)

    if settings.format == "html":
        return fleet_page.write_page(settings, drift=False, endpoints=endpoints)
    if endpoints:
        raise UsageError(
            "--endpoints is for the page", hint="add --format html, or run `reconciler doctor --endpoints`"
        )
    return preview.status(settings)
