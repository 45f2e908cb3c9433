"""An httpx client that connects as the environment says (`network`)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from reconciler.errors import InvalidInput

if TYPE_CHECKING:
    from reconciler.network import Authorities, Network


def open_client(
    url: str, network: Network, *, transport: httpx.BaseTransport | None = None, **options: Any
) -> httpx.Client:
    """Return a client for the server at `url`; nothing is sent.

    Args:
        url: the server's URL.
        network: names the proxy and the certificate authorities.
        transport: what carries the requests; None: the network.
        options: further arguments of `httpx.Client`.

    Raises:
        InvalidInput: the proxy or the authorities cannot be used.
    """
    plain = urlsplit(url).scheme == "http"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else _trust(network.authorities())
    proxy = network.proxy_for(url)
    try:
        through = None
        if proxy is not None and transport is None:
            secure = proxy.url.lower().startswith("https://")
            through = httpx.Proxy(proxy.url, ssl_context=context if secure else None)
        return httpx.Client(
            # One context for every connection, the proxy's included: building one takes time.
            verify=context,
            proxy=through,
            # httpx's own reading of the environment fails at an IPv6 range in NO_PROXY.
            trust_env=False,
            transport=transport,
            follow_redirects=False,
            **options,
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        # The cause quotes the proxy's URL, which may contain a password.
        raise InvalidInput(
            f"cannot use the proxy that {proxy.variable if proxy else 'the environment'} names",
            hint="it must be an http or https URL such as http://proxy:3128",
        ) from None


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
