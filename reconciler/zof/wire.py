"""One HTTP request to the Zof API, and its result as a value. The only module of `zof` that knows httpx.

httpx's exceptions contain the request, and with it the API key and the signing secret in the body. None of
them leaves this module, not even as a cause: a failure is returned as a value, `NoResponse`, so that no
traceback of a later error can show the exception.
"""

from __future__ import annotations

import os
import threading
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

from reconciler import __version__
from reconciler.credentials.redaction import mask_secrets
from reconciler.errors import InvalidInput
from reconciler.http_client import open_client
from reconciler.network import Network
from reconciler.urls import service_url_problem

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from reconciler.model import Secret
    from reconciler.ports import Clock

BODY_LIMIT = 20 * 1024 * 1024
"""Bytes of a decompressed response; a full page of endpoints has about 40,000."""

TEXT_LIMIT = 300
"""Characters of a text of the API in our messages."""
_TEXT_READ = 5_000
_CONNECT_TIMEOUT = 5.0
# The request cannot have reached the server, so it was not executed.
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
_FINAL = (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError)
_WORDS: dict[type[Exception], str] = {
    httpx.ConnectTimeout: "no connection within {connect:g} s",
    httpx.PoolTimeout: "no free connection within {connect:g} s",
    httpx.ReadTimeout: "no response within {read:g} s",
    httpx.WriteTimeout: "the request could not be sent within {read:g} s",
    httpx.ConnectError: "no connection",
    httpx.ProxyError: "the proxy refused the connection",
    httpx.RemoteProtocolError: "the response was cut off or is not HTTP",
    httpx.LocalProtocolError: "the request is not valid HTTP",
    httpx.UnsupportedProtocol: "the URL's scheme is not supported",
    httpx.InvalidURL: "the URL is invalid",
    httpx.DecodingError: "the response's compression is damaged",
    httpx.TooManyRedirects: "too many redirects",
    httpx.TransportError: "the connection failed",
}
# Their texts come from the operating system, TLS and the proxy, not from the request.
_QUOTABLE = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.ProxyError)


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
    """There was no response, or it is unusable."""

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
        self._clock = clock
        self._read_timeout = read_timeout
        self._mutex = threading.Lock()
        self._sent = 0
        network = Network.of(os.environ)
        self.warning = network.warning()
        """What in the environment's NO_PROXY has no effect."""
        self._proxy = network.proxy_for(base_url)
        plain = urlsplit(base_url).scheme == "http"
        self._authorities = None if plain else network.authorities()
        self._client = open_client(
            base_url,
            network,
            transport=transport,
            # With an Auth of our own, neither `.netrc` nor a user in the URL replaces the key.
            auth=_Bearer(key),
            headers={
                "User-Agent": f"webhook-reconciler/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
            },
            timeout=httpx.Timeout(read_timeout, connect=_CONNECT_TIMEOUT, pool=_CONNECT_TIMEOUT),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
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
        """Send `request` once; the whole response may take `seconds`."""
        deadline = self._clock.monotonic() + seconds
        hidden = [self._key] if request.body is None else [self._key, request.body]
        with self._mutex:
            self._sent += 1
        progress = _Progress()
        try:
            with self._client.stream(
                request.method,
                self._base + request.path,
                params=request.query,
                content=None if request.body is None else request.body.reveal().encode(errors="replace"),
                headers=_headers(request),
                extensions={"trace": progress.note},
            ) as response:
                return self._read(response, deadline, hidden)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError) as error:
            never_sent = isinstance(error, _NEVER_SENT) or progress.ended_before_sending
            words = self._describe(error, hidden)
            if self._proxy is not None and never_sent:
                words = f"{words} (through the proxy of {self._proxy.variable})"
            return NoResponse(
                words,
                in_doubt=not never_sent,
                final=isinstance(error, _FINAL),
                hint=self._advise(error, never_sent=never_sent),
            )

    def _read(self, response: httpx.Response, deadline: float, hidden: list[Secret]) -> Response | NoResponse:
        request_id = clean(response.headers.get("x-request-id"), hidden, limit=128) or None
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > BODY_LIMIT:
                return NoResponse(
                    f"the response has more than {BODY_LIMIT >> 20} MB", final=True, request_id=request_id
                )
            if self._clock.monotonic() > deadline:
                return NoResponse("the response took too long", request_id=request_id)
            chunks.append(chunk)
        return Response(response.status_code, response.headers, b"".join(chunks), request_id)

    def _advise(self, error: Exception, *, never_sent: bool) -> str | None:
        """Return what to check besides the network, if the environment may be the cause."""
        if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            if self._authorities is not None:
                return f"check whether the file that {self._authorities.variable} names has the authority"
            return "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to the file of the authority that signed it"
        if self._proxy is not None and never_sent:
            return f"check {self._proxy.variable}, or list the API's host in NO_PROXY"
        return None

    def _describe(self, error: Exception, hidden: list[Secret]) -> str:
        words = next((_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS), "the request failed")
        words = words.format(connect=_CONNECT_TIMEOUT, read=self._read_timeout)
        detail = clean(str(error), hidden, limit=160) if isinstance(error, _QUOTABLE) else ""
        return f"{words}: {detail}" if detail else words


class _Progress:
    """How far a request has come, by the events that httpcore reports."""

    def __init__(self) -> None:
        self._began = False
        self._sent = False

    def note(self, event: str, info: Mapping[str, Any]) -> None:
        """Note one event. A proxy's CONNECT is a request of its own, before ours."""
        self._began = True
        if event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self._sent = True

    @property
    def ended_before_sending(self) -> bool:
        """Whether no byte of the request was sent; False where nothing is known (another transport)."""
        return self._began and not self._sent


class _Bearer(httpx.Auth):
    """Adds the key when a request is sent, so that the client's own headers never contain it."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the key to the request."""
        request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        yield request


def _headers(request: Request) -> dict[str, str]:
    headers = {} if request.body is None else {"Content-Type": "application/json"}
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


def clean(text: object, secrets: Iterable[Secret] = (), *, limit: int = TEXT_LIMIT) -> str:
    """Return `text` on one line of at most `limit` characters, or nothing if it is not a text.

    What it has in common with one of `secrets` is masked.
    """
    if not isinstance(text, str):
        return ""
    printable = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text[:_TEXT_READ])
    shown = mask_secrets(" ".join(printable.split()), secrets)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
