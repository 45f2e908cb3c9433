"""`reconciler drift`: show changes that no manifest asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.options import PLAN_FORMATS, Options, shared_options

if TYPE_CHECKING:
    from reconciler.config.settings import OrganizationSettings
    from reconciler.errors import ExitCode


@click.command("drift")
@shared_options(parallel=True, formats=(*PLAN_FORMATS, "html", "openmetrics"))
def command(options: Options) -> ExitCode:
    """Show what was changed outside of reconciler: in the API, in Vault, or both. Changes nothing.

    PATHs limit the scope: webhooks of other manifests are only counted.
    Pending changes of manifests are not drift. Cleanup that is due (`apply --cleanup-only` does it), due
    rotations and the work of a run in progress are listed separately, and are not drift either.
    Exit codes: 0 no drift, 2 drift, 4 there are no manifests at all although webhooks are owned, or the API
    key seems to be another organization's.

    \b
    Examples:
      reconciler drift
      reconciler drift --organization acme-prod --format json
      reconciler drift --format markdown
      reconciler drift --format html --output drift.html
      reconciler drift --format openmetrics \\
        --output /var/lib/node_exporter/webhooks.prom
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.fleet_page import write_page
    from reconciler.cli.plan_output import drift_code, notify_drift, rendered_plan, write_refusals
    from reconciler.cli.progress import shown
    from reconciler.cli.results import Results, for_each
    from reconciler.cli.session import load_scope, open_session
    from reconciler.report.plan.summary import DRIFT
    from reconciler.usecases.preview import drift

    if options.format == "html":
        return write_page(options, drift=True)
    if options.format == "openmetrics":
        from reconciler.cli.fleet_metrics import write_metrics  # the library is slow to import

        return write_metrics(options, drift=True)
    scope = load_scope(options)
    results = Results(options, several=scope.several)

    def show(settings: OrganizationSettings) -> ExitCode:
        with open_session(scope, settings) as session, shown(session.reporter):
            found = drift(session)
        text = rendered_plan(found, options, title=DRIFT, share=len(scope.organizations))
        results.add(found.plan.to_json(), text)
        if options.format == "json":
            write_refusals(found)
        notify_drift(scope, found)
        return drift_code(found)

    return results.write_rest(for_each(scope, show, on_error=results.add_error))
