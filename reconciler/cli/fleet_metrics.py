"""Write the fleet's metrics: every organization is read, then all are in one text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from reconciler.cli.output import write_result
from reconciler.cli.plan_output import fleet_value, report_code
from reconciler.cli.progress import shown
from reconciler.cli.results import error_value, for_each
from reconciler.cli.session import load_scope, open_session
from reconciler.cli.turns import in_turn
from reconciler.report.openmetrics import openmetrics
from reconciler.usecases.fleet import fleet
from reconciler.usecases.preview import drift as find_drift
from reconciler.usecases.preview import preview

if TYPE_CHECKING:
    from reconciler.cli.options import Options
    from reconciler.config.settings import OrganizationSettings
    from reconciler.errors import ExitCode, ReconcilerError


def write_metrics(options: Options, *, drift: bool, exit_code: bool = False) -> ExitCode:
    """Write the metrics of all organizations; those that cannot be read are down in them.

    With `exit_code`, the code is 2 if anything needs a person. With `drift`, it is that of a drift report.
    """
    scope = load_scope(options)
    reports: list[Any] = []

    def read(settings: OrganizationSettings) -> ExitCode:
        with open_session(scope, settings) as session, shown(session.reporter):
            found = find_drift(session) if drift else preview(session)
        rows = fleet(found)
        in_turn(partial(reports.append, fleet_value(found, rows)))
        return report_code(scope, found, rows, drift=drift, exit_code=exit_code)

    def note(organization: str, error: ReconcilerError) -> None:
        reports.append(error_value(organization, error))

    code = for_each(scope, read, on_error=note)
    write_result(openmetrics(reports), options.output)
    return code
