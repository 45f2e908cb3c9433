"""One HTTP request to the Zof API, and its result as a value."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.credentials.foreign import foreign_id, foreign_text
from reconciler.credentials.known import KNOWN
from reconciler.errors import InvalidInput
from reconciler.http_client import HttpClient, Reply
from reconciler.network import Network
from reconciler.urls import service_url_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from reconciler.http_client import NoReply
    from reconciler.model import Secret
    from reconciler.ports import Clock

BODY_LIMIT = 4 * 1024 * 1024
"""Bytes of a decompressed response; a full page of endpoints has about 40,000."""


class Request(Struct, frozen=True):
    """One request. `body` is sent unchanged."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: Secret | None = None
    idempotency_key: str | None = None


class Response(Struct, frozen=True):
    """One response, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Lookups ignore case."""
    body: bytes
    request_id: str | None


class NoResponse(Struct, frozen=True):
    """The response is missing or unusable."""

    reason: str
    in_doubt: bool = True
    """Whether the server may have executed the request."""
    final: bool = False
    """Whether a retry cannot help."""
    request_id: str | None = None
    status: int | None = None
    """The status of a response that is unusable."""
    hint: str | None = None
    """What to check, if the environment may be the cause."""


class Wire:
    """A connection pool to one API with one key. Thread-safe."""

    def __init__(
        self,
        base_url: str,
        key: Secret,
        *,
        clock: Clock,
        read_timeout: float,
        transport: httpx.BaseTransport | None,
    ) -> None:
        """Open the pool; nothing is sent yet.

        Raises:
            InvalidInput: the key must not be sent to the URL, or is not usable.
        """
        if problem := service_url_problem(base_url):
            raise InvalidInput(f"the API's URL {problem}", hint="check ZOF_API_URL or `api.url`")
        self._base = base_url.rstrip("/")
        self._key = check_key(key)
        KNOWN.add(key)
        self._mutex = threading.Lock()
        self._sent = 0
        network = Network.of(os.environ)
        self.warning = network.warning()
        """What in the environment's NO_PROXY has no effect."""
        self._client = HttpClient(
            base_url, network, clock=clock, transport=transport, read_timeout=read_timeout
        )

    @property
    def requests_sent(self) -> int:
        """How many requests were sent so far."""
        with self._mutex:
            return self._sent

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def send(self, request: Request, seconds: float) -> Response | NoResponse:
        """Send `request` once; the whole exchange may take `seconds`."""
        with self._mutex:
            self._sent += 1
        reply = self._client.send(
            request.method,
            self._base + request.path,
            query=request.query,
            content=None if request.body is None else request.body.reveal().encode(errors="replace"),
            headers=_headers(request, self._key),
            seconds=seconds,
            size=BODY_LIMIT,
        )
        headers = reply.headers or {}
        request_id = foreign_id(headers.get("x-request-id")) or None
        if isinstance(reply, Reply):
            return Response(reply.status_code, headers, bytes(reply.body), request_id)
        return NoResponse(
            self._describe(reply),
            in_doubt=reply.in_doubt,
            final=reply.final,
            request_id=request_id,
            hint=self._advise(reply),
        )

    def _advise(self, failure: NoReply) -> str | None:
        """Return what to check besides the network, if the environment may be the cause."""
        if "CERTIFICATE_VERIFY_FAILED" in failure.detail:
            if authorities := self._client.authorities:
                return f"check whether the file that {authorities.variable} names has the authority"
            return "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to the file of the authority that signed it"
        if self._client.proxy is not None and not failure.in_doubt:
            return f"check {self._client.proxy.variable}, or list the API's host in NO_PROXY"
        return None

    def _describe(self, failure: NoReply) -> str:
        detail = foreign_text(failure.detail, limit=160)
        words = f"{failure.reason}: {detail}" if detail else failure.reason
        proxy = self._client.proxy
        through = proxy is not None and not failure.in_doubt
        return f"{words} (through the proxy of {proxy.variable})" if proxy and through else words


def _headers(request: Request, key: Secret) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {key.reveal()}", "Accept": "application/json"}
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    if request.idempotency_key is not None:
        headers["Idempotency-Key"] = request.idempotency_key
    return headers


def check_key(key: Secret) -> Secret:
    """Return `key` if it is a valid header value.

    Raises:
        InvalidInput: it is empty, or contains something other than visible ASCII.
    """
    text = key.reveal()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidInput(
            "the API key is empty or contains invalid characters",
            hint="check ZOF_API_KEY for spaces, quotes and line breaks",
        )
    return key
