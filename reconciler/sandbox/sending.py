"""Send events to the endpoints that subscribe to them: as the vendor does, and as it should not."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

from reconciler.errors import InvalidInput
from reconciler.model import Secret
from reconciler.sandbox.behavior import JsonSettings, Seconds
from reconciler.sandbox.deliveries import DeliveryResult, deliver, sample_event
from reconciler.sandbox.zof_requests import EVENT_TYPES
from reconciler.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.sandbox.zof_gateway import ZofState
    from reconciler.sandbox.zof_store import StoredEndpoint

Number = Annotated[int, Meta(ge=1, le=1000)]
Size = Annotated[int, Meta(ge=0, le=64 * 1024 * 1024)]
Order = Literal["created", "reversed"]


class Sending(JsonSettings, frozen=True, kw_only=True):
    """Which events are sent to whom, and what is unusual about their deliveries."""

    type: str
    """The event type. Endpoints that do not subscribe to it, or are disabled, get nothing."""
    urls: tuple[str, ...] | None = None
    """Only endpoints with these URLs; null: all that subscribe."""
    events: Number = 1
    """How many events; each has an id of its own, and was created a second after the one before."""
    copies: Number = 1
    """How often all of them are delivered: the vendor repeats a delivery that was not answered with 2xx."""
    age_seconds: Seconds = 0.0
    """How long ago the newest was created."""
    order: Order = "created"
    """The order of the deliveries: as the events were `created`, or `reversed`."""
    forged: bool = False
    """Whether they are signed with a secret that nobody else has."""
    size: Size = 0
    """Bytes to which a body is filled up."""


class Sent(Struct, frozen=True):
    """One delivery and its answer."""

    endpoint_id: str
    url: str
    event_id: str
    result: DeliveryResult


def send_events(state: ZofState, sending: Sending) -> list[Sent]:
    """Send events, one delivery after another; blocks until all are answered.

    Raises:
        InvalidInput: the type is unknown, or no enabled endpoint subscribes to it.
    """
    known = EVENT_TYPES + state.behavior.extra_event_types
    if sending.type not in known:
        hint = did_you_mean([sending.type], known, f"the types are {', '.join(known)}")
        raise InvalidInput(f"there is no event type {sending.type}", hint=hint)
    endpoints = [each for each in state.store.all() if _gets(each, sending)]
    if not endpoints:
        raise InvalidInput(
            f"no enabled endpoint subscribes to {sending.type}", hint="add it to the events of a manifest"
        )
    now = state.clock() - sending.age_seconds
    forger = Secret(secrets.token_hex())
    bodies: dict[str, list[tuple[str, bytes]]] = {}
    for endpoint in endpoints:
        # Endpoints of one organization get the same events.
        if endpoint.organization not in bodies:
            bodies[endpoint.organization] = list(_bodies(sending, endpoint.organization, now))
    return [
        Sent(
            endpoint.id,
            endpoint.url,
            event_id,
            deliver(endpoint, state.behavior, body, forger if sending.forged else endpoint.secret),
        )
        for _ in range(sending.copies)
        for number in range(sending.events)
        for endpoint in endpoints
        for event_id, body in [bodies[endpoint.organization][number]]
    ]


def sent_value(sent: Sequence[Sent]) -> list[dict[str, Any]]:
    """Return deliveries as JSON objects."""
    return [
        {
            "endpoint_id": each.endpoint_id,
            "url": each.url,
            "event_id": each.event_id,
            "delivered": each.result.delivered,
            "status_code": each.result.status_code,
            "error": each.result.error,
        }
        for each in sent
    ]


def _gets(endpoint: StoredEndpoint, sending: Sending) -> bool:
    chosen = sending.urls is None or endpoint.url in sending.urls
    return chosen and endpoint.enabled and sending.type in endpoint.events


def _bodies(sending: Sending, organization: str, newest: float) -> Iterator[tuple[str, bytes]]:
    """Yield the ids and bodies of the events in the order of their deliveries."""
    oldest = newest - (sending.events - 1)
    numbers = range(sending.events)
    for number in reversed(numbers) if sending.order == "reversed" else numbers:
        event = sample_event(sending.type, organization, oldest + number)
        body = json.dumps(event)
        if len(body) < sending.size:
            event["padding"] = ""
            event["padding"] = "x" * max(0, sending.size - len(json.dumps(event)))
            body = json.dumps(event)
        yield event["id"], body.encode()
