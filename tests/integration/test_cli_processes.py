"""The command line as processes: terminals, pipes, signals, the sandbox and the tour."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from fcntl import ioctl
from typing import TYPE_CHECKING

import pytest

from reconciler.sandbox.behavior import Behavior
from tests.fixtures.ci import accessors
from tests.fixtures.openbao import create_role, enable_approle, write_policy
from tests.fixtures.patience import PATIENCE
from tests.fixtures.proxy import Fate, Proxy

if TYPE_CHECKING:
    from tests.fixtures.command import CommandLine
    from tests.fixtures.proxy import Request

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A pseudo-terminal of 80 columns with a command on it."""

    def __init__(self, command: CommandLine, *args: str, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        env = {**_clean_environment(), "TERM": "xterm-256color", **command.environment, **environment}
        self.process = command.popen(*args, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
        os.close(theirs)
        self.screen = ""

    def read_until(self, text: str | None) -> str:
        """Read until `text` appears, or (None) to the end; return everything so far."""
        with contextlib.suppress(OSError):  # Linux says EIO at the end of a pseudo-terminal
            while text is None or text not in self.screen:
                piece = os.read(self._ours, 65536)
                if not piece:
                    break
                self.screen += piece.decode("utf-8", "replace")
        assert text is None or text in self.screen, self.screen
        return self.screen

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Read to the end and return the exit code."""
        self.read_until(None)
        os.close(self._ours)
        return self.process.wait(PATIENCE)


def _clean_environment() -> dict[str, str]:
    cleared = ("ZOF_", "VAULT_", "GITHUB_", "ACTIONS_", "NO_COLOR")
    return {name: value for name, value in os.environ.items() if not name.startswith(cleared)}


def test_on_a_terminal_apply_shows_the_plan_and_asks(command: CommandLine) -> None:
    """No (or nothing at all) changes nothing and exits 1; yes carries out what was shown."""
    command.write("ci")
    for answer in ("n\n", "\n", "\x04"):
        terminal = Terminal(command, "apply")
        screen = ESCAPES.sub("", terminal.read_until("Apply this plan? [y/N]: "))
        assert screen.index("create ci") < screen.index("Apply this plan?")
        terminal.type(answer)
        assert terminal.end() in {1, 130}
        assert command.live == {}
    terminal = Terminal(command, "apply")
    terminal.read_until("[y/N]: ")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert "Done: 1 done;" in ESCAPES.sub("", terminal.screen)
    assert len(command.live) == 1


def test_on_a_terminal_a_secret_is_asked_for_and_not_shown(command: CommandLine) -> None:
    """`adopt --secret-stdin` asks without an echo, shows what it is going to do, and asks again."""
    endpoint = command.zof.console.create("https://hooks.example.com/ci", ["run.completed"])
    secret = command.zof.signing_secrets()[endpoint.id].reveal()
    command.write("ci")
    for answer, code in (("n\n", 1), ("y\n", 0)):
        terminal = Terminal(command, "adopt", "ci", "--id", endpoint.id, "--secret-stdin")
        terminal.read_until("Signing secret: ")
        terminal.type(f"{secret}\n")
        terminal.read_until("Apply this plan? [y/N]: ")
        terminal.type(answer)
        assert terminal.end() == code
        assert secret not in terminal.screen
        assert endpoint.id in terminal.screen
    assert command.document("ci")["signing_secret"] == secret


def test_a_terminal_gets_colours_unless_told_not_to(command: CommandLine) -> None:
    """Results are painted on a terminal; NO_COLOR and --no-color leave not one colour, nor the bar's."""
    command.write("ci")
    painted = re.compile(r"\x1b\[[0-9;]*m")
    terminal = Terminal(command, "plan")
    assert terminal.end() == 0
    assert painted.search(terminal.screen)
    for args, environment in (((), {"NO_COLOR": "1"}), (("--no-color",), {})):
        terminal = Terminal(command, "plan", "--no-progress", *args, **environment)
        assert terminal.end() == 0
        assert "create ci" in terminal.screen
        assert not painted.search(terminal.screen)


def test_a_terminal_gets_a_bar_that_leaves_nothing_behind(command: CommandLine) -> None:
    """While an apply runs a bar counts its requests; --no-progress shows none."""
    for name in ("a", "b", "c"):
        command.write(name)
    command.zof.behavior = Behavior(latency=0.15, rate_limit=1000)
    terminal = Terminal(command, "apply", "--yes")
    assert terminal.end() == 0
    assert re.search(r"[1-5]/[67]", ESCAPES.sub("", terminal.screen))
    quiet = Terminal(command, "plan", "--no-progress")
    assert quiet.end() == 0
    assert "page" not in quiet.screen


def test_a_reader_that_leaves_is_no_failure(command: CommandLine) -> None:
    """`plan | head -1` is quiet: exit 0 and nothing on stderr, however much was to be written."""
    for number in range(300):
        command.write(f"hook-{number:03}")
    process = command.popen("plan")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Plan for ")
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    assert (process.wait(PATIENCE), errors) == (0, "")
    process.stderr.close()


def test_help_into_a_closed_pipe_is_quiet(command: CommandLine) -> None:
    """`--help | true` shows no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    process = command.popen("--help", stdout=writing)
    os.close(writing)
    _, errors = process.communicate(timeout=PATIENCE)
    assert errors == ""


@pytest.mark.parametrize("args", ["--version", "--help", "validate", "validate --help"])
@pytest.mark.parametrize(
    ("redirect", "why"), [(">&-", "it is closed"), (">/dev/full", "No space left on device")]
)
def test_a_stdout_that_cannot_be_written_is_one_sentence(
    command: CommandLine, args: str, redirect: str, why: str
) -> None:
    """Exit 1, whatever was to be written; stdin may be closed, too."""
    command.write("ci")
    shell = ["sh", "-c", f"exec {sys.executable} -m reconciler {args} {redirect} <&-"]
    done = subprocess.run(shell, cwd=command.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: cannot write to stdout: {why}\nhint: check where stdout goes\n"


@pytest.mark.parametrize("on_terminal", [True, False], ids=["terminal", "pipe"])
def test_a_wait_for_the_lock_names_its_holder(command: CommandLine, on_terminal: bool) -> None:
    """Who holds the lock and since when is there during the wait; then the run takes the lock and applies."""
    command.write("ci")
    fields = {
        "id": "other", "holder": "grace", "host": "elsewhere", "since": "2026-11-24T12:00:00Z",
        "expires": "2999-01-01T00:00:00Z",
    }  # fmt: skip
    command.vault.request("POST", f"secret/data/{command.prefix}/_lock", {"data": fields})
    held = "another run holds the lock: grace on elsewhere since 2026-11-24T12:00:00Z"
    args = ("apply", "--yes", "--lock-timeout", "120")
    if on_terminal:
        terminal = Terminal(command, *args)
        terminal.read_until(held)
        command.vault.request("DELETE", f"secret/data/{command.prefix}/_lock")
        assert terminal.end() == 0
    else:
        process = command.popen(*args)
        assert process.stderr is not None
        assert held in next(line for line in process.stderr if line.startswith("waiting "))
        command.vault.request("DELETE", f"secret/data/{command.prefix}/_lock")
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    assert len(command.live) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_finishes_the_step_in_hand(command: CommandLine, number: signal.Signals) -> None:
    """The first signal lets the step end, lists what is left, frees the lock; the next run goes on."""
    for name in ("a", "b", "c"):
        command.write(name)
    arrived, told = threading.Event(), threading.Event()

    def hold_back(request: Request) -> Fate:
        if request.method == "POST":
            arrived.set()
            told.wait(PATIENCE)
        return Fate.FORWARD

    with Proxy(command.zof.origin) as proxy:
        proxy.script = hold_back
        command.environment["ZOF_API_URL"] = f"{proxy.address}/v1"
        process = command.popen("apply", "--yes")
        assert arrived.wait(PATIENCE)
        process.send_signal(number)
        assert process.stderr is not None
        errors = next(line for line in process.stderr if line.strip())
        told.set()
        output, rest = process.communicate(timeout=PATIENCE)
        errors += rest
        assert process.returncode == 5, errors
        assert "stopping: the current step is finished first" in errors
        assert "Interrupted: " in output
        assert "not attempted" in output
        assert "Traceback" not in errors
        assert len(command.live) == 1, "the step in hand was finished, and nothing else begun"
        again = command("apply", "--yes", "--lock-timeout", "0")
        assert again.exit_code == 0, again.stderr
        assert len(command.live) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_plan_is_quiet_and_logs_out(command: CommandLine, number: signal.Signals) -> None:
    """A signal while a plan waits for an answer: exit 130, one word, no traceback; its token is revoked."""
    command.write("ci")
    enable_approle(command.vault, "interrupted")
    rules = f'path "secret/+/{command.prefix}/*" {{ capabilities = ["read", "list"] }}'
    write_policy(command.vault, "interrupted", rules)
    role_id, secret_id = create_role(command.vault, "plan", "interrupted", mount="interrupted")
    organization = {
        "name": command.environment["ZOF_ORGANIZATION"],
        "vault": {"prefix": command.prefix, "auth": {"method": "approle", "mount": "interrupted"}},
    }
    config = {"apiVersion": "webhooks.zof.ai/v1", "kind": "Config", "organizations": [organization]}
    (command.folder / "reconciler.yaml").write_text(json.dumps(config), encoding="utf-8")
    command.environment |= {"VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id.reveal()}
    before = accessors(command.vault)
    arrived, over = threading.Event(), threading.Event()

    def hold_back(_request: Request) -> Fate:
        arrived.set()
        over.wait(PATIENCE)
        return Fate.DROP

    with Proxy(command.zof.origin) as proxy:
        proxy.script = hold_back
        command.environment["ZOF_API_URL"] = f"{proxy.address}/v1"
        process = command.popen("plan", "-v")
        assert arrived.wait(PATIENCE)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        over.set()
    assert process.returncode == 130
    assert accessors(command.vault) == before
    command.vault.request("DELETE", "sys/auth/interrupted")
    assert errors.strip().splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in errors
