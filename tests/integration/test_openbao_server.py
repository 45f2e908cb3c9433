"""The embedded OpenBao server: it starts, is isolated, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError
from reconciler.sandbox.openbao import OpenBaoServer, find_binary
from tests.fixtures.patience import PATIENCE


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that the process was started with."""
    text = Path(f"/proc/{pid}/environ").read_text("utf-8")
    return dict(item.split("=", 1) for item in text.split("\0") if item)


def test_it_is_isolated_from_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments contain no secret, its environment nothing of ours, and its home is removed with it."""
    monkeypatch.setenv("VAULT_TOKEN", "canary")
    monkeypatch.setenv("BAO_ADDR", "http://canary")
    with OpenBaoServer() as server:
        pid = server.pid
        assert pid is not None
        arguments = Path(f"/proc/{pid}/cmdline").read_text("utf-8").split("\0")
        assert arguments[0] == str(find_binary())
        assert not any(server.root_token.reveal() in argument for argument in arguments)
        environment = environment_of(pid)
        assert environment.keys() == {"HOME", "PATH", "LC_ALL", "BAO_DEV_ROOT_TOKEN_ID"}
        home = Path(environment["HOME"])
        assert home.stat().st_mode & 0o077 == 0
        assert not (home / ".vault-token").exists()
        assert server.address.startswith("http://127.0.0.1:")
    assert not home.exists()
    assert not Path(f"/proc/{pid}").exists()
    assert server.pid is None


def test_two_servers_are_independent() -> None:
    """Two servers at the same time have different ports and data."""
    with OpenBaoServer() as first, OpenBaoServer() as second:
        assert first.address != second.address
        first.request("POST", "secret/data/x", {"data": {"a": "b"}})
        with pytest.raises(ReconcilerError, match="GET secret/data/x with HTTP 404"):
            second.request("GET", "secret/data/x")


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """When the process that started it is killed, the server ends, too."""
    code = (
        "from reconciler.sandbox.openbao import OpenBaoServer\n"
        "server = OpenBaoServer()\nserver.start()\n"
        "print(server.pid, flush=True)\ninput()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # the server's home is not removed
    ) as parent:
        assert parent.stdout is not None
        # A process descriptor can be read once the process has ended.
        with os.fdopen(os.pidfd_open(int(parent.stdout.readline())), "rb", buffering=0) as server:
            assert not select.select([server], [], [], 0)[0]
            parent.send_signal(signal.SIGKILL)
            parent.wait(PATIENCE)
            assert select.select([server], [], [], 30)[0]


def test_data_outlives_a_server_with_a_directory(tmp_path: Path) -> None:
    """A later server has the same documents and root token; without its keys the error names the file."""
    data = tmp_path / "vault"
    with OpenBaoServer(data_dir=data) as server:
        token = server.root_token
        server.request("POST", "secret/data/x", {"data": {"a": "b"}})
    keys = data / "keys.json"
    assert keys.stat().st_mode & 0o777 == 0o600
    with OpenBaoServer(data_dir=data) as server:
        assert server.root_token == token
        assert server.request("GET", "secret/data/x")["data"]["data"] == {"a": "b"}
    for content in ("no json", "[]", json.dumps({"key": "canary"}), None):
        keys.unlink()
        if content is not None:
            keys.write_text(content)
        with pytest.raises(ReconcilerError, match="does not contain the unseal key") as refused:
            OpenBaoServer(data_dir=data).start()
        assert str(keys) in refused.value.message
        assert "canary" not in refused.value.message


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The error contains the server's own error, and nothing is left running."""
    data = tmp_path / "vault"
    data.mkdir()
    (data / "vault.db").mkdir()
    server = OpenBaoServer(data_dir=data)
    with pytest.raises(ReconcilerError, match=r"did not start.*vault\.db"):
        server.start()
    assert server.pid is None


def test_a_start_can_time_out(tmp_path: Path) -> None:
    """A start that takes longer than it may is a failure."""
    server = OpenBaoServer(start_patience=0)
    with pytest.raises(ReconcilerError, match="did not start"):
        server.start()
    assert server.pid is None


def test_a_stuck_server_is_killed() -> None:
    """A server that ignores SIGTERM is killed."""
    server = OpenBaoServer(stop_patience=0.1)
    server.start()
    pid = server.pid
    server.pause()
    server.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_stopping_twice_is_once() -> None:
    """Stopping and resuming a server that is not running does nothing."""
    server = OpenBaoServer()
    server.stop()
    server.resume()
    assert server.pid is None
