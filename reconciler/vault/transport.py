"""Map the errors of hvac and of requests to ours, without quoting them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests
from hvac import exceptions as hvac_exceptions

from reconciler.errors import StoreError
from reconciler.vault.responses import LOOK_AT_LOG, REACH, NoAnswer, failure

if TYPE_CHECKING:
    from reconciler.vault.connection import Route
    from reconciler.vault.responses import Purpose

_HVAC_STATUS = {
    hvac_exceptions.InvalidRequest: 400,
    hvac_exceptions.Unauthorized: 401,
    hvac_exceptions.Forbidden: 403,
    hvac_exceptions.InvalidPath: 404,
    hvac_exceptions.UnsupportedOperation: 405,
    hvac_exceptions.PreconditionFailed: 412,
    hvac_exceptions.RateLimitExceeded: 429,
    hvac_exceptions.InternalServerError: 500,
    hvac_exceptions.VaultNotInitialized: 501,
    hvac_exceptions.BadGateway: 502,
    hvac_exceptions.VaultDown: 503,
}


def translate(error: Exception, route: Route, purpose: Purpose) -> StoreError:  # noqa: PLR0911  # a table
    """Return our error for one that hvac or requests raised, without quoting its text.

    The caller raises it `from None`: the original may contain a header with the token, or a body.
    """
    if isinstance(error, hvac_exceptions.VaultError):
        status = _HVAC_STATUS.get(type(error))
        if status is not None:
            return failure(status, "", purpose)
        return NoAnswer(
            f"hvac reports {type(error).__name__} for {purpose.path}", hint=LOOK_AT_LOG, retriable=False
        )
    address, proxy = route.address, route.proxy.variable if route.proxy else None
    match error:
        case requests.exceptions.SSLError():
            return NoAnswer(
                f"no trusted TLS connection to Vault at {address}",
                hint=_authority_hint(route),
                retriable=False,
            )
        case requests.exceptions.ProxyError():
            return NoAnswer(
                f"the proxy of {proxy or 'the environment'} does not connect to Vault at {address}",
                hint=f"check {proxy or 'HTTPS_PROXY'}, or list the server in NO_PROXY",
            )
        case requests.exceptions.Timeout():
            return NoAnswer(f"Vault at {address} did not answer in time", hint=REACH)
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidHeader():
            return StoreError(
                f"the request to Vault at {address} is not valid HTTP",
                hint="check the Vault address, token and namespace for invalid characters",
            )
        case requests.exceptions.RequestException():
            return NoAnswer(f"Vault is not reachable at {address}", hint=REACH)
        case OSError():
            # requests raises OSError for a certificate file that does not exist.
            return StoreError(
                "cannot read the certificates of the authorities for Vault", hint=_authority_hint(route)
            )
        case _:
            return NoAnswer(f"the connection to Vault at {address} failed", hint=REACH)


def _authority_hint(route: Route) -> str:
    """Return what to do about a certificate that is not trusted."""
    if route.authorities is not None:
        return (
            f"{route.authorities.variable} must name the authority of the certificate of Vault or its proxy"
        )
    return (
        "set VAULT_CACERT to the file of the authority that signed Vault's certificate, or SSL_CERT_FILE or "
        "REQUESTS_CA_BUNDLE for all servers"
    )
