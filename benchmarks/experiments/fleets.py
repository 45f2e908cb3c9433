"""P1, P3, P4, P6: whole commands on generated fleets."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks.baselines import (
    list_metadata,
    parse_yaml,
    plan,
    reconciler,
    vaults_share,
    vaults_share_of,
)
from benchmarks.bench import MANY, ONE, Bench, Experiment
from benchmarks.measuring import in_turn
from benchmarks.rows import Limit, Quantity, Row, ratio
from benchmarks.servers import openbao, stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measuring import Sample

_BUDGETED, _LARGEST = 10_000, 100_000
_GROWING = (1_000, _BUDGETED, _LARGEST)
_GROWTH = "time for each further webhook, 10,000 to 100,000"
_MICRO = 1_000_000
_MEGABYTES = {_BUDGETED: 60, _LARGEST: 170}
_LOADER = "`CSafeLoader` alone"
_SHAPES = (ONE, MANY)


def experiments(sizes: Sequence[int]) -> list[Experiment]:
    """Return the experiments for fleets of these sizes; the growth is last."""
    made = []
    for size in sizes:
        for per_file in _SHAPES:
            title = f"{size:,} webhooks, {'one' if per_file == ONE else per_file} a file"
            made.append(Experiment(("P6",), f"validate of {title}", partial(_validate, size, per_file)))
            made.append(Experiment(("P1", "P4"), f"plan of {title}", partial(_plan, size, per_file)))
    if _BUDGETED in sizes:
        made.append(Experiment(("P1",), f"plan of {_BUDGETED:,} with a real OpenBao", _plan_on_openbao))
    growth = _growth if _LARGEST in sizes else _growth_not_requested
    made.append(Experiment(("P3",), "growth", growth))
    return made


def _validate(size: int, per_file: int, bench: Bench) -> Iterator[Row]:
    fleet = bench.fleet(size, per_file)
    commands = {"validate": reconciler(fleet.folder, "validate"), "yaml": parse_yaml(fleet.folder)}
    samples = in_turn(commands, bench.runs_at(size))
    if per_file == MANY:
        bench.keep("validate", size, samples["validate"])
    at_most = 0.6 if size == _BUDGETED else None
    yield ratio("P6", f"`validate` of {fleet.title}", samples["validate"], _LOADER, samples["yaml"], at_most)


def _plan(size: int, per_file: int, bench: Bench) -> Iterator[Row]:
    fleet = bench.fleet(size, per_file)
    with stand_ins(fleet) as servers:
        commands = {
            "plan": plan(fleet.folder, servers.environ),
            "yaml": parse_yaml(fleet.folder),
            **vaults_share_of(fleet.folder, servers.environ),
        }
        samples = in_turn(commands, bench.runs_at(size))
    if per_file == MANY:
        bench.keep("plan", size, samples["plan"])
        bench.keep("CSafeLoader", size, samples["yaml"])
    at_most = 0.7 if size == _BUDGETED else None
    share = vaults_share(samples)
    what = f"`plan` of {fleet.title}, unchanged, less Vault's share of {Quantity(share.seconds, 's')}"
    yield ratio("P1", what, samples["plan"] - share, _LOADER, samples["yaml"], at_most)
    needs = samples["listing"].megabytes - samples["nothing"].megabytes
    yield _memory(f"`plan` of {fleet.title}: peak", samples["plan"], needs, _MEGABYTES.get(size))


def _memory(what: str, sample: Sample, listing: float, allowed: float | None) -> Row:
    return Row(
        "P4",
        what,
        Quantity(sample.megabytes, "MB"),
        Quantity(listing, "MB"),
        "the raw metadata listing alone",
        sample.megabytes - listing,
        None if allowed is None else Limit("at most", allowed, "MB + the listing"),
    )


def _plan_on_openbao(bench: Bench) -> Iterator[Row]:
    fleet = bench.fleet(_BUDGETED)
    with openbao(fleet) as environ:
        commands = {
            "plan": plan(fleet.folder, environ),
            "yaml": parse_yaml(fleet.folder),
            "listing": list_metadata(fleet.folder, environ),
        }
        samples = in_turn(commands, bench.runs)
    what = f"`plan` of {fleet.title}, unchanged, with a real OpenBao"
    alone = samples["yaml"] + samples["listing"]
    yield ratio("P1", what, samples["plan"], f"{_LOADER} + the raw metadata listing alone", alone, 1.0)


def _growth_not_requested(_bench: Bench) -> Iterator[Row]:
    yield Row("P3", _GROWTH, problem="100,000 webhooks are measured with --all")


def _growth(bench: Bench) -> Iterator[Row]:
    """Plan fleets of three sizes in turn, so that a busy moment of the machine affects all of them."""
    with ExitStack() as stack:
        commands = {}
        for size in _GROWING:
            fleet = bench.fleet(size)
            servers = stack.enter_context(stand_ins(fleet))
            commands[str(size)] = plan(fleet.folder, servers.environ)
        # In a ratio of differences the noise of the small fleets counts tenfold.
        samples = in_turn(commands, 3 * bench.runs)
    small, middle, large = (samples[str(size)] for size in _GROWING)
    early, late = middle - small, large - middle
    fewer, more = (b - a for a, b in pairwise(_GROWING))
    yield Row(
        "P3",
        _GROWTH,
        Quantity(late.seconds / more * _MICRO, "µs"),
        Quantity(early.seconds / fewer * _MICRO, "µs"),
        "1,000 to 10,000",
        late.ratio_to(early) * fewer / more,
        Limit("at most", 1.1),
    )
