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
from reconciler.errors import ExitCode, GuardRefused, InvalidInput, UsageError
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.cli.session import Scope
    from reconciler.config.settings import OrganizationSettings
    from reconciler.session import Session
    from reconciler.usecases.plan import Planned

_RECREATE = "create it again: reconciler plan --out FILE"
# A plan of 100,000 changes takes about 100 MB.
_PLAN_FILE_MAX = 256 * 1024 * 1024


@click.command("apply")
@click.option("--plan", "plan_file", metavar="FILE", help="Apply this reviewed plan, and nothing else.")
@cleanup_options
@apply_options
@shared_options(actor=True, output=False, parallel=True, formats=("text", "json", "markdown"))
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
    reviewed, for_one = _read_plans(plan_file)
    scope = load_scope(options)
    chosen = _named(scope, reviewed) if for_one else scope.organizations

    def make_plan(session: Session) -> Planned:
        if (own := reviewed.get(session.organization.name)) is None:
            raise GuardRefused(
                "the plan file has no plan of this organization",
                hint="make a new plan, and have it reviewed: reconciler plan --out FILE",
            )
        return held_to_review(plan(session), own)

    return apply_plans(replace(scope, organizations=chosen), applying, make_plan)


def _named(scope: Scope, reviewed: Mapping[str, Any]) -> tuple[OrganizationSettings, ...]:
    """Return the organization of the only plan.

    Raises:
        InvalidInput: it is not selected.
    """
    chosen = tuple(each for each in scope.organizations if each.name in reviewed)
    if not chosen:
        raise InvalidInput(
            f"the plan file is for organization {', '.join(reviewed)}, which is not selected",
            hint="check --organization and the configuration",
        )
    return chosen


def _read_plans(path: str) -> tuple[dict[str, Any], bool]:
    """Return the plans in a file by organization, after checks, and whether the file is for one alone.

    A file for several has an array; an organization whose plan could not be made has none.

    Raises:
        InvalidInput: it cannot be read, is not a plan, or was changed after it was made.
    """
    from reconciler.named_files import read_whole
    from reconciler.report.plan.json import parse_plan

    try:
        content = read_whole(path, _PLAN_FILE_MAX)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise InvalidInput(
            f"cannot read the plan file {visible(path)}: {why}", hint="make one: reconciler plan --out FILE"
        ) from error
    value = parse_plan(content)
    if not isinstance(value, list):
        return {_checked(value)["organization"]: value}, True
    plans = [_checked(each) for each in value if not (isinstance(each, dict) and "error" in each)]
    found = {plan["organization"]: plan for plan in plans}
    if not plans:
        raise InvalidInput("the plan file is not a plan: its array has none", hint=_RECREATE)
    if len(found) != len(plans):
        raise InvalidInput("the plan file has two plans of one organization", hint=_RECREATE)
    return found, False


def _checked(plan: Any) -> Any:
    """Return the plan if it is valid.

    Raises:
        InvalidInput: it is not a plan, or was changed after it was made.
    """
    from reconciler.manifest.schema import packaged_schema
    from reconciler.report.plan.json import check_digest

    schema = packaged_schema("plan")
    if not schema.accepts(plan):
        violation = schema.explain(plan)[0]
        place = ".".join(map(str, violation.path)) or "the whole file"
        raise InvalidInput(
            f"the plan file is not a plan of this version: {place}: {violation.message}", hint=_RECREATE
        )
    check_digest(plan)
    return plan
