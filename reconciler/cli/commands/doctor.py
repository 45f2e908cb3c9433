"""`reconciler doctor`: check everything that a run needs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.options import Options, shared_options
from reconciler.errors import ExitCode, InvalidInput, ReconcilerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.cli.results import Results
    from reconciler.cli.session import Scope
    from reconciler.config.settings import OrganizationSettings
    from reconciler.model import Webhook
    from reconciler.report.checks import Check


@click.command("doctor")
@click.option(
    "--endpoints",
    is_flag=True,
    help="Connect to each manifest's receiver: check its TLS and, if it is `reconciler receive`, its secret.",
)
@click.option(
    "--probe",
    "probe_url",
    metavar="URL",
    help="Create, test and delete an endpoint at this URL, and report how the API behaves.",
)
@shared_options(paths=False, parallel=True)
def command(options: Options, *, endpoints: bool, probe_url: str | None) -> ExitCode:
    """Check the API key and its permission, the Vault token, its capabilities, the mount and the clock.

    Nothing is changed unless --probe names a URL without an endpoint. No secret is read, but with --endpoints
    that of a webhook whose receiver is `reconciler receive`, to check that it has the same. The probe then
    creates two endpoints there for some seconds, and deletes them whatever happens; after a kill, the next
    probe deletes them. It reports what this organization's API does where the documentation is silent, and
    what follows. Exit codes: 0 every check passed, 1 a check or the probe failed, 3 a setting is missing or
    invalid, 4 there is an endpoint at the probe's URL, 6 another run holds the lock.

    \b
    Examples:
      reconciler doctor
      reconciler doctor --endpoints
      reconciler doctor --organization acme-prod --format json
      reconciler doctor --probe https://hooks.example.com/probe
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.checks import check_servers
    from reconciler.cli.results import Results, for_each, worst
    from reconciler.cli.session import load_scope
    from reconciler.cli.system import SystemClock
    from reconciler.report.checks import checks_text, checks_value

    scope = load_scope(options, manifests=endpoints)
    if probe_url is not None:
        from reconciler.cli.probing import check_probe_url

        if scope.several:
            raise UsageError("a probe needs one organization", hint="add --organization NAME")
        check_probe_url(probe_url)
    results = Results(options, several=scope.several)

    def check(settings: OrganizationSettings) -> ExitCode:
        checks = check_servers(settings, scope.display.lines(settings.name, SystemClock()))
        if endpoints:
            checks += _check_endpoints(settings, scope.desired[settings.name])
        value = checks_value(settings.name, checks)
        text = checks_text(settings.name, checks, color=options.color)
        code = worst(each.exit_code for each in checks)
        if probe_url is not None and code is ExitCode.OK:
            return worst((code, _probe(scope, settings, probe_url, (value, text), results)))
        if probe_url is not None:
            text += "\nNo probe: it needs checks that pass.\n"
        results.add(value, text)
        return code

    return results.write_rest(for_each(scope, check, on_error=results.add_error))


def _check_endpoints(settings: OrganizationSettings, webhooks: Sequence[Webhook]) -> list[Check]:
    """Check the TLS of each receiver, and the secrets of those that are ours."""
    from reconciler.cli.receiver_secrets import check_secrets
    from reconciler.cli.receivers import check_receivers, look_at_receivers
    from reconciler.cli.session import connect_vault, open_store
    from reconciler.report.checks import Certificate

    receivers = look_at_receivers(webhooks)
    checks = check_receivers(receivers, datetime.now(UTC))
    # Nothing is sent to an address that is not public, or that has no trusted certificate.
    trusted = {name for each in receivers if isinstance(each.result, Certificate) for name in each.names}
    try:
        with connect_vault(settings) as vault:
            read_fields = open_store(vault, settings).read_fields
            return checks + check_secrets([each for each in webhooks if each.name in trusted], read_fields)
    except InvalidInput:
        # The check of the Vault token says that there is none.
        return checks


def _probe(
    scope: Scope,
    settings: OrganizationSettings,
    url: str,
    checked: tuple[dict[str, Any], str],
    results: Results,
) -> ExitCode:
    """Probe, and add the report to the result of the checks.

    Raises:
        ReconcilerError: the probe could not begin.
    """
    from reconciler.cli.probing import run_probe
    from reconciler.report.probe import probe_text, probe_value

    value, text = checked
    try:
        report = run_probe(scope, settings, url)
    except ReconcilerError as error:
        value["ok"] = False
        value["probe"] = {
            "error": {"exit_code": int(error.exit_code), "message": error.message, "hint": error.hint}
        }
        results.add(value, text)
        raise
    value["ok"] = report.complete
    value["probe"] = probe_value(report)
    results.add(value, f"{text}\n{probe_text(report, color=scope.options.color)}")
    return ExitCode.OK if report.complete else ExitCode.FAILED
