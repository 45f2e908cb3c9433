"""`reconciler organizations`: list the organizations of the configuration."""

from __future__ import annotations

import json

import click

from reconciler.cli.options import Options, shared_options
from reconciler.errors import ExitCode


@click.command("organizations")
@click.option(
    "--shards",
    type=click.IntRange(1, 999_999),
    metavar="N",
    help="List the shards I/N that have an organization, instead of names.",
)
@shared_options(paths=False, vault=False, manifests=False)
def command(options: Options, *, shards: int | None) -> ExitCode:
    """List the organizations of the configuration, one a line, or as a JSON array for a pipeline's matrix.

    Offline: needs no key, and reads no manifest.

    \b
    Examples:
      reconciler organizations
      reconciler organizations --organization 'acme-*'
      reconciler organizations --shard 3/8
      echo "names=$(reconciler organizations --format json)" >> "$GITHUB_OUTPUT"
      shards=$(reconciler organizations --shards 256 --format json)
      echo "shards=$shards" >> "$GITHUB_OUTPUT"
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.configuration import load_configuration
    from reconciler.cli.output import write_result
    from reconciler.config.shards import shard_of

    names = [each.name for each in load_configuration(options).organizations]
    if shards is not None:
        names = [str(each) for each in sorted({shard_of(name, shards) for name in names})]
    if options.format == "json":
        # One line: $GITHUB_OUTPUT takes no other value without a delimiter.
        write_result(json.dumps(names) + "\n", options.output)
    else:
        write_result("".join(f"{name}\n" for name in names), options.output)
    return ExitCode.OK
