"""`reconciler history`: show who changed what."""

from __future__ import annotations

import click

from reconciler.cli.options import Settings, settings


@click.command("history")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--audit",
    metavar="FILE",
    help="The audit log to read; default: the one that `apply` writes in the user's state folder.",
)
@settings(paths=False, manifests=False, formats=("text", "json", "markdown"))
def command(settings: Settings, names: tuple[str, ...], audit: str | None) -> int:
    """Show who changed which webhook, when, from which commit, and by which request; newest first.

    The audit log has every request and change of `apply` on this machine. Vault knows the last change of each
    webhook, wherever it was made. Needs no API key, and reads no secret.

    \b
    Examples:
      reconciler history
      reconciler history ci-run-results
      reconciler history --audit audit.jsonl --format json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import past  # noqa: PLC0415 (loads the libraries that do the work)

    return past.history(settings, names, audit)
