"""One run of the benchmark: what was asked for, what was found so far."""

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
    """Something that is set up once and gives some rows. It fails as a whole."""

    budgets: tuple[str, ...]
    """Which budgets its rows belong to."""
    title: str
    measure: Callable[[Bench], Iterable[Row]]


@dataclass
class Bench:
    """What experiments share."""

    folder: Path
    """For fleets; removed in the end."""
    runs: int
    """How often each command runs after a first time, which warms the caches. For growth, thrice that."""
    growth: dict[str, dict[int, Sample]] = field(default_factory=dict)
    """What a fleet took (100 a file), by series and size: for the plot, and for what is said about growth."""

    def fleet(self, size: int, per_file: int = MANY) -> Fleet:
        """Return a fleet of that size and shape."""
        return make_fleet(self.folder, size, per_file)

    def runs_at(self, size: int) -> int:
        """Return the number of runs: fewer where each takes long, and so is less noisy."""
        return min(self.runs, _RUNS_OF_LARGE) if size >= LARGE else self.runs

    def keep(self, series: str, size: int, sample: Sample) -> None:
        """Remember a point of the plot."""
        self.growth.setdefault(series, {})[size] = sample
