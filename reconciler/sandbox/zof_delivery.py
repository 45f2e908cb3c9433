"""Test deliveries of the embedded Zof API: a signed envelope, really sent."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import secrets
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from msgspec import Struct

from reconciler.urls import is_loopback

if TYPE_CHECKING:
    from reconciler.sandbox.behavior import Behavior
    from reconciler.sandbox.zof_records import StoredEndpoint

SIGNATURE_HEADER = "X-Zof-Signature"
ORIGINAL_URL_HEADER = "X-Zof-Original-Url"
# What RFC 3986 allows in a path and a query; `%` stays, since an escape must not be escaped again.
_TARGET_SAFE = "/?:@!$&'()*+,;=%-._~"
_OK = range(200, 300)


class Delivery(Struct, frozen=True):
    """What came of one delivery."""

    delivered: bool
    status_code: int | None = None
    """The receiver's answer; None where there was none."""
    error: str | None = None
    """Why it was not delivered, without anything that the receiver said."""


def deliver_test(endpoint: StoredEndpoint, behavior: Behavior, now: float) -> Delivery:
    """Send a signed test event to the endpoint's URL, or to where `behavior` sends its deliveries.

    This blocks for up to `behavior.delivery_timeout` seconds for each step of the exchange. Redirects
    are not followed: only a 2xx of the receiver itself counts.
    """
    if behavior.test_result == "fail":
        return Delivery(delivered=False, error="the sandbox was told to fail deliveries")
    try:
        base, target = _destination(endpoint.url, behavior), _target(endpoint.url)
    except ValueError:
        # Only the console can make such an endpoint.
        return Delivery(delivered=False, error="the endpoint's URL cannot be read")
    if base is None:
        assumed = behavior.public_deliveries == "assume"
        return Delivery(delivered=assumed, error=None if assumed else "deliveries to public hosts are off")
    body = envelope(endpoint, now)
    headers: dict[str, str | bytes] = {
        "Content-Type": "application/json",
        "User-Agent": "Zof-Webhooks-Sandbox",
        SIGNATURE_HEADER: hmac.new(endpoint.secret.reveal().encode(), body, hashlib.sha256).hexdigest(),
        # As UTF-8 bytes: an endpoint's URL may be spelled in Unicode.
        ORIGINAL_URL_HEADER: endpoint.url.encode(),
    }
    return _post(base, target, body, headers, behavior.delivery_timeout)


def envelope(endpoint: StoredEndpoint, now: float) -> bytes:
    """Return the JSON of a test event for `endpoint`, of the first type that it listens to."""
    organization = hashlib.sha256(endpoint.organization.encode()).hexdigest()[:16]
    return json.dumps(
        {
            "id": "evt_" + secrets.token_hex(12),
            "type": endpoint.events[0] if endpoint.events else "run.completed",
            "created": datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z"),
            "data": {
                "object": {
                    "id": "test_" + secrets.token_hex(8),
                    "organization_id": f"org_{organization}",
                    "run_id": "run_" + secrets.token_hex(8),
                }
            },
        }
    ).encode()


def _destination(url: str, behavior: Behavior) -> str | None:
    """Return the base URL to send to; None where nothing is to be sent."""
    host = urlsplit(url).hostname or ""
    if isinstance(behavior.deliver_to, str):
        return behavior.deliver_to
    if behavior.deliver_to is not None and host in behavior.deliver_to:
        return behavior.deliver_to[host]
    return url if is_loopback(host) or behavior.public_deliveries == "send" else None


def _target(url: str) -> str:
    parts = urlsplit(url)
    return quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_TARGET_SAFE)


def _post(base: str, target: str, body: bytes, headers: dict[str, str | bytes], timeout: float) -> Delivery:
    connection = None
    try:
        connection = _connect(base, timeout)
        connection.request("POST", target, body, headers)
        status = connection.getresponse().status
    except TimeoutError:
        return Delivery(delivered=False, error=f"no answer within {timeout:g} seconds")
    except (OSError, http.client.HTTPException, ValueError) as error:
        # ValueError: a host name or a port that does not exist.
        return Delivery(delivered=False, error=f"the delivery failed: {type(error).__name__}")
    finally:
        if connection is not None:
            connection.close()
    return Delivery(
        delivered=status in _OK, status_code=status, error=None if status in _OK else f"it answered {status}"
    )


def _connect(base: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(base)
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, parts.port, timeout=timeout)
