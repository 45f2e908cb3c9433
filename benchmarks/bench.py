"""One run of the benchmarks: its options and what the experiments share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.fleets import make_fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from benchmarks.fleets import Fleet
    from benchmarks.measuring import Sample
    from benchmarks.rows import Row

LARGE = 50_000
_RUNS_OF_LARGE = 3
MANY, ONE = 100, 1
"""Webhooks a file: the two shapes of a fleet."""


@dataclass(frozen=True)
class Experiment:
    """A measurement that returns one or more rows. If it fails, none of its rows has a result."""

    budgets: tuple[str, ...]
    """The budgets of its rows."""
    title: str
    measure: Callable[[Bench], Iterable[Row]]


@dataclass
class Bench:
    """The folder, the number of runs and the results that experiments share."""

    folder: Path
    """The folder of the fleets; removed at the end."""
    runs: int
    """How often each command runs, after one run that warms the caches. Growth takes three times as many."""
    growth: dict[str, dict[int, Sample]] = field(default_factory=dict)
    """The times of fleets (100 per file) by series and size, for the plot and the growth."""

    def fleet(self, size: int, per_file: int = MANY) -> Fleet:
        """Return a fleet of that size and shape."""
        return make_fleet(self.folder, size, per_file)

    def runs_at(self, size: int) -> int:
        """Return the number of runs: fewer for a large fleet, where each run takes long and varies less."""
        return min(self.runs, _RUNS_OF_LARGE) if size >= LARGE else self.runs

    def keep(self, series: str, size: int, sample: Sample) -> None:
        """Add a point to the plot."""
        self.growth.setdefault(series, {})[size] = sample
