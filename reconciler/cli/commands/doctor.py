"""`reconciler doctor`: check everything that a run needs."""

from __future__ import annotations

import click

from reconciler.cli.options import Settings, settings


@click.command("doctor")
@click.option("--endpoints", is_flag=True, help="Connect to each manifest's receiver and check its TLS, too.")
@settings(paths=False)
def command(settings: Settings, *, endpoints: bool) -> int:
    """Check the API key and its permission, the Vault token, its capabilities, the mount and the clock.

    Nothing is changed, and no secret is read. Exit codes: 0 all is well, 1 something is not,
    3 a setting is missing or invalid.

    \b
    Examples:
      reconciler doctor
      reconciler doctor --endpoints
      reconciler doctor --organization acme-prod --format json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import checkup  # noqa: PLC0415 (loads the libraries that do the work)

    return checkup.doctor(settings, endpoints=endpoints)
