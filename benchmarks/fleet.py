"""Whole commands on generated fleets, each as a ratio against a baseline in the same run.

    script/bench                     # 10 and 1,000 webhooks
    script/bench --sizes 10000       # others
    script/bench --json results.json # for a machine, too

Machines differ and are noisy, so no figure stands alone: `validate` and `plan` are compared with
`yaml.load(CSafeLoader)` over the same files, `--help` with a bare click program. Each figure is the median
of several runs, which alternate between command and baseline.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.system import SystemClock
from reconciler.ledger import Current, Document, Ledger
from reconciler.manifest.load import load_manifests
from reconciler.model import Secret
from reconciler.plan.project import project
from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.openbao import OpenBaoServer
from reconciler.sandbox.zof_server import ZofServer
from reconciler.vault.auth import TokenLogin
from reconciler.vault.documents import VaultDocuments
from reconciler.vault.session import VaultSession

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MANIFEST = """\
apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata:
  name: hook-{number:06}
  labels:
    team: team-{team:03}
    tier: standard
  annotations:
    runbook: https://wiki.example.com/zof/{number}
spec:
  url: https://hooks-{team:03}.example.com/zof/{number}
  events:
    - run.completed
    - run.failed
    - agent.offline
  deletionPolicy: Delete
  test: true
"""
PER_FILE = {"one a file": 1, "100 a file": 100}
CSAFELOADER = """
import pathlib, yaml
for path in pathlib.Path("manifests").iterdir():
    for document in yaml.load_all(path.read_bytes(), yaml.CSafeLoader):
        pass
"""
BARE_CLICK = "import click; click.command()(lambda: None)(['--help'])"
RECONCILER = (sys.executable, "-m", "reconciler")
VALIDATE = (*RECONCILER, "validate")
PLAN = (*RECONCILER, "plan", "--exit-code", "--no-progress")


@dataclass(frozen=True)
class Figure:
    """One comparison: medians in seconds, the larger peak of memory in MB."""

    title: str
    seconds: float
    baseline: str
    baseline_seconds: float
    megabytes: float

    @property
    def ratio(self) -> float:
        """How many times as long as the baseline it takes."""
        return self.seconds / self.baseline_seconds


def main() -> None:
    """Measure, print a table, write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 1000], help="webhooks in a fleet")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command and baseline")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    for figure in measure(arguments.sizes, arguments.runs):
        figures.append(figure)
        print(
            f"{figure.title:<36} {figure.seconds * 1000:>9.1f} ms = {figure.ratio:>5.2f} x {figure.baseline}"
            f" ({figure.baseline_seconds * 1000:.1f} ms), {figure.megabytes:.0f} MB",
            flush=True,
        )
    if arguments.json:
        machine = {
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
        }
        rows = [{**asdict(figure), "ratio": figure.ratio} for figure in figures]
        arguments.json.write_text(
            json.dumps({"machine": machine, "figures": rows}, indent=2), encoding="utf-8"
        )


def measure(sizes: Sequence[int], runs: int) -> Iterator[Figure]:
    """Yield each figure as it is known."""
    with tempfile.TemporaryDirectory(prefix="reconciler-bench-") as name:
        folder, environ = Path(name), dict(os.environ)
        click = (sys.executable, "-c", BARE_CLICK)
        yield compare("--help", (*RECONCILER, "--help"), "click", click, folder, environ, runs)
        yaml = (sys.executable, "-c", CSAFELOADER)
        for size in sizes:
            for shape, per_file in PER_FILE.items():
                fleet = folder / f"{size}-{per_file}"
                write_fleet(fleet / "manifests", size, per_file)
                title = f"validate of {size:,}, {shape}"
                yield compare(title, VALIDATE, "CSafeLoader", yaml, fleet, environ, runs)
            fleet = folder / f"{size}-{PER_FILE['100 a file']}"
            with servers(fleet) as variables:
                title = f"plan of {size:,} unchanged, 100 a file"
                yield compare(title, PLAN, "CSafeLoader", yaml, fleet, environ | variables, runs)


def write_fleet(folder: Path, size: int, per_file: int) -> None:
    """Write manifests of 17 lines."""
    folder.mkdir(parents=True)
    texts = [MANIFEST.format(number=number, team=number % 100) for number in range(size)]
    for first in range(0, size, per_file):
        text = "---\n".join(texts[first : first + per_file])
        (folder / f"{first:06}.yaml").write_text(text, encoding="utf-8")


@contextmanager
def servers(fleet: Path) -> Iterator[dict[str, str]]:
    """Run an API and an OpenBao on which the fleet is live and recorded; give the variables for them."""
    with ZofServer(Behavior(rate_limit=10_000_000)) as zof, OpenBaoServer() as vault:
        with VaultSession(vault.address, login=TokenLogin(vault.root_token), clock=SystemClock()) as session:
            store = VaultDocuments(session, mount="secret", prefix="webhooks/default", clock=SystemClock())
            now = datetime.now(UTC)
            for webhook in load_manifests([fleet / "manifests"]).webhooks:
                endpoint = zof.console.create(webhook.url, list(webhook.events))
                current = Current(endpoint.id, 1, webhook.digest, webhook.url, "client", now, now)
                ledger = Ledger("default", zof.url, generation=1, current=current)
                document = Document(ledger, signing_secret=Secret("whsec_benchmark"))
                version = store.write(webhook.name, document, cas=0)
                store.write_projection(webhook.name, project(document, version, tested=True))
        yield {
            "ZOF_API_URL": zof.url,
            "ZOF_API_KEY": zof.key.reveal(),
            "VAULT_ADDR": vault.address,
            "VAULT_TOKEN": vault.root_token.reveal(),
        }


def compare(
    title: str,
    command: Sequence[str],
    baseline: str,
    baseline_command: Sequence[str],
    folder: Path,
    environ: dict[str, str],
    runs: int,
) -> Figure:
    """Run command and baseline in turn; the first run of each warms the caches and does not count."""
    ours, theirs, peaks = [], [], []
    for number in range(runs + 1):
        seconds, peak = run(command, folder, environ)
        baseline_seconds, _ = run(baseline_command, folder, environ)
        if number:
            ours.append(seconds)
            theirs.append(baseline_seconds)
            peaks.append(peak)
    return Figure(title, statistics.median(ours), baseline, statistics.median(theirs), max(peaks))


def run(command: Sequence[str], folder: Path, environ: dict[str, str]) -> tuple[float, float]:
    """Return how long a command took (seconds) and its peak of memory (MB).

    Raises:
        RuntimeError: it failed; its time would mean nothing.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        message = f"{' '.join(command[-3:])} exited with {process.returncode}"
        raise RuntimeError(message)
    return seconds, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
