"""`reconciler test`: send test deliveries."""

from __future__ import annotations

import click

from reconciler.cli.options import Settings, settings


@click.command("test")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@settings(paths=False, manifests=False, formats=("text", "json", "markdown"))
def command(settings: Settings, names: tuple[str, ...]) -> int:
    """Let the API send a signed test delivery to each webhook, or to those of NAME, and tell which arrived.

    Changes nothing: a webhook that is not verified yet is verified by `apply`. Exit codes: 0 all were
    delivered, 3 there is no such webhook, 5 some failed or were not attempted.

    \b
    Examples:
      reconciler test
      reconciler test ci-run-results release-gates
      reconciler test --format json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import delivering  # noqa: PLC0415 (loads the libraries that do the work)

    return delivering.test_webhooks(settings, names)
