"""Run whole processes in turn, and measure their time and memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_STOPWATCH = Path(__file__).with_name("stopwatch.py")
_ERROR_LENGTH = 600


class CommandFailed(Exception):
    """A command failed, so its time is meaningless. The message has the end of its error output."""


@dataclass(frozen=True)
class Command:
    """A program with its arguments, its working directory and its additional environment variables."""

    arguments: tuple[str, ...]
    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One run of a command."""

    seconds: float
    megabytes: float
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Sample:
    """Several runs of one command."""

    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def fastest(self) -> float:
        """Seconds of the fastest run."""
        return min(run.seconds for run in self.runs)

    @property
    def slowest(self) -> float:
        """Seconds of the slowest run."""
        return max(run.seconds for run in self.runs)

    @property
    def cpu(self) -> Sample:
        """The same runs with the time of the processor in the place of the clock's."""
        return Sample(tuple(replace(run, seconds=run.cpu_seconds) for run in self.runs))

    def ratio_to(self, other: Sample) -> float:
        """Return the median of the ratios to `other` in the same rounds.

        A shared machine is slow for some rounds, but then it is slow for both.
        """
        return statistics.median(
            ours.seconds / theirs.seconds for ours, theirs in zip(self.runs, other.runs, strict=True)
        )

    def __add__(self, other: Sample) -> Sample:
        """Return the times of both together, round by round."""
        return self._paired(other, +1)

    def __sub__(self, other: Sample) -> Sample:
        """Return the difference to `other`, round by round."""
        return self._paired(other, -1)

    def _paired(self, other: Sample, sign: int) -> Sample:
        return Sample(
            tuple(
                Run(one.seconds + sign * two.seconds, max(one.megabytes, two.megabytes))
                for one, two in zip(self.runs, other.runs, strict=True)
            )
        )

    @property
    def megabytes(self) -> float:
        """The largest peak of memory."""
        return max(run.megabytes for run in self.runs)


def in_turn(commands: Mapping[str, Command], runs: int) -> dict[str, Sample]:
    """Run each command `runs` times, one after another in each round. A round before them warms the caches.

    Raises:
        CommandFailed: one failed.
    """
    taken: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(runs + 1):
        for name, command in commands.items():
            run = run_once(command)
            if number:
                taken[name].append(run)
    return {name: Sample(tuple(those)) for name, those in taken.items()}


def run_once(command: Command) -> Run:
    """Run a command.

    Raises:
        CommandFailed: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="reconciler-bench-home-") as home:
        report, errors = Path(home, "report"), Path(home, "stderr")
        # To a file, because reading a pipe meanwhile would take time from the command on a small machine.
        with errors.open("wb") as stderr:
            subprocess.run(
                [sys.executable, "-I", "-S", str(_STOPWATCH), str(report), *command.arguments],
                cwd=command.folder,
                # An empty home, so that the user's own files are neither read nor changed.
                env={"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8", **command.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                check=False,
            )
        found = report.read_text(encoding="utf-8") if report.exists() else '{"code": "no report"}'
        words = errors.read_text(encoding="utf-8", errors="replace").strip()[-_ERROR_LENGTH:]
    result = json.loads(found)
    if result["code"] != 0:
        name = " ".join(command.arguments[-4:])
        raise CommandFailed(f"`{name}` ended with {result['code']}: {words or 'no error output'}")
    return Run(result["seconds"], result["megabytes"], result["cpu_seconds"])
