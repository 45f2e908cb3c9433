"""`reconciler apply`: apply the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.options import (
    ApplyOptions,
    Options,
    apply_options,
    cleanup_options,
    due_states,
    shared_options,
)
from reconciler.errors import ExitCode, InvalidInput, UsageError
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from reconciler.session import Session
    from reconciler.usecases.plan import Planned

# A plan of 100,000 changes takes about 100 MB.
_PLAN_FILE_MAX = 256 * 1024 * 1024


@click.command("apply")
@click.option("--plan", "plan_file", metavar="FILE", help="Apply this reviewed plan, and nothing else.")
@cleanup_options
@apply_options
@shared_options(actor=True, output=False, formats=("text", "json", "markdown"))
def command(
    options: Options,
    applying: ApplyOptions,
    *,
    plan_file: str | None,
    cleanup_only: bool,
    rotate_due: bool,
) -> ExitCode:
    """Show the plan, ask for confirmation, apply it, and report what was done.

    PATHs limit the scope: webhooks of other manifests are out of scope, neither changed nor deleted.
    An interrupt (Ctrl-C, SIGTERM) finishes the current step; a second one ends the process immediately.
    The next run resumes. --cleanup-only is for scheduled jobs: an earlier review approved what it does.
    Exit codes: 0 done, 4 a guard refused, 5 partly done, 6 another run holds the lock.

    \b
    Examples:
      reconciler apply
      reconciler apply --yes --jobs 4
      reconciler apply manifests/team-a --yes
      reconciler apply --plan plan.json --yes
      reconciler apply --approve sha256:4f1c…
      reconciler apply --yes --format markdown >> "$GITHUB_STEP_SUMMARY"
      reconciler apply --cleanup-only --yes
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from msgspec.structs import replace

    from reconciler.cli.application import apply_plans, require_confirmation
    from reconciler.cli.session import load_scope
    from reconciler.usecases.plan import held_to_review, only_due, plan

    due = due_states(cleanup_only=cleanup_only, rotate_due=rotate_due)
    if due is not None and plan_file is not None:
        raise UsageError("--plan and --cleanup-only exclude each other", hint="use one of them")
    require_confirmation(applying)
    if due is not None:
        return apply_plans(load_scope(options), applying, lambda session: only_due(plan(session), due))
    if plan_file is None:
        return apply_plans(load_scope(options), applying, plan)
    reviewed = _read_plan(plan_file)
    scope = load_scope(options)
    organization = reviewed["organization"]
    chosen = tuple(each for each in scope.organizations if each.name == organization)
    if not chosen:
        raise InvalidInput(
            f"the plan file is for organization {organization}, which is not selected",
            hint="check --organization and the configuration",
        )

    def make_plan(session: Session) -> Planned:
        return held_to_review(plan(session), reviewed)

    return apply_plans(replace(scope, organizations=chosen), applying, make_plan)


def _read_plan(path: str) -> dict[str, Any]:
    """Return the plan in a file, after checks of its size, its schema and its digest.

    Raises:
        InvalidInput: it cannot be read, is not a plan, or was changed after it was made.
    """
    from reconciler.manifest.schema import packaged_schema
    from reconciler.named_files import read_whole
    from reconciler.report.plan.json import check_digest, parse_plan

    try:
        content = read_whole(path, _PLAN_FILE_MAX)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise InvalidInput(
            f"cannot read the plan file {visible(path)}: {why}", hint="make one: reconciler plan --out FILE"
        ) from error
    plan = parse_plan(content)
    schema = packaged_schema("plan")
    if not schema.accepts(plan):
        violation = schema.explain(plan)[0]
        place = ".".join(map(str, violation.path)) or "the whole file"
        raise InvalidInput(
            f"the plan file is not a plan of this version: {place}: {violation.message}",
            hint="create it again: reconciler plan --out FILE",
        )
    check_digest(plan)
    return dict(plan)
