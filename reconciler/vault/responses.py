"""Read Vault's responses, and map its errors and hvac's to ours. Pure.

    StoreError
    ├── CasConflict   another writer was there first
    ├── Denied        401, 403
    ├── NotFound      404: no such document, or no such operation
    ├── Unsupported   405
    ├── Rejected      any other 4xx
    └── NoAnswer      unknown outcome: no response, a server error, or a response that is not Vault's

No error quotes the response to a request that contains a secret: a server or a proxy may echo it.
"""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests
from hvac import exceptions as hvac_exceptions
from msgspec import Struct

from reconciler.errors import CasConflict, StoreError, StoreUnavailable
from reconciler.retry import backoff
from reconciler.texts import YEARS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    Parse = Callable[[bytes | bytearray], dict[str, Any] | None]

_MAX_WORDS = 200
_CHUNK = 65_536
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_CAS_MISS = "check-and-set parameter did not match"
_NO_MOUNT = "no handler for route"
_MAX_ATTEMPTS = 5
_FIRST_BACKOFF = 0.25
_MAX_WAIT = 30.0
_RETRIABLE = {412, 429, 500, 502, 503, 504}
"""412: a replica that lags behind. 500 and up: see Vault's HTTP API documentation."""
_LOOK_AT_LOG = "run again; if it fails again, see Vault's log"
_REACH = "check the Vault address, and that this machine can reach it"


class Denied(StoreError):
    """Vault refused the token, or the token's policies do not allow this."""


class NotFound(StoreError):
    """There is no document at this path, or no such operation."""


class Unsupported(StoreError):
    """This server does not support the operation."""


class Rejected(StoreError):
    """Vault rejected the request; a retry would be rejected again."""


class NoAnswer(StoreUnavailable):
    """It is unknown whether Vault executed the request."""

    def __init__(
        self, message: str, *, hint: str | None = None, retriable: bool = True, wait: float | None = None
    ) -> None:
        """`retriable`: a retry may succeed; `wait`: the seconds that Vault asks to wait."""
        super().__init__(message, hint=hint)
        self.retriable = retriable
        self.wait = wait


class Purpose(Struct, frozen=True):
    """What a request is for: decides its messages, and whether it may be repeated."""

    capability: str
    """The capability that the token's policy needs: `read`, `list`, `create`, `update`."""
    path: str
    """The path in Vault, mount included."""
    confidential: bool = True
    """The request or its response contains a secret, so the response is not quoted."""
    harmless: bool = False
    """It is idempotent, so it may be repeated."""


def retry_delay(attempt: int, wait: float | None) -> float | None:
    """Return the seconds to wait after attempt number `attempt`; None: do not retry.

    Args:
        attempt: the number of attempts so far.
        wait: the seconds that Vault asks to wait; None if it does not.
    """
    if attempt >= _MAX_ATTEMPTS:
        return None
    return min(max(backoff(attempt, _FIRST_BACKOFF), wait or 0.0), _MAX_WAIT)


def unexpected_shape(purpose: Purpose) -> NoAnswer:
    """Return the error for a response that Vault does not send."""
    return NoAnswer(
        f"the response for {purpose.path} is not from Vault",
        hint="check whether the Vault address leads to a proxy or a login page",
        retriable=False,
    )


def failure(status: int, words: str, purpose: Purpose, *, wait: float | None = None) -> StoreError:  # noqa: C901, PLR0911  # a table
    """Return our error for a response with `status` and Vault's error texts `words`."""
    quoted = "" if purpose.confidential or not words else f": {words}"
    path = purpose.path
    if _NO_MOUNT in words:
        mount = path.partition("/")[0]
        return Rejected(
            f"there is no secrets engine for {path}",
            hint=f"check the mount `{mount}` and the namespace; `vault secrets list` shows the mounts",
        )
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return unexpected_shape(purpose)
    if status < HTTPStatus.BAD_REQUEST:
        return StoreError(
            f"Vault redirects {path} (HTTP {status}), which is not followed",
            hint="set the Vault address to the server itself: the token is sent to no other",
        )
    match status:
        case HTTPStatus.BAD_REQUEST if _CAS_MISS in words:
            return CasConflict(f"another writer was first at {path}", hint="run again")
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Denied(
                f"permission denied on {path}",
                hint=f"the token's policy needs `{purpose.capability}` on `{path}`",
            )
        case HTTPStatus.NOT_FOUND:
            return NotFound(
                f"Vault has nothing at {path}",
                hint="check the mount, the prefix and the namespace, then run again",
            )
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return Unsupported(
                f"this Vault does not support {purpose.capability} on {path}{quoted}", hint=_REACH
            )
        case HTTPStatus.NOT_IMPLEMENTED:
            return StoreError("Vault is not initialized", hint="initialize and unseal it")
        case HTTPStatus.SERVICE_UNAVAILABLE if "sealed" in words:
            return StoreUnavailable("Vault is sealed", hint="unseal it, then run again")
        case _ if status in _RETRIABLE:
            return NoAnswer(
                f"Vault answered HTTP {status} for {path}{quoted}",
                hint=_LOOK_AT_LOG,
                wait=wait,
            )
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return NoAnswer(
                f"Vault answered HTTP {status} for {path}{quoted}", hint=_LOOK_AT_LOG, retriable=False
            )
    return Rejected(
        f"Vault refused to {purpose.capability} {path} (HTTP {status}){quoted}",
        hint="Vault's audit log has the reason",
    )


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


