"""What Vault's refusals and transport failures become, and that none of it quotes a secret."""

from __future__ import annotations

import inspect
import json
from typing import Any

import httpx
import pytest
from hvac import exceptions as hvac_exceptions

from reconciler.errors import CasConflict, StoreError, StoreUnavailable
from reconciler.http_client import NoReply, Reply, Trouble
from reconciler.vault.connection import Route
from reconciler.vault.responses import (
    Denied,
    NoAnswer,
    NotExecuted,
    NotFound,
    Purpose,
    Rejected,
    Unsupported,
    failure,
    interpret,
    retry_delay,
)
from reconciler.vault.transport import no_answer, translate_hvac

CANARY = "whsec_canary"
READ = Purpose("read", "secret/data/webhooks/acme/ci")
LIST = Purpose("list", "secret/metadata/webhooks/acme", confidential=False)
ADDRESS = "https://vault.example.com"
ROUTE = Route(ADDRESS, None, None)


def response(status: int, body: object = None, *, text: str | None = None, **headers: str) -> Reply:
    """Return an answer as the HTTP client gives it."""
    content = (json.dumps(body) if text is None else text).encode()
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Reply(status, httpx.Headers(pairs), content)


def all_of(module: Any, base: type[Exception]) -> list[type[Exception]]:
    """Return every exception class of `module` that derives from `base`."""
    found = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, base)]
    assert len(found) > 5
    return found


@pytest.mark.parametrize("kind", all_of(hvac_exceptions, hvac_exceptions.VaultError))
def test_every_hvac_error_becomes_ours(kind: type[hvac_exceptions.VaultError]) -> None:
    """No exception class of hvac is left without a sentence of ours, and none is quoted."""
    error = translate_hvac(kind(CANARY, errors=[CANARY], text=CANARY, json={"x": CANARY}), READ)
    assert isinstance(error, StoreError)
    assert CANARY not in f"{error.message}{error.hint}"
    assert error.message
    assert error.hint
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("trouble", "kind", "says", "retriable"),
    [
        (Trouble.TLS, NoAnswer, "no trusted TLS connection", False),
        (Trouble.PROXY, NoAnswer, "the proxy of the environment does not connect", True),
        (Trouble.TIMEOUT, NoAnswer, "did not answer in time: why", True),
        (Trouble.CONNECTION, NoAnswer, f"not reachable at {ADDRESS}: why", True),
        (Trouble.REQUEST, StoreError, "is not valid HTTP", False),
        (Trouble.RESPONSE, NoAnswer, "cannot be used: why", True),
    ],
)
def test_troubles_are_told_apart(trouble: Trouble, kind: type, says: str, retriable: bool) -> None:
    """Each kind says what it is, with a hint, and quotes nothing that others wrote."""
    error = no_answer(NoReply(trouble, "why", CANARY), ROUTE)
    assert type(error) is kind
    assert says in error.message
    assert error.hint
    assert CANARY not in f"{error.message}{error.hint}"
    assert getattr(error, "retriable", False) is retriable


@pytest.mark.parametrize("trouble", [Trouble.TIMEOUT, Trouble.CONNECTION, Trouble.RESPONSE])
def test_what_cannot_pass_is_not_tried_again(trouble: Trouble) -> None:
    """A response that is too large, for example, comes again."""
    error = no_answer(NoReply(trouble, "why", final=True), ROUTE)
    assert isinstance(error, NoAnswer)
    assert not error.retriable


@pytest.mark.parametrize(
    ("status", "words", "kind", "says"),
    [
        (400, "check-and-set parameter did not match the current version", CasConflict, "was first"),
        (400, "invalid version", Rejected, "HTTP 400"),
        (401, "", Denied, "permission denied"),
        (403, "permission denied", Denied, "permission denied"),
        (404, "", NotFound, "nothing at"),
        (404, 'no handler for route "x/data/y". route entry not found.', Rejected, "no secrets engine"),
        (405, "unsupported operation", Unsupported, "does not support read"),
        (412, "", NotExecuted, "HTTP 412"),
        (413, "", Rejected, "HTTP 413"),
        (429, "", NotExecuted, "HTTP 429"),
        (472, "", Rejected, "HTTP 472"),
        (500, "", NoAnswer, "HTTP 500"),
        (501, "", StoreError, "not initialized"),
        (502, "", NoAnswer, "HTTP 502"),
        (503, "Vault is sealed", StoreUnavailable, "Vault is sealed"),
        (503, "", NotExecuted, "HTTP 503"),
        (504, "", NoAnswer, "HTTP 504"),
        (511, "", NoAnswer, "HTTP 511"),
        (301, "", StoreError, "redirect"),
        (307, "", StoreError, "redirect"),
        (200, "", NoAnswer, "is not from Vault"),
        (206, "", NoAnswer, "is not from Vault"),
    ],
)
def test_each_status_has_its_meaning(status: int, words: str, kind: type[StoreError], says: str) -> None:
    """A status, with Vault's words where it needs them, becomes exactly one kind of error."""
    error = failure(status, words, READ)
    assert type(error) is kind
    assert says in error.message
    assert error.hint


def test_a_denial_names_the_policy_that_is_missing() -> None:
    """The hint names capability and path."""
    error = failure(403, "permission denied", LIST)
    assert error.hint == "the token's policy needs `list` on `secret/metadata/webhooks/acme`"


def test_words_are_quoted_only_where_no_secret_can_be() -> None:
    """Vault's words help on metadata, and are withheld where a server could echo a secret."""
    echo = {"errors": [f"cannot store {CANARY}"]}
    with pytest.raises(StoreError) as confidential:
        interpret(response(400, echo), READ)
    assert CANARY not in confidential.value.message
    with pytest.raises(StoreError, match="cannot store"):
        interpret(response(400, echo), LIST)


