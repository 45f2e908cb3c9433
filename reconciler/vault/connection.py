"""hvac's client on our own HTTP client: without its look into the environment, redirects or requests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import hvac
from hvac.adapters import RawAdapter
from msgspec import Struct

from reconciler.http_client import NoReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.http_client import HttpClient, Reply
    from reconciler.network import Authorities, Proxy


class Bounds(Struct, frozen=True):
    """How long one exchange may take, and how large the body of the response may be."""

    seconds: float
    size: int


ORDINARY = Bounds(30.0, 4 * 1024 * 1024)
"""A document has at most 1 MiB by Vault's own default."""
NAMES = Bounds(60.0, 16 * 1024 * 1024)
"""A listing of names: 100,000 have about 7 MB."""
ALL_METADATA = Bounds(120.0, 160 * 1024 * 1024)
"""A listing of all metadata: 100,000 documents have about 100 MB."""


class Route(Struct, frozen=True):
    """How to reach a Vault: the proxy and the certificate authorities, as the environment names them."""

    address: str
    proxy: Proxy | None
    authorities: Authorities | None
    """None: the public ones, or no TLS at all."""


class Unanswered(Exception):  # it is not an error of this program
    """No response came. It contains no secret, and never leaves `vault`."""

    def __init__(self, failure: NoReply) -> None:
        """`failure` says why."""
        super().__init__(failure.reason)
        self.failure = failure


class Connections:
    """Takes the place of a session of requests in hvac. For one thread."""

    verify, cert, proxies = True, None, None
    """What hvac would otherwise pass on: all of it is the HTTP client's own concern."""

    def __init__(self, client: HttpClient) -> None:
        """Send with `client`."""
        self._client = client
        self.bounds = ORDINARY
        """Those of the next request."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        json: object = None,
        params: Mapping[str, str | int] | None = None,
        **_options: Any,
    ) -> Reply:
        """Send a request once.

        Raises:
            Unanswered: no response came.
        """
        content = None if json is None else _dump(json)
        reply = self._client.send(
            method.upper(),
            url,
            query=params,
            content=content,
            headers={**headers, "Content-Type": "application/json"} if content else headers,
            seconds=self.bounds.seconds,
            size=self.bounds.size,
        )
        if isinstance(reply, NoReply):
            raise Unanswered(reply)
        return reply


def _dump(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def new_client(address: str, connections: Connections, *, namespace: str) -> hvac.Client:
    """Return a client for one thread, without a token.

    Args:
        address: the server's URL.
        connections: what carries the requests.
        namespace: Vault's namespace, empty for the root.
    """
    return hvac.Client(
        url=address,
        # With None, hvac would read the environment and ~/.vault-token.
        token="",
        namespace=namespace or None,
        session=connections,
        # Raw responses: we check status, headers and shape ourselves.
        adapter=RawAdapter,
        ignore_exceptions=True,
    )
