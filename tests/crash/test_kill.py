"""The real thing: `apply` as a process against real servers, killed before and after each single request.

Two proxies stand before the API and before OpenBao. The process gets SIGKILL in the moment in which its
n-th request arrives, or in which that request has been carried out and its answer is on the way. Then it
runs again, and an oracle looks at the API's own store and at Vault.
"""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from reconciler.sandbox.behavior import Behavior
from tests.fixtures.examples import spread
from tests.fixtures.proxy import Fate
from tests.fixtures.world import UNLIMITED, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.processes import Running
    from tests.fixtures.proxy import Request

BEHAVIORS = {
    "secrets of the server's own": Behavior(
        honour_client_secret=False, secret_field="signing_secret", rate_limit=UNLIMITED
    ),
    "hidden on replay": Behavior(replay_shows_secret=False, rate_limit=UNLIMITED),
    "keys forgotten at once": Behavior(idempotency_ttl=0, rate_limit=UNLIMITED),
}
SHARES = 2
"""The moments are divided, so that several processes can share the work."""
STRIDE = 9


class Killer:
    """Counts the moments of a run, two for each request, and kills it in one of them."""

    def __init__(self) -> None:
        self.moments = 0
        self._point: int | None = None
        self._victim: Running | None = None
        self._known = threading.Event()
        self._mutex = threading.Lock()
        self._known.set()

    @contextlib.contextmanager
    def aim(self, world: World, point: int | None) -> Iterator[None]:
        """Let the process that is started inside die at moment `point` (None: let it live)."""
        for proxy in (world.api, world.vault):
            proxy.script, proxy.carried_out = self.arrives, self.carried_out
        self.moments, self._point = 0, point
        self._known.clear()
        yield
        self._point = self._victim = None

    def watch(self, victim: Running) -> None:
        """This is the process. Its requests wait until it is known."""
        self._victim = victim
        self._known.set()

    def arrives(self, _request: Request) -> Fate:
        """A request arrives: the server does not see it if the process dies now."""
        return Fate.DROP if self._is_killed() else Fate.FORWARD

    def carried_out(self, _request: Request) -> None:
        """The server has answered: the process does not see it if it dies now."""
        self._is_killed()

    def _is_killed(self) -> bool:
        self._known.wait()
        with self._mutex:
            self.moments += 1
            if self.moments - 1 != self._point or self._victim is None:
                return False
        self._victim.kill()
        return True


APPLY = ("apply", "--yes", "--no-progress")


def run(world: World, killer: Killer, point: int | None, command: Sequence[str] = APPLY) -> int:
    """Run `apply` as a process that dies at moment `point`, or lives; return how many moments it had."""
    with killer.aim(world, point):
        running = world.start(*command)
        killer.watch(running)
        ended = world.end(running)
    assert ended.code == (0 if point is None else -signal.SIGKILL), ended
    return killer.moments


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("behavior", BEHAVIORS.values(), ids=BEHAVIORS.keys())
def test_killed_before_and_after_every_request(
    tmp_path: Path,
    openbao: OpenBaoServer,
    behavior: Behavior,
    share: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Whatever request a run dies at, the next ones converge with nothing lost, orphaned or doubled."""
    with World.begin(tmp_path / "calm", openbao, behavior) as world:
        moments = run(world, Killer(), None)
        world.check()
    assert moments > 2 * 20, "fewer requests than the changes need"
    points = spread(moments, STRIDE)[share::SHARES]
    record_property("cases", len(points))
    for point in points:
        with World.begin(tmp_path / f"{point}", openbao, behavior) as world:
            run(world, Killer(), point)
            try:
                world.check()
            except AssertionError as error:
                message = f"killed at moment {point} of {moments}: {error}"
                raise AssertionError(message) from error


def test_an_adoption_killed_before_and_after_every_request(
    tmp_path: Path, openbao: OpenBaoServer, record_property: Callable[[str, object], None]
) -> None:
    """Whatever request an adoption dies at, it has not happened, or the next apply finishes it."""
    points: list[int | None] = [None]
    for point in points:
        with World.open(tmp_path / f"{point}", openbao, BEHAVIORS["hidden on replay"]) as world:
            world.command.write("ci")
            endpoint = world.command.zof.console.create("https://hooks.example.com/ci", ["run.completed"])
            adopt = ("adopt", "ci", "--id", endpoint.id, "--rotate", *APPLY[1:])
            moments = run(world, Killer(), point, adopt)
            if point is None:
                assert moments > 2 * 12, "fewer requests than an adoption needs"
                points += spread(moments, STRIDE)
            elif world.command(*APPLY, "--lock-timeout", "0").exit_code == 5:
                assert endpoint.url in world.command.live, "deleted while nobody owned it"
                assert world.command(*adopt).exit_code == 0, world.command.outputs
            try:
                assert world.command(*APPLY).exit_code == 0, world.command.outputs
                world.check_webhooks({"ci": "run.completed"})
                world.check_calm()
            except AssertionError as error:
                message = f"killed at moment {point} of {moments}: {error}"
                raise AssertionError(message) from error
    record_property("cases", len(points))


def test_the_next_run_tells_what_was_cut_off(tmp_path: Path, openbao: OpenBaoServer) -> None:
    """The next commands first name what was done, in progress and not attempted; the one after is quiet."""
    with World.begin(tmp_path / "world", openbao, BEHAVIORS["hidden on replay"]) as world:
        moments = run(world, Killer(), None)
    with World.begin(tmp_path / "again", openbao, BEHAVIORS["hidden on replay"]) as world:
        run(world, Killer(), moments // 2)
        for args in (["status"], ["apply", "--yes"]):
            told = world.command(*args).stderr
            assert told.startswith("The last run by ada was cut off at ")
            assert re.search(r"\n  in progress:   \w+ \([a-z ]+\)\n", told)
            assert re.search(r"\n  not attempted: .*removed", told)
        assert world.command("apply", "--yes").stderr == ""
