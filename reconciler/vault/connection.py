"""hvac's client, without what it takes from the environment and without redirects."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import hvac
import requests
from hvac.adapters import RawAdapter

from reconciler.urls import is_loopback

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter

_TIMEOUTS = (5.0, 30.0)
"""Seconds to connect, and between two pieces of a response."""


def new_client(
    address: str, *, namespace: str, ca_cert: str | None, transport: BaseAdapter | None = None
) -> hvac.Client:
    """Return a client for one thread, without a token.

    Args:
        address: the server's URL.
        namespace: Vault's namespace, empty for the root.
        ca_cert: the path of a PEM file with the trusted authorities, None for the system's.
        transport: what carries the requests; None: the network.
    """
    connections = requests.Session()
    if transport is not None:
        connections.mount(address, transport)
    # hvac prefers the session's setting to its own argument.
    connections.verify = ca_cert or True
    # Without an authentication here, requests takes one from ~/.netrc.
    connections.auth = _add_nothing
    # Proxies of the environment are used, but not for loopback: plain HTTP would show them the token.
    connections.trust_env = not is_loopback(urlsplit(address).hostname or "")
    # We read the body ourselves: a large fleet's metadata must not be kept both as bytes and as text.
    connections.stream = True
    return hvac.Client(
        url=address,
        # With None, hvac would read the environment and ~/.vault-token.
        token="",
        namespace=namespace or None,
        session=connections,
        verify=ca_cert or True,
        timeout=_TIMEOUTS,
        # A redirect would take the token, and the body with the secret, to another host.
        allow_redirects=False,
        # Raw responses: we check status, headers and shape ourselves.
        adapter=RawAdapter,
        ignore_exceptions=True,
    )


def _add_nothing(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
