"""P7 and P8: the number of requests of a plan and an apply. The counts are exact, and nothing is timed."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.baselines import plan, reconciler
from benchmarks.bench import Bench, Experiment
from benchmarks.fleets import write_manifests
from benchmarks.measuring import run_once
from benchmarks.records import PAGE
from benchmarks.relay import relay
from benchmarks.rows import Limit, Quantity, Row, exact
from benchmarks.servers import environ, make_live, openbao, stand_ins
from reconciler.sandbox.behavior import Behavior
from reconciler.sandbox.openbao import OpenBaoServer
from reconciler.sandbox.zof_server import ZofServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.sandbox.zof_gateway import LoggedRequest

_PLANNED = (0, 100, 101, 10_000)
_ON_VAULT = 50
_SMALL, _LARGE = 100, 1_000
_CREATED, _DELETED = 20, 5
_PAGES, _METADATA = "GET", "LIST of all metadata"
_DETAILED = "LIST secret/detailed-metadata"
_UNLIMITED = Behavior(rate_limit=10_000_000)


def experiments() -> list[Experiment]:
    """Return the experiments."""
    return [
        *(Experiment(("P7",), f"requests of a plan of {n:,}", partial(_plan, n)) for n in _PLANNED),
        Experiment(("P7",), "requests of a plan on OpenBao and on Vault", _on_vault),
        Experiment(("P8",), "requests of an apply", _apply),
    ]


def _plan(size: int, bench: Bench) -> Iterator[Row]:
    fleet = bench.fleet(size)
    with stand_ins(fleet) as servers:
        run_once(plan(fleet.folder, servers.environ))
        found = Counter({_PAGES: servers.api.take_count(), _METADATA: servers.vault.take_count()})
    expected = Counter({_PAGES: max(1, math.ceil(size / PAGE)), _METADATA: 1})
    yield exact("P7", f"requests of a `plan` of {size:,}", found, expected)


def _on_vault(bench: Bench) -> Iterator[Row]:
    """Count on OpenBao, and on OpenBao without its metadata listing, which is how Vault behaves."""
    fleet = bench.fleet(_ON_VAULT)
    expected = {
        "OpenBao": Counter({_DETAILED: 1}),
        "Vault": Counter(
            {_DETAILED: 1, "GET sys/internal": 1, "LIST secret/metadata": 1, "GET secret/metadata": _ON_VAULT}
        ),
    }
    with openbao(fleet) as variables:
        for server, hidden in (("OpenBao", None), ("Vault", "detailed-metadata")):
            with relay(variables["VAULT_ADDR"], hidden=hidden) as proxy:
                run_once(plan(fleet.folder, variables | {"VAULT_ADDR": proxy.url}))
            what = f"requests of a `plan` of {_ON_VAULT} to {server}, where no secret is read"
            yield exact("P7", what, proxy.counts, expected[server])


def _apply(bench: Bench) -> Iterator[Row]:
    """Count the same changes in a small fleet and in a large one."""
    vault_requests = {}
    for size in (_SMALL, _LARGE):
        api, vault_requests[size] = _count_apply(bench, size)
        what = (
            f"requests of an `apply` of {_CREATED} creations and {_DELETED} deletions in a fleet of {size:,}"
        )
        expected = Counter(
            {_PAGES: size // PAGE, "POST": _CREATED, "POST of a test": _CREATED, "DELETE": _DELETED}
        )
        yield exact("P8", what, api, expected)
    small, large = vault_requests[_SMALL], vault_requests[_LARGE]
    yield Row(
        "P8",
        f"requests of the same to OpenBao, in a fleet of {_LARGE:,}",
        Quantity(large, "requests"),
        Quantity(small, "requests"),
        f"in one of {_SMALL}:",
        large - small,
        Limit("exactly", 0, "more"),
    )


def _count_apply(bench: Bench, size: int) -> tuple[Counter[str], int]:
    """Return the requests to the API by kind, and how many went to OpenBao."""
    with (
        TemporaryDirectory(dir=bench.folder) as name,
        ZofServer(_UNLIMITED) as zof,
        OpenBaoServer() as vault,
        relay(vault.address) as proxy,
    ):
        fleet = bench.fleet(size)
        make_live(fleet, zof, vault)
        changed = Path(name, "manifests")
        changed.mkdir()
        write_manifests(changed, range(_DELETED, size + _CREATED))
        variables = environ(zof.url, zof.key.reveal(), proxy.url, vault.root_token.reveal())
        run_once(reconciler(Path(name), "apply", "--yes", "--no-progress", environ=variables))
        api = Counter(_kind(request) for request in zof.requests)
        return api, proxy.counts.total()


def _kind(request: LoggedRequest) -> str:
    return "POST of a test" if request.path.endswith("/test") else request.method
