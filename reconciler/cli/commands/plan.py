"""`reconciler plan`: show what would be done, and change nothing."""

from __future__ import annotations

import click

from reconciler.cli.options import PLAN_FORMATS, Settings, settings


@click.command("plan")
@click.option("--out", metavar="FILE", help="Save the plan for `apply --plan FILE`.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 when changes are pending.")
@settings(actor=True, formats=(*PLAN_FORMATS, "html"))
def command(settings: Settings, *, out: str | None, exit_code: bool) -> int:
    """Show what `apply` would do, and change nothing.

    PATH names manifests, files or folders; without one the configuration's or `manifests/` are read.
    Exit codes: 0 shown, 2 changes are pending (with --exit-code), 4 a guard would refuse the plan.

    \b
    Examples:
      reconciler plan
      reconciler plan manifests/prod --organization acme-prod
      reconciler plan --out plan.json --exit-code
      reconciler plan --format json | jq .summary
      reconciler plan --format markdown --output "$GITHUB_STEP_SUMMARY"
      reconciler plan --format html --output plan.html
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import preview  # noqa: PLC0415 (loads the libraries that do the work)

    return preview.plan(settings, out=out, pending_is_2=exit_code)
