"""Servers that do their worst: every operation of every client ends, in time, with an error of ours."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ReconcilerError
from tests.fixtures.bombs import gzip_bomb
from tests.fixtures.clients import CANARIES, OPERATIONS
from tests.fixtures.hostile import ENDLESS, Hostile, TickingClock

if TYPE_CHECKING:
    from pathlib import Path

SLACK = 40.0
"""Seconds by which the clock of the tests goes wrong: it moves on with every look at it."""


@pytest.mark.parametrize("mode", ENDLESS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_answer_without_an_end(name: str, mode: str) -> None:
    """The operation fails after the documented time, and no text contains a credential."""
    operation, longest = OPERATIONS[name]
    clock = TickingClock()
    with Hostile(ENDLESS[mode], pace=clock.ticks) as server:
        try:
            told = str(operation(server.url, clock))
        except ReconcilerError as error:
            told = f"{error.message} {error.hint}"
    assert server.requests
    assert "took too long" in told
    assert clock.monotonic() < longest + SLACK
    assert not any(canary in told for canary in CANARIES)


# --- memory -------------------------------------------------------------------------------------------------

_MEASURE = """\
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
output = process.stdout.read()
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(process.returncode, usage.ru_maxrss // 1024)
sys.stdout.buffer.write(output)
"""
"""Runs a program and prints its exit code and its peak of memory in MB, then its output."""

EMPTY_PAGE = b'{"data": [], "has_more": false}'
EMPTY_LISTING = b'{"data": {"key_info": {}}}'
SPACES = b" " * 1_000_000


def _answer(body: bytes, coding: str = "identity") -> list[bytes]:
    lines = ["HTTP/1.1 200 OK", f"Content-Encoding: {coding}", f"Content-Length: {len(body)}"]
    return ["\r\n".join(lines).encode() + b"\r\n\r\n" + body]


BOMBS = {
    "two codings": (_answer(gzip_bomb(SPACES, 2000, codings=2), "gzip, gzip"), "was not asked for"),
    "one coding": (_answer(gzip_bomb(SPACES, 200), "gzip"), "has more than"),
    "depth": (_answer(b"[" * 4_000_000), "(too many values|not from Vault)"),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("server", ["api", "vault"])
def test_few_bytes_do_not_become_many(tmp_path: Path, server: str, bomb: str) -> None:
    """A plan ends with an error, and needs less than 400 MB."""
    pieces, words = BOMBS[bomb]
    manifest = {
        "apiVersion": "webhooks.zof.ai/v1",
        "kind": "Webhook",
        "metadata": {"name": "ci"},
        "spec": {"url": "https://a.example.com/", "events": ["run.failed"]},
    }
    (tmp_path / "ci.yaml").write_text(json.dumps(manifest))
    with (
        Hostile(lambda: pieces if server == "api" else _answer(EMPTY_PAGE)) as api,
        Hostile(lambda: pieces if server == "vault" else _answer(EMPTY_LISTING)) as vault,
    ):
        environ = {
            **os.environ,
            "ZOF_API_URL": f"{api.url}/v1",
            "ZOF_API_KEY": CANARIES[0],
            "VAULT_ADDR": vault.url,
            "VAULT_TOKEN": CANARIES[1],
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        program = [sys.executable, "-c", _MEASURE, sys.executable, "-m", "reconciler", "plan", "ci.yaml"]
        done = subprocess.run(program, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    first, _, output = done.stdout.partition("\n")
    exit_code, megabytes = map(int, first.split())
    assert exit_code == 1, output
    assert re.search(words, output), output
    assert megabytes < 400
    assert not any(canary in output for canary in CANARIES)
