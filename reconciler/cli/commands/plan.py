"""`reconciler plan`: show the pending changes, and change nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import PLAN_FORMATS, Options, cleanup_options, due_states, shared_options
from reconciler.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.cli.session import Scope
    from reconciler.config.settings import OrganizationSettings
    from reconciler.errors import ReconcilerError
    from reconciler.report.pages.plan import PlanSection


@click.command("plan")
@click.option("--out", metavar="FILE", help="Save the plan for `apply --plan FILE`.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 when changes are pending.")
@cleanup_options
@shared_options(actor=True, parallel=True, formats=(*PLAN_FORMATS, "html"))
def command(
    options: Options, *, out: str | None, exit_code: bool, cleanup_only: bool, rotate_due: bool
) -> ExitCode:
    """Show what `apply` would do, and change nothing.

    PATH names manifests, files or folders; by default those of the configuration or `manifests/` are read.
    PATHs limit the scope: webhooks of other manifests are out of scope, and only counted.
    Exit codes: 0 shown, 2 changes are pending (with --exit-code), 4 a guard would refuse the plan, 5 a
    conflict blocks a change. Of several organizations, --out saves one file with all plans.

    \b
    Examples:
      reconciler plan
      reconciler plan manifests/prod --organization acme-prod
      reconciler plan --out plan.json --exit-code
      reconciler plan --format json | jq .summary
      reconciler plan --format markdown --output "$GITHUB_STEP_SUMMARY"
      reconciler plan --format html --output plan.html
      reconciler plan --cleanup-only --exit-code
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.cli.plan_output import plan_section, rendered_plan
    from reconciler.cli.progress import shown
    from reconciler.cli.results import Results, for_each
    from reconciler.cli.session import load_scope, open_session
    from reconciler.cli.turns import in_turn
    from reconciler.usecases.plan import only_due
    from reconciler.usecases.preview import preview

    due = due_states(cleanup_only=cleanup_only, rotate_due=rotate_due)
    scope = load_scope(options)
    results = Results(options, several=scope.several)
    saved = Results(options._replace(format="json", output=out), several=scope.several)
    sections: list[PlanSection] = []

    def show(settings: OrganizationSettings) -> ExitCode:
        with open_session(scope, settings) as session, shown(session.reporter):
            planned = preview(session)
            if due is not None:
                planned = only_due(planned, due)
        if out is not None:
            saved.add_value(planned.plan.to_json())
        if options.format == "html":
            in_turn(partial(sections.append, plan_section(planned, options)))
        else:
            text = rendered_plan(planned, options, share=len(scope.organizations))
            results.add(planned.plan.to_json(), text)
        if planned.refusals:
            return ExitCode.REFUSED
        if planned.plan.problems:
            return ExitCode.PARTIAL
        return ExitCode.PENDING if exit_code and planned.plan.pending else ExitCode.OK

    def note_error(organization: str, error: ReconcilerError) -> None:
        saved.add_error(organization, error)
        results.add_error(organization, error)

    code = for_each(scope, show, on_error=note_error)
    if out is not None:
        saved.write_rest(code)
    if options.format == "html" and sections:
        write_result(_page(sections, scope), options.output)
    return results.write_rest(code)


def _page(sections: Sequence[PlanSection], scope: Scope) -> str:
    """Return one page with the plans; it names the organizations that could not be planned."""
    from reconciler.cli.attribution import page_context
    from reconciler.report.pages.plan import plan_html

    names = {each.plan.organization for each in sections}
    unread = [settings.name for settings in scope.organizations if settings.name not in names]
    return plan_html(sections, page_context(scope.options.actor), unread=unread)
