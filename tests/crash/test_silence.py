"""Servers that take a connection and never answer: every run ends, and the next one goes on from there.

Nobody waits for the real timeouts here. Where a run meets silence, time is virtual: silence costs the
timeout that the client asked its HTTP library for, and pauses between tries cost what they say. Two tests
with real silent sockets show that the libraries keep to these timeouts.
"""

from __future__ import annotations

import contextlib
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.apply.holder import Holder
from reconciler.apply.lock import Lock
from reconciler.cli.system import fresh
from reconciler.errors import ApiError, ExitCode, ReconcilerError, StoreError
from reconciler.manifest.load import load_manifests
from reconciler.model import Organization, Run, Secret, VaultPlace
from reconciler.sandbox.behavior import Behavior
from reconciler.session import Session
from reconciler.usecases.apply import apply
from reconciler.usecases.plan import plan
from reconciler.vault.auth import TokenLogin
from reconciler.vault.checks import mount_version
from reconciler.vault.documents import VaultDocuments
from reconciler.vault.responses import NoAnswer
from reconciler.vault.session import VaultSession
from reconciler.zof.client import ZofApi
from tests.fakes.clock import FakeClock
from tests.fakes.world import SilentReporter
from tests.fixtures.examples import spread
from tests.fixtures.world import UNLIMITED, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.openbao import VaultSettings

BEHAVIOR = Behavior(
    honour_client_secret=False,
    secret_field="signing_secret",
    replay_shows_secret=False,
    rate_limit=UNLIMITED,
)
KEY = Secret("zof_key")
RUN = Run("ada", "0" * 40)
STRIDE = 5
CHANGES = 3
API_OPERATION = 123.5
"""Seconds that one operation of a silent API takes: four tries of 30 s and the pauses between them."""
VAULT_READ = 153.75
"""Seconds that one read of a silent Vault takes: five tries of 30 s and the pauses between them."""
VAULT_WRITE = 30.0 + VAULT_READ
"""A write that nobody answers is looked for by reading it back."""
VAULT_NOTE = 30.0
"""Metadata that nothing depends on is written once."""


class Silence:
    """Falls at the n-th request of a server and does not end. Mute: the first one is still carried out."""

    def __init__(self, clock: FakeClock, at: int | None, *, mute: bool) -> None:
        self.requests = 0
        self.timeouts: set[float] = set()
        """What the client was ready to wait."""
        self._clock = clock
        self._at = at
        self._mute = mute

    def begin(self) -> None:
        """Let it fall now."""
        self._at = self.requests

    def end(self) -> None:
        """Let the server answer again."""
        self._at = None

    def falls(self, seconds: float, carry_out: Callable[[], object]) -> bool:
        """Whether there is no answer to this request; the client waits for `seconds`."""
        self.requests += 1
        self.timeouts.add(seconds)
        if self._at is None or self.requests <= self._at:
            return False
        if self._mute and self.requests == self._at + 1:
            carry_out()
        self._clock.sleep(seconds)
        return True


class SilentTransport(httpx.BaseTransport):
    """Carries requests to a server until silence falls."""

    def __init__(self, silence: Silence) -> None:
        self._silence = silence
        self._network = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx asks for."""
        seconds = request.extensions["timeout"]["read"]
        if self._silence.falls(seconds, lambda: self._network.handle_request(request).read()):
            raise httpx.ReadTimeout("", request=request)
        return self._network.handle_request(request)

    def close(self) -> None:
        """As httpx asks for."""
        self._network.close()


def _apply(world: World, clock: FakeClock, *, api: Silence, vault: Silence) -> ExitCode:
    """Plan and carry out what the world's manifests say; return what the command would exit with."""
    environment = world.command.environment
    reporter = SilentReporter()
    token = TokenLogin(Secret(environment["VAULT_TOKEN"]))
    with (
        ZofApi(
            environment["ZOF_API_URL"],
            Secret(environment["ZOF_API_KEY"]),
            clock=clock,
            reporter=reporter,
            jitter=lambda: 1.0,
            transport=SilentTransport(api),
        ) as zof,
        VaultSession(
            environment["VAULT_ADDR"], login=token, clock=clock, transport=SilentTransport(vault)
        ) as vault_session,
    ):
        session = Session(
            organization=Organization(environment["ZOF_ORGANIZATION"], environment["ZOF_API_URL"]),
            place=VaultPlace(environment["VAULT_ADDR"], "secret", world.command.prefix),
            run=RUN,
            api=zof,
            store=VaultDocuments(vault_session, mount="secret", prefix=world.command.prefix, clock=clock),
            clock=clock,
            fresh=fresh,
            reporter=reporter,
            desired=load_manifests([Path("manifests")]).webhooks,
        )
        try:
            outcome = apply(plan(session))
        except ReconcilerError as error:
            return error.exit_code
    return ExitCode.OK if outcome.complete else ExitCode.PARTIAL


def _clock() -> FakeClock:
    """Return virtual time that begins now, since the servers have real time."""
    return FakeClock(datetime.now(UTC))


