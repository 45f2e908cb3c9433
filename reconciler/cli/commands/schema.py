"""`reconciler schema`: print a JSON Schema."""

from __future__ import annotations

import click


@click.command("schema")
@click.argument("which", type=click.Choice(("manifest", "config", "plan")), default="manifest")
@click.option("--output", metavar="FILE", help="Write it to a file instead of stdout.")
def command(which: str, output: str | None) -> int:
    """Print the JSON Schema (draft 2020-12) of manifests, of the configuration or of plans.

    \b
    Examples:
      reconciler schema
      reconciler schema config --output config.schema.json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.schemas import schema_text

    write_result(schema_text(which), output)  # type: ignore[arg-type] # (click has checked the name)
    return 0