def test_words_cannot_forge_lines() -> None:
    """Control characters in Vault's words become spaces, and long words are cut."""
    body = {"errors": ["a\n::error::b\x1b[1m\u2028c", 7, "x" * 1000]}
    with pytest.raises(StoreError) as refused:
        interpret(response(400, body), LIST)
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 400


GARBAGE = [
    response(200, text="<html>log in here</html>"),
    response(200, text=""),
    response(200, text="[" * 100_000),
    response(200, ["data"]),
    response(200, {"data": ["x"]}),
    response(200, {"data": {}, "auth": "x"}),
    response(202, {"data": {}}),
    response(404, {"data": "x"}),
]


@pytest.mark.parametrize("answer", GARBAGE)
def test_what_is_not_vaults_shape_is_refused(answer: Reply) -> None:
    """HTML, another JSON, and a proxy's 404, are no answers: above all they do not mean "absent"."""
    with pytest.raises(NoAnswer, match="is not from Vault") as refused:
        interpret(answer, READ)
    assert not refused.value.retriable


FOREIGN = [
    "<html>403 Forbidden: LIST is not allowed</html>",
    "",
    '{"message":"Forbidden"}',
    '{"errors":[{"code":1000,"message":"blocked"}]}',
    '{"errors":"blocked"}',
    "[]",
]


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 405, 407, 412, 413, 429, 451, 500, 501, 502, 503, 504, 511]
)
def test_the_refusal_of_another_server_is_not_vaults(status: int, text: str) -> None:
    """A body without Vault's `errors` is never an answer from Vault: the message names who answered."""
    with pytest.raises(NoAnswer) as refused:
        interpret(response(status, text=text), LIST)
    error = refused.value
    assert error.message == f"not Vault, but a proxy or another server answered HTTP {status} for {LIST.path}"
    assert "HTTPS_PROXY" in str(error.hint)
    assert error.retriable is (status in {429, 500, 502, 503, 504})
    # Only a rate limit shows that the request was not passed on.
    assert isinstance(error, NotExecuted) is (status == 429)


def test_vaults_own_refusal_may_have_no_words() -> None:
    """Vault's 404 and 405 have an empty list of errors."""
    for status, kind in ((404, NotFound), (405, Unsupported)):
        with pytest.raises(kind):
            interpret(response(status, {"errors": []}), LIST)


def test_an_upgrade_and_an_election_pass() -> None:
    """Vault says in words that it did not execute the request: the same request is sent again."""
    upgrade = (
        "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period."
    )
    leaderless = "local node not active but active cluster node not found"
    for status, words in ((400, upgrade), (500, leaderless)):
        with pytest.raises(NotExecuted) as refused:
            interpret(response(status, {"errors": [words]}), READ)
        assert refused.value.retriable


def test_a_long_pause_is_named_instead_of_waited_for() -> None:
    """Nobody waits an hour for Vault: the message says how long it asks to wait."""
    for body in ({"errors": ["rate limit quota exceeded"]}, {"message": "slow down"}):
        with pytest.raises(NotExecuted, match="asks to wait 1h") as refused:
            interpret(response(429, body, Retry_After="3600"), LIST)
        assert retry_delay(1, refused.value.wait, 0.0, not_executed=True) is None


@pytest.mark.parametrize(
    ("header", "expected"), [(None, None), ("7", 7.0), ("soon", None), ("-1", None), ("\u00b2", None)]
)
def test_retry_after_is_read_in_seconds(header: str | None, expected: float | None) -> None:
    """Only whole seconds count."""
    answer = response(429, {"errors": []}, **({} if header is None else {"Retry_After": header}))
    with pytest.raises(NoAnswer) as refused:
        interpret(answer, LIST)
    assert refused.value.wait == expected


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 02 Nov 2026 12:00:00"])
def test_a_strange_date_is_no_date(date: str) -> None:
    """Without a usable `Date` header the answer has no time."""
    answer = interpret(response(200, {"data": {"a": 1}}, Date=date), READ)
    assert answer.at is None
    assert answer.data == {"a": 1}


def test_an_empty_answer_is_an_answer() -> None:
    """Vault says 204 where there is nothing to say; the body does not count."""
    answer = interpret(response(204, text="", Date="Mon, 02 Nov 2026 12:00:00 GMT"), READ)
    assert (answer.data, answer.found) == ({}, True)
    assert answer.at is not None


@pytest.mark.parametrize(
    ("attempt", "wait", "delay"),
    [
        (1, None, 0.25),
        (2, None, 0.5),
        (4, None, 2.0),
        (5, None, None),
        (1, 3.0, 3.0),
        (1, 0.0, 0.25),
        (1, 60.0, 60.0),
        (1, 60.1, None),
        (9, 1.0, None),
    ],
)
def test_retries_back_off_and_end(attempt: int, wait: float | None, delay: float | None) -> None:
    """Waits double, what Vault asks for counts up to a minute, and the fifth attempt is the last."""
    assert retry_delay(attempt, wait, 0.0) == delay


def test_what_vault_did_not_execute_is_repeated_for_a_minute() -> None:
    """A rate limit, an upgrade or an election takes longer than a lost connection."""
    delays = [retry_delay(attempt, None, 0.0, not_executed=True) for attempt in range(1, 10)]
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, None]


@pytest.mark.parametrize(("not_executed", "longest"), [(False, 160.0), (True, 300.0)])
def test_retries_end_with_the_time_of_the_operation(not_executed: bool, longest: float) -> None:
    """However long each attempt takes, and whatever pause Vault asks for."""
    assert retry_delay(1, 30.0, longest - 30.0, not_executed=not_executed) == 30.0
    assert retry_delay(1, 30.1, longest - 30.0, not_executed=not_executed) is None
