"""`reconciler rotate`: replace signing secrets outside a manifest change."""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.options import Settings, carrying_out, settings


@click.command("rotate")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--now",
    "revoke",
    is_flag=True,
    help="The secret has leaked: no overlap, and deliveries signed with it are refused from then on.",
)
@carrying_out
@settings(paths=False, actor=True, output=False)
def command(settings: Settings, names: tuple[str, ...], *, revoke: bool, **options: Any) -> int:
    """Replace the signing secrets of the webhooks NAME: a new endpoint before the old one goes.

    The manifest's overlap says how long the old endpoint and its secret stay valid. A rotation that is cut
    off is finished by the next `apply`. Exit codes: as `apply`, and 3 for a name without a manifest.

    \b
    Examples:
      reconciler rotate ci-run-results
      reconciler rotate ci-run-results release-gates --yes
      reconciler rotate ci-run-results --now
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import carry_out  # noqa: PLC0415 (loads the libraries that do the work)

    return carry_out.apply(
        settings, carry_out.Options(plan_file=None, rotate=names, revoke=revoke, **options)
    )
