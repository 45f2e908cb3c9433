"""`reconciler apply`: carry the plan out."""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.options import Settings, carrying_out, settings


@click.command("apply")
@click.option(
    "--plan", "plan_file", metavar="FILE", help="Do what this reviewed plan says, and nothing else."
)
@carrying_out
@settings(actor=True, output=False, formats=("text", "json", "markdown"))
def command(settings: Settings, **options: Any) -> int:
    """Carry the plan out: show it, ask, do it, and tell what was done.

    An interrupt (Ctrl-C, SIGTERM) finishes the step in hand; a second one stops at once. Either way the
    next run goes on. Exit codes: 0 done, 4 a guard refused, 5 partly done, 6 another run holds the lock.

    \b
    Examples:
      reconciler apply
      reconciler apply --yes --jobs 4
      reconciler apply --plan plan.json --yes
      reconciler apply --approve sha256:4f1c…
      reconciler apply --yes --format markdown >> "$GITHUB_STEP_SUMMARY"
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import carry_out  # noqa: PLC0415 (loads the libraries that do the work)

    return carry_out.apply(settings, carry_out.Options(**options))
