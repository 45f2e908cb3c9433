"""Several `apply` of one organization at the same time, as processes on real servers.

The lock keeps them apart; safety does not depend on it, so some tests tear it away. Where runs overlap is
not left to chance: proxies hold requests back until the other run is where the test wants it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.errors import ReconcilerError
from reconciler.sandbox.behavior import Behavior
from tests.fixtures.examples import spread
from tests.fixtures.openbao import create_token
from tests.fixtures.patience import PATIENCE
from tests.fixtures.proxy import Fate, Reply
from tests.fixtures.world import UNLIMITED, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.processes import Ended
    from tests.fixtures.proxy import Request

BEHAVIOR = Behavior(
    honour_client_secret=False,
    secret_field="signing_secret",
    replay_shows_secret=False,
    rate_limit=UNLIMITED,
    latency=0.05,
)
QUICK = replace(BEHAVIOR, latency=0.0)
RUNS = 3
APPLY = ("apply", "--yes", "--no-progress")
STARTED, COMPLETED, FAILED = "run.started", "run.completed", "run.failed"


class Round:
    """What is asked for: each webhook's event, and the names whose URL is another name's."""

    def __init__(self, events: dict[str, str], **urls: str) -> None:
        self.events = events
        self.urls = {name: f"https://hooks.example.com/{path}" for name, path in urls.items()}

    def write(self, world: World) -> None:
        """Let the manifests say so."""
        for path in (world.command.folder / "manifests").glob("*.yaml"):
            path.unlink()
        for name, event in self.events.items():
            url = {"url": self.urls[name]} if name in self.urls else {}
            world.command.write(name, [event], **url)

    def check(self, world: World) -> None:
        """See that it is so."""
        world.check_webhooks(self.events, self.urls)


ROUNDS = (
    Round({"a": COMPLETED, "b": COMPLETED, "c": COMPLETED, "d": COMPLETED}),  # create
    Round({"a": STARTED, "b": FAILED, "c": COMPLETED, "d": COMPLETED}),  # edit
    Round({"a": STARTED, "b": COMPLETED, "d": COMPLETED, "e": STARTED}),  # remove, add, edit
    Round({"a": STARTED, "f": COMPLETED, "d": COMPLETED, "e": STARTED}, f="b", d="moved"),  # rename, move
)


def _forward(_request: Request) -> Fate:
    return Fate.FORWARD


class Together:
    """Lets nobody take the lock before all runs have planned and seen it free."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(RUNS)
        self._arrivals = 0
        self._mutex = threading.Lock()

    def __call__(self, request: Request) -> Fate | Reply:
        """Hold the first tries to take the lock back until there are as many as runs."""
        if request.method == "POST" and request.path.endswith("/_lock"):
            with self._mutex:
                self._arrivals += 1
                early = self._arrivals <= RUNS
            if early:
                self._barrier.wait(PATIENCE)
        return Fate.FORWARD


class NoLock(Together):
    """Each run finds the lock free and gets it, even if another run holds it."""

    def __call__(self, request: Request) -> Fate | Reply:
        """Forge what the lock's document says; all else is Vault's."""
        super().__call__(request)
        if not request.path.endswith("/_lock"):
            return Fate.FORWARD
        if request.method == "GET":
            return Reply(404, '{"errors": []}')
        version = json.loads(request.body)["options"]["cas"] + 1
        return Reply(200, json.dumps({"data": {"version": version}}))


def _race(world: World, arguments: Sequence[str] = APPLY) -> list[Ended]:
    running = [world.start(*arguments) for _ in range(RUNS)]
    return [world.end(each) for each in running]


def _assert_ends(ended: Sequence[Ended], allowed: set[int]) -> None:
    for each in ended:
        assert each.code in allowed, each
        assert "Traceback" not in each.stderr
        assert "internal error" not in each.stderr


def test_three_at_a_time(tmp_path: Path, openbao: OpenBaoServer) -> None:
    """Runs that have planned the same changes do them once: each ends with 0, and all is as declared."""
    with World.open(tmp_path / "world", openbao, BEHAVIOR) as world:
        for each in ROUNDS:
            each.write(world)
            world.vault.script = Together()
            ended = _race(world)
            _assert_ends(ended, {0})
            each.check(world)
            world.vault.script = _forward
            world.check_calm()


