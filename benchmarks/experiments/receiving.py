"""P15: deliveries that the receiver stores durably, beside a bare Starlette that stores nothing."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.bench import Bench, Experiment
from benchmarks.measuring import CommandFailed
from benchmarks.rows import Limit, Quantity, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[2]
_DELIVERIES = 4_000
_SECRET = "whsec_benchmark"
_PATIENCE = 60.0
_HALF = 0.5
_P99_SECONDS = 0.050


def experiments() -> list[Experiment]:
    """Return the experiments."""
    return [Experiment(("P15",), "deliveries to a receiver", _receive)]


def _receive(bench: Bench) -> Iterator[Row]:
    with (
        TemporaryDirectory(dir=bench.folder) as folder,
        _serving(folder, "-m", "benchmarks.bare_receiver") as bare,
        _serving(folder, "-m", "reconciler", "receive", "ci") as ours,
    ):
        rates: dict[str, list[float]] = {"bare": [], "ours": []}
        for number in range(bench.runs + 1):
            for name, port in (("bare", bare), ("ours", ours)):
                rate = _DELIVERIES / _deliver(port, f"{number}", _DELIVERIES)["seconds"]
                # The first round warms up.
                if number:
                    rates[name].append(rate)
        stored, plain = (_rate(rates[name]) for name in ("ours", "bare"))
        score = statistics.median(a / b for a, b in zip(rates["ours"], rates["bare"], strict=True))
        yield Row(
            "P15",
            "deliveries that `receive` stores durably",
            stored,
            plain,
            "a bare Starlette that stores nothing:",
            score,
            Limit("at least", _HALF),
        )
        half = stored.value * _HALF
        p99, plain_p99 = (_deliver(port, "paced", int(half * 5), half)["p99"] for port in (ours, bare))
        yield Row(
            "P15",
            f"the 99th percentile of an answer at {half:,.0f} deliveries a second",
            Quantity(p99, "s"),
            Quantity(plain_p99, "s"),
            "the bare Starlette at the same rate:",
            p99 * 1000,
            Limit("at most", _P99_SECONDS * 1000, "ms"),
        )


def _rate(rates: list[float]) -> Quantity:
    return Quantity(statistics.median(rates), "a second", min(rates), max(rates))


def _deliver(port: int, prefix: str, count: int, rate: float = 0.0) -> dict[str, float]:
    """Send deliveries from a process of their own."""
    command = [
        sys.executable, "-m", "benchmarks.deliveries", str(port), _SECRET, prefix, str(count), str(rate),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"deliveries failed: {done.stderr[-600:]}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


@contextmanager
def _serving(folder: str, *program: str) -> Iterator[int]:
    """Run a server on a free port; give the port when it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, *program]
    if "receive" in program:
        command += ["--listen", f"127.0.0.1:{port}", "--secrets", "env:RECEIVER_SECRET", "--print"]
        command += ["--inbox", f"sqlite:///{folder}/inbox.db"]
    else:
        command += [str(port), _SECRET]
    environ = {**os.environ, "RECEIVER_SECRET": _SECRET, "XDG_STATE_HOME": folder}
    with subprocess.Popen(
        command, cwd=_ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            _wait(server, port)
            yield port
        finally:
            server.terminate()


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise CommandFailed("a receiver does not start") from None
            time.sleep(0.05)
        else:
            return
