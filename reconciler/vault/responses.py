"""Read Vault's responses, and map its errors and hvac's to ours. Pure.

    StoreError
    ├── CasConflict   another writer was there first
    ├── Denied        401, 403
    ├── TokenRefused  the token is invalid or expired
    ├── NotFound      404: no such document, or no such operation
    ├── Unsupported   405
    ├── Rejected      any other 4xx
    └── NoAnswer      unknown outcome: no response, a server error, or a response that is not Vault's
        └── NotExecuted   Vault reports that it did not execute the request

Only a body in Vault's own shape counts as Vault's answer: proxies and login pages answer, too. No error
quotes the response to a request that contains a secret: a server or a proxy may echo it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.credentials.foreign import foreign_text
from reconciler.errors import CasConflict, StoreError, StoreUnavailable, TokenRefused
from reconciler.headers import read_date, read_number
from reconciler.retry import backoff
from reconciler.texts import span
from reconciler.untrusted_json import load_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from reconciler.http_client import Reply

    Parse = Callable[[bytes | bytearray], dict[str, Any] | None]

_MAX_WORDS = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_CAS_MISS = "check-and-set parameter did not match"
_NO_MOUNT = "no handler for route"
_METADATA_CAS = "metadata check-and-set parameter required"
_UPGRADING = "Upgrading from non-versioned to versioned"
_NO_LEADER = "local node not active"
_MAX_ATTEMPTS = 5
_MAX_REFUSALS = 9
"""Attempts at a request that Vault does not execute: an upgrade or an election may take a minute."""
_FIRST_BACKOFF = 0.25
_LONGEST_BACKOFF = 30.0
_MAX_WAIT = 60.0
LONGEST_OPERATION = 160.0
"""Seconds after which an operation is not retried: five attempts at a silent server."""
_LONGEST_REFUSAL = 300.0
"""The same for a request that Vault does not execute."""
_NOT_EXECUTED = {412, 429, 503}
"""412: a replica that lags behind. 429: a rate limit. 503: Vault is down, or this node is in standby."""
_RETRIABLE = {500, 502, 503, 504}
"""See Vault's HTTP API documentation."""
LOOK_AT_LOG = "run again; if it fails again, see Vault's log"
REACH = "check the Vault address, and that this machine can reach it"
NOT_VAULT = (
    "check whether the Vault address leads to a proxy or a login page, and what HTTPS_PROXY and NO_PROXY say"
)


class Denied(StoreError):
    """Vault refused the token, or the token's policies do not allow this."""

    def __init__(self, message: str, *, hint: str | None = None, words: str = "") -> None:
        """`words`: Vault's own, which may say more."""
        super().__init__(message, hint=hint)
        self.invalid_token = "invalid token" in words or "bad token" in words
        """Whether Vault says that it does not know the token."""
        self.by_policy = "error occurred" in words and not self.invalid_token
        """Whether policies forbid it, as far as the words show: OpenBao has others for an unknown token."""


def refused_token(purpose: Purpose, *, accepted_before: bool) -> TokenRefused:
    """Return the error for a token that is not valid, or not valid any more."""
    if accepted_before:
        return TokenRefused(
            f"the Vault token expired or was revoked during this run: {purpose.path} was refused",
            hint="get a new token, then run the same command again",
        )
    return TokenRefused(
        f"Vault refused the token at {purpose.path}: it is invalid or expired",
        hint=f"get another token, which needs `{purpose.capability}` on `{purpose.path}`",
    )


class NotFound(StoreError):
    """The path has no document, or does not know the operation."""


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


class NotExecuted(NoAnswer):
    """Vault reports that it did not execute the request, and that a retry may succeed."""


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


def retry_delay(
    attempt: int, wait: float | None, elapsed: float, *, not_executed: bool = False
) -> float | None:
    """Return the seconds to wait after attempt number `attempt`; None: do not retry.

    Args:
        attempt: the number of attempts so far.
        wait: the seconds that Vault asks to wait; None if it does not.
        elapsed: the seconds since the first attempt began.
        not_executed: whether Vault reports that it did not execute the request.
    """
    if attempt >= (_MAX_REFUSALS if not_executed else _MAX_ATTEMPTS) or (wait or 0.0) > _MAX_WAIT:
        return None
    pause = max(backoff(attempt, _FIRST_BACKOFF, _LONGEST_BACKOFF), wait or 0.0)
    longest = _LONGEST_REFUSAL if not_executed else LONGEST_OPERATION
    return pause if elapsed + pause <= longest else None


def unexpected_shape(purpose: Purpose) -> NoAnswer:
    """Return the error for a response that Vault does not send."""
    return NoAnswer(f"the response for {purpose.path} is not from Vault", hint=NOT_VAULT, retriable=False)


