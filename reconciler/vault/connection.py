"""The way to Vault, and hvac's client on it: without its own look into the environment or redirects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import hvac
import requests
from hvac.adapters import RawAdapter
from msgspec import Struct

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter

    from reconciler.network import Authorities, Network, Proxy

_TIMEOUTS = (5.0, 30.0)
"""Seconds to connect, and between two pieces of a response."""


class Route(Struct, frozen=True):
    """How to reach a Vault: the proxy and the certificate authorities, as the environment names them."""

    address: str
    proxy: Proxy | None
    authorities: Authorities | None
    """None: the public ones, or no TLS at all."""

    @classmethod
    def to(cls, address: str, network: Network, ca_cert: str | None) -> Self:
        """Return the route to `address`; `ca_cert` (VAULT_CACERT) precedes the authorities for all servers.

        Raises:
            InvalidInput: the proxy or the authorities cannot be used.
        """
        secure = urlsplit(address).scheme == "https"
        authorities = network.authorities(ca_cert, "VAULT_CACERT") if secure else None
        return cls(address, network.proxy_for(address), authorities)


def new_client(route: Route, *, namespace: str, transport: BaseAdapter | None = None) -> hvac.Client:
    """Return a client for one thread, without a token.

    Args:
        route: how to reach the server.
        namespace: Vault's namespace, empty for the root.
        transport: what carries the requests; None: the network.
    """
    verify = route.authorities.path if route.authorities else True
    connections = requests.Session()
    if transport is not None:
        connections.mount(route.address, transport)
    # hvac prefers the session's setting to its own argument.
    connections.verify = verify
    # Without an authentication here, requests takes one from ~/.netrc.
    connections.auth = _add_nothing
    # requests has its own reading of the environment, other than that of the API's client.
    connections.trust_env = False
    if route.proxy is not None:
        connections.proxies = {"https": route.proxy.url, "http": route.proxy.url}
    # We read the body ourselves: a large fleet's metadata must not be kept both as bytes and as text.
    connections.stream = True
    return hvac.Client(
        url=route.address,
        # With None, hvac would read the environment and ~/.vault-token.
        token="",
        namespace=namespace or None,
        session=connections,
        verify=verify,
        timeout=_TIMEOUTS,
        # A redirect would take the token, and the body with the secret, to another host.
        allow_redirects=False,
        # Raw responses: we check status, headers and shape ourselves.
        adapter=RawAdapter,
        ignore_exceptions=True,
    )


def _add_nothing(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
