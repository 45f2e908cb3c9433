"""The HTTP client of every server: it connects as the environment says, and no response is too long for it.

httpx's exceptions contain the request, and with it credentials and secrets. None of them leaves this module,
not even as a cause: a failure is returned as a value, `NoReply`, so that no traceback of a later error can
show the exception. Redirects are not followed, and cookies, `.netrc` and the environment are ignored.
"""

from __future__ import annotations

import ssl
import threading
import zlib
from enum import Enum
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from msgspec import Struct
from msgspec.structs import replace

from reconciler import __version__
from reconciler.errors import InvalidInput
from reconciler.socket_limits import Allowance, LimitedTLSSocket, LimitedTransport, limited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.network import Authorities, Network, Proxy
    from reconciler.ports import Clock

Transport = httpx.BaseTransport
"""What carries requests: the network, or a test."""

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
"""Seconds that a server may be silent."""
USUAL = 10.0
"""Seconds: a longer exchange counts as slow. The API's test waits up to 10 s for the receiver."""
PATIENCE = 900.0
"""Seconds that all slow exchanges of a run may take with one server, each without the usual ones."""
RECOVERY = 0.1
"""Seconds by which patience grows in a second, for processes that run for months."""

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
    httpx.TooManyRedirects: "too many redirects",
    httpx.TransportError: "the connection failed",
}
# Their texts come from the operating system, TLS and the proxy, not from the request.
_QUOTABLE = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.ProxyError)


class Trouble(Enum):
    """Why a reply is missing."""

    TIMEOUT = "timeout"
    TLS = "TLS"
    PROXY = "proxy"
    CONNECTION = "connection"
    REQUEST = "request"
    """The request is not valid HTTP."""
    RESPONSE = "response"
    """The response cannot be used."""


class Reply(Struct, frozen=True):
    """One response, whatever its status."""

    status_code: int
    headers: Mapping[str, str]
    """Lookups ignore case."""
    body: bytes | bytearray

    @property
    def ok(self) -> bool:
        """Whether the status is not an error."""
        return self.status_code < httpx.codes.BAD_REQUEST


class NoReply(Struct, frozen=True):
    """The response is missing or unusable."""

    trouble: Trouble
    reason: str
    detail: str = ""
    """What the operating system, TLS or the proxy says: foreign text."""
    in_doubt: bool = True
    """Whether the server may have executed the request."""
    final: bool = False
    """Whether a retry cannot help."""
    headers: Mapping[str, str] | None = None
    """The headers of a response that is unusable; lookups ignore case."""


class HttpClient:
    """A pool of connections to one server. Thread-safe."""

    def __init__(
        self,
        url: str,
        network: Network,
        *,
        clock: Clock,
        transport: Transport | None = None,
        read_timeout: float = READ_TIMEOUT,
        ca_cert: str | None = None,
        ca_variable: str = "",
    ) -> None:
        """Open the pool; nothing is sent yet.

        Args:
            url: the server's URL.
            network: names the proxy and the certificate authorities.
            clock: for deadlines.
            transport: what carries the requests; None: the network.
            read_timeout: seconds that the server may be silent.
            ca_cert: a file of certificate authorities that takes precedence.
            ca_variable: the variable that names it.

        Raises:
            InvalidInput: the proxy or the authorities cannot be used.
        """
        plain = urlsplit(url).scheme == "http"
        self.authorities = None if plain else network.authorities(ca_cert, ca_variable)
        """None: the public ones, or no TLS at all."""
        self.proxy = network.proxy_for(url)
        self._clock = clock
        self._read_timeout = read_timeout
        self._mutex = threading.Lock()
        self._lost = 0.0
        self._looked_at = clock.monotonic()
        self._client = httpx.Client(
            transport=transport or _open_transport(self.proxy, self.authorities, plain=plain),
            # httpx's own reading of the environment fails at an IPv6 range in NO_PROXY.
            trust_env=False,
            follow_redirects=False,
            # With an Auth, httpx makes none from a user in the URL.
            auth=httpx.Auth(),
            headers={"User-Agent": f"webhook-reconciler/{__version__}", "Accept-Encoding": "gzip"},
            timeout=httpx.Timeout(read_timeout, connect=CONNECT_TIMEOUT, pool=CONNECT_TIMEOUT),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        seconds: float,
        size: int,
        query: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
    ) -> Reply | NoReply:
        """Send a request once.

        Args:
            method: the HTTP method.
            url: the URL without a query.
            headers: besides those of every request.
            seconds: how long the exchange may take, to the last byte of the response.
            size: how many bytes the body may have, decompressed.
            query: the query's parameters.
            content: the request's body.
        """
        began = self._clock.monotonic()
        left = self._patience(began)
        if left <= 0:
            words = f"requests to this server took {PATIENCE / 60:.0f} minutes too long in this run"
            return NoReply(Trouble.TIMEOUT, words, in_doubt=False, final=True)
        allowance = Allowance(self._clock, min(seconds, USUAL + left), size)
        progress = _Progress()
        try:
            with (
                limited(allowance),
                self._client.stream(
                    method,
                    url,
                    params=query,
                    content=content,
                    headers=dict(headers),
                    extensions={"trace": progress.note},
                ) as response,
            ):
                return _read(response, allowance, size)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError) as error:
            return self._explain(error, allowance, progress, size)
        finally:
            ended = self._clock.monotonic()
            with self._mutex:
                self._lost += max(0.0, ended - began - USUAL)

    def _patience(self, now: float) -> float:
        """Return the seconds of patience that are left."""
        with self._mutex:
            self._lost = max(0.0, self._lost - RECOVERY * (now - self._looked_at))
            self._looked_at = now
            return PATIENCE - self._lost

    def _explain(self, error: Exception, allowance: Allowance, progress: _Progress, size: int) -> NoReply:
        never_sent = isinstance(error, _NEVER_SENT) or progress.ended_before_sending
        if allowance.too_large:
            return _too_large(size, None)
        if isinstance(error, httpx.TimeoutException) and allowance.ended_first and not never_sent:
            return _TOO_SLOW
        words = next((_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS), "the request failed")
        return NoReply(
            self._trouble(error, never_sent=never_sent),
            words.format(connect=CONNECT_TIMEOUT, read=self._read_timeout),
            str(error) if isinstance(error, _QUOTABLE) else "",
            in_doubt=not never_sent,
            final=isinstance(error, _FINAL),
        )

    def _trouble(self, error: Exception, *, never_sent: bool) -> Trouble:
        if isinstance(error, _FINAL):
            return Trouble.REQUEST
        if never_sent and _is_about_tls(error):
            return Trouble.TLS
        if isinstance(error, httpx.ProxyError) or (self.proxy is not None and never_sent):
            return Trouble.PROXY
        if isinstance(error, httpx.TimeoutException):
            return Trouble.TIMEOUT
        return Trouble.CONNECTION


