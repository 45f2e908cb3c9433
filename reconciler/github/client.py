"""Requests to one repository over GitHub's REST API."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Self

from reconciler.credentials.foreign import foreign_text
from reconciler.credentials.known import KNOWN
from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.headers import read_number
from reconciler.http_client import HttpClient, NoReply, Reply, Trouble
from reconciler.network import Network
from reconciler.retry import backoff, retry
from reconciler.untrusted_json import load_json
from reconciler.urls import service_url_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.model import Secret
    from reconciler.ports import Clock

_TIMEOUT = 30.0
"""Seconds that one exchange may take."""
_FILE_TIMEOUT = 120.0
"""Seconds that a file may take."""
_LONGEST_JOB = 900.0
"""Seconds after which no further request is sent."""
_MAX_ATTEMPTS = 5
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 120.0
"""Seconds; a request that would have to wait longer fails instead."""
_MINUTE = 60.0
_PAGE = 100
_MOST_PAGES = 200
_BODY_MAX = 16 * 1024 * 1024
"""Bytes of a response: a page of 100 comments, each of the most characters, has up to 7 MB."""
_DOWNLOAD_MAX = 8 * 1024 * 1024
"""Bytes of an archive: one with a plan of 10,000 changes has less than 1 MB."""
_OK = range(200, 300)
_REDIRECT = range(300, 400)
_SERVER_ERROR = 500
_REFUSED = frozenset({403, 429})
_HINTS = {
    401: "give the step GITHUB_TOKEN: ${{ github.token }}",
    403: "give the job the permissions that docs/reference/workflows.md of webhook-reconciler lists",
    404: "give the job the permissions that docs/reference/workflows.md of webhook-reconciler lists",
}


_TOO_LATE = NoReply(
    Trouble.TIMEOUT,
    f"the requests of this job took {_LONGEST_JOB / 60:.0f} minutes",
    in_doubt=False,
    final=True,
)


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
        KNOWN.add(token)
        self._base = f"{url.rstrip('/')}/repos/{repository}/"
        self._clock = clock
        self._deadline = clock.monotonic() + _LONGEST_JOB
        self._headers = {
            "Authorization": f"Bearer {token.reveal()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        self._client = HttpClient(url, Network.of(os.environ), clock=clock)

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
        return _object(self._send("POST", path, _masked(body)))

    def change(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH an object and return the result. Idempotent.

        Raises:
            ReconcilerError: GitHub refused, or did not answer.
        """
        return _object(self._send("PATCH", path, _masked(body)))

    def download(self, path: str) -> bytes:
        """Return the file that `path` redirects to; the token stays with GitHub's API.

        Raises:
            ReconcilerError: GitHub refused, did not answer, or the file is too large.
        """
        answer = self._send("GET", path)
        url = answer.headers.get("location", "")
        if answer.status_code not in _REDIRECT or service_url_problem(url, query=True):
            raise ReconcilerError(f"GitHub answered GET {path} without the URL of a file")
        # Storage is another host, perhaps behind another proxy.
        storage = HttpClient(url, Network.of(os.environ), clock=self._clock)
        file = storage.send("GET", url, headers={}, seconds=_FILE_TIMEOUT, size=_DOWNLOAD_MAX)
        storage.close()
        if not isinstance(file, Reply):
            # The URL is signed: with it anybody can get the file.
            raise ReconcilerError(
                f"GitHub's storage did not return the file: {file.reason}", hint="run the job again"
            )
        if file.status_code not in _OK:
            raise ReconcilerError(f"GitHub's storage refused a file: HTTP {file.status_code}")
        return bytes(file.body)

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str | int] | None = None,
    ) -> Reply:
        content = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})

        def attempt(_elapsed: float) -> Reply | NoReply:
            left = self._deadline - self._clock.monotonic()
            if left <= 0:
                return _TOO_LATE
            return self._client.send(
                method,
                self._base + path,
                query=query,
                content=content,
                headers=headers,
                seconds=min(_TIMEOUT, left),
                size=_BODY_MAX,
            )

        def decide(number: int, answer: Reply | NoReply, _elapsed: float) -> float | None:
            if isinstance(answer, NoReply) and answer.final:
                return None
            status = answer.status_code if isinstance(answer, Reply) else None
            pause = retry_delay(method, status, number, self._rate_limit(answer))
            is_late = pause is not None and self._clock.monotonic() + pause > self._deadline
            return None if is_late else pause

        answer = retry(attempt, decide, clock=self._clock)
        wait = self._rate_limit(answer)
        if wait is not None and wait > _LONGEST_WAIT:
            raise ReconcilerError(
                f"GitHub asks to wait {wait:,.0f} s before {method} {path}", hint="run the job again later"
            )
        if isinstance(answer, Reply) and answer.status_code < _SERVER_ERROR and wait is None:
            return _checked(answer, method, path)
        why = f": {answer.reason}" if isinstance(answer, NoReply) else ""
        if method == "POST" and wait is None:
            raise InDoubt(f"GitHub may or may not have executed POST {path}{why}", hint="run the job again")
        raise ReconcilerError(f"GitHub did not answer {method} {path}{why}", hint="run the job again")

    def _rate_limit(self, answer: Reply | NoReply) -> float | None:
        if isinstance(answer, NoReply):
            return None
        now = self._clock.now().timestamp()
        return rate_limit_wait(answer.status_code, answer.headers, answer.body, now)


def _masked(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is sent, without the run's secrets: many people can read it."""
    return {key: KNOWN.mask(value) if isinstance(value, str) else value for key, value in body.items()}


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


def rate_limit_wait(
    status: int, headers: Mapping[str, str], body: bytes | bytearray, now: float
) -> float | None:
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


def _checked(answer: Reply, method: str, path: str) -> Reply:
    status = answer.status_code
    if status in _OK or (status in _REDIRECT and method == "GET"):
        return answer
    words = ""
    if isinstance(said := _json(answer), dict) and isinstance(said.get("message"), str):
        words = f": {foreign_text(said['message'], limit=200)}"
    raise ReconcilerError(f"GitHub refused {method} {path}: HTTP {status}{words}", hint=_HINTS.get(status))


def _json(answer: Reply) -> Any:
    try:
        return load_json(answer.body)
    except ValueError:
        return None


def _object(answer: Reply) -> dict[str, Any]:
    value = _json(answer)
    return value if isinstance(value, dict) else {}
