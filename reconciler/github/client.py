"""Requests to one repository over GitHub's REST API. The only module of `github` that knows httpx.

httpx's exceptions contain the request and with it the token: none leaves this module, not even as a cause.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

import httpx

from reconciler import __version__
from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.headers import read_number
from reconciler.http_client import open_client
from reconciler.network import Network
from reconciler.retry import backoff, retry
from reconciler.urls import service_url_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.model import Secret
    from reconciler.ports import Clock

_TIMEOUT = 30.0
_MAX_ATTEMPTS = 5
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 120.0
"""Seconds; a request that would have to wait longer fails instead."""
_MINUTE = 60.0
_PAGE = 100
_MOST_PAGES = 200
_DOWNLOAD_MAX = 64 * 1024 * 1024
_OK = range(200, 300)
_REDIRECT = range(300, 400)
_SERVER_ERROR = 500
_REFUSED = frozenset({403, 429})
_HINTS = {
    401: "give the step GITHUB_TOKEN: ${{ github.token }}",
    403: "give the job the permissions that docs/reference/workflows.md of webhook-reconciler lists",
    404: "give the job the permissions that docs/reference/workflows.md of webhook-reconciler lists",
}


class InDoubt(ReconcilerError):
    """It is unknown whether GitHub executed the request: check before sending it again."""


class GitHub:
    """One repository. Closes its connections at the end of its context."""

    def __init__(self, repository: str, token: Secret, *, url: str, clock: Clock) -> None:
        """Open the pool; nothing is sent yet.

        Args:
            repository: `owner/name`.
            token: the job's token.
            url: the API's URL, https or on loopback.
            clock: for pauses between retries.

        Raises:
            InvalidInput: the token must not be sent to the URL, or is not valid.
        """
        if problem := service_url_problem(url):
            raise InvalidInput(f"GITHUB_API_URL {problem}; nothing was sent")
        if not (token.reveal().isascii() and token.reveal().isprintable()):
            raise InvalidInput("GITHUB_TOKEN contains invalid characters")
        self._base = f"{url.rstrip('/')}/repos/{repository}/"
        self._clock = clock
        self._authorization = {"Authorization": f"Bearer {token.reveal()}"}
        self._client = _open_client(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **query: str | int) -> Any:
        """Return the JSON at `path` below the repository.

        Raises:
            ReconcilerError: GitHub refused, or did not answer.
        """
        return _json(self._send("GET", path, query=query))

    def pages(self, path: str, key: str | None = None, **query: str | int) -> Iterator[dict[str, Any]]:
        """Yield the objects of every page of a list; `key` is the response's field that contains them.

        Raises:
            ReconcilerError: GitHub refused, did not answer, or the list does not end.
        """
        for page in range(1, _MOST_PAGES + 1):
            answer = self.get(path, per_page=_PAGE, page=page, **query)
            listed = answer.get(key) if key is not None and isinstance(answer, dict) else answer
            if not isinstance(listed, list):
                raise ReconcilerError(f"GitHub answered GET {path} with something other than a list")
            yield from (each for each in listed if isinstance(each, dict))
            if len(listed) < _PAGE:
                return
        raise ReconcilerError(f"GitHub's list {path} does not end")

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST an object and return the result.

        Raises:
            InDoubt: GitHub may have created it.
            ReconcilerError: it has not.
        """
        return _object(self._send("POST", path, body))

    def change(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH an object and return the result. Idempotent.

        Raises:
            ReconcilerError: GitHub refused, or did not answer.
        """
        return _object(self._send("PATCH", path, body))

    def download(self, path: str) -> bytes:
        """Return the file that `path` redirects to; the token stays with GitHub's API.

        Raises:
            ReconcilerError: GitHub refused, did not answer, or the file is too large.
        """
        answer = self._send("GET", path)
        url = answer.headers.get("location", "")
        if answer.status_code not in _REDIRECT or service_url_problem(url, query=True):
            raise ReconcilerError(f"GitHub answered GET {path} without the URL of a file")
        content = bytearray()
        try:
            # Storage is another host, perhaps behind another proxy.
            with _open_client(url) as client, client.stream("GET", url) as file:
                if file.status_code not in _OK:
                    raise ReconcilerError(f"GitHub's storage refused a file: HTTP {file.status_code}")
                for chunk in file.iter_bytes():
                    content += chunk
                    if len(content) > _DOWNLOAD_MAX:
                        raise ReconcilerError("a file in GitHub's storage is too large to be a plan")
        except (httpx.HTTPError, httpx.InvalidURL):
            # The URL is signed: with it anybody can get the file.
            raise ReconcilerError(
                "GitHub's storage did not return the file", hint="run the job again"
            ) from None
        return bytes(content)

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str | int] | None = None,
    ) -> httpx.Response:
        def attempt(_elapsed: float) -> httpx.Response | None:
            try:
                return self._client.request(
                    method, self._base + path, json=body, params=query, headers=self._authorization
                )
            except (httpx.HTTPError, httpx.InvalidURL):
                return None

        def decide(number: int, answer: httpx.Response | None, _elapsed: float) -> float | None:
            status = None if answer is None else answer.status_code
            return retry_delay(method, status, number, self._rate_limit(answer))

        answer = retry(attempt, decide, clock=self._clock)
        wait = self._rate_limit(answer)
        if wait is not None and wait > _LONGEST_WAIT:
            raise ReconcilerError(
                f"GitHub asks to wait {wait:,.0f} s before {method} {path}", hint="run the job again later"
            )
        if answer is not None and answer.status_code < _SERVER_ERROR and wait is None:
            return _checked(answer, method, path)
        if method == "POST" and wait is None:
            raise InDoubt(f"GitHub may or may not have executed POST {path}", hint="run the job again")
        raise ReconcilerError(f"GitHub did not answer {method} {path}", hint="run the job again")

    def _rate_limit(self, answer: httpx.Response | None) -> float | None:
        if answer is None:
            return None
        now = self._clock.now().timestamp()
        return rate_limit_wait(answer.status_code, answer.headers, answer.content, now)


def _open_client(url: str) -> httpx.Client:
    """Return a client for the server at `url`.

    Raises:
        InvalidInput: the proxy or the certificate authorities that the environment names cannot be used.
    """
    headers = {
        "Accept": "application/vnd.github+json",
        "User-Agent": f"webhook-reconciler/{__version__}",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    return open_client(url, Network.of(os.environ), headers=headers, timeout=_TIMEOUT)


def retry_delay(method: str, status: int | None, attempt: int, wait: float | None) -> float | None:
    """Return the seconds to wait before the same request is sent again; None: do not retry.

    Args:
        method: the HTTP method; a POST whose result is unknown is not repeated.
        status: the response's status; None if there was none.
        attempt: the number of attempts so far.
        wait: the seconds that a rate limit asks to wait; None if the response is not about one.
    """
    if wait is None and (method == "POST" or (status is not None and status < _SERVER_ERROR)):
        return None
    if attempt >= _MAX_ATTEMPTS or (wait is not None and wait > _LONGEST_WAIT):
        return None
    return max(wait or 0.0, backoff(attempt, _FIRST_WAIT))


def rate_limit_wait(status: int, headers: Mapping[str, str], body: bytes, now: float) -> float | None:
    """Return the seconds that a response asks to wait; None if it is not about a rate limit.

    Args:
        status: its status.
        headers: its headers; lookups ignore case.
        body: its body.
        now: the current Unix time.
    """
    if status not in _REFUSED:
        return None
    if "retry-after" in headers:
        return read_number(headers["retry-after"]) or 0.0
    if read_number(headers.get("x-ratelimit-remaining")) == 0:
        return max(0.0, (read_number(headers.get("x-ratelimit-reset")) or 0.0) - now)
    if status not in _HINTS:
        return _FIRST_WAIT
    # Without headers, GitHub's documentation asks to wait a minute.
    return _MINUTE if b"secondary rate limit" in body else None


def _checked(answer: httpx.Response, method: str, path: str) -> httpx.Response:
    status = answer.status_code
    if status in _OK or (status in _REDIRECT and method == "GET"):
        return answer
    words = ""
    if isinstance(said := _json(answer), dict) and isinstance(said.get("message"), str):
        words = f": {said['message'][:200]}"
    raise ReconcilerError(f"GitHub refused {method} {path}: HTTP {status}{words}", hint=_HINTS.get(status))


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _object(answer: httpx.Response) -> dict[str, Any]:
    value = _json(answer)
    return value if isinstance(value, dict) else {}
