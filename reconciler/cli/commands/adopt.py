"""`reconciler adopt`: take an unmanaged endpoint over."""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.options import Settings, carrying_out, settings


@click.command("adopt")
@click.argument("name", metavar="NAME")
@click.option("--id", "endpoint_id", required=True, metavar="ID", help="The live endpoint.")
@click.option(
    "--secret-stdin",
    is_flag=True,
    help="Its signing secret is known: read it from stdin, or ask for it on a terminal.",
)
@click.option("--rotate", is_flag=True, help="Nobody knows its signing secret: replace the endpoint.")
@carrying_out
@settings(actor=True, output=False, formats=("text", "json", "markdown"))
def command(
    settings: Settings, name: str, endpoint_id: str, *, secret_stdin: bool, rotate: bool, **options: Any
) -> int:
    """Take the unmanaged endpoint ID over as the webhook NAME, whose manifest must say what is live.

    An endpoint's signing secret cannot be asked for, so say which: with --secret-stdin the endpoint stays,
    and its secret goes to Vault; with --rotate a new endpoint comes first, and the old one goes when the
    manifest's overlap is over. PATH names manifests, as for `apply`. Exit codes: as `apply`, and 3 for a
    name without a manifest or a secret that is none.

    \b
    Examples:
      reconciler adopt ci-run-results --id we_123 --secret-stdin
      reconciler adopt ci-run-results --id we_123 --secret-stdin --yes < secret.txt
      reconciler adopt ci-run-results --id we_123 --rotate
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import adopting  # noqa: PLC0415 (loads the libraries that do the work)

    return adopting.adopt(
        settings, name, endpoint_id, secret_stdin=secret_stdin, rotate=rotate, options=options
    )
