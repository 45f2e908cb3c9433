"""`reconciler schema`: print a JSON Schema."""

from __future__ import annotations

import click

_NAMES = {"manifest": "webhook", "config": "config", "plan": "plan"}


@click.command("schema")
@click.argument("which", type=click.Choice(tuple(_NAMES)), default="manifest")
@click.option("--output", metavar="FILE", help="Write it to a file instead of stdout.")
def command(which: str, output: str | None) -> int:
    """Print the JSON Schema (draft 2020-12) of manifests, of the configuration or of plans.

    \b
    Examples:
      reconciler schema
      reconciler schema config --output config.schema.json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import checking  # noqa: PLC0415 (loads what finds the schemas)

    return checking.print_schema(_NAMES[which], output)
