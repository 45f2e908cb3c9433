"""Whatever Vault answers to whichever request of an `apply`, the next runs converge and nothing is lost.

A proxy stands before a real OpenBao. One fault strikes the n-th request of a run, its lock's requests
included; then an oracle looks at the API's own store and at Vault.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from reconciler.sandbox.behavior import Behavior
from tests.fixtures.examples import spread
from tests.fixtures.openbao import create_role, enable_approle, write_policy
from tests.fixtures.proxy import Fate, Proxy, Reply
from tests.fixtures.world import UNLIMITED, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.processes import Ended
    from tests.fixtures.proxy import Request

BEHAVIOR = Behavior(
    honour_client_secret=False,
    secret_field="signing_secret",
    replay_shows_secret=False,
    rate_limit=UNLIMITED,
)
STRIDE = 9
FEWEST = 20
"""As many Vault requests the changes need at least: with fewer, the tests have lost their object."""


def _refusal(status: int, words: str, **headers: str) -> Reply:
    return Reply(status, json.dumps({"errors": [words]}), {"Content-Type": "application/json", **headers})


def _success(body: str, kind: str = "application/json") -> Reply:
    return Reply(200, body, {"Content-Type": kind})


FAULTS: dict[str, Fate | Reply] = {
    "permission denied": _refusal(403, "permission denied"),
    "too many requests": _refusal(429, "request path: rate limit quota exceeded", **{"Retry-After": "0"}),
    "sealed": _refusal(503, "Vault is sealed"),
    "internal error": _refusal(500, "1 error occurred"),
    "dropped": Fate.DROP,
    "lost": Fate.LOSE,
    "redirect": Reply(302, "", {"Location": "http://localhost:1/v1/"}),
    "a login page": _success("<!doctype html><title>Log in</title>", "text/html"),
    "another shape": _success('{"data": {"hello": "world"}}'),
    "an empty object": _success("{}"),
    "bad request": _refusal(400, "error parsing JSON"),
    "check-and-set": _refusal(400, "check-and-set parameter did not match the current version"),
    "not found": Reply(404, '{"errors": []}'),
    "no content": Reply(204),
}


class Striker:
    """Lets something happen at the n-th request (lasting: and at all that follow), and counts them."""

    def __init__(
        self, at: int | None, happen: Callable[[Request], Fate | Reply], *, lasting: bool = False
    ) -> None:
        self.count = 0
        self._lasting = lasting
        self._at = at
        self._happen = happen

    def __call__(self, request: Request) -> Fate | Reply:
        """Decide what becomes of `request`: they come one at a time."""
        self.count += 1
        number = self.count - 1
        strikes = self._at is not None and (number == self._at or (self._lasting and number > self._at))
        return self._happen(request) if strikes else Fate.FORWARD


@pytest.fixture
def elsewhere() -> Iterator[Proxy]:
    """Give another host, where nothing may ever arrive."""
    with Proxy("http://127.0.0.1:1") as other:
        other.script = lambda _request: Fate.DROP
        yield other


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory, openbao: OpenBaoServer) -> int:
    """Give the number of Vault requests of a run that nothing strikes."""
    with World.begin(tmp_path_factory.mktemp("calm") / "world", openbao, BEHAVIOR) as world:
        world.vault.script = striker = Striker(None, lambda _request: Fate.DROP)
        assert world.end(world.start("apply", "--yes", "--no-progress")).code == 0
        world.vault.script = lambda _request: Fate.FORWARD
        world.check()
    assert striker.count >= FEWEST
    return striker.count


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_at_one_request(
    tmp_path: Path,
    openbao: OpenBaoServer,
    elsewhere: Proxy,
    requests: int,
    fault: str,
    record_property: Callable[[str, object], None],
) -> None:
    """The run says so in a sentence and exits 0, 1 or 5; at most two further ones converge."""
    answer = FAULTS[fault]
    if isinstance(answer, Reply) and "Location" in answer.headers:
        answer = Reply(302, "", {"Location": elsewhere.address.replace("127.0.0.1", "localhost")})
    failures = []
    moments = spread(requests, STRIDE, list(FAULTS).index(fault))
    record_property("cases", len(moments))
    for at in moments:
        with World.begin(tmp_path / f"{at}", openbao, BEHAVIOR) as world:
            world.vault.script = Striker(at, lambda _request: answer)
            ended = world.end(world.start("apply", "--yes", "--no-progress"))
            world.vault.script = lambda _request: Fate.FORWARD
            try:
                _check_end(ended)
                world.check()
            except AssertionError as error:
                failures.append(f"{fault} at request {at} of {requests}, exit {ended.code}: {error}")
    assert not failures, "\n\n".join(failures)
    assert elsewhere.requests == [], "a redirect was followed"


def _check_end(ended: Ended) -> None:
    assert ended.code in {0, 1, 5}
    if ended.code == 1:
        assert re.search("^error: ", ended.stderr, re.MULTILINE), "a failure without a sentence"


@pytest.mark.parametrize("fault", ["permission denied", "sealed", "bad request", "not found", "a login page"])
def test_a_lock_that_cannot_be_taken_comes_with_advice(
    tmp_path: Path, openbao: OpenBaoServer, fault: str
) -> None:
    """When Vault refuses the run's first write, a sentence and a hint say so, and nothing was done."""

    def refuse(request: Request) -> Fate | Reply:
        is_lock = request.method == "POST" and request.path.endswith("/_lock")
        return FAULTS[fault] if is_lock else Fate.FORWARD

    with World.begin(tmp_path / "world", openbao, BEHAVIOR) as world:
        before = world.command.live
        world.vault.script = refuse
        ended = world.end(world.start("apply", "--yes", "--no-progress"))
        assert (ended.code, world.command.live) == (1, before)
        assert re.fullmatch("error: .+\nhint: .+\n", ended.stderr), ended.stderr


