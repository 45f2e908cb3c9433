"""`reconciler rotate`: replace signing secrets without a manifest change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.completion import complete_webhook
from reconciler.cli.options import ApplyOptions, Options, apply_options, shared_options
from reconciler.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from reconciler.session import Session
    from reconciler.usecases.plan import Planned


@click.command("rotate")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_webhook)
@click.option(
    "--now",
    "revoke",
    is_flag=True,
    help="The secret has leaked: no overlap; deliveries signed with it are refused immediately.",
)
@apply_options
@shared_options(paths=False, actor=True, output=False)
def command(options: Options, applying: ApplyOptions, *, names: tuple[str, ...], revoke: bool) -> ExitCode:
    """Replace the signing secrets of the webhooks NAME: a new endpoint is created first.

    The manifest's overlap says how long the old endpoint and its secret stay valid. An interrupted rotation
    is finished by the next `apply`. Exit codes: as `apply`, and 3 for a name without a manifest.

    \b
    Examples:
      reconciler rotate ci-run-results
      reconciler rotate ci-run-results release-gates --yes
      reconciler rotate ci-run-results --now
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.application import apply_plans, require_confirmation
    from reconciler.cli.session import load_scope
    from reconciler.usecases.plan import plan_rotation

    require_confirmation(applying)
    scope = load_scope(options)
    if scope.several:
        raise UsageError("NAME needs one organization", hint="add --organization NAME")

    def make_plan(session: Session) -> Planned:
        return plan_rotation(session, names, revoke=revoke)

    return apply_plans(scope, applying, make_plan)