@pytest.fixture(scope="module")
def requests_of(tmp_path_factory: pytest.TempPathFactory, openbao: OpenBaoServer) -> dict[str, int]:
    """Give the numbers of requests that the changes need of each server."""
    with World.begin(tmp_path_factory.mktemp("calm") / "world", openbao, BEHAVIOR) as world:
        clock = _clock()
        api, vault = (Silence(clock, None, mute=False) for _ in range(2))
        assert _apply(world, clock, api=api, vault=vault) is ExitCode.OK
        assert clock.monotonic() == 0.0
        world.check()
    assert api.requests >= 7
    assert vault.requests >= 17
    return {"api": api.requests, "vault": vault.requests}


@pytest.mark.parametrize("mute", [False, True], ids=["unheard", "carried out"])
@pytest.mark.parametrize(("server", "longest"), [("api", API_OPERATION), ("vault", VAULT_WRITE)])
def test_silent_from_any_request_on(
    tmp_path: Path,
    openbao: OpenBaoServer,
    requests_of: dict[str, int],
    server: str,
    longest: float,
    mute: bool,
) -> None:
    """The run ends with 1 or 5 after as many timeouts as it has changes, and the next ones converge."""
    for at in spread(requests_of[server], STRIDE, int(mute)):
        with World.begin(tmp_path / f"{at}", openbao, BEHAVIOR) as world:
            clock = _clock()
            silences = {
                name: Silence(clock, at if name == server else None, mute=mute) for name in ("api", "vault")
            }
            code = _apply(world, clock, **silences)
            try:
                assert code in {ExitCode.FAILED, ExitCode.PARTIAL}
                assert clock.monotonic() <= CHANGES * longest
                assert silences[server].timeouts == {30.0}
                world.check()
            except AssertionError as error:
                message = f"silent from request {at} on, exit {code}, {clock.monotonic()} s: {error}"
                raise AssertionError(message) from error


# --- how long one operation takes ---------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["create", "test", "delete", "list"])
def test_an_operation_of_a_silent_api_has_a_budget(operation: str) -> None:
    """Each takes as long as four timeouts, whatever it is."""
    clock = FakeClock()
    silence = Silence(clock, 0, mute=False)
    operations: Mapping[str, Callable[[ZofApi], object]] = {
        "create": lambda api: api.create("key", Secret("{}")),
        "test": lambda api: api.test("we_1"),
        "delete": lambda api: api.delete("we_1"),
        "list": lambda api: list(api.list_pages()),
    }
    api = ZofApi(
        "http://127.0.0.1:1/v1",
        KEY,
        clock=clock,
        reporter=SilentReporter(),
        jitter=lambda: 1.0,
        transport=SilentTransport(silence),
    )
    with api, contextlib.suppress(ApiError):
        operations[operation](api)
    assert (silence.requests, clock.monotonic()) == (4, API_OPERATION)


def test_a_silent_vault_keeps_nobody_waiting_for_the_lock(vault_settings: VaultSettings) -> None:
    """Taking the lock fails after one read; giving it back is a warning after a note and a write."""
    clock, reporter = _clock(), SilentReporter()
    silence = Silence(clock, 0, mute=False)
    session = VaultSession(
        vault_settings.address,
        login=TokenLogin(vault_settings.token),
        clock=clock,
        transport=SilentTransport(silence),
    )
    with session:
        store = VaultDocuments(session, mount=vault_settings.mount, prefix=vault_settings.prefix, clock=clock)
        lock = Lock(store, clock, Holder.here(RUN), warn=reporter.warn)
        with pytest.raises(StoreError, match="in time"):
            lock.acquire()
        assert clock.monotonic() == VAULT_READ
        silence.end()
        lock.acquire()
        silence.begin()
        lock.release()
    assert clock.monotonic() == VAULT_READ + VAULT_NOTE + VAULT_WRITE
    assert len(reporter.warnings) == 1
    assert "expires in 30 seconds" in reporter.warnings[0]


# --- real sockets ---------------------------------------------------------------------------------------


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Give a port that takes connections, and nothing that answers them."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield int(silent.getsockname()[1])


def test_a_silent_socket_for_an_api(silent_port: int) -> None:
    """The listing fails after the last try's timeout, and the sentence says what was waited for."""
    api = ZofApi(
        f"http://127.0.0.1:{silent_port}/v1",
        KEY,
        clock=FakeClock(),
        reporter=SilentReporter(),
        read_timeout=0.05,
    )
    with api, pytest.raises(ApiError, match=r"no response within 0\.05 s") as failed:
        list(api.list_pages())
    assert failed.value.exit_code is ExitCode.FAILED
    assert api.requests_sent == 5


def test_a_silent_socket_for_a_vault(silent_port: int) -> None:
    """The read fails after the last try's timeout, with the address."""
    address = f"http://127.0.0.1:{silent_port}"
    login = TokenLogin(Secret("token"))
    with (
        VaultSession(address, login=login, clock=FakeClock(), read_timeout=0.05) as session,
        pytest.raises(NoAnswer, match=f"Vault at {address} did not answer in time"),
    ):
        mount_version(session, "secret")
