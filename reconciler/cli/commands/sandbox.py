"""`reconciler sandbox`: run a Zof API, an OpenBao server and a receiver on this machine."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path

import click

from reconciler.errors import ExitCode

_POLL_SECONDS = 0.2


@click.command("sandbox")
@click.option(
    "--path",
    metavar="FOLDER",
    help="Keep all data in this folder for the next run; default: nothing is kept.",
)
def command(path: str | None) -> ExitCode:
    """Run a Zof API, an OpenBao server and a webhook receiver on loopback, until Ctrl-C.

    Prints `export` lines with throw-away credentials for another shell: the only secrets that this
    program ever prints, worth nothing outside this sandbox.

    \b
    Examples:
      reconciler sandbox
      reconciler sandbox --path ~/.cache/zof-sandbox
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_note, write_result
    from reconciler.cli.servers import run_servers
    from reconciler.cli.signals import stop_on_signal

    stop = threading.Event()
    with (
        stop_on_signal(stop, "stopping the sandbox"),
        run_servers(Path(path).expanduser() if path else None) as servers,
    ):
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
    return ExitCode.OK
