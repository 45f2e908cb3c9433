"""Show a plan in the format that the options choose, and notify people of drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from reconciler.cli.notifications import notify
from reconciler.cli.output import write_error, write_problems
from reconciler.cli.repository import place_in_repository
from reconciler.errors import ExitCode
from reconciler.report.format.markdown import COMMENT_LIMIT
from reconciler.report.plan.summary import DRIFT, PLAN, View, heading
from reconciler.report.plan.text import plan_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.cli.options import Options
    from reconciler.cli.session import Scope
    from reconciler.plan.status import StatusRow
    from reconciler.report.pages.plan import PlanSection
    from reconciler.report.plan.summary import Title
    from reconciler.usecases.plan import Planned


def plan_view(planned: Planned, options: Options, title: Title = PLAN) -> View:
    """Return how to show a plan."""
    return View(
        verbose=options.verbose > 0,
        color=options.color,
        now=planned.listing_began if title is DRIFT else None,
    )


def rendered_plan(planned: Planned, options: Options, *, title: Title = PLAN, share: int = 1) -> str:
    """Return a plan in the chosen format; `share` plans share the length of one comment."""
    plan, refusals, view = planned.plan, planned.refusals, plan_view(planned, options, title)
    match options.format:
        case "markdown":
            from reconciler.report.plan.markdown import plan_markdown  # noqa: PLC0415 (most runs want text)

            return plan_markdown(
                plan,
                refusals,
                title=title,
                view=view,
                page=planned.session.run.url,
                limit=COMMENT_LIMIT // share,
                on_cut=lambda: write_problems(plan_text(plan, refusals, title=title, view=view)),
            )
        case "github":
            from reconciler.report.plan.github import plan_github  # noqa: PLC0415 (most runs want text)

            moved = place_in_repository()
            changes = tuple(replace(each, source=each.source and moved(each.source)) for each in plan.changes)
            return plan_github(replace(plan, changes=changes), refusals)
        case _:
            return plan_text(plan, refusals, title=title, view=view)


def plan_section(planned: Planned, options: Options) -> PlanSection:
    """Return a plan's part of a page, without the rest of its session."""
    from reconciler.report.pages.plan import PlanSection  # noqa: PLC0415 (most runs want text)

    return PlanSection(planned.plan, planned.refusals, plan_view(planned, options))


def fleet_value(found: Planned, rows: Sequence[StatusRow]) -> dict[str, Any]:
    """Return the fleet that `found` shows as the JSON of `status`."""
    from reconciler.report.status import status_value  # noqa: PLC0415 (a plan does not need it)

    session = found.session
    return status_value(
        session.organization.name,
        rows,
        observed_at=session.clock.now(),
        run=found.plan.active_run,
        refused=bool(found.refusals),
        requests_per_minute=session.api.announced_quota,
    )


def drift_code(found: Planned) -> ExitCode:
    """Return the exit code of a drift report."""
    if found.refusals:
        return ExitCode.REFUSED
    return ExitCode.PENDING if found.plan.has_drift else ExitCode.OK


def report_code(
    scope: Scope, found: Planned, rows: Sequence[StatusRow], *, drift: bool, exit_code: bool
) -> ExitCode:
    """Return the exit code of a report on a whole fleet; one on drift notifies people, too.

    Args:
        scope: whom to notify.
        found: the plan that the report was made from.
        rows: what the report shows.
        drift: whether it is about drift.
        exit_code: of another report, whether the code is 2 if anything needs human action.
    """
    if drift:
        write_refusals(found)
        notify_drift(scope, found)
        return drift_code(found)
    return needed_code(rows) if exit_code else ExitCode.OK


def needed_code(rows: Sequence[StatusRow]) -> ExitCode:
    """Return 2 if anything needs human action."""
    return ExitCode.PENDING if any(row.needs_action for row in rows) else ExitCode.OK


def write_refusals(planned: Planned) -> None:
    """Write the guards' refusals to stderr, for a format that does not show them."""
    for refusal in planned.refusals:
        write_error(f"{planned.plan.organization}: {refusal.message}", refusal.hint)


def notify_drift(scope: Scope, found: Planned) -> None:
    """Notify people of drift, if there is any and it is configured."""
    if found.plan.has_drift:
        name = found.session.organization.name
        title = f"Drift in {name}: {heading(found.plan, DRIFT, 'webhook')}"
        view = View(now=found.listing_began)
        text = plan_text(found.plan, title=DRIFT, view=view)
        notify(scope.notifications, scope.run, "drift", title, text)
