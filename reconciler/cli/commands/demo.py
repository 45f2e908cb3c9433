"""`reconciler demo`: demonstrate the main use on a sandbox, checked against the servers' own data."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from reconciler.cli.output import wants_color, write_result
from reconciler.errors import ExitCode, InvalidInput, ReconcilerError
from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, count

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.cli.servers import Servers
    from reconciler.model import Webhook
    from reconciler.sandbox.sending import Sent
    from reconciler.sandbox.zof_server import ZofServer

_EXAMPLES = Path("examples/manifests")
_BUILT_IN = Path(__file__).resolve().parents[2] / "_templates/demo"
_UNMANAGED = "https://legacy.example.com/unmanaged"
_NEW_EVENT = "remediation.approved"
_EVENTS = re.compile(r"^(?P<head>\s*events:\s*\[)(?P<first>[^\]\n]*)\]", re.MULTILINE)
_BLOCK_EVENTS = re.compile(r"^(?P<head>(?P<indent>\s*)events:\s*\n)(?P<item>\s*- )", re.MULTILINE)
_OURS = ("ZOF_", "VAULT_", "GITHUB_", "ACTIONS_")
_WAIT = 10.0
_LOADED, _LOADED_URL = "under-load", "https://hooks.example.com/under-load"
_LOADED_MANIFEST = f"""\
apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata:
  name: {_LOADED}
  labels: {{owner: demo}}
spec:
  url: {_LOADED_URL}
  events: [run.completed]
  secret: {{overlap: 1h}}
"""
_LEAVE_OUT = "run `reconciler demo` without --manifests"


@click.command("demo")
@click.option(
    "--manifests", metavar="FOLDER", help="Use these; default: examples/manifests, else a built-in set."
)
@click.option("--no-color", is_flag=True, help="Use no colours; so does NO_COLOR=1.")
def command(manifests: str | None, *, no_color: bool) -> ExitCode:
    """Demonstrate the main use on a sandbox: apply, delivery, edit, drift, repair, removal, rotation.

    Everything is real but throw-away: no files or processes remain. Exit code 0 only if every stage did what
    was expected.

    \b
    Examples:
      reconciler demo
      reconciler demo --manifests manifests/
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    import tempfile

    from reconciler.cli.servers import require_extra, run_servers
    from reconciler.cli.signals import terminate_as_interrupt

    require_extra()
    style = Style(wants_color(sys.stdout, os.environ, no_color=no_color))
    with (
        terminate_as_interrupt(),
        tempfile.TemporaryDirectory(prefix="reconciler-demo-") as folder,
        run_servers() as servers,
    ):
        tour = Tour(servers, Path(folder), style)
        _copy_manifests(manifests, tour.manifests)
        for stage in _STAGES:
            tour.run(stage)
    if tour.failures:
        raise ReconcilerError(f"the demo failed: {'; '.join(tour.failures)}")
    write_result(
        style.paint("\nEvery stage did what was expected. No files or processes remain.\n", Ink.BOLD)
    )
    return ExitCode.OK


def _copy_manifests(source: str | None, target: Path) -> None:
    """Copy the manifests, so that the demo edits its copy."""
    import shutil

    folder = Path(source) if source is not None else _EXAMPLES
    if not (folder.is_dir() and any(folder.rglob("*.y*ml"))):
        if source is not None:
            raise InvalidInput(
                f"there are no manifests in {visible(source)}", hint="name a folder of YAML files"
            )
        folder = _BUILT_IN
    shutil.copytree(folder, target)


