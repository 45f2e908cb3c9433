"""Events that the embedded API sends: to whom, how often, in which order, and with which signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from msgspec.structs import replace

from reconciler.errors import InvalidInput
from reconciler.receiver.signature import verify
from reconciler.sandbox.receiver_server import ReceiverServer
from reconciler.sandbox.sending import Sending
from tests.fixtures.web import Answer, Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.sandbox.zof_server import ZofServer
    from tests.fixtures.zof import MakeZof

URL = "https://hooks.example.com/ci"


@pytest.fixture
def service(zof: ZofServer) -> Iterator[Collector]:
    """Give a service that gets the deliveries."""
    with Collector(Answer(204)) as server:
        zof.behavior = replace(zof.behavior, deliver_to=server.url)
        yield server


def test_those_who_subscribe_get_an_event(zof: ZofServer, service: Collector) -> None:
    """Each enabled endpoint with the type gets the same event, signed with its own secret; others nothing."""
    first = zof.console.create(URL, ["run.failed"])
    second = zof.console.create(URL, ["run.completed", "run.failed"])
    zof.console.create(URL, ["run.completed"])
    zof.console.edit(zof.console.create(URL, ["run.failed"]).id, enabled=False)
    sent = zof.send(Sending(type="run.failed"))
    assert [each.endpoint_id for each in sent] == [first.id, second.id]
    assert all(each.result.status_code == 204 for each in sent)
    one, other = service.requests
    assert one.content == other.content
    for request, endpoint in ((one, first), (other, second)):
        signature = request.headers["x-zof-signature"]
        assert verify(request.content, signature, endpoint.secret.reveal())
    assert one.body["type"] == "run.failed"


def test_urls_choose_endpoints(zof: ZofServer, service: Collector) -> None:
    """Only the endpoints with these URLs get something."""
    zof.console.create(URL, ["run.failed"])
    chosen = zof.console.create("https://hooks.example.com/other", ["run.failed"])
    (sent,) = zof.send(Sending(type="run.failed", urls=(chosen.url,)))
    assert sent.endpoint_id == chosen.id
    assert len(service.requests) == 1


def test_deliveries_can_be_repeated_late_and_out_of_order(zof: ZofServer, service: Collector) -> None:
    """Three events, the newest first and an hour old, and then the same three again."""
    zof.console.create(URL, ["run.failed"])
    sending = Sending(type="run.failed", events=3, copies=2, order="reversed", age_seconds=3600)
    assert len(zof.send(sending)) == 6
    bodies = [request.content for request in service.requests]
    assert bodies[:3] == bodies[3:]
    times = [request.body["created"] for request in service.requests[:3]]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == 3
    zof.send(Sending(type="run.failed", events=2))
    later = [request.body["created"] for request in service.requests[6:]]
    assert max(times) < later[0] < later[1]


def test_a_delivery_can_be_forged(zof: ZofServer) -> None:
    """A receiver refuses it with 401; the same event with the right signature is accepted."""
    endpoint = zof.console.create(URL, ["run.failed"])
    with ReceiverServer(lambda _: [endpoint.secret]) as receiver:
        zof.behavior = replace(zof.behavior, deliver_to=receiver.url)
        (forged,) = zof.send(Sending(type="run.failed", forged=True))
        (right,) = zof.send(Sending(type="run.failed"))
    assert (forged.result.delivered, forged.result.status_code) == (False, 401)
    assert (right.result.delivered, right.result.status_code) == (True, 204)


@pytest.mark.untraced
def test_a_delivery_can_be_huge(zof: ZofServer, service: Collector) -> None:
    """The body has the size that was asked for, and a receiver's answer to it arrives."""
    endpoint = zof.console.create(URL, ["run.failed"])
    zof.send(Sending(type="run.failed", size=1024 * 1024))
    assert len(service.requests[0].content) == 1024 * 1024
    with ReceiverServer(lambda _: [endpoint.secret]) as receiver:
        zof.behavior = replace(zof.behavior, deliver_to=receiver.url)
        (sent,) = zof.send(Sending(type="run.failed", size=8 * 1024 * 1024))
        assert sent.result.status_code == 413
        assert receiver.received == ()


def test_a_large_body_reaches_a_receiver_that_reads_it_first(zof: ZofServer, service: Collector) -> None:
    """A receiver without a limit gets all of it."""
    zof.console.create(URL, ["run.failed"])
    (sent,) = zof.send(Sending(type="run.failed", size=1024 * 1024 + 1))
    assert sent.result.status_code == 204
    assert len(service.requests[0].content) == 1024 * 1024 + 1


def test_what_nobody_gets_is_refused(zof: ZofServer) -> None:
    """An unknown type, a type without subscribers, and a number out of range are named."""
    with pytest.raises(InvalidInput, match=r"there is no event type run\.faild") as unknown:
        zof.send(Sending(type="run.faild"))
    assert unknown.value.hint == "did you mean `run.failed`?"
    with pytest.raises(InvalidInput, match=r"no enabled endpoint subscribes to run\.failed"):
        zof.send(Sending(type="run.failed"))
    with pytest.raises(InvalidInput, match="events"):
        Sending.from_json({"type": "run.failed", "events": 0})


def test_over_http(make_zof: MakeZof) -> None:
    """The control returns each delivery with its answer, and no secret."""
    zof = make_zof(controls=True)
    endpoint = zof.console.create(URL, ["run.failed"])
    with ReceiverServer(lambda _: [endpoint.secret]) as receiver:
        zof.behavior = replace(zof.behavior, deliver_to=receiver.url)
        answer = httpx.post(
            f"{zof.origin}/_sandbox/deliveries", json={"type": "run.failed", "copies": 2}, trust_env=False
        )
    assert answer.status_code == 200
    first, second = answer.json()["data"]
    assert first == second
    assert first["event_id"].startswith("evt_")
    assert (first["url"], first["status_code"], first["delivered"]) == (URL, 204, True)
    assert endpoint.secret.reveal() not in answer.text
    assert [each.outcome for each in receiver.received] == ["verified", "duplicate"]
