"""`reconciler validate`: check manifests and configuration, offline."""

from __future__ import annotations

import click

from reconciler.cli.options import Settings, settings


@click.command("validate")
@click.option(
    "--explain", multiple=True, metavar="CODE", help="Tell about a rule, such as WH020, and check nothing."
)
@settings(vault=False, formats=("text", "json", "github", "sarif"))
def command(settings: Settings, *, explain: tuple[str, ...]) -> int:
    """Check every manifest and the configuration, offline, and report every problem at once.

    With --format github the problems become annotations of the pull request's lines; --format sarif is for
    code scanning. Addresses, keys and tokens in the environment do not matter here.
    Exit codes: 0 no errors (there may be warnings), 3 there are some.

    \b
    Examples:
      reconciler validate
      reconciler validate manifests/ more.yaml
      reconciler validate --format sarif --output reconciler.sarif
      reconciler validate --explain WH020
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import checking  # noqa: PLC0415 (loads the libraries that do the work)

    return checking.explain(explain, settings) if explain else checking.validate(settings)