def foreign_response(status: int, purpose: Purpose, *, wait: float | None = None) -> StoreError:
    """Return the error for a refusal that is not in Vault's own shape: a proxy or another server answered."""
    message = f"not Vault, but a proxy or another server answered HTTP {status} for {purpose.path}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        # A rate limit is applied before a request is executed.
        return NotExecuted(_with_wait(message, wait), hint=NOT_VAULT, wait=wait)
    return NoAnswer(message, hint=NOT_VAULT, retriable=status in _RETRIABLE, wait=wait)


def _with_wait(message: str, wait: float | None) -> str:
    """Return `message` with the pause that the response asks for, if that is too long to wait for."""
    if wait is None or wait <= _MAX_WAIT:
        return message
    return f"{message}, and asks to wait {span(timedelta(seconds=wait))}"


def failure(status: int, words: str, purpose: Purpose, *, wait: float | None = None) -> StoreError:  # noqa: C901, PLR0911, PLR0912  # a table
    """Return our error for a response with `status` and Vault's error texts `words`."""
    quoted = "" if purpose.confidential or not words else f": {foreign_text(words, limit=_MAX_WORDS)}"
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
        case HTTPStatus.BAD_REQUEST if _UPGRADING in words:
            return NotExecuted(
                f"the secrets engine of {path} is being upgraded to version 2", hint="run again in a minute"
            )
        case HTTPStatus.BAD_REQUEST if _METADATA_CAS in words:
            return Rejected(
                f"Vault requires check-and-set for the metadata at {path}, which is not supported",
                hint="`reconciler doctor` shows where metadata_cas_required is set",
            )
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Denied(
                f"permission denied on {path}",
                hint=f"the token's policy needs `{purpose.capability}` on `{path}`",
                words=words,
            )
        case HTTPStatus.NOT_FOUND:
            return NotFound(
                f"Vault has nothing at {path}",
                hint="check the mount, the prefix and the namespace, then run again",
            )
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return Unsupported(
                f"this Vault does not support {purpose.capability} on {path}{quoted}", hint=REACH
            )
        case HTTPStatus.NOT_IMPLEMENTED:
            return StoreError("Vault is not initialized", hint="initialize and unseal it")
        case HTTPStatus.SERVICE_UNAVAILABLE if "sealed" in words:
            return StoreUnavailable("Vault is sealed", hint="unseal it, then run again")
        case _ if status in _NOT_EXECUTED or _NO_LEADER in words:
            message = f"Vault answered HTTP {status} for {path}{quoted}"
            return NotExecuted(_with_wait(message, wait), hint=LOOK_AT_LOG, wait=wait)
        case _ if status in _RETRIABLE:
            return NoAnswer(
                f"Vault answered HTTP {status} for {path}{quoted}",
                hint=LOOK_AT_LOG,
                wait=wait,
            )
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return NoAnswer(
                f"Vault answered HTTP {status} for {path}{quoted}", hint=LOOK_AT_LOG, retriable=False
            )
    return Rejected(
        f"Vault refused to {purpose.capability} {path} (HTTP {status}){quoted}",
        hint="Vault's audit log has the reason",
    )


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


def json_object(data: bytes | bytearray) -> dict[str, Any] | None:
    """Return the JSON object in a body of UTF-8; None if it is something else."""
    try:
        body = load_json(data)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def interpret(response: Reply, purpose: Purpose, parse: Parse = json_object) -> Answer:
    """Return the answer in `response`.

    Args:
        response: the response.
        purpose: what the request was for.
        parse: reads the JSON object in the body.

    Raises:
        StoreError: Vault refused, or the response is not from Vault.
    """
    status = response.status_code
    body = parse(response.body)
    if status == HTTPStatus.NO_CONTENT:
        return Answer({}, {}, at=_date(response))
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise failure(status, "", purpose)
    data, auth = ({} if (body or {}).get(key) is None else (body or {})[key] for key in ("data", "auth"))
    if status == HTTPStatus.OK or (status == HTTPStatus.NOT_FOUND and data):
        if body is None or not isinstance(data, dict) or not isinstance(auth, dict):
            raise unexpected_shape(purpose)
        return Answer(data, auth, found=status == HTTPStatus.OK, at=_date(response))
    if status < HTTPStatus.BAD_REQUEST:
        raise unexpected_shape(purpose)
    wait = read_number(response.headers.get("Retry-After"))
    words = _words(body)
    if words is None:
        raise foreign_response(status, purpose, wait=wait)
    raise failure(status, words, purpose, wait=wait)


def _words(body: dict[str, Any] | None) -> str | None:
    """Return Vault's `errors`, unmasked; None if the body is not in the shape of Vault's errors."""
    errors = (body or {}).get("errors")
    if not isinstance(errors, list) or not all(isinstance(text, str) for text in errors):
        return None
    return "; ".join(errors)


def _date(response: Reply) -> datetime | None:
    return read_date(response.headers.get("Date"))
