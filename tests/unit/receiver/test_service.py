"""A receiver as its senders see it: answers, limits, probes and metrics, without a port."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import threading
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from reconciler.errors import StoreError, UsageError
from reconciler.receiver.inbox.entry import State
from reconciler.receiver.logs import JsonLines, log
from reconciler.receiver.service import Receiver
from reconciler.receiver.signature import SIGNATURE_HEADER, sign
from tests.fixtures.deliveries import client, deliver, fields
from tests.fixtures.inbox import SECRET, an_event, event_body
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    import httpx

    from reconciler.receiver.event import Event


class World:
    """A receiver, what its source returns, and what its handler got."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.fields: Callable[[str], Mapping[str, object]] = lambda _webhook: fields()
        self.reads = 0
        self.handled: list[Event] = []
        self.called = threading.Semaphore(0)
        self.receiver = Receiver(
            ["ci", "releases"],
            secrets=self.source,
            inbox=f"sqlite:///{folder}/inbox.db",
            handler=self.handle,
            **options,
        )

    def source(self, webhook: str) -> Mapping[str, object]:
        """Return the fields that the test wants."""
        self.reads += 1
        return self.fields(webhook)

    def handle(self, event: Event) -> None:
        """Note the event."""
        self.handled.append(event)
        self.called.release()

    def metrics(self) -> dict[str, float]:
        """Return the samples without `_created`, by name and labels."""
        parse: Any = text_string_to_metric_families
        return {
            f"{sample.name}{json.dumps(sample.labels, sort_keys=True) if sample.labels else ''}": sample.value
            for family in parse(self.receiver.metrics.text().decode())
            for sample in family.samples
            if not sample.name.endswith(("_created", "_bucket"))
        }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a started receiver for `ci` and `releases`."""
    world = World(tmp_path)
    with world.receiver:
        world.reads = 0
        yield world


@pytest.fixture
def http(world: World) -> httpx.AsyncClient:
    """Give a client of it."""
    return client(world.receiver)


def test_a_delivery_is_stored_and_handed_on(world: World, http: httpx.AsyncClient) -> None:
    """A signed event is answered with 200 and reaches the handler as it is; again, it is only answered."""
    body = event_body("evt_1")

    async def run() -> list[int]:
        return [(await deliver(http, body)).status_code for _ in range(3)]

    assert asyncio.run(run()) == [200, 200, 200]
    assert world.called.acquire(timeout=PATIENCE)
    world.receiver.stop()
    (event,) = world.handled
    assert (event.webhook, event.id, event.body, event.signature) == ("ci", "evt_1", body, sign(body, SECRET))


@pytest.mark.parametrize(
    ("method", "path", "body", "signature", "status"),
    [
        ("POST", "/ci", event_body("evt_1"), "", 401),
        ("POST", "/ci", event_body("evt_1"), "0" * 64, 401),
        ("POST", "/ci", event_body("evt_1"), sign(event_body("evt_2"), SECRET), 401),
        ("POST", "/ci", event_body("evt_1"), sign(event_body("evt_1"), SECRET).upper(), 401),
        ("POST", "/ci", event_body("evt_1"), sign(event_body("evt_1"), ""), 401),
        ("POST", "/ci", b"{}", sign(b"{}", SECRET), 400),
        ("POST", "/ci", b"", sign(b"", SECRET), 400),
        ("POST", "/ci", b"x" * (1024 * 1024 + 1), "", 413),
        ("POST", "/ci", b"x" * (1024 * 1024), "", 401),
        ("POST", "/other", event_body("evt_1"), sign(event_body("evt_1"), SECRET), 404),
        ("POST", "/", b"", "", 404),
        ("GET", "/ci", b"", "", 405),
        ("HEAD", "/ci", b"", "", 405),
        ("POST", "/metrics", b"", "", 405),
    ],
)
def test_what_is_refused(
    world: World, http: httpx.AsyncClient, method: str, path: str, body: bytes, signature: str, status: int
) -> None:
    """Each wrong delivery has its answer, and nothing is stored."""
    headers = {SIGNATURE_HEADER: signature} if signature else {}
    answer = asyncio.run(http.request(method, path, content=body, headers=headers))
    assert answer.status_code == status
    assert world.receiver.inbox.find() == []


def test_two_signatures_are_none(http: httpx.AsyncClient) -> None:
    """A proxy and an application may choose different ones of two headers, so both are refused."""
    body = event_body("evt_1")
    headers = [(SIGNATURE_HEADER, sign(body, SECRET)), (SIGNATURE_HEADER, "x")]
    assert asyncio.run(http.post("/ci", content=body, headers=headers)).status_code == 401


def test_a_body_without_length_is_limited(http: httpx.AsyncClient) -> None:
    """A chunked body is refused as soon as it is too large, whoever signed it."""
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b"x" * 65_536

    assert asyncio.run(http.post("/ci", content=chunks())).status_code == 413
    assert sent <= 18


def test_a_body_is_never_unpacked(world: World, http: httpx.AsyncClient) -> None:
    """A compressed body is verified as it is, and is not an event, however large it would become."""
    body = b"\x1f\x8b" + b"\x00" * 1000
    answer = asyncio.run(deliver(http, body, **{"Content-Encoding": "gzip"}))
    assert answer.status_code == 400


def test_a_new_secret_is_accepted_at_its_first_delivery(world: World, http: httpx.AsyncClient) -> None:
    """A rotation needs no restart: the first delivery with the pending secret causes a read."""
    world.fields = lambda _webhook: {"signing_secret": "old", "pending_signing_secret": "new"}
    answer = asyncio.run(deliver(http, event_body("evt_1"), secret="new"))
    assert (answer.status_code, world.reads) == (200, 1)


def test_a_secret_that_is_stored_late_is_accepted(world: World, http: httpx.AsyncClient) -> None:
    """Where the API makes the secret, the endpoint is live before it is stored: one more read finds it."""
    world.fields = lambda _webhook: fields("new") if world.reads > 1 else fields("old")
    answer = asyncio.run(deliver(http, event_body("evt_1"), secret="new"))
    assert (answer.status_code, world.reads) == (200, 2)


def test_forged_deliveries_cost_few_reads(world: World, http: httpx.AsyncClient) -> None:
    """300 forged deliveries are all refused and cost a handful of reads, also side by side."""

    async def run() -> set[int]:
        answers = await asyncio.gather(*(deliver(http, b"{}", secret="forged") for _ in range(300)))
        return {answer.status_code for answer in answers}

    assert asyncio.run(run()) == {401}
    assert world.reads <= 6


def test_many_deliveries_wait_until_a_new_secret_is_stored(world: World, http: httpx.AsyncClient) -> None:
    """A secret that the API made is stored after its endpoint began to send: the wait shares a few reads."""
    asyncio.run(deliver(http, event_body("evt_0")))
    before = world.reads
    world.fields = lambda _webhook: fields("new") if world.reads > before + 2 else fields("old")

    async def run() -> set[int]:
        answers = await asyncio.gather(
            *(deliver(http, event_body(f"evt_{number}"), secret="new") for number in range(1, 40))
        )
        return {answer.status_code for answer in answers}

    assert asyncio.run(run()) == {200}
    assert world.reads <= before + 6


def test_known_secrets_stay_when_vault_is_down(world: World, http: httpx.AsyncClient) -> None:
    """Deliveries are accepted with the secrets that were read before, and a metric says that they are old."""

    def fail(_webhook: str) -> Mapping[str, object]:
        raise StoreError("Vault does not answer")

    world.fields = fail

    async def run() -> list[int]:
        forged = await deliver(http, event_body("evt_1"), secret="forged")
        real = await deliver(http, event_body("evt_1"))
        health = await http.get("/healthz")
        return [forged.status_code, real.status_code, health.status_code]

    assert asyncio.run(run()) == [401, 200, 200]
    metrics = world.metrics()
    assert metrics['webhook_receiver_secrets_stale{"webhook": "ci"}'] == 1
    assert metrics['webhook_receiver_secrets_stale{"webhook": "releases"}'] == 0
    assert metrics['webhook_receiver_secret_reads_total{"result": "failed", "webhook": "ci"}'] == world.reads


def test_without_any_secret_the_sender_is_asked_to_retry(tmp_path: Path) -> None:
    """A receiver that has never read its secrets cannot refuse a delivery: 503, and it is not healthy."""
    world = World(tmp_path)
    world.fields = lambda _webhook: {}
    http = client(world.receiver)

    async def run() -> tuple[httpx.Response, httpx.Response]:
        return await deliver(http, event_body("evt_1")), await http.get("/healthz")

    with world.receiver:
        answer, health = asyncio.run(run())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert (health.status_code, health.json()["status"]) == (503, "failing")


def test_an_event_that_cannot_be_stored_is_answered_with_503(world: World, http: httpx.AsyncClient) -> None:
    """A full disk: 503 with Retry-After, never 200; with space, the same delivery is stored."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def run() -> httpx.Response:
        return await deliver(http, event_body("evt_1"))

    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        answer = asyncio.run(run())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert world.receiver.inbox.find() == []
    assert world.metrics()["webhook_receiver_store_failures_total"] >= 1
    assert asyncio.run(run()).status_code == 200


