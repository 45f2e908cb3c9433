"""Write the fleet's metrics: every organization is read, then all are in one text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from reconciler.cli.output import write_result
from reconciler.cli.plan_output import report_code
from reconciler.cli.progress import shown
from reconciler.cli.results import for_each
from reconciler.cli.session import load_scope, open_session
from reconciler.cli.turns import in_turn
from reconciler.report.openmetrics import Observation, openmetrics
from reconciler.usecases.fleet import fleet
from reconciler.usecases.preview import drift as find_drift
from reconciler.usecases.preview import preview

if TYPE_CHECKING:
    from reconciler.cli.options import Options
    from reconciler.config.settings import OrganizationSettings
    from reconciler.errors import ExitCode


def write_metrics(options: Options, *, drift: bool, exit_code: bool = False) -> ExitCode:
    """Write the metrics of all organizations; those that cannot be read are down in them.

    With `exit_code`, the code is 2 if anything needs a person. With `drift`, it is that of a drift report.
    """
    scope = load_scope(options)
    seen: list[Observation] = []

    def read(settings: OrganizationSettings) -> ExitCode:
        with open_session(scope, settings) as session, shown(session.reporter):
            found = find_drift(session) if drift else preview(session)
            observation = Observation(
                settings.name,
                fleet(found),
                session.clock.now(),
                in_progress=found.plan.active_run is not None,
                refused=bool(found.refusals),
                requests_per_minute=session.api.announced_quota,
            )
        in_turn(partial(seen.append, observation))
        return report_code(scope, found, observation.rows, drift=drift, exit_code=exit_code)

    code = for_each(scope, read)
    names = {each.organization for each in seen}
    failed = [each.name for each in scope.organizations if each.name not in names]
    write_result(openmetrics(seen, failed), options.output)
    return code
