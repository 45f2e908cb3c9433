"""`reconciler status`: show the fleet."""

from __future__ import annotations

import click

from reconciler.cli.options import Settings, settings


@click.command("status")
@settings()
def command(settings: Settings) -> int:
    """Show every webhook: its state, its secret's age, when it was verified, and who owns it.

    \b
    Examples:
      reconciler status
      reconciler status --organization acme-prod --format json --output fleet.json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import preview  # noqa: PLC0415 (loads the libraries that do the work)

    return preview.status(settings)