def test_who_does_not_wait_exits_6(tmp_path: Path, openbao: OpenBaoServer) -> None:
    """With a timeout of zero one run does everything, and the others end with 6 or find it done."""
    with World.open(tmp_path / "world", openbao, BEHAVIOR) as world:
        for each in ROUNDS:
            each.write(world)
            world.vault.script = Together()
            ended = _race(world, (*APPLY, "--lock-timeout", "0"))
            _assert_ends(ended, {0, 6})
            assert 0 in {run.code for run in ended}
            each.check(world)
            world.vault.script = _forward
            world.check_calm()


@contextlib.contextmanager
def _lock_deleted_again_and_again(world: World) -> Iterator[None]:
    """Delete the lock's data, then its metadata, every 30 ms, as somebody with an itchy hand would."""
    over = threading.Event()
    paths = [f"secret/{area}/{world.command.prefix}/_lock" for area in ("data", "metadata")]

    def tear() -> None:
        while not over.wait(0.03):
            for path in paths:
                # The path may have no version, and its deletion is refused then.
                with contextlib.suppress(ReconcilerError):
                    world.command.vault.request("DELETE", path)

    thread = threading.Thread(target=tear)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_the_lock_is_deleted_again_and_again(tmp_path: Path, openbao: OpenBaoServer) -> None:
    """Runs whose lock is torn away end with 0, 5 or 6, and one more run converges."""
    # Slow enough for those who wait to look again while the first one works.
    with World.open(tmp_path / "world", openbao, replace(BEHAVIOR, latency=0.2)) as world:
        for each in ROUNDS:
            each.write(world)
            world.vault.script = Together()
            with _lock_deleted_again_and_again(world):
                ended = _race(world)
            _assert_ends(ended, {0, 5, 6})
            world.vault.script = _forward
            assert world.command(*APPLY).exit_code == 0, world.command.outputs
            each.check(world)
            world.check_calm()


@pytest.mark.parametrize("latency", [0.0, 0.05])
def test_without_a_lock(tmp_path: Path, openbao: OpenBaoServer, latency: float) -> None:
    """Runs that all believe to hold the lock end with 0 or 5, and one more run converges."""
    with World.open(tmp_path / "world", openbao, replace(BEHAVIOR, latency=latency)) as world:
        for each in ROUNDS:
            each.write(world)
            world.vault.script = NoLock()
            _assert_ends(_race(world), {0, 5})
            world.vault.script = _forward
            assert world.command(*APPLY).exit_code == 0, world.command.outputs
            each.check(world)
            world.check_calm()


# --- one run held back at any request while another one works ----------------------------------------------


class Held:
    """Holds the first run back at one of its moments, two for each request; the second run goes through."""

    def __init__(self, world: World, at: int | None) -> None:
        command = world.command
        self.moments = 0
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self._at = at
        self.second = {
            "ZOF_API_KEY": command.zof.add_key(command.zof.organization).reveal(),
            "VAULT_TOKEN": create_token(command.vault, "root").reveal(),
        }
        """What the second run logs in with: its requests are known by it."""
        for proxy in (world.api, world.vault):
            proxy.script, proxy.carried_out = self._arrives, self._moment

    def _arrives(self, request: Request) -> Fate:
        self._moment(request)
        return Fate.FORWARD

    def _is_second(self, request: Request) -> bool:
        return any(secret in value for value in request.headers.values() for secret in self.second.values())

    def _moment(self, request: Request) -> None:
        if self._is_second(request):
            return
        self.moments += 1
        if self.moments - 1 == self._at:
            self.reached.set()
            assert self.go_on.wait(PATIENCE)


class Late(Held):
    """Holds back what the first run asks of one server once the other one has answered it."""

    def __init__(self, world: World, late: str) -> None:
        super().__init__(world, None)
        slow, quick = (world.api, world.vault) if late == "api" else (world.vault, world.api)
        slow.script = self._wait
        slow.carried_out = lambda _request: None
        quick.carried_out = self._reach

    def _wait(self, request: Request) -> Fate:
        if not self._is_second(request):
            assert self.go_on.wait(PATIENCE)
        return Fate.FORWARD

    def _reach(self, request: Request) -> None:
        if not self._is_second(request):
            self.reached.set()


