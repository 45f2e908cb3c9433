"""P13: many organizations at a time, on servers that take 50 ms for each answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.baselines import reconciler
from benchmarks.bench import MANY, Bench, Experiment
from benchmarks.fleets import write_manifests
from benchmarks.measuring import Sample, in_turn
from benchmarks.rows import Limit, Quantity, Row, ratio
from benchmarks.servers import empty_stand_ins

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ORGANIZATIONS, _WEBHOOKS = 100, 100
_PAUSE = 0.05
_AT_MOST = 1.3
_MEGABYTES_EACH = 1.0
_WIDTHS = (1, 2, 4, 8, 16)
_COUNTS = (1, 10, 25, 50)
_BUDGETED_WIDTH = 8


def experiments() -> list[Experiment]:
    """Return the experiment."""
    title = f"plan of {_ORGANIZATIONS} organizations of {_WEBHOOKS} webhooks"
    return [Experiment(("P13",), title, _plan)]


def _plan(bench: Bench) -> Sequence[Row]:
    folder = bench.folder / "organizations"
    names = _write_organizations(folder)
    with empty_stand_ins(folder, pause=_PAUSE) as environ:

        def plan(count: int, width: int) -> tuple[str, ...]:
            chosen = [option for name in names[:count] for option in ("--organization", name)]
            return ("plan", "--no-progress", "--parallel", str(width), *chosen)

        shapes = [(_ORGANIZATIONS, width) for width in _WIDTHS]
        shapes += [(count, _BUDGETED_WIDTH) for count in _COUNTS]
        commands = {
            f"{count}/{width}": reconciler(folder, *plan(count, width), environ=environ)
            for count, width in shapes
        }
        samples = in_turn(commands, bench.runs)
    every, alone = samples[f"{_ORGANIZATIONS}/{_BUDGETED_WIDTH}"], samples[f"1/{_BUDGETED_WIDTH}"]
    floor, name = max(
        ((alone, "the slowest organization alone"), (every.cpu, "the CPU time of all")), key=_seconds
    )
    what = f"`plan` of {_ORGANIZATIONS} organizations of {_WEBHOOKS} webhooks, 50 ms an answer"
    each = (every.megabytes - alone.megabytes) / (_ORGANIZATIONS - 1)
    memory = Row(
        "P13",
        "the same: memory for each further organization",
        Quantity(every.megabytes, "MB"),
        Quantity(alone.megabytes, "MB"),
        "one organization",
        each,
        Limit("at most", _MEGABYTES_EACH, "MB"),
    )
    others = []
    for count, width in shapes:
        if (count, width) != (_ORGANIZATIONS, _BUDGETED_WIDTH):
            words = f"`plan` of {count} organizations, `--parallel {width}`"
            others.append(ratio("", words, samples[f"{count}/{width}"], name, floor))
    return [ratio("P13", what, every, name, floor, _AT_MOST), memory, *others]


def _seconds(candidate: tuple[Sample, str]) -> float:
    return candidate[0].seconds


def _write_organizations(folder: Path) -> list[str]:
    names = [f"org-{number:03}" for number in range(_ORGANIZATIONS)]
    for number, name in enumerate(names):
        manifests = folder / "manifests" / name
        manifests.mkdir(parents=True)
        first = number * _WEBHOOKS
        write_manifests(manifests, range(first, first + _WEBHOOKS), MANY)
    organizations = [{"name": name, "manifests": [f"manifests/{name}"]} for name in names]
    config = {"apiVersion": "webhooks.zof.ai/v1", "kind": "Config", "organizations": organizations}
    (folder / "reconciler.yaml").write_text(json.dumps(config), encoding="utf-8")
    return names
