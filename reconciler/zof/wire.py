"""One HTTP request to the Zof API, and what came of it, as values. The only module that knows httpx.

httpx's exceptions hold the request, and with it the API key and the signing secret in the body. None of
them leaves this module, not even as a cause: a failure comes back as `NoResponse`, a value, so whoever
raises an error later has no exception in hand that a traceback could show beneath it.
"""

from __future__ import annotations

import ssl
import threading
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

from reconciler import __version__
from reconciler.credentials.redaction import mask_secrets
from reconciler.errors import InvalidInput
from reconciler.urls import service_url_problem

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from reconciler.model import Secret
    from reconciler.ports import Clock

BODY_LIMIT = 20 * 1024 * 1024
"""Bytes of an answer, decompressed; a full page of endpoints has about 40,000."""

TEXT_LIMIT = 300
"""Characters of a text of the API in our messages."""
_TEXT_READ = 5_000
_CONNECT_TIMEOUT = 5.0
# The request cannot have reached the server: repeating it is harmless and leaves no doubt.
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
_HOPELESS = (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError)
_WORDS: dict[type[Exception], str] = {
    httpx.ConnectTimeout: "no connection within {connect:g} s",
    httpx.PoolTimeout: "no free connection within {connect:g} s",
    httpx.ReadTimeout: "no answer within {read:g} s",
    httpx.WriteTimeout: "the request could not be sent within {read:g} s",
    httpx.ConnectError: "no connection",
    httpx.ProxyError: "the proxy refused the connection",
    httpx.RemoteProtocolError: "the answer broke off or was no HTTP",
    httpx.LocalProtocolError: "the request could not be put into HTTP",
    httpx.UnsupportedProtocol: "the URL's scheme is not supported",
    httpx.InvalidURL: "the URL is invalid",
    httpx.DecodingError: "the answer's compression is damaged",
    httpx.TooManyRedirects: "too many redirects",
    httpx.TransportError: "the connection broke",
}
# Their texts come from the operating system and TLS, not from the request.
_QUOTABLE = (httpx.ConnectError, httpx.ReadError, httpx.WriteError)


class Request(Struct, frozen=True):
    """One request. `body` is sent as it is."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: Secret | None = None
    idempotency_key: str | None = None


class Response(Struct, frozen=True):
    """One answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Found by name whatever the case."""
    body: bytes
    request_id: str | None


class NoResponse(Struct, frozen=True):
    """There was no answer, or none that could be used."""

    reason: str
    in_doubt: bool = True
    """Whether the server may have carried the request out."""
    final: bool = False
    """Whether there is no sense in another try."""
    request_id: str | None = None
    status: int | None = None
    """The status of an answer that came and could not be used."""


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
        self._client = _open_client(
            key, read_timeout, transport, loopback=urlsplit(base_url).scheme == "http"
        )

    @property
    def requests_sent(self) -> int:
        """How many requests went out so far."""
        with self._mutex:
            return self._sent

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def send(self, request: Request, seconds: float) -> Response | NoResponse:
        """Send `request` once; its answer may take `seconds` as a whole."""
        deadline = self._clock.monotonic() + seconds
        hidden = [self._key] if request.body is None else [self._key, request.body]
        with self._mutex:
            self._sent += 1
        try:
            with self._client.stream(
                request.method,
                self._base + request.path,
                params=request.query,
                content=None if request.body is None else request.body.reveal().encode(errors="replace"),
                headers=_headers(request),
            ) as response:
                return self._read(response, deadline, hidden)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError) as error:
            return NoResponse(
                self._describe(error, hidden),
                in_doubt=not isinstance(error, _NEVER_SENT),
                final=isinstance(error, _HOPELESS),
            )

    def _read(self, response: httpx.Response, deadline: float, hidden: list[Secret]) -> Response | NoResponse:
        request_id = clean(response.headers.get("x-request-id"), hidden, limit=128) or None
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > BODY_LIMIT:
                return NoResponse(
                    f"the answer has more than {BODY_LIMIT >> 20} MB", final=True, request_id=request_id
                )
            if self._clock.monotonic() > deadline:
                return NoResponse("the answer took too long", request_id=request_id)
            chunks.append(chunk)
        return Response(response.status_code, response.headers, b"".join(chunks), request_id)

    def _describe(self, error: Exception, hidden: list[Secret]) -> str:
        words = next((_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS), "the request failed")
        words = words.format(connect=_CONNECT_TIMEOUT, read=self._read_timeout)
        detail = clean(str(error), hidden, limit=160) if isinstance(error, _QUOTABLE) else ""
        return f"{words}: {detail}" if detail else words


def _open_client(
    key: Secret, read_timeout: float, transport: httpx.BaseTransport | None, *, loopback: bool
) -> httpx.Client:
    try:
        return httpx.Client(
            # An Auth of our own: `.netrc` and a user in the URL would otherwise replace the key.
            auth=_Bearer(key),
            headers={
                "User-Agent": f"webhook-reconciler/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
            },
            # One TLS context for every connection, proxies included: it is what takes time to build.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if loopback else httpx.create_ssl_context(),
            # Proxies of the environment count, but not for loopback: plain HTTP through one shows the key.
            trust_env=not loopback,
            timeout=httpx.Timeout(read_timeout, connect=_CONNECT_TIMEOUT, pool=_CONNECT_TIMEOUT),
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            transport=transport,
        )
    except OSError:
        raise InvalidInput(
            "the certificates of the environment cannot be read",
            hint="check SSL_CERT_FILE and SSL_CERT_DIR, or unset them",
        ) from None
    except (ValueError, ImportError, httpx.InvalidURL):
        # The cause quotes the proxy's URL, which may hold a password.
        raise InvalidInput(
            "the proxy of the environment cannot be used",
            hint="check HTTPS_PROXY and ALL_PROXY: an http or https URL is needed",
        ) from None


class _Bearer(httpx.Auth):
    """Adds the key when a request goes out, so that the client's own headers never hold it."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Give the request its key."""
        request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        yield request


def _headers(request: Request) -> dict[str, str]:
    headers = {} if request.body is None else {"Content-Type": "application/json"}
    if request.idempotency_key is not None:
        headers["Idempotency-Key"] = request.idempotency_key
    return headers


def check_key(key: Secret) -> Secret:
    """Return `key` if it can stand in a header.

    Raises:
        InvalidInput: it is empty, or holds something else than visible ASCII.
    """
    text = key.reveal()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidInput(
            "the API key is empty or holds characters that no key has",
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