def _overtaken(world: World, at: int, newer: bool) -> tuple[Ended, Ended]:
    """Run two: the first stops at moment `at` and loses the lock, the second does everything meanwhile."""
    held = Held(world, at)
    first = world.start(*APPLY)
    assert held.reached.wait(PATIENCE)
    with contextlib.suppress(ReconcilerError):
        world.command.vault.request("DELETE", f"secret/metadata/{world.command.prefix}/_lock")
    if newer:
        world.command.write("edited", [FAILED])
        world.command.write("added", [STARTED])
        world.command.write("removed", [COMPLETED])
    second = world.end(world.start(*APPLY, **held.second))
    held.go_on.set()
    return world.end(first), second


def _moments(tmp_path: Path, openbao: OpenBaoServer) -> int:
    with World.begin(tmp_path / "calm", openbao, QUICK) as world:
        held = Held(world, None)
        assert world.end(world.start(*APPLY)).code == 0
    return held.moments


STRIDE = 13


@pytest.mark.parametrize("newer", [False, True], ids=["the same manifests", "newer manifests"])
def test_overtaken_at_any_moment(tmp_path: Path, openbao: OpenBaoServer, newer: bool) -> None:
    """A run that sleeps while another takes its lock and does everything goes on without any harm."""
    moments = _moments(tmp_path, openbao)
    assert moments > 2 * 20
    failures = []
    for at in spread(moments, STRIDE, int(newer)):
        with World.begin(tmp_path / f"{at}", openbao, QUICK) as world:
            ends = _overtaken(world, at, newer)
            try:
                # 4: a guard refused a plan; that there need be none is another test's matter.
                _assert_ends(ends, {0, 5})
                assert world.command(*APPLY).exit_code == 0, world.command.outputs[-2:]
                wanted = dict.fromkeys(("added", "edited", "kept"), COMPLETED) | {"edited": STARTED}
                if newer:
                    wanted |= {"added": STARTED, "edited": FAILED, "removed": COMPLETED}
                world.check_webhooks(wanted)
                world.check_calm()
            except AssertionError as error:
                codes = [each.code for each in ends]
                failures.append(f"held at moment {at} of {moments}, exits {codes}: {error}")
    assert not failures, "\n\n".join(failures)


@pytest.mark.parametrize(
    ("late", "args"),
    [
        ("api", ("plan", "--exit-code")),
        ("api", ("drift",)),
        ("api", APPLY),
        # Vault is late in tests/unit/usecases/test_preview.py: an API on loopback is asked only after Vault.
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_planned_while_another_run_works(
    tmp_path: Path, openbao: OpenBaoServer, late: str, args: tuple[str, ...]
) -> None:
    """What another run does between our look at one server and at the other is no drift and no alarm."""
    with World.begin(tmp_path / "world", openbao, QUICK) as world:
        held = Late(world, late)
        ours = world.start(*args)
        assert held.reached.wait(PATIENCE)
        assert world.end(world.start(*APPLY, **held.second)).code == 0
        held.go_on.set()
        ended = world.end(ours)
        assert ended.code == 0, ended.stdout + ended.stderr


def test_a_run_that_goes_on_was_not_cut_off(tmp_path: Path, openbao: OpenBaoServer) -> None:
    """While a run works, other commands on its machine do not report that it was cut off."""
    with World.begin(tmp_path / "world", openbao, QUICK) as world:
        held = Held(world, 20)
        ours = world.start(*APPLY)
        assert held.reached.wait(PATIENCE)
        told = [world.command("status"), world.command(*APPLY, "--lock-timeout", "0", **held.second)]
        held.go_on.set()
        assert world.end(ours).code == 0
        assert [each.exit_code for each in told] == [0, 6]
        assert not any("was cut off" in each.stderr for each in told), told[0].stderr


def test_who_loses_the_lock_names_the_holder(tmp_path: Path, openbao: OpenBaoServer) -> None:
    """Runs that saw the lock free and came too late report its holder."""
    with World.begin(tmp_path / "world", openbao, BEHAVIOR) as world:
        world.vault.script = Together()
        late = [each for each in _race(world, (*APPLY, "--lock-timeout", "0")) if each.code == 6]
        assert len(late) == RUNS - 1
        for each in late:
            assert each.stderr.startswith("error: another run holds the lock: ada on "), each.stderr
