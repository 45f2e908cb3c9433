"""`reconciler sandbox`: a Zof API, an OpenBao server and a receiver on this machine."""

from __future__ import annotations

import click


@click.command("sandbox")
@click.option(
    "--path", metavar="FOLDER", help="Keep everything here for the next time; default: nothing is kept."
)
def command(path: str | None) -> int:
    """Run a Zof API, an OpenBao server and a webhook receiver on loopback, until Ctrl-C.

    Prints `export` lines with throw-away credentials for another shell: the only secrets that this
    program ever prints, worth nothing outside this sandbox.

    \b
    Examples:
      reconciler sandbox
      reconciler sandbox --path ~/.cache/zof-sandbox
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import playground  # noqa: PLC0415 (loads the servers)

    return playground.sandbox(path)
