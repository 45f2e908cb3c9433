"""An event: what a verified delivery contains, and what a handler gets."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from msgspec import Struct

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A webhook's name."""
_LABEL = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")


class NotAnEvent(ValueError):
    """The body of a delivery is not an event."""


class Event(Struct, frozen=True):
    """One event of one webhook."""

    webhook: str
    """The name of the webhook that it was delivered to."""
    id: str
    type: str
    body: bytes
    """The body exactly as it was delivered."""
    signature: str
    received_at: float
    """Unix time."""

    @property
    def content(self) -> dict[str, Any]:
        """The body as JSON: `id`, `type`, `created`, `data` and whatever else it contains."""
        content: dict[str, Any] = json.loads(self.body)
        return content


class _Envelope(Struct):
    id: str
    type: str


_DECODER = msgspec.json.Decoder(_Envelope)


def parse_event(webhook: str, body: bytes, signature: str, received_at: float) -> Event:
    """Return the event that a verified body contains.

    Unknown types and unknown fields are accepted: the vendor may add some.

    Raises:
        NotAnEvent: it is not a JSON object with a usable `id` and `type`.
    """
    try:
        envelope = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAnEvent("the body is not a JSON object with the texts `id` and `type`") from None
    if not (_LABEL.fullmatch(envelope.id) and _LABEL.fullmatch(envelope.type)):
        raise NotAnEvent("`id` or `type` is empty, too long or contains control characters")
    return Event(webhook, envelope.id, envelope.type, body, signature, received_at)
