"""`reconciler status`: show the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, shared_options
from reconciler.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from reconciler.config.settings import OrganizationSettings


@click.command("status")
@click.option(
    "--endpoints",
    is_flag=True,
    help="Connect to each manifest's receiver, so that the page shows its TLS, too.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 2 when anything needs human action.")
@shared_options(parallel=True, formats=("text", "json", "markdown", "html", "openmetrics"))
def command(options: Options, *, endpoints: bool, exit_code: bool) -> ExitCode:
    """Show every webhook: its state, its secret's age, when it was verified, and who owns it.

    The worst comes first. If a run is in progress, its person, host and start are shown.
    PATHs limit the scope: webhooks of other manifests are left out.
    Exit codes: 0 shown, 2 drift, an interrupted change or a conflict needs a person (with --exit-code).

    \b
    Examples:
      reconciler status
      reconciler status --organization acme-prod --format json --output fleet.json
      reconciler status --format html --output fleet.html
      reconciler status --format html --output fleet.html --endpoints
      reconciler status --format openmetrics \\
        --output /var/lib/node_exporter/webhooks.prom
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.fleet_page import write_page
    from reconciler.cli.plan_output import fleet_value, needed_code
    from reconciler.cli.progress import shown
    from reconciler.cli.results import Results, for_each
    from reconciler.cli.session import load_scope, open_session
    from reconciler.cli.state import journal_path, report_cut_off
    from reconciler.report.format.markdown import COMMENT_LIMIT
    from reconciler.report.status import status_markdown, status_text
    from reconciler.usecases.fleet import fleet
    from reconciler.usecases.preview import preview

    if options.format == "html":
        return write_page(options, drift=False, endpoints=endpoints, exit_code=exit_code)
    if endpoints:
        raise UsageError(
            "--endpoints is for the HTML page",
            hint="add --format html, or use `reconciler doctor --endpoints`",
        )
    if options.format == "openmetrics":
        from reconciler.cli.fleet_metrics import write_metrics  # the library is slow to import

        return write_metrics(options, drift=False, exit_code=exit_code)
    scope = load_scope(options)
    results = Results(options, several=scope.several)

    def show(settings: OrganizationSettings) -> ExitCode:
        report_cut_off(journal_path(settings.organization))
        with open_session(scope, settings) as session, shown(session.reporter):
            found = preview(session)
            now = session.clock.now()
        rows, run = fleet(found), found.plan.active_run
        if options.format == "markdown":
            limit = COMMENT_LIMIT // len(scope.organizations)
            text = status_markdown(settings.name, rows, now=now, limit=limit, run=run)
        else:
            text = status_text(
                settings.name, rows, now=now, columns=options.columns, color=options.color, run=run
            )
        results.add(fleet_value(found, rows), text)
        return needed_code(rows) if exit_code else ExitCode.OK

    return results.write_rest(for_each(scope, show, on_error=results.add_error))