def test_metrics_are_openmetrics(world: World, http: httpx.AsyncClient) -> None:
    """Every answer is counted; a stranger's path adds no label."""

    async def run() -> httpx.Response:
        await deliver(http, event_body("evt_1"))
        await deliver(http, event_body("evt_1"))
        await http.post("/nobody")
        return await http.get("/metrics")

    answer = asyncio.run(run())
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert world.called.acquire(timeout=PATIENCE)
    world.receiver.stop()
    metrics = world.metrics()
    assert metrics['webhook_receiver_deliveries_total{"status": "200", "webhook": "ci"}'] == 2
    assert metrics['webhook_receiver_deliveries_total{"status": "404", "webhook": ""}'] == 1
    assert metrics["webhook_receiver_events_stored_total"] == 1
    assert metrics["webhook_receiver_duplicates_total"] == 1
    assert metrics['webhook_receiver_attempts_total{"result": "delivered", "webhook": "ci"}'] == 1
    assert metrics['webhook_receiver_inbox_events{"state": "pending", "webhook": "ci"}'] == 0
    assert "nobody" not in answer.text


def test_nothing_of_a_delivery_is_logged(world: World, http: httpx.AsyncClient, caplog: Any) -> None:
    """The log has names, ids and our own words: no body, signature or secret, and nothing of a forged one."""
    log.addHandler(caplog.handler)
    caplog.set_level(logging.DEBUG, log.name)
    body, forged = event_body("evt_1"), event_body("evt_forged")

    async def run() -> None:
        await deliver(http, body)
        await deliver(http, forged, secret="other")
        await http.post("/hostile%0A", content=b"x")

    asyncio.run(run())
    log.removeHandler(caplog.handler)
    lines = [JsonLines().format(record) for record in caplog.records]
    assert any('"evt_1"' in line for line in lines)
    text = "\n".join(lines)
    for hidden in (SECRET, sign(body, SECRET), sign(forged, "other"), "evt_forged", "created", "hostile"):
        assert hidden not in text


