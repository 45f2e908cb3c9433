"""`reconciler init`: begin a repository of webhooks."""

from __future__ import annotations

import click


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".")
@click.option(
    "--organization", metavar="NAME", default="default", show_default=True, help="Whose webhooks these are."
)
def command(folder: str, organization: str) -> int:
    """Write what a repository of webhooks begins with, into DIR or the folder you are in.

    A configuration, an example manifest, the JSON Schemas for editors, a pre-commit hook, and GitHub
    workflows that plan pull requests, apply what is merged, and look for drift. Nothing is sent, and files
    that exist are kept as they are.

    \b
    Examples:
      reconciler init
      reconciler init webhooks --organization acme-prod
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import scaffold  # noqa: PLC0415 (only when it is used)

    return scaffold.init(folder, organization)
