"""`reconciler sandbox`: run a Zof API, an OpenBao server and a receiver on this machine, and send events."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.completion import complete_webhook
from reconciler.cli.options import Options, shared_options
from reconciler.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.cli.session import Scope

_POLL_SECONDS = 0.2
_HUGE = 1024 * 1024 + 1


@click.group("sandbox", invoke_without_command=True)
@click.option(
    "--path",
    metavar="FOLDER",
    help="Keep all data, ports and the API key in this folder for the next run; default: nothing is kept.",
)
@click.pass_context
def command(context: click.Context, path: str | None) -> ExitCode:
    """Run a Zof API, an OpenBao server and a webhook receiver on loopback, until Ctrl-C.

    Prints `export` lines with throw-away credentials for another shell: the only secrets that this
    program ever prints, worth nothing outside this sandbox. There, `reconciler sandbox send` sends events.

    \b
    Examples:
      reconciler sandbox
      reconciler sandbox --path ~/.cache/zof-sandbox
      reconciler sandbox send run.failed
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    if context.invoked_subcommand is None:
        _run(Path(path).expanduser() if path else None)
    return ExitCode.OK


def _run(folder: Path | None) -> None:
    """Run the servers until a signal, and report the deliveries that their receiver gets."""
    from reconciler.cli.output import write_note, write_result
    from reconciler.cli.servers import run_servers
    from reconciler.cli.signals import stop_on_signal

    stop = threading.Event()
    with stop_on_signal(stop, "stopping the sandbox"), run_servers(folder) as servers:
        write_result(
            "# A sandbox on this machine. These credentials are throw-away: they open nothing else.\n"
            + "".join(f"export {name}={shlex.quote(value)}\n" for name, value in servers.environment.items())
        )
        write_note("The sandbox runs until Ctrl-C. Paste the lines into another shell, then: reconciler plan")
        reported = 0
        while not stop.wait(_POLL_SECONDS):
            for delivery in servers.receiver.received[reported:]:
                reported += 1
                event = delivery.event_type or "no event"
                write_note(f"delivery {delivery.outcome}: {event} for {delivery.url}")


@command.command("send")
@click.argument("event", metavar="EVENT")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_webhook)
@click.option(
    "--count", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many events to send."
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="How often to deliver each of them.",
)
@click.option(
    "--late",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Send events that were created so long ago.",
)
@click.option("--out-of-order", is_flag=True, help="Deliver the newest first; needs a --count.")
@click.option("--forged", is_flag=True, help="Sign with a secret that nobody knows: the answer must be 401.")
@click.option("--huge", is_flag=True, help="Send bodies of more than 1 MiB: the answer must be 413.")
@shared_options(paths=False, manifests=False)
def send(
    options: Options,
    *,
    event: str,
    names: tuple[str, ...],
    count: int,
    repeat: int,
    late: float,
    out_of_order: bool,
    forged: bool,
    huge: bool,
) -> ExitCode:
    """Let the running sandbox send an EVENT to the endpoints that subscribe to it, or to those of NAME.

    Needs the variables that the sandbox printed. Each delivery is signed as the API signs it, and its answer
    is reported. Exit codes: 0 every answer was right, 3 nobody subscribes or there is no such webhook, 5 an
    answer was wrong.

    \b
    Examples:
      reconciler sandbox send run.failed
      reconciler sandbox send release.gate_blocked release-gates --repeat 3
      reconciler sandbox send run.completed --count 5 --out-of-order --late 3600
      reconciler sandbox send run.completed --forged
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.cli.sending import ask_sandbox, wrong_answers
    from reconciler.cli.session import load_scope
    from reconciler.errors import UsageError
    from reconciler.report.plan.json import to_json_text
    from reconciler.report.sent import sent_text

    if out_of_order and count == 1:
        raise UsageError("one event has no order", hint="add --count N")
    scope = load_scope(options, manifests=False)
    if scope.several:
        raise UsageError("a sandbox has one organization", hint="add --organization NAME")
    wanted = {
        "type": event,
        "events": count,
        "copies": repeat,
        "age_seconds": late,
        "order": "reversed" if out_of_order else "created",
        "forged": forged,
        "size": _HUGE if huge else 0,
    }
    if names:
        wanted["urls"] = _urls_of(scope, names)
    expected = {status for status, asked in ((401, forged), (413, huge)) if asked}
    deliveries = ask_sandbox(scope.organizations[0].organization.api_url, wanted)
    wrong = wrong_answers(deliveries, expected)
    if options.format == "json":
        text = to_json_text({"deliveries": deliveries})
    else:
        text = sent_text(deliveries, wrong, color=options.color)
    write_result(text, options.output)
    return ExitCode.PARTIAL if any(wrong) else ExitCode.OK


def _urls_of(scope: Scope, names: Sequence[str]) -> list[str]:
    """Return the URLs of webhooks; during an overlap, two endpoints have the same one.

    Raises:
        InvalidInput: there is no such webhook.
    """
    from reconciler.cli.session import open_session
    from reconciler.usecases.deliver import webhooks_with_endpoint

    with open_session(scope, scope.organizations[0]) as session:
        return [projection.url or "" for projection in webhooks_with_endpoint(session, names).values()]