class Tour:
    """The servers and the folder of the demo, and the expectations that failed so far."""

    def __init__(self, servers: Servers, folder: Path, style: Style) -> None:
        """Begin with no failures."""
        self.servers = servers
        self.folder = folder
        self.style = style
        self.failures: list[str] = []

    @property
    def manifests(self) -> Path:
        """The demo's copy of the manifests."""
        return self.folder / "manifests"

    @property
    def webhooks(self) -> tuple[Webhook, ...]:
        """The webhooks that the manifests currently declare."""
        from reconciler.manifest.load import load_manifests

        return load_manifests([self.manifests]).webhooks

    @property
    def plain(self) -> list[Webhook]:
        """The webhooks that are tested, have no overlap, and are deleted with their manifest.

        Those with a file of their own come first.
        """
        from collections import Counter

        from reconciler.model import DeletionPolicy

        webhooks = self.webhooks
        beside = Counter(webhook.location.path for webhook in webhooks)
        found = [
            each
            for each in webhooks
            if each.test and not each.overlap and each.deletion_policy is DeletionPolicy.DELETE
        ]
        return sorted(found, key=lambda each: (beside[each.location.path], each.name))

    def run(self, stage: Callable[[Tour], None]) -> None:
        """Run one stage under its heading: the first line of its docstring."""
        heading = (stage.__doc__ or "").partition("\n")[0].rstrip(".")
        write_result(self.style.paint(f"\n== {heading}\n", Ink.BOLD, Ink.CYAN))
        stage(self)

    def reconciler(self, *args: str, expect: int = 0) -> None:
        """Run a command as a user would, show it and its output, and check its exit code."""
        import subprocess

        write_result(self.style.paint(f"\n$ reconciler {' '.join(args)}\n", Ink.BOLD))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        environment |= {**self.servers.environment, "XDG_STATE_HOME": str(self.folder)}
        if not self.style.color:
            environment["NO_COLOR"] = "1"
        done = subprocess.run(
            [sys.executable, "-m", "reconciler", *args], cwd=self.folder, env=environment, check=False
        )
        self.expect(done.returncode == expect, f"`reconciler {args[0]}` exits with {expect}", done.returncode)

    def expect(self, holds: bool, what: str, instead: object = None) -> None:
        """Report whether an expectation holds, and remember a failure."""
        mark = self.style.paint("✓", Ink.GREEN) if holds else self.style.paint("✗", Ink.RED)
        write_result(f"{mark} {what}" + ("" if holds or instead is None else f" (but: {instead})") + "\n")
        if not holds:
            self.failures.append(what)

    def live(self) -> dict[str, str]:
        """Return the live endpoints' ids by URL from the API's own data, without the unmanaged endpoint."""
        return {each.url: each.id for each in self.servers.zof.console.list() if each.url != _UNMANAGED}

    def expect_truth(self) -> None:
        """Check that the live endpoints match the manifests, and that Vault has their signing secrets."""
        live, wanted = self.live(), len(self.webhooks)
        self.expect(len(live) == wanted, f"{count(wanted, 'endpoint')} live", len(live))
        signing = self.servers.zof.signing_secrets()
        right = [url for url, id_ in live.items() if self.servers.stored_secret(url) == signing[id_]]
        self.expect(
            len(right) == len(live), "Vault has the secrets that the API signs with", f"{len(right)} of them"
        )

    def expect_deliveries(self, number: int, since: int) -> None:
        """Check that as many more deliveries arrived, each verified with a secret from Vault."""
        received = self.servers.receiver.wait_for(since + number, _WAIT)[since:]
        for each in received:
            write_result(f"  {each.outcome}: {each.event_type} for {visible(each.url)}\n")
        verified = sum(each.outcome == "verified" for each in received)
        deliveries = count(number, "signed delivery", "signed deliveries")
        self.expect(
            verified == len(received) == number,
            f"the receiver verified {deliveries} with secrets from Vault",
            f"{verified} of {len(received)}",
        )


def _check(tour: Tour) -> None:
    """Check the manifests, offline."""
    tour.reconciler("validate")


def _preview(tour: Tour) -> None:
    """Plan: an unmanaged endpoint is already live, and stays."""
    tour.servers.zof.console.create(_UNMANAGED, ["run.completed"])
    tour.reconciler("plan", "--exit-code", expect=2)
    tour.expect(not tour.live(), "a plan changes nothing")


def _create(tour: Tour) -> None:
    """Apply: endpoints are created, their signing secrets are stored in Vault, test deliveries arrive."""
    since = len(tour.servers.receiver.received)
    tour.reconciler("apply", "--yes")
    tour.expect_truth()
    tour.expect_deliveries(sum(webhook.test for webhook in tour.webhooks), since)


