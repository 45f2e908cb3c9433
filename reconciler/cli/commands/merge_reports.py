"""`reconciler merge-reports`: merge the JSON reports of several shards into one report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import click

from reconciler.errors import ExitCode, InvalidInput
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE_MAX = 256 * 1024 * 1024


@click.command("merge-reports")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "markdown", "html", "openmetrics"]),
    default="text",
    show_default=True,
    help="The result's format.",
)
@click.option("--output", metavar="FILE", help="Write the result to a file instead of stdout.")
def command(files: Sequence[str], *, output_format: str, output: str | None) -> ExitCode:
    """Merge what `plan`, `drift`, `apply` or `status` wrote with --format json into one report.

    The worst organizations come first. Markdown fits into one comment or issue: what does not fit is counted.
    OpenMetrics is made from the reports of `status`, and is the same text as status writes for all of them.

    \b
    Examples:
      reconciler merge-reports shard-*.json
      reconciler merge-reports shard-*.json --format markdown --output comment.md
      reconciler merge-reports shard-*.json --format html --output fleet.html
      reconciler merge-reports status-*.json --format openmetrics \\
        --output webhooks.prom
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.attribution import page_context
    from reconciler.cli.output import write_result
    from reconciler.report.merged import merged, merged_html, merged_markdown, merged_text
    from reconciler.report.plan.json import to_json_text

    values = [value for file in files for value in _read(file)]
    reports = merged(values)
    match output_format:
        case "json":
            text = to_json_text(values)
        case "markdown":
            text = merged_markdown(reports, page=page_context(None).run.url)
        case "html":
            text = merged_html(reports, page_context(None))
        case "openmetrics":
            from reconciler.report.openmetrics import openmetrics  # the library is slow to import

            text = openmetrics(values)
        case _:
            text = merged_text(reports)
    write_result(text, output)
    return ExitCode.OK


def _read(path: str) -> list[Any]:
    """Return the reports in a file.

    Raises:
        InvalidInput: it cannot be read, or is not JSON.
    """
    import json

    from reconciler.named_files import read_whole

    hint = "name a file that `--format json --output FILE` wrote"
    try:
        value = json.loads(read_whole(path, _FILE_MAX), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise InvalidInput(f"cannot read {visible(path)}: {why}", hint=hint) from None
    return value if isinstance(value, list) else [value]


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