def translate(error: Exception, address: str, purpose: Purpose) -> StoreError:  # noqa: PLR0911  # a table
    """Return our error for one that hvac or requests raised, without quoting its text.

    The caller raises it `from None`: the original may contain a header with the token, or a body.
    """
    if isinstance(error, hvac_exceptions.VaultError):
        status = _HVAC_STATUS.get(type(error))
        if status is not None:
            return failure(status, "", purpose)
        return NoAnswer(
            f"hvac reports {type(error).__name__} for {purpose.path}", hint=_LOOK_AT_LOG, retriable=False
        )
    match error:
        case requests.exceptions.SSLError():
            return NoAnswer(
                f"no trusted TLS connection to Vault at {address}",
                hint="set VAULT_CACERT to the file of the authority that signed Vault's certificate",
                retriable=False,
            )
        case requests.exceptions.ProxyError():
            return NoAnswer(
                f"the proxy for Vault at {address} does not answer",
                hint="check HTTPS_PROXY and NO_PROXY",
            )
        case requests.exceptions.Timeout():
            return NoAnswer(f"Vault at {address} did not answer in time", hint=_REACH)
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidHeader():
            return StoreError(
                f"the request to Vault at {address} is not valid HTTP",
                hint="check the Vault address, token and namespace for invalid characters",
            )
        case requests.exceptions.RequestException():
            return NoAnswer(f"Vault is not reachable at {address}", hint=_REACH)
        case OSError():
            # requests raises OSError for a certificate file that does not exist.
            return StoreError(
                "cannot read the file of trusted certificates for Vault", hint="check VAULT_CACERT"
            )
        case _:
            return NoAnswer(f"the connection to Vault at {address} failed", hint=_REACH)


class Answer(Struct, frozen=True):
    """A usable response of Vault."""

    data: dict[str, Any]
    """The JSON object's `data`; empty if there is none."""
    auth: dict[str, Any]
    """The JSON object's `auth`, of a login; empty if there is none."""
    found: bool = True
    """False for a 404 with data: a deleted version."""
    at: datetime | None = None
    """Vault's time, from the `Date` header."""


def read_body(response: requests.Response) -> bytearray:
    """Read the whole body."""
    data = bytearray()
    for chunk in response.iter_content(_CHUNK):
        # A list of pieces would fragment the memory.
        data += chunk
    return data


def json_object(data: bytes | bytearray) -> dict[str, Any] | None:
    """Return the JSON object in a body of UTF-8; None if it is something else."""
    try:
        body = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def interpret(
    response: requests.Response, content: bytes | bytearray, purpose: Purpose, parse: Parse = json_object
) -> Answer:
    """Return the answer in `response`.

    Args:
        response: for its status and headers.
        content: its body, from `read_body`.
        purpose: what the request was for.
        parse: reads the JSON object in the body.

    Raises:
        StoreError: Vault refused, or the response is not from Vault.
    """
    status = response.status_code
    body = parse(content)
    if status == HTTPStatus.NO_CONTENT:
        return Answer({}, {}, at=_date(response))
    if body is None or status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
        # A 404 of another server must not count as "there is no such document".
        if status == HTTPStatus.NOT_FOUND:
            raise unexpected_shape(purpose)
        raise failure(status, _words(body), purpose, wait=_seconds(response.headers.get("Retry-After")))
    data, auth = ({} if body.get(key) is None else body[key] for key in ("data", "auth"))
    if not isinstance(data, dict) or not isinstance(auth, dict):
        raise unexpected_shape(purpose)
    if status == HTTPStatus.NOT_FOUND and not data:
        raise failure(status, _words(body), purpose) if "errors" in body else unexpected_shape(purpose)
    return Answer(data, auth, found=status == HTTPStatus.OK, at=_date(response))


def _words(body: dict[str, Any] | None) -> str:
    """Return Vault's `errors` as one short line."""
    errors = (body or {}).get("errors")
    texts = [text for text in errors if isinstance(text, str)] if isinstance(errors, list) else []
    return _CONTROL.sub(" ", "; ".join(texts)).strip()[:_MAX_WORDS]


def _date(response: requests.Response) -> datetime | None:
    try:
        date = parsedate_to_datetime(response.headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo and date.year in YEARS else None


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() and text.isascii() else None