def test_a_flood_of_refusals_fills_no_disk(http: httpx.AsyncClient, caplog: Any) -> None:
    """Strangers cause a bounded number of lines."""
    log.addHandler(caplog.handler)

    async def run() -> None:
        for _ in range(200):
            await http.post("/nobody")

    asyncio.run(run())
    log.removeHandler(caplog.handler)
    assert 1 <= len(caplog.records) < 100


def test_it_starts_with_the_first_request(tmp_path: Path) -> None:
    """Mounted where nobody starts it, the first delivery does."""
    world = World(tmp_path)
    assert asyncio.run(deliver(client(world.receiver), event_body("evt_1"))).status_code == 200
    world.receiver.stop()
    world.receiver.stop()


def test_the_lifespan_starts_and_stops_it(tmp_path: Path) -> None:
    """A server with the lifespan protocol starts and stops it, and hears why it cannot start."""

    async def live(receiver: Receiver) -> list[str]:
        heard: list[str] = []
        steps = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Any:
            return next(steps)

        async def send(message: Any) -> None:
            heard.append(message["type"].removeprefix("lifespan.") + message.get("message", ""))

        await receiver({"type": "lifespan"}, receive, send)
        return heard

    assert asyncio.run(live(World(tmp_path).receiver)) == ["startup.complete", "shutdown.complete"]
    (tmp_path / "file").write_text("x")
    (failed,) = asyncio.run(live(World(tmp_path / "file").receiver))
    assert failed.startswith("startup.failed")
    assert "cannot be used" in failed


def test_what_is_left_from_before_is_handed_on(tmp_path: Path) -> None:
    """Events that were stored and not handed on are handed on by the next process, oldest first."""
    world = World(tmp_path)
    before = World(tmp_path, workers=1)
    before.receiver.inbox.open()
    before.receiver.inbox.store([an_event(f"evt_{number}") for number in range(3)])
    with world.receiver:
        assert all(world.called.acquire(timeout=PATIENCE) for _ in range(3))
    assert [event.id for event in world.handled] == ["evt_0", "evt_1", "evt_2"]
    with before.receiver.inbox as inbox:
        assert {entry.state for entry in inbox.find()} == {State.DELIVERED}


@pytest.mark.parametrize("names", [[], ["UPPER"], ["a/b"], ["metrics"], ["healthz"], [""]])
def test_names_are_those_of_webhooks(tmp_path: Path, names: list[str]) -> None:
    """What cannot be a webhook, or is another path, is refused."""
    with pytest.raises(UsageError):
        Receiver(names, secrets=lambda _: {}, inbox=f"sqlite:///{tmp_path}/i.db", handler=print)


def test_an_unknown_kind_of_scope_is_left_alone(world: World) -> None:
    """A WebSocket gets no answer here: the server refuses it."""

    async def never(*_: Any) -> Any:
        raise AssertionError

    asyncio.run(world.receiver({"type": "websocket", "path": "/ci"}, never, never))
