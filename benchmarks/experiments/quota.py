"""P9 and P10: the effect of the API's quota and latency on a large fleet, in real time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.baselines import plan_of_the_usual_api, reconciler
from benchmarks.bench import Bench, Experiment
from benchmarks.measuring import in_turn, run_once
from benchmarks.pacing import floor, judge
from benchmarks.records import PAGE
from benchmarks.rows import Limit, Quantity, Row
from benchmarks.servers import environ, stand_ins
from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.openbao import OpenBaoServer
from reconciler.sandbox.zof_server import ZofServer

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAUSE, _LIVE = 0.030, 10_000


@dataclass(frozen=True)
class _Quota:
    """An apply and the quota that limits it."""

    creations: int
    jobs: int
    limit: int
    """Requests per window."""
    window: float
    """Seconds."""
    at_most: float
    """The budget, as a multiple of the quota's floor."""

    @property
    def title(self) -> str:
        return (
            f"`apply --jobs {self.jobs}` of {self.creations} creations,"
            f" {self.limit} requests in {self.window:g} s"
        )


_SHORT = (_Quota(60, 1, 30, 6.0, 1.3), _Quota(60, 8, 30, 6.0, 1.3))
_LONG = (_Quota(60, 1, 50, 60.0, 1.05), _Quota(60, 8, 50, 60.0, 1.05))


def experiments(*, minutes: bool) -> list[Experiment]:
    """Return the experiments; `minutes`: also those with windows of a minute, which take several minutes."""
    quotas = (*_SHORT, *_LONG) if minutes else _SHORT
    return [
        *(Experiment(("P9",), quota.title, partial(_apply, quota)) for quota in quotas),
        Experiment(("P10",), f"plan of {_LIVE:,} with 30 ms a page", _slow_pages),
    ]


def _apply(quota: _Quota, bench: Bench) -> Iterator[Row]:
    fleet = bench.fleet(quota.creations)
    behavior = Behavior(rate_limit=quota.limit, rate_window=quota.window)
    with ZofServer(behavior) as zof, OpenBaoServer() as vault:
        variables = environ(zof.url, zof.key.reveal(), vault.address, vault.root_token.reveal())
        arguments = ("apply", "--yes", "--no-progress", f"--jobs={quota.jobs}")
        run = run_once(reconciler(fleet.folder, *arguments, environ=variables))
        pacing = judge(zof.requests, quota.limit, quota.window)
    shortest = floor(pacing.accepted, quota.limit, quota.window)
    yield Row(
        "P9",
        quota.title,
        Quantity(run.seconds, "s"),
        Quantity(shortest, "s"),
        f"the quota's floor for {pacing.accepted} requests",
        run.seconds / shortest,
        Limit("at most", quota.at_most),
    )
    yield Row(
        "P9",
        f"{quota.title}: refused (429) in a window",
        Quantity(pacing.most_refused, "requests"),
        score=pacing.most_refused,
        limit=Limit("at most", 1, "requests"),
    )
    yield Row(
        "P9",
        f"{quota.title}: sent before a wait was over",
        Quantity(pacing.too_early, "requests"),
        score=pacing.too_early,
        limit=Limit("exactly", 0, "requests"),
    )


def _slow_pages(bench: Bench) -> Iterator[Row]:
    fleet, small = bench.fleet(_LIVE), bench.fleet(1)
    with stand_ins(fleet, pause=_PAUSE) as servers, stand_ins(small) as others:
        commands = {
            "plan": plan_of_the_usual_api(fleet.folder, servers.environ),
            "start": plan_of_the_usual_api(small.folder, others.environ),
        }
        samples = in_turn(commands, bench.runs)
    slept, start = math.ceil(_LIVE / PAGE) * _PAUSE, samples["start"].seconds
    taken = samples["plan"] - samples["start"]
    yield Row(
        "P10",
        f"`plan` of {fleet.title}, 30 ms a page, less start-up ({start:.2f} s: a plan of one)",
        Quantity.seconds(taken),
        Quantity(slept, "s"),
        "the pauses of all pages",
        taken.seconds / slept,
        Limit("at most", 1.15),
    )
