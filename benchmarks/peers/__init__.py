"""P2, and comparisons without a budget: other tools with comparable work, from PyPI.

They are installed in a separate virtual environment. If that fails, their rows give the reason.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.baselines import plan, vaults_share, vaults_share_of
from benchmarks.bench import Experiment
from benchmarks.measuring import in_turn
from benchmarks.peers import ansible, octodns, terraform
from benchmarks.peers.environment import install
from benchmarks.rows import Limit, Quantity, Row
from benchmarks.servers import stand_ins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.measuring import Command
    from benchmarks.servers import StandIns

    MakeCommand = Callable[[Path, Path, int, StandIns], Command]

_OCTODNS_LIMITS = {10_000: 10, 100_000: 15}
_ANSIBLE_SIZES = (10, 30)
_TERRAFORM_SIZES = (100, 1_000, 3_000)
_FEWEST = 1_000


def experiments(sizes: Sequence[int], *, requested: bool) -> list[Experiment]:
    """Return the experiments; unless they are requested, only one whose row says how to request them."""
    if not requested:
        return [Experiment(("P2",), "octoDNS", _not_requested)]
    octodns_sizes = [size for size in sizes if size >= _FEWEST]
    jobs: list[tuple[str, str, MakeCommand, Sequence[int]]] = [
        ("P2", "octoDNS 1.22", octodns.plan_nothing, octodns_sizes),
        ("", "terraform 0.15", terraform.read_all, _TERRAFORM_SIZES),
        ("", "ansible's `uri` loop", ansible.ask_for_each, _ANSIBLE_SIZES),
    ]
    return [
        Experiment((budget,), f"{name} with {size:,}", partial(_compare, budget, name, make, size))
        for budget, name, make, those in jobs
        for size in those
    ]


def _not_requested(_bench: Bench) -> Iterator[Row]:
    yield Row("P2", "`plan` against octoDNS 1.22", problem="octoDNS is measured with --peers")


def _compare(budget: str, name: str, make: MakeCommand, size: int, bench: Bench) -> Iterator[Row]:
    programs = install()
    fleet = bench.fleet(size)
    with stand_ins(fleet) as servers:
        theirs = make(programs, bench.folder, size, servers)
        commands = {"plan": plan(fleet.folder, servers.environ), "peer": theirs}
        samples = in_turn(commands | vaults_share_of(fleet.folder, servers.environ), bench.runs_at(size))
    bench.keep(name.replace("`", ""), size, samples["peer"])
    limit = _OCTODNS_LIMITS.get(size) if budget else None
    share = vaults_share(samples)
    ours = samples["plan"] - share
    what = f"`plan` of {size:,} unchanged, less Vault's share of {Quantity(share.seconds, 's')}"
    yield Row(
        budget,
        f"{what}: how many times as fast",
        Quantity.seconds(ours),
        Quantity.seconds(samples["peer"]),
        f"{name}, as many",
        samples["peer"].ratio_to(ours),
        None if limit is None else Limit("at least", limit),
    )
