"""What the embedded Zof API accepts: the format of its requests, and the errors for invalid ones."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import Struct
from starlette.responses import JSONResponse

from reconciler.model import Secret
from reconciler.texts import is_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

EVENT_TYPES = (
    "run.started",
    "run.completed",
    "run.failed",
    "remediation.plan_pending",
    "remediation.approved",
    "agent.offline",
    "release.gate_blocked",
    "integration.error",
    # Only an older page of the vendor's documentation has these.
    "agent.completed",
    "issue.detected",
)
# The OpenAPI description contains the same expressions; a test compares them.
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?"
_PORT = r"(?::(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?"
_REST = r"(?:[/?](?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
_LOOPBACK = r"localhost|127\.0\.0\.1|\[::1\]"
URL_PATTERN = rf"^(?:https://(?:{_HOST}|\[::1\])|http://(?:{_LOOPBACK})){_PORT}{_REST}$"
IDEMPOTENCY_KEY_PATTERN = r"^[!-~]{1,255}$"
CURSOR_PATTERN = r"^wc_[A-Za-z0-9_-]{11}$"
URL_MAX = 2048
SECRET_MIN, SECRET_MAX = 16, 512
PAGE_DEFAULT, PAGE_MAX = 20, 100
BODY_MAX = 64 * 1024


class Problem(Exception):
    """A request whose answer is an error object."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the parts of the answer; `headers` are additional ones."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the answer with the error object."""
        error = {"code": self.code, "message": self.message}
        if self.param is not None:
            error["param"] = self.param
        return JSONResponse({"error": error}, self.status, self.headers)


class EndpointDraft(Struct, frozen=True):
    """A valid creation request."""

    url: str
    events: tuple[str, ...]
    secret: Secret | None
    body_hash: str
    """SHA-256 (hex) of the raw body: an idempotency key is valid only with the same body."""
    idempotency_key: str | None = None


def parse_draft(
    raw: bytes, content_type: str, idempotency_keys: Sequence[str], event_types: Collection[str]
) -> EndpointDraft:
    """Check a creation request.

    Raises:
        Problem: 400 or 415; it names the invalid part.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "unsupported_media_type", "The body must be sent as application/json.")
    value = parse_object(raw)
    for name in ("url", "events"):
        if name not in value:
            refuse(name, "This field is required.")
    return EndpointDraft(
        url=_check_url(value["url"]),
        events=_check_events(value["events"], event_types),
        secret=_check_secret(value["secret"]) if "secret" in value else None,
        body_hash=hashlib.sha256(raw).hexdigest(),
        idempotency_key=_check_key(idempotency_keys),
    )


def parse_object(raw: bytes) -> dict[str, Any]:
    """Read a JSON object (RFC 8259: UTF-8, no NaN).

    Raises:
        Problem: 400 for anything else, 413 for a body that is too large.
    """
    if len(raw) > BODY_MAX:
        raise Problem(413, "body_too_large", f"The body is larger than {BODY_MAX} bytes.")
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        # The cause would quote the body, which may contain a signing secret.
        raise Problem(400, "invalid_json", "The body is not valid JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise Problem(400, "invalid_json", "The body must be a JSON object.")
    return value


def parse_page(query: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """Check the parameters of a listing; return the page size and the number of the endpoint before the page.

    Raises:
        Problem: 400; it names the invalid parameter.
    """
    for name, _ in query:
        if name not in {"limit", "starting_after"}:
            refuse(name, "This parameter is unknown.")
    limits = [value for name, value in query if name == "limit"]
    cursors = [value for name, value in query if name == "starting_after"]
    if len(limits) > 1 or any(not re.fullmatch("[0-9]{1,3}", value) for value in limits):
        refuse("limit", f"It must be one whole number from 1 to {PAGE_MAX}.")
    size = int(limits[0]) if limits else PAGE_DEFAULT
    if not 1 <= size <= PAGE_MAX:
        refuse("limit", f"It must be from 1 to {PAGE_MAX}.")
    if len(cursors) > 1 or any(not matches(CURSOR_PATTERN, value) for value in cursors):
        refuse("starting_after", "It must be one cursor, the `next_cursor` of the previous page.")
    if not cursors:
        return size, 0
    number = int.from_bytes(base64.urlsafe_b64decode(cursors[0].removeprefix("wc_") + "="))
    # SQLite's largest integer; a larger number is past the end of every listing, too.
    return size, min(number, 2**63 - 1)


def encode_cursor(number: int) -> str:
    """Return the opaque cursor of the page after the endpoint with this number."""
    return "wc_" + base64.urlsafe_b64encode(number.to_bytes(8)).rstrip(b"=").decode()


def matches(pattern: str, text: str) -> bool:
    """Whether all of `text` matches an anchored pattern, which includes a final line break."""
    return re.fullmatch(pattern.removeprefix("^").removesuffix("$"), text) is not None


def refuse(param: str, message: str) -> NoReturn:
    """Raise the 400 that names an invalid parameter."""
    raise Problem(400, "invalid_parameter", message, param=param)


def _check_url(value: Any) -> str:
    if not is_text(value) or len(value) > URL_MAX or not matches(URL_PATTERN, value):
        refuse(
            "url", f"It must be an https URL in ASCII of at most {URL_MAX} characters (http: loopback only)."
        )
    return value


def _check_events(value: Any, known: Collection[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        refuse("events", "It must be an array of at least one event type.")
    for name in value:
        if name not in known:
            refuse("events", f"It contains an unknown event type; the known ones are: {', '.join(known)}.")
    return tuple(dict.fromkeys(value))


def _check_secret(value: Any) -> Secret:
    if not is_text(value) or not SECRET_MIN <= len(value) <= SECRET_MAX:
        refuse("secret", f"It must be a string of {SECRET_MIN} to {SECRET_MAX} characters.")
    return Secret(value)


def _check_key(values: Sequence[str]) -> str | None:
    if not values:
        return None
    if len(values) > 1 or not matches(IDEMPOTENCY_KEY_PATTERN, values[0]):
        refuse(
            "Idempotency-Key", "It must be one string of 1 to 255 printable ASCII characters without spaces."
        )
    return values[0]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
