"""P5, and P6 for one file: the start-up time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.baselines import bare_click, bare_python, reconciler
from benchmarks.bench import Bench, Experiment
from benchmarks.measuring import in_turn
from benchmarks.rows import ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.rows import Row

# These commands are short, so noise matters more and additional runs cost little.
_RUNS = 4


def experiments() -> list[Experiment]:
    """Return the experiments."""
    return [Experiment(("P5", "P6"), "start-up", _start_up)]


def _start_up(bench: Bench) -> Iterator[Row]:
    folder = bench.fleet(1).folder
    samples = in_turn(
        {
            "help": reconciler(folder, "--help"),
            "version": reconciler(folder, "--version"),
            "validate": reconciler(folder, "validate"),
            "click": bare_click(folder),
            "python": bare_python(folder),
        },
        bench.runs * _RUNS,
    )
    click, python = samples["click"], samples["python"]
    yield ratio("P5", "`--help`", samples["help"], "a bare click program", click, at_most=1.3)
    yield ratio("P5", "`--version`", samples["version"], "`python -c pass`", python, at_most=1.5)
    yield ratio("P6", "`validate` of one file", samples["validate"], "a bare click program", click, 2.5)
