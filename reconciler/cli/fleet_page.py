"""Write the fleet's HTML page: every organization is read, then all are on one page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from reconciler.apply.run_log import read_audit
from reconciler.cli.attribution import page_context
from reconciler.cli.output import write_result
from reconciler.cli.plan_output import report_code
from reconciler.cli.progress import shown
from reconciler.cli.receivers import look_at_receivers
from reconciler.cli.results import for_each
from reconciler.cli.session import load_scope, open_session
from reconciler.cli.state import audit_path, journal_path, report_cut_off
from reconciler.cli.turns import in_turn
from reconciler.manifest.webhooks import KNOWN_EVENTS
from reconciler.plan.history import last_changes, merged
from reconciler.report.pages.fleet import Fleet, fleet_html
from reconciler.usecases.fleet import fleet
from reconciler.usecases.preview import drift as find_drift
from reconciler.usecases.preview import preview

if TYPE_CHECKING:
    from reconciler.cli.options import Options
    from reconciler.config.settings import OrganizationSettings
    from reconciler.errors import ExitCode


def write_page(
    options: Options, *, drift: bool, endpoints: bool = False, exit_code: bool = False
) -> ExitCode:
    """Write one page for all organizations; it and stderr name those that cannot be read.

    With `endpoints`, connect to the receivers that manifests name, too. With `exit_code`, the code is 2 if
    anything needs human action.
    """
    scope = load_scope(options)
    fleets: list[Fleet] = []

    def read(settings: OrganizationSettings) -> ExitCode:
        organization = settings.organization
        report_cut_off(journal_path(organization))
        with open_session(scope, settings) as session, shown(session.reporter):
            found = find_drift(session) if drift else preview(session)
        changes = [
            each for each in read_audit(audit_path(organization), settings.name) if not each.is_request
        ]
        history = merged(changes, last_changes(found.metadata))
        receivers = look_at_receivers(session.desired) if endpoints else None
        seen = Fleet(settings.name, fleet(found), history, receivers, found.plan.active_run)
        in_turn(partial(fleets.append, seen))
        return report_code(scope, found, seen.rows, drift=drift, exit_code=exit_code)

    code = for_each(scope, read)
    if fleets:
        names = {each.organization for each in fleets}
        unread = [each.name for each in scope.organizations if each.name not in names]
        context = page_context(options.actor)
        page = fleet_html(fleets, context, known_events=KNOWN_EVENTS, unread=unread, drift=drift)
        write_result(page, options.output)
    return code