_TOO_SLOW = NoReply(Trouble.TIMEOUT, "the response took too long")


def _damaged(headers: Mapping[str, str]) -> NoReply:
    return NoReply(Trouble.RESPONSE, "the response's compression is damaged", headers=headers)


def _too_large(size: int, headers: Mapping[str, str] | None) -> NoReply:
    shown = f"{size >> 20} MB" if size >> 20 else f"{size >> 10} kB"
    return NoReply(Trouble.RESPONSE, f"the response has more than {shown}", final=True, headers=headers)


def _read(response: httpx.Response, allowance: Allowance, size: int) -> Reply | NoReply:
    """Read the body, decompressed, within the limits."""
    headers = response.headers
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity", "gzip", "x-gzip"}:
        words = "the response is encoded in a way that was not asked for"
        return NoReply(Trouble.RESPONSE, words, final=True, headers=headers)
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS) if "gzip" in coding else None
    # A list of pieces would fragment the memory.
    body = bytearray()
    is_whole = True
    # Not `iter_raw`, which refuses a response that a test has made of bytes.
    for chunk in response.stream if isinstance(response.stream, httpx.SyncByteStream) else ():
        try:
            body += unpacker.decompress(chunk, size + 1 - len(body)) if unpacker else chunk
        except zlib.error:
            return _damaged(headers)
        if len(body) > size:
            return _too_large(size, headers)
        if allowance.too_slow:
            return replace(_TOO_SLOW, headers=headers)
        is_whole = unpacker is None or unpacker.eof
    return Reply(response.status_code, headers, body) if is_whole else _damaged(headers)


def _is_about_tls(error: BaseException | None) -> bool:
    """Whether TLS is the cause: the libraries in between have only one kind of error for connections."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


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


def _open_transport(
    proxy: Proxy | None, authorities: Authorities | None, *, plain: bool
) -> httpx.BaseTransport:
    if plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = _trust(authorities) if authorities else _trust_public()
    try:
        through = None
        if proxy is not None:
            secure = None
            if proxy.url.lower().startswith("https://"):
                secure = _trust(authorities)
                secure.sslsocket_class = LimitedTLSSocket
            through = httpx.Proxy(proxy.url, ssl_context=secure)
        return LimitedTransport(context, through)
    except (ValueError, ImportError, httpx.InvalidURL):
        # The cause quotes the proxy's URL, which may contain a password.
        raise InvalidInput(
            f"cannot use the proxy that {proxy.variable if proxy else 'the environment'} names",
            hint="it must be an http or https URL such as http://proxy:3128",
        ) from None


@cache
def _trust_public() -> ssl.SSLContext:
    """Return one context for all clients that trust the public authorities: building one takes long."""
    return _trust(None)


def _trust(authorities: Authorities | None) -> ssl.SSLContext:
    """Return a context that trusts `authorities`, or else the public ones."""
    if authorities is None:
        return httpx.create_ssl_context(trust_env=False)
    try:
        if authorities.is_folder:
            return ssl.create_default_context(capath=authorities.path)
        return ssl.create_default_context(cafile=authorities.path)
    except OSError:
        raise InvalidInput(
            f"cannot read the certificates that {authorities.variable} names",
            hint=f"set {authorities.variable} to a file of certificates in PEM format, or unset it",
        ) from None
