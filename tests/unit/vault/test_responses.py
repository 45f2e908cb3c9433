"""What Vault's refusals and transport failures become, and that none of it quotes a secret."""

from __future__ import annotations

import inspect
import io
import json
from typing import Any

import pytest
import requests
from hvac import exceptions as hvac_exceptions
from urllib3.exceptions import HTTPError

from reconciler.errors import CasConflict, StoreError, StoreUnavailable
from reconciler.vault.connection import Route
from reconciler.vault.responses import (
    Answer,
    Denied,
    NoAnswer,
    NotExecuted,
    NotFound,
    Purpose,
    Rejected,
    Unsupported,
    failure,
    interpret,
    read_body,
    retry_delay,
)
from reconciler.vault.transport import translate

CANARY = "whsec_canary"
READ = Purpose("read", "secret/data/webhooks/acme/ci")
LIST = Purpose("list", "secret/metadata/webhooks/acme", confidential=False)
ADDRESS = "https://vault.example.com"
ROUTE = Route(ADDRESS, None, None)


def response(
    status: int, body: object = None, *, text: str | None = None, **headers: str
) -> requests.Response:
    """Return an answer as requests would give it."""
    answer = requests.Response()
    answer.status_code = status
    answer.raw = io.BytesIO((json.dumps(body) if text is None else text).encode())
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return answer


def interpreted(response: requests.Response, purpose: Purpose) -> Answer:
    """Return what an answer means, once it is read."""
    return interpret(response, read_body(response), purpose)


def all_of(module: Any, base: type[Exception]) -> list[type[Exception]]:
    """Return every exception class of `module` that derives from `base`."""
    found = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, base)]
    assert len(found) > 5
    return found


@pytest.mark.parametrize("kind", all_of(hvac_exceptions, hvac_exceptions.VaultError))
def test_every_hvac_error_becomes_ours(kind: type[hvac_exceptions.VaultError]) -> None:
    """No exception class of hvac is left without a sentence of ours, and none is quoted."""
    error = translate(kind(CANARY, errors=[CANARY], text=CANARY, json={"x": CANARY}), ROUTE, READ)
    assert isinstance(error, StoreError)
    assert CANARY not in f"{error.message}{error.hint}"
    assert error.message
    assert error.hint
    assert "\n" not in error.message


@pytest.mark.parametrize(
    "kind", [*all_of(requests.exceptions, requests.RequestException), HTTPError, OSError]
)
def test_every_transport_error_becomes_ours(kind: type[Exception]) -> None:
    """No exception class of requests is left without a sentence of ours, and none is quoted."""
    arguments = (CANARY, CANARY, 0) if kind is requests.exceptions.JSONDecodeError else (CANARY,)
    error = translate(kind(*arguments), ROUTE, READ)
    assert isinstance(error, StoreError)
    assert CANARY not in f"{error.message}{error.hint}"
    assert error.hint


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (requests.exceptions.SSLError, "no trusted TLS connection"),
        (requests.exceptions.ProxyError, "the proxy"),
        (requests.exceptions.ConnectTimeout, "did not answer in time"),
        (requests.exceptions.ReadTimeout, "did not answer in time"),
        (requests.exceptions.ConnectionError, f"not reachable at {ADDRESS}"),
        (requests.exceptions.InvalidHeader, "is not valid HTTP"),
        (HTTPError, "failed"),
        (OSError, "certificates"),
    ],
)
def test_transport_errors_are_told_apart(kind: type[Exception], says: str) -> None:
    """Each kind of transport failure says what it is."""
    assert says in translate(kind(), ROUTE, READ).message


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
        interpreted(response(400, echo), READ)
    assert CANARY not in confidential.value.message
    with pytest.raises(StoreError, match="cannot store"):
        interpreted(response(400, echo), LIST)


def test_words_cannot_forge_lines() -> None:
    """Control characters in Vault's words become spaces, and long words are cut."""
    body = {"errors": ["a\n::error::b\x1b[1m\u2028c", 7, "x" * 1000]}
    with pytest.raises(StoreError) as refused:
        interpreted(response(400, body), LIST)
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
def test_what_is_not_vaults_shape_is_refused(answer: requests.Response) -> None:
    """HTML, another JSON, and a proxy's 404, are no answers: above all they do not mean "absent"."""
    with pytest.raises(NoAnswer, match="is not from Vault") as refused:
        interpreted(answer, READ)
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
        interpreted(response(status, text=text), LIST)
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
            interpreted(response(status, {"errors": []}), LIST)


def test_an_upgrade_and_an_election_pass() -> None:
    """Vault says in words that it did not execute the request: the same request is sent again."""
    upgrade = (
        "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period."
    )
    leaderless = "local node not active but active cluster node not found"
    for status, words in ((400, upgrade), (500, leaderless)):
        with pytest.raises(NotExecuted) as refused:
            interpreted(response(status, {"errors": [words]}), READ)
        assert refused.value.retriable


def test_a_long_pause_is_named_instead_of_waited_for() -> None:
    """Nobody waits an hour for Vault: the message says how long it asks to wait."""
    for body in ({"errors": ["rate limit quota exceeded"]}, {"message": "slow down"}):
        with pytest.raises(NotExecuted, match="asks to wait 1h") as refused:
            interpreted(response(429, body, Retry_After="3600"), LIST)
        assert retry_delay(1, refused.value.wait, not_executed=True) is None


@pytest.mark.parametrize(
    ("header", "expected"), [(None, None), ("7", 7.0), ("soon", None), ("-1", None), ("\u00b2", None)]
)
def test_retry_after_is_read_in_seconds(header: str | None, expected: float | None) -> None:
    """Only whole seconds count."""
    answer = response(429, {"errors": []})
    if header is not None:
        answer.headers["Retry-After"] = header
    with pytest.raises(NoAnswer) as refused:
        interpreted(answer, LIST)
    assert refused.value.wait == expected


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 02 Nov 2026 12:00:00"])
def test_a_strange_date_is_no_date(date: str) -> None:
    """Without a usable `Date` header the answer has no time."""
    answer = interpreted(response(200, {"data": {"a": 1}}, Date=date), READ)
    assert answer.at is None
    assert answer.data == {"a": 1}


def test_an_empty_answer_is_an_answer() -> None:
    """Vault says 204 where there is nothing to say; the body does not count."""
    answer = interpreted(response(204, text="", Date="Mon, 02 Nov 2026 12:00:00 GMT"), READ)
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
    assert retry_delay(attempt, wait) == delay


def test_what_vault_did_not_execute_is_repeated_for_a_minute() -> None:
    """A rate limit, an upgrade or an election takes longer than a lost connection."""
    delays = [retry_delay(attempt, None, not_executed=True) for attempt in range(1, 10)]
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, None]
