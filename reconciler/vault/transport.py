"""Map hvac's errors and failed exchanges to our errors, without quoting them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvac import exceptions as hvac_exceptions

from reconciler.errors import StoreError
from reconciler.http_client import Trouble
from reconciler.vault.responses import LOOK_AT_LOG, NOT_VAULT, REACH, NoAnswer, failure

if TYPE_CHECKING:
    from reconciler.http_client import NoReply
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


def translate_hvac(error: hvac_exceptions.VaultError, purpose: Purpose) -> StoreError:
    """Return our error for one that hvac raised, without quoting its text.

    The caller raises it `from None`: the original may contain a header with the token, or a body.
    """
    status = _HVAC_STATUS.get(type(error))
    if status is not None:
        return failure(status, "", purpose)
    return NoAnswer(
        f"hvac reports {type(error).__name__} for {purpose.path}", hint=LOOK_AT_LOG, retriable=False
    )


def no_answer(reply: NoReply, route: Route) -> StoreError:
    """Return our error for an exchange without a usable response."""
    address, repeat = route.address, not reply.final
    match reply.trouble:
        case Trouble.TLS:
            return NoAnswer(
                f"no trusted TLS connection to Vault at {address}",
                hint=_authority_hint(route),
                retriable=False,
            )
        case Trouble.PROXY:
            proxy = route.proxy.variable if route.proxy else None
            return NoAnswer(
                f"the proxy of {proxy or 'the environment'} does not connect to Vault at {address}",
                hint=f"check {proxy or 'HTTPS_PROXY'}, or list the server in NO_PROXY",
            )
        case Trouble.TIMEOUT:
            message = f"Vault at {address} did not answer in time: {reply.reason}"
            return NoAnswer(message, hint=REACH, retriable=repeat)
        case Trouble.REQUEST:
            return StoreError(
                f"the request to Vault at {address} is not valid HTTP",
                hint="check the Vault address, token and namespace for invalid characters",
            )
        case Trouble.RESPONSE:
            message = f"the response of Vault at {address} cannot be used: {reply.reason}"
            return NoAnswer(message, hint=NOT_VAULT, retriable=repeat)
        case Trouble.CONNECTION:
            message = f"Vault is not reachable at {address}: {reply.reason}"
            return NoAnswer(message, hint=REACH, retriable=repeat)


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
