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
from reconciler.sandbox.zof_server import ZofServer
from tests.fixtures.command import CommandLine, environment_of
from tests.fixtures.openbao import settings_for
from tests.fixtures.processes import Running
from tests.fixtures.proxy import Fate, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.proxy import Request

UNLIMITED = 1_000_000
BEHAVIORS = {
    "secrets of the server's own": Behavior(
        honour_client_secret=False, secret_field="signing_secret", rate_limit=UNLIMITED
    ),
    "hidden on replay": Behavior(replay_shows_secret=False, rate_limit=UNLIMITED),
    "keys forgotten at once": Behavior(idempotency_ttl=0, rate_limit=UNLIMITED),
}
SHARES = 4
"""Each case takes every fourth moment, so that several processes can share the work."""
WANTED = ("added", "edited", "kept")
BYSTANDER = "https://legacy.example.com/"


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
    def aim(self, point: int | None) -> Iterator[None]:
        """Let the process that is started inside die at moment `point` (None: let it live)."""
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


class World:
    """One organization on real servers, each behind a proxy that tells the killer."""

    def __init__(self, command: CommandLine, killer: Killer, proxies: tuple[Proxy, ...]) -> None:
        self.command = command
        self.killer = killer
        self._proxies = proxies

    @classmethod
    @contextlib.contextmanager
    def begin(cls, folder: Path, openbao: OpenBaoServer, behavior: Behavior) -> Iterator[World]:
        """Three webhooks are live, and so is somebody else's endpoint; then manifests are changed."""
        folder.mkdir()
        vault_settings = settings_for(openbao)
        with (
            contextlib.chdir(folder),
            ZofServer(behavior) as zof,
            Proxy(zof.origin) as api,
            Proxy(openbao.address) as vault,
        ):
            killer = Killer()
            for proxy in (api, vault):
                proxy.script, proxy.carried_out = killer.arrives, killer.carried_out
            environment = environment_of(zof, vault_settings)
            environment |= {"VAULT_ADDR": vault.address, "ZOF_API_URL": f"{api.address}/v1"}
            command = CommandLine(folder, environment, zof, openbao, vault_settings.prefix)
            for name in ("edited", "removed", "kept"):
                command.write(name)
            assert command("apply", "--yes").exit_code == 0
            zof.console.create(BYSTANDER, ["run.completed"])
            command.write("edited", ["run.started"])
            (folder / "manifests/removed.yaml").unlink()
            command.write("added")
            yield cls(command, killer, (api, vault))

    def run(self, point: int | None) -> int:
        """Run `apply` as a process that dies at moment `point`, or lives; return how many moments it had."""
        args = ("apply", "--yes", "--no-progress")
        with self.killer.aim(point):
            running = Running(
                args, self.command.folder, self.command.environment, self.command.folder / "log"
            )
            self.killer.watch(running)
            ended = running.wait()
        self.command.outputs += [ended.stdout, ended.stderr]
        assert ended.code == (0 if point is None else -signal.SIGKILL), ended
        return self.killer.moments

    def check(self) -> None:
        """At most two further runs converge, nothing is lost, and a third writes nothing."""
        command = self.command
        codes = [command("apply", "--yes", "--lock-timeout", "0").exit_code for _ in range(2)]
        assert codes[1] == 0, command.outputs
        assert len(command.zof.console.list()) == len(WANTED) + 1, "a duplicate or an orphan"
        live = command.live
        assert live.pop(BYSTANDER)[1] == ("run.completed",)
        for name in WANTED:
            document = command.document(name)
            endpoint_id, events = live[f"https://hooks.example.com/{name}"]
            assert events == (("run.started",) if name == "edited" else ("run.completed",))
            assert document["endpoint_id"] == endpoint_id
            assert document["signing_secret"] == command.zof.secret_of(endpoint_id).reveal(), "a lost secret"
            assert "pending_signing_secret" not in document, "an intent is left"
        assert command("plan", "--exit-code").exit_code == 0
        sent = len(self._requests)
        assert command("apply", "--yes").exit_code == 0
        assert {request.method for request in self._requests[sent:]} <= {"GET", "LIST"}, "a third run writes"

    @property
    def _requests(self) -> list[Request]:
        return [request for proxy in self._proxies for request in proxy.requests]


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("behavior", BEHAVIORS.values(), ids=BEHAVIORS.keys())
def test_killed_before_and_after_every_request(
    tmp_path: Path, openbao: OpenBaoServer, behavior: Behavior, share: int
) -> None:
    """Whatever request a run dies at, the next ones converge with nothing lost, orphaned or doubled."""
    with World.begin(tmp_path / "calm", openbao, behavior) as world:
        moments = world.run(None)
        world.check()
    assert moments > 2 * 20, "fewer requests than the changes need"
    for point in range(share, moments, SHARES):
        with World.begin(tmp_path / f"{point}", openbao, behavior) as world:
            world.run(point)
            try:
                world.check()
            except AssertionError as error:
                message = f"killed at moment {point} of {moments}: {error}"
                raise AssertionError(message) from error


def test_the_next_run_tells_what_was_cut_off(tmp_path: Path, openbao: OpenBaoServer) -> None:
    """The next commands first name what was done, in hand and not attempted; the one after is quiet."""
    with World.begin(tmp_path / "world", openbao, BEHAVIORS["hidden on replay"]) as world:
        moments = world.run(None)
    with World.begin(tmp_path / "again", openbao, BEHAVIORS["hidden on replay"]) as world:
        world.run(moments // 2)
        for args in (["status"], ["apply", "--yes"]):
            told = world.command(*args).stderr
            assert told.startswith("The last run by ada was cut off at ")
            assert re.search(r"\n  in hand:       \w+ \([a-z ]+\)\n", told)
            assert re.search(r"\n  not attempted: .*removed", told)
        assert world.command("apply", "--yes").stderr == ""