def _edit(tour: Tour) -> None:
    """Edit a manifest: the API has no update, so a new endpoint replaces the old one."""
    path = next((each.location.path for each in tour.plain if _add_event(Path(each.location.path))), None)
    if path is None:
        raise InvalidInput("no manifest has events that the demo can edit", hint=_LEAVE_OUT)
    write_result(f"(added {_NEW_EVENT} in {Path(path).relative_to(tour.folder)})\n")
    before, since = set(tour.live().values()), len(tour.servers.receiver.received)
    tour.reconciler("apply", "--yes")
    tour.expect(len(before - set(tour.live().values())) == 1, "exactly one endpoint was replaced")
    tour.expect_truth()
    tour.expect_deliveries(1, since)


def _drift(tour: Tour) -> None:
    """Delete one endpoint in the console and edit another: drift."""
    live = tour.live()
    urls = [webhook.url for webhook in tour.plain]
    if len(urls) < 2:  # noqa: PLR2004 (one to delete and one to edit)
        raise InvalidInput("the demo needs two webhooks that are tested and have no overlap", hint=_LEAVE_OUT)
    first, second, *_ = urls
    tour.servers.zof.console.delete(live[first])
    tour.servers.zof.console.edit(live[second], events=["run.started"])
    write_result(f"(deleted the endpoint of {visible(first)}, changed the events of {visible(second)})\n")
    tour.reconciler("drift", expect=2)


def _fix(tour: Tour) -> None:
    """Apply again: the drift is fixed."""
    since = len(tour.servers.receiver.received)
    tour.reconciler("apply", "--yes")
    tour.expect_truth()
    tour.expect_deliveries(2, since)
    tour.reconciler("drift")


def _remove(tour: Tour) -> None:
    """Delete a manifest: its endpoint and its secret are deleted."""
    file = Path(tour.plain[0].location.path)
    write_result(f"(removed {file.relative_to(tour.folder)})\n")
    file.unlink()
    tour.reconciler("apply", "--yes")
    tour.expect_truth()
    urls = [each.url for each in tour.servers.zof.console.list()]
    tour.expect(_UNMANAGED in urls, "the unmanaged endpoint was not touched")


def _rotate(tour: Tour) -> None:
    """Rotate a signing secret under load: no delivery is refused."""
    (tour.manifests / f"{_LOADED}.yaml").write_text(_LOADED_MANIFEST, encoding="utf-8")
    write_result(f"(added {_LOADED}.yaml, with an overlap of an hour)\n")
    tour.reconciler("apply", "--yes")
    with _Load(tour.servers.zof) as load:
        tour.reconciler("rotate", _LOADED, "--yes")
    refused = [each for each in load.sent if not each.result.delivered]
    tour.expect(
        not refused,
        f"{count(len(load.sent), 'delivery', 'deliveries')} during the rotation, none refused",
        f"{len(refused)} of them",
    )
    endpoints = len({each.endpoint_id for each in load.sent})
    tour.expect(endpoints == 2, "both endpoints sent some, each signed with its own secret", endpoints)  # noqa: PLR2004


class _Load:
    """Sends events one after another to the endpoints of a webhook, in a thread of its own."""

    def __init__(self, zof: ZofServer) -> None:
        import threading

        self.sent: list[Sent] = []
        self._zof = zof
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        from reconciler.sandbox.sending import Sending

        is_last = False
        while not is_last:
            # The last event is sent after the rotation, by both endpoints.
            is_last = self._stop.is_set()
            self.sent += self._zof.send(Sending(type="run.completed", urls=(_LOADED_URL,)))


def _rest(tour: Tour) -> None:
    """No changes are pending."""
    tour.reconciler("plan", "--exit-code")
    tour.reconciler("status")


_STAGES = (_check, _preview, _create, _edit, _drift, _fix, _remove, _rotate, _rest)


def _add_event(file: Path) -> bool:
    """Add an event to the first webhook of a file; return whether that was possible."""
    text = file.read_text(encoding="utf-8")
    if _NEW_EVENT in text:
        return False
    edited, found = _EVENTS.subn(rf"\g<head>\g<first>, {_NEW_EVENT}]", text, count=1)
    if not found:
        edited, found = _BLOCK_EVENTS.subn(rf"\g<head>\g<item>{_NEW_EVENT}\n\g<item>", text, count=1)
    file.write_text(edited, encoding="utf-8")
    return bool(found)
