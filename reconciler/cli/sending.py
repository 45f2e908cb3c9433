"""Ask a running sandbox to send events, and judge the answers that they got."""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reconciler.cli.system import SystemClock
from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.http_client import HttpClient, NoReply
from reconciler.network import Network
from reconciler.untrusted_json import MOST_BYTES, load_json
from reconciler.urls import is_loopback, origin_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_SECONDS = 900.0
_HINT = "run `reconciler sandbox` in another shell, and paste the lines that it prints"


def ask_sandbox(api_url: str, wanted: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return the deliveries that a sandbox has made, each with its answer.

    Raises:
        InvalidInput: the server is not a sandbox, or it refuses the request; the message says why.
        ReconcilerError: it does not answer.
    """
    if not is_loopback(urlsplit(api_url).hostname or ""):
        raise InvalidInput(f"{api_url} is not a sandbox", hint=_HINT)
    url = f"{origin_of(api_url)}/_sandbox/deliveries"
    client = HttpClient(url, Network.of(os.environ), clock=SystemClock(), read_timeout=_SECONDS)
    try:
        reply = client.send(
            "POST",
            url,
            headers={"Content-Type": "application/json"},
            seconds=_SECONDS,
            size=MOST_BYTES,
            content=json.dumps(wanted).encode(),
        )
    finally:
        client.close()
    if isinstance(reply, NoReply):
        raise ReconcilerError(f"the sandbox at {api_url} does not answer: {reply.reason}", hint=_HINT)
    try:
        value = load_json(reply.body)
        if reply.status_code == HTTPStatus.BAD_REQUEST:
            raise InvalidInput(str(value["error"]["message"]))
        deliveries: list[dict[str, Any]] = value["data"]
    except (ValueError, KeyError, TypeError):
        raise InvalidInput(f"{api_url} is not a sandbox (HTTP {reply.status_code})", hint=_HINT) from None
    return deliveries


def wrong_answers(deliveries: Sequence[Mapping[str, Any]], expected: Collection[int]) -> list[bool]:
    """Return for each delivery whether its answer is wrong: none of `expected`, or (if empty) not a 2xx."""
    return [each["status_code"] not in expected if expected else not each["delivered"] for each in deliveries]
