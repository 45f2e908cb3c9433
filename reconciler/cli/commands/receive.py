"""`reconciler receive`: run a receiver."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from reconciler.cli.completion import complete_webhook
from reconciler.cli.options import Options, shared_options
from reconciler.cli.receiving import inbox_option
from reconciler.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from reconciler.config.settings import OrganizationSettings
    from reconciler.receiver.handing import Handler
    from reconciler.receiver.secrets import Source

_STOPPING = (
    "stopping: open deliveries are answered and handlers finish; a second signal ends the process immediately"
)


@click.command("receive")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_webhook)
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to accept deliveries, in plain HTTP: TLS is for the proxy in front.",
)
@inbox_option
@click.option("--forward", metavar="URL", help="Send each event to this URL; a 2xx accepts it.")
@click.option(
    "--exec", "command_line", metavar="COMMAND", help="Run this for each event, its body on stdin; no shell."
)
@click.option("--print", "to_stdout", is_flag=True, help="Print each event as a line of JSON.")
@click.option(
    "--secrets",
    default="vault",
    show_default=True,
    metavar="SOURCE",
    help="Where the signing secrets are: vault, file:PATH or env:VARIABLE. {name} stands for the webhook.",
)
@click.option(
    "--refresh",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How often the secrets are read; also when a signature does not match.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many events of one webhook are handed on at a time; with 1, in order of arrival.",
)
@click.option(
    "--attempts",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="After so many failed attempts, an event is set aside as a dead letter.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the URL or the command may take.",
)
@click.option(
    "--keep",
    type=click.FloatRange(1),
    default=7.0,
    show_default=True,
    metavar="DAYS",
    help="How long an event that was handed on is recognized when it is delivered again.",
)
@shared_options(paths=False, manifests=False, output=False, formats=())
def command(
    options: Options,
    *,
    names: tuple[str, ...],
    listen: str,
    inbox: str | None,
    forward: str | None,
    command_line: str | None,
    to_stdout: bool,
    secrets: str,
    refresh: float,
    workers: int,
    attempts: int,
    timeout: float,
    keep: float,
) -> ExitCode:
    """Receive deliveries for the webhooks NAME, at POST /NAME, until SIGINT or SIGTERM.

    A delivery is verified with every current secret and stored durably before it is answered with 200. Then
    it is handed on at least once: forwarded to a URL, given to a command, or printed. Also serves /healthz
    and /metrics. Logs JSON lines to stderr, without bodies and secrets.

    Answers: 200 stored now or before, 400 not an event, 401 wrong signature, 404 unknown name, 408 too slow,
    413 over 1 MiB, 503 try again later.

    \b
    Examples:
      reconciler receive ci-run-results --print
      reconciler receive ci-runs gates --forward http://127.0.0.1:9000/events
      reconciler receive gates --exec './page.sh --team release' --attempts 5
      reconciler receive gates --exec ./page.sh \\
        --secrets file:/vault/secrets/{name}.json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_note
    from reconciler.cli.receiving import inbox_url, not_installed, one_organization
    from reconciler.cli.signals import stop_on_signal

    try:
        from reconciler.receiver.logs import log_to
        from reconciler.receiver.server import ReceiverServer
        from reconciler.receiver.service import Receiver
    except ImportError:
        raise not_installed() from None

    handler = _handler(forward, command_line, to_stdout=to_stdout, timeout=timeout)
    settings = one_organization(options)
    stop = threading.Event()
    with ExitStack() as opened:
        receiver = Receiver(
            names,
            secrets=_source(secrets, settings, opened),
            inbox=inbox_url(inbox, settings),
            handler=handler,
            workers=workers,
            attempts=attempts,
            keep_days=keep,
            read_secrets_every=refresh,
            grace=timeout,
        )
        server = ReceiverServer(receiver, listen, stop)
        opened.enter_context(stop_on_signal(stop, _STOPPING))
        log_to(verbose=bool(options.verbose))
        for name in names:
            write_note(f"receiving {name} at {server.url}/{name}")
        write_note(f"inbox: {receiver.inbox.place}")
        server.run()
    return ExitCode.OK


def _handler(forward: str | None, command_line: str | None, *, to_stdout: bool, timeout: float) -> Handler:
    """Return the one handler that the options name."""
    from reconciler.receiver.handlers.command import RunCommand
    from reconciler.receiver.handlers.forward import Forward
    from reconciler.receiver.handlers.output import Print

    if (forward is not None) + (command_line is not None) + to_stdout != 1:
        raise UsageError(
            "exactly one of --forward, --exec and --print is needed",
            hint="try `reconciler receive NAME --print`",
        )
    if forward is not None:
        return Forward(forward, timeout=timeout)
    if command_line is not None:
        return RunCommand(command_line, timeout=timeout)
    return Print()


def _source(text: str, settings: OrganizationSettings, opened: ExitStack) -> Source:
    from reconciler.cli.session import connect_vault, open_store
    from reconciler.receiver.sources import parse_source

    source = parse_source(text)
    if source is not None:
        return source
    return open_store(opened.enter_context(connect_vault(settings)), settings).read_fields
