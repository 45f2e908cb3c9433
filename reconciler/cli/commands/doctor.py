"""`reconciler doctor`: check everything that a run needs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, shared_options

if TYPE_CHECKING:
    from reconciler.config.settings import OrganizationSettings
    from reconciler.errors import ExitCode


@click.command("doctor")
@click.option("--endpoints", is_flag=True, help="Connect to each manifest's receiver and check its TLS, too.")
@shared_options(paths=False)
def command(options: Options, *, endpoints: bool) -> ExitCode:
    """Check the API key and its permission, the Vault token, its capabilities, the mount and the clock.

    Nothing is changed, and no secret is read. Exit codes: 0 every check passed, 1 a check failed,
    3 a setting is missing or invalid.

    \b
    Examples:
      reconciler doctor
      reconciler doctor --endpoints
      reconciler doctor --organization acme-prod --format json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.checks import check_api, check_vault
    from reconciler.cli.receivers import check_receivers
    from reconciler.cli.results import Results, for_each, worst
    from reconciler.cli.session import load_scope
    from reconciler.report.checks import checks_text, checks_value

    scope = load_scope(options, manifests=endpoints)
    results = Results(options, several=scope.several)

    def check(settings: OrganizationSettings) -> ExitCode:
        checks = [*check_api(settings, options), *check_vault(settings)]
        if endpoints:
            checks += check_receivers(scope.desired[settings.name], datetime.now(UTC))
        results.add(
            checks_value(settings.name, checks), checks_text(settings.name, checks, color=options.color)
        )
        return worst(each.exit_code for each in checks)

    return results.write_rest(for_each(scope.organizations, check))
