"""Limits of time and size for one response that hold on the socket, whatever a server sends.

The timeouts of HTTP libraries begin again with each piece that comes: with headers, trailers, chunk
extensions, interim responses or compressed data that come a byte at a time, a server could keep a run waiting
for ever.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.ports import Clock

_HEADERS_MAX = 128 * 1024
"""Bytes that a response may have besides its body: headers, interim responses and trailers."""
_CHUNK_SIZES = 8
"""The sizes of chunks may take as many bytes as this part of the body."""
_PIECE = 4096
"""Bytes that are sent before the time is checked again."""


class Allowance:
    """What one exchange may still take: seconds, and bytes of the response as they come from the network."""

    def __init__(self, clock: Clock, seconds: float, size: int) -> None:
        """Begin now; the body may have `size` bytes."""
        self._clock = clock
        self._deadline = clock.monotonic() + seconds
        self._left = size + size // _CHUNK_SIZES + _HEADERS_MAX
        self.ended_first = False
        """Whether a timeout of the last operation on the socket was that of the whole exchange."""
        self.too_large = False
        """Whether more than the allowed bytes came."""

    @property
    def too_slow(self) -> bool:
        """Whether the time is over."""
        return self._clock.monotonic() >= self._deadline

    def seconds(self, timeout: float | None) -> float:
        """Return how long the next operation on the socket may take: at most `timeout`.

        Raises:
            httpcore.ReadTimeout: the time is over.
        """
        left = self._deadline - self._clock.monotonic()
        self.ended_first = timeout is None or left < timeout
        if left <= 0:
            raise httpcore.ReadTimeout
        return left if timeout is None else min(left, timeout)

    def receive(self, size: int) -> None:
        """Count bytes that came.

        Raises:
            httpcore.ReadError: there are too many.
        """
        self._left -= size
        if self._left < 0:
            self.too_large = True
            raise httpcore.ReadError


_ALLOWANCE: ContextVar[Allowance] = ContextVar("allowance")


@contextlib.contextmanager
def limited(allowance: Allowance) -> Iterator[None]:
    """Let `allowance` limit the exchange that this thread makes inside the context."""
    token = _ALLOWANCE.set(allowance)
    try:
        yield
    finally:
        _ALLOWANCE.reset(token)


class LimitedTransport(httpx.HTTPTransport):
    """httpx's transport with connections that keep to the allowance of the exchange."""

    def __init__(self, context: ssl.SSLContext, proxy: httpx.Proxy | None = None) -> None:
        """Open the pool; nothing is sent yet.

        Args:
            context: the trust for TLS.
            proxy: the proxy to connect through; None: connect directly.
        """
        common: dict[str, Any] = {
            "ssl_context": context,
            "network_backend": _LimitedBackend(),
            "max_connections": httpx.Limits().max_connections,
            "keepalive_expiry": httpx.Limits().keepalive_expiry,
        }
        # httpx has no parameter for httpcore's backend, where limits can be enforced.
        if proxy is None:
            self._pool = httpcore.ConnectionPool(**common)
        else:
            self._pool = httpcore.HTTPProxy(
                str(proxy.url),
                proxy_auth=proxy.raw_auth,
                proxy_ssl_context=proxy.ssl_context,
                **common,
            )


class LimitedTLSSocket(ssl.SSLSocket):
    """The TLS connection to a proxy, which httpcore reads directly for the TLS connection inside it."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive within the allowance."""
        try:
            self.settimeout(_ALLOWANCE.get().seconds(self.gettimeout()))
        except httpcore.ReadTimeout:
            raise TimeoutError from None
        return super().recv(buflen, flags)


class _LimitedBackend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to one of the host's addresses; each attempt may take `timeout` seconds."""
        allowance = _ALLOWANCE.get()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in dict.fromkeys(str(place[0]) for *_, place in found):
            try:
                stream = self._backend.connect_tcp(
                    address, port, allowance.seconds(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _LimitedStream(stream)
        raise failure


class _LimitedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        allowance = _ALLOWANCE.get()
        data = self._stream.read(max_bytes, allowance.seconds(timeout))
        allowance.receive(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        allowance = _ALLOWANCE.get()
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], allowance.seconds(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        # One handshake has one timeout, however many pieces it comes in.
        seconds = _ALLOWANCE.get().seconds(timeout)
        return _LimitedStream(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
