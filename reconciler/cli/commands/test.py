"""`reconciler test`: send test deliveries."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import click

from reconciler.cli.completion import complete_webhook
from reconciler.cli.options import Options, shared_options
from reconciler.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from reconciler.config.settings import OrganizationSettings

_STOPPING = "stopping: the current delivery is finished first; a second signal ends the process immediately"


@click.command("test")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_webhook)
@shared_options(paths=False, manifests=False, parallel=True, formats=("text", "json", "markdown"))
def command(options: Options, *, names: tuple[str, ...]) -> ExitCode:
    """Send a signed test delivery to each webhook, or to those of NAME, and report which arrived.

    Changes nothing: `apply` verifies webhooks that are not verified yet. A receiver that answers 401 has
    another signing secret than the API, which is reported. Exit codes: 0 all were delivered,
    3 there is no such webhook, 5 some failed or were not attempted.

    \b
    Examples:
      reconciler test
      reconciler test ci-run-results release-gates
      reconciler test --format json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.progress import shown
    from reconciler.cli.receiver_secrets import is_ours
    from reconciler.cli.results import Results, for_each
    from reconciler.cli.session import load_scope, open_session
    from reconciler.cli.signals import stop_on_signal
    from reconciler.cli.turns import begin_writing
    from reconciler.plan.outcome import DeliveryResult
    from reconciler.report.deliveries import deliveries_markdown, deliveries_text, deliveries_value
    from reconciler.usecases.deliver import deliver_tests

    scope = load_scope(options, manifests=False)
    if names and scope.several:
        raise UsageError("NAME needs one organization", hint="add --organization NAME")
    results = Results(options, several=scope.several)
    stop = threading.Event()

    def deliver(settings: OrganizationSettings) -> ExitCode:
        with (
            open_session(scope, settings) as session,
            stop_on_signal(stop, _STOPPING),
            shown(session.reporter),
        ):
            begin_writing()
            deliveries = deliver_tests(session, names, stop, is_ours)
        if options.format == "markdown":
            text = deliveries_markdown(settings.name, deliveries)
        else:
            text = deliveries_text(settings.name, deliveries, color=options.color)
        results.add(deliveries_value(settings.name, deliveries), text)
        done = all(each.result is DeliveryResult.DELIVERED for each in deliveries)
        return ExitCode.OK if done else ExitCode.PARTIAL

    return results.write_rest(
        for_each(scope, deliver, stop=stop, stopping=_STOPPING, on_error=results.add_error)
    )
