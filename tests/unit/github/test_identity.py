"""The identity token of a GitHub Actions job: how it is asked for, and every way in which there is none."""

from __future__ import annotations

import json

import httpx
import pytest

from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.github.identity import identity_token
from tests.fakes.clock import FakeClock

URL = "https://actions.example.com/idtoken?api-version=2.0&audience=vault"
REQUEST_TOKEN = "request-token-canary"
IDENTITY = "identity-token-canary"
ENVIRON = {"ACTIONS_ID_TOKEN_REQUEST_URL": URL, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN}


class GitHub(httpx.BaseTransport):
    """Takes the place of the network: answers as told, and remembers what it was asked."""

    def __init__(
        self, body: bytes = b"", *, status: int = 200, error: Exception | None = None, location: str = ""
    ) -> None:
        self.requests: list[httpx.Request] = []
        self._body, self._status, self._error, self._location = body, status, error, location

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx asks for."""
        self.requests.append(request)
        if self._error is not None:
            raise self._error
        headers = {"Location": self._location} if self._location else {}
        return httpx.Response(self._status, content=self._body, headers=headers)


def _value(value: object) -> bytes:
    return json.dumps({"value": value}).encode()


def _refused(github: GitHub) -> ReconcilerError:
    """Return the error, after seeing that neither token is told anywhere."""
    with pytest.raises(ReconcilerError) as refused:
        identity_token(ENVIRON, FakeClock(), transport=github)
    error = refused.value
    assert error.hint
    assert error.__cause__ is error.__context__ is None
    for token in (REQUEST_TOKEN, IDENTITY):
        assert token not in f"{error.message} {error.hint}"
    return error


def test_the_token_is_asked_for_as_github_wants_it() -> None:
    """The job's URL is asked, with its audience and with the job's own token; the answer's value is it."""
    github = GitHub(_value(IDENTITY))
    token = identity_token(ENVIRON, FakeClock(), transport=github)
    assert token.reveal() == IDENTITY
    assert IDENTITY not in repr(token)
    (request,) = github.requests
    assert (request.method, str(request.url)) == ("GET", URL)
    assert request.headers["Authorization"] == f"Bearer {REQUEST_TOKEN}"


@pytest.mark.parametrize("name", ENVIRON)
def test_without_a_jobs_environment_there_is_none(name: str) -> None:
    """Outside a job with `id-token: write` both variables are named, and the permission is the hint."""
    github = GitHub(_value(IDENTITY))
    for environ in ({**ENVIRON, name: ""}, {k: v for k, v in ENVIRON.items() if k != name}):
        with pytest.raises(InvalidInput, match="ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN") as refused:
            identity_token(environ, FakeClock(), transport=github)
        assert "id-token: write" in (refused.value.hint or "")
    assert github.requests == []


@pytest.mark.parametrize(
    "url", ["http://actions.example.com/", "file:///etc/passwd", "ftp://x/", "actions", "https://[::1"]
)
def test_a_url_that_is_not_https_gets_nothing(url: str) -> None:
    """The job's token goes over https only: any other URL is refused before anything is sent."""
    github = GitHub(_value(IDENTITY))
    with pytest.raises(InvalidInput, match=r"ACTIONS_ID_TOKEN_REQUEST_URL .*; nothing was sent"):
        identity_token({**ENVIRON, "ACTIONS_ID_TOKEN_REQUEST_URL": url}, FakeClock(), transport=github)
    assert github.requests == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_a_refusal_tells_its_status(status: int) -> None:
    """An HTTP error is told by its number; its body is not quoted."""
    error = _refused(GitHub(_value(IDENTITY), status=status))
    assert error.message == f"GitHub refused to issue an identity token: HTTP {status}"
    assert error.exit_code == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Another host never sees the job's token: a redirect is a refusal."""
    github = GitHub(status=status, location="https://elsewhere.example.com/")
    assert _refused(github).message == f"GitHub refused to issue an identity token: HTTP {status}"
    assert len(github.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>" + IDENTITY.encode(),
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b"[" * 60_000,
        b'{"value": "' + b"x" * 70_000 + b'"}',
        _value(None),
        _value(""),
        _value(7),
        _value([IDENTITY]),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_an_answer_without_a_token_is_told(body: bytes) -> None:
    """Nonsense of any kind, or an answer that is too long: no token, one sentence, nothing quoted."""
    assert _refused(GitHub(body)).message.startswith("GitHub returned no identity token")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (httpx.ConnectError, "no connection"),
        (httpx.ReadTimeout, "no response within 30 s"),
        (httpx.RemoteProtocolError, "the response was cut off or is not HTTP"),
        (httpx.LocalProtocolError, "the request is not valid HTTP"),
        (httpx.ReadError, "the connection failed"),
    ],
)
def test_a_connection_that_breaks_is_told(error: type[Exception], why: str) -> None:
    """However the exchange breaks, it is one sentence without the exception's text."""
    github = GitHub(error=error(f"{IDENTITY} {REQUEST_TOKEN}"))
    assert _refused(github).message == f"GitHub returned no identity token: {why}"


def test_a_token_that_fits_no_header_is_refused() -> None:
    """Before anything is sent."""
    environ = {**ENVIRON, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "schlüssel"}
    with pytest.raises(InvalidInput, match="ACTIONS_ID_TOKEN_REQUEST_TOKEN contains invalid characters"):
        identity_token(environ, FakeClock(), transport=GitHub())


def test_without_a_transport_the_network_is_asked() -> None:
    """The request goes to the URL's host, through the proxy that the job's environment names."""
    url = "https://127.0.0.1:9/"
    with pytest.raises(ReconcilerError, match="GitHub returned no identity token: no connection"):
        identity_token({**ENVIRON, "ACTIONS_ID_TOKEN_REQUEST_URL": url}, FakeClock())
    proxied = {**ENVIRON, "HTTPS_PROXY": "gopher://me:passw0rd@proxy/"}
    with pytest.raises(InvalidInput, match="cannot use the proxy that HTTPS_PROXY names"):
        identity_token(proxied, FakeClock())
