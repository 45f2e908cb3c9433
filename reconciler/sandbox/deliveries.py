"""Deliveries of the embedded Zof API: sample events, signed and sent to an endpoint's URL."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import secrets
import select
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from msgspec import Struct

from reconciler.receiver.signature import SIGNATURE_HEADER, sign
from reconciler.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model import Secret
    from reconciler.sandbox.behavior import Behavior
    from reconciler.sandbox.zof_store import StoredEndpoint

ORIGINAL_URL_HEADER = "X-Zof-Original-Url"
# The characters of a path and a query in RFC 3986; `%` is one of them, so escapes are not escaped again.
_TARGET_SAFE = "/?:@!$&'()*+,;=%-._~"
_OK = range(200, 300)
_OBJECTS = {
    "remediation": "plan",
    "agent": "agent",
    "release": "gate",
    "integration": "int",
    "issue": "issue",
}
"""What the object of an event is, by the first word of its type; otherwise a run."""
_LARGE = 1024 * 1024
"""Bytes that every receiver must accept."""
_EARLY_ANSWER = 2.0
"""Seconds that a large body waits for an answer to its headers, such as a 413."""


def new_digits(bits: int = 64) -> str:
    """Return random hexadecimal digits for an id."""
    return secrets.token_hex(bits // 8)


def sample_event(
    kind: str, organization: str, created: float, digits: Callable[[], str] = new_digits
) -> dict[str, Any]:
    """Return an event of a type as the documentation describes it.

    Args:
        kind: its type.
        organization: the name of the organization.
        created: Unix time.
        digits: returns the digits of the next id.
    """
    run = f"run_{digits()}"
    prefix = _OBJECTS.get(kind.partition(".")[0])
    return {
        "id": f"evt_{digits()}",
        "type": kind,
        "created": datetime.fromtimestamp(int(created), UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            "object": {
                "id": f"{prefix}_{digits()}" if prefix else run,
                "organization_id": f"org_{hashlib.sha256(organization.encode()).hexdigest()[:16]}",
                "run_id": run,
            }
        },
    }


class DeliveryResult(Struct, frozen=True):
    """The result of one delivery."""

    delivered: bool
    status_code: int | None = None
    """The receiver's answer; None if it did not answer."""
    error: str | None = None
    """Why it was not delivered, without any text from the receiver."""


def deliver_test(endpoint: StoredEndpoint, behavior: Behavior, now: float) -> DeliveryResult:
    """Send a test event of the first type that `endpoint` subscribes to."""
    if behavior.test_result == "fail":
        return DeliveryResult(delivered=False, error="`test_result` of the sandbox is `fail`")
    kind = endpoint.events[0] if endpoint.events else "run.completed"
    event = sample_event(kind, endpoint.organization, now)
    event["data"]["object"]["id"] = f"test_{new_digits()}"
    return deliver(endpoint, behavior, json.dumps(event).encode(), endpoint.secret)


def deliver(endpoint: StoredEndpoint, behavior: Behavior, body: bytes, secret: Secret) -> DeliveryResult:
    """Send a body, signed with `secret`, to the endpoint's URL or to the address in `behavior.deliver_to`.

    Each step of the exchange blocks for up to `behavior.delivery_timeout` seconds. Redirects
    are not followed: only a 2xx of the receiver itself is a success.
    """
    try:
        base, parts = _destination(endpoint.url, behavior), urlsplit(endpoint.url)
        target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_TARGET_SAFE)
    except ValueError:
        # Only the console can create such an endpoint.
        return DeliveryResult(delivered=False, error="the endpoint's URL is invalid")
    if base is None:
        assumed = behavior.public_deliveries == "assume"
        return DeliveryResult(
            delivered=assumed, error=None if assumed else "deliveries to public hosts are disabled"
        )
    headers: dict[str, str | bytes] = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": "Zof-Webhooks-Sandbox",
        SIGNATURE_HEADER: sign(body, secret.reveal()),
        # As UTF-8 bytes: an endpoint's URL may contain Unicode.
        ORIGINAL_URL_HEADER: endpoint.url.encode(),
    }
    return _post(base, target, body, headers, behavior.delivery_timeout)


def _destination(url: str, behavior: Behavior) -> str | None:
    """Return the base URL of the receiver; None if nothing is sent."""
    host = urlsplit(url).hostname or ""
    if isinstance(behavior.deliver_to, str):
        return behavior.deliver_to
    if behavior.deliver_to is not None and host in behavior.deliver_to:
        return behavior.deliver_to[host]
    return url if is_loopback(host) or behavior.public_deliveries == "send" else None


def _post(
    base: str, target: str, body: bytes, headers: dict[str, str | bytes], timeout: float
) -> DeliveryResult:
    parts = urlsplit(base)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        with contextlib.closing(connect(parts.hostname or "", parts.port, timeout=timeout)) as connection:
            if len(body) <= _LARGE:
                connection.request("POST", target, body, headers)
            else:
                _send_large(connection, target, body, headers)
            status = connection.getresponse().status
    except TimeoutError:
        return DeliveryResult(delivered=False, error=f"no answer within {timeout:g} seconds")
    except (OSError, http.client.HTTPException, ValueError) as error:
        # ValueError: an impossible host name or port.
        return DeliveryResult(delivered=False, error=f"the delivery failed: {type(error).__name__}")
    refused = None if status in _OK else f"the receiver answered {status}"
    return DeliveryResult(delivered=refused is None, status_code=status, error=refused)


def _send_large(
    connection: http.client.HTTPConnection, target: str, body: bytes, headers: dict[str, str | bytes]
) -> None:
    """Send the headers, and the body unless they are answered first.

    A receiver that refuses a large body closes the connection; whoever sends on loses the answer.
    """
    connection.putrequest("POST", target)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    if select.select([connection.sock], [], [], _EARLY_ANSWER)[0]:
        return
    # It may also close the connection in the middle of the body, after an answer.
    with contextlib.suppress(ConnectionError):
        connection.send(body)