def test_sealed_in_mid_run(tmp_path: Path, openbao: OpenBaoServer, requests: int) -> None:
    """When Vault is sealed at some request and stays so for the rest of the run, nothing is lost either."""
    for at in spread(requests, STRIDE):
        with World.begin(tmp_path / f"{at}", openbao, BEHAVIOR) as world:
            world.vault.script = Striker(at, lambda _request: FAULTS["sealed"], lasting=True)
            ended = world.end(world.start("apply", "--yes", "--no-progress"))
            world.vault.script = lambda _request: Fate.FORWARD
            try:
                _check_end(ended)
                world.check()
            except AssertionError as error:
                message = f"sealed from request {at} on, exit {ended.code}: {error}"
                raise AssertionError(message) from error


# --- a token that ends ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _approle(openbao: OpenBaoServer) -> Iterator[None]:
    """Let the server have the AppRole method at its usual mount."""
    enable_approle(openbao)
    yield
    openbao.request("DELETE", "sys/auth/approle")


def _role(world: World, token_num_uses: int = 0) -> dict[str, str | None]:
    """Return the environment of a role that may do everything below the prefix, and of no token."""
    command = world.command
    name = command.prefix.replace("/", "-")
    rules = f'path "secret/+/{command.prefix}/*" {{ capabilities = ["create", "read", "update", "list"] }}'
    openbao = command.vault
    write_policy(openbao, name, rules)
    role_id, secret_id = create_role(openbao, name, name, token_num_uses=token_num_uses)
    return {"VAULT_TOKEN": None, "VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id.reveal()}


def _logins(world: World) -> int:
    return sum(request.path == "/v1/auth/approle/login" for request in world.vault.requests)


@pytest.mark.usefixtures("_approle")
def test_a_token_that_is_revoked_at_any_request(tmp_path: Path, openbao: OpenBaoServer) -> None:
    """Whenever the token of an AppRole login ends, the run logs in once more and carries everything out."""

    def revoke(request: Request) -> Fate:
        openbao.request("POST", "auth/token/revoke", {"token": request.headers["X-Vault-Token"]})
        return Fate.FORWARD

    at, is_over = 0, False
    while not is_over:
        at += 1  # The first request is the login itself.
        with World.begin(tmp_path / f"{at}", openbao, BEHAVIOR) as world:
            world.vault.script = striker = Striker(at, revoke)
            applied = world.command("apply", "--yes", **_role(world))
            assert applied.exit_code == 0, f"revoked at request {at}: {applied.output}"
            assert world.vault.requests[-1].path == "/v1/auth/token/revoke-self"
            is_over = at + 1 == striker.count
            # The last request revokes the token anyway.
            assert _logins(world) == (1 if is_over else 2), f"revoked at request {at}"
            world.check()
    assert at > FEWEST


@pytest.mark.usefixtures("_approle")
@pytest.mark.parametrize("uses", [1, 2, 3, 7])
def test_tokens_of_few_uses(tmp_path: Path, openbao: OpenBaoServer, uses: int) -> None:
    """A role whose tokens are good for a few requests leads to more logins, and to the same end."""
    with World.begin(tmp_path / "world", openbao, BEHAVIOR) as world:
        applied = world.command("apply", "--yes", **_role(world, token_num_uses=uses))
        assert applied.exit_code == 0, applied.output
        assert _logins(world) > 2
        world.check()
