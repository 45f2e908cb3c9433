"""The ASGI application that accepts deliveries: `POST /NAME`, `/healthz` and `/metrics`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from reconciler.errors import ReconcilerError
from reconciler.receiver.allowance import Allowance
from reconciler.receiver.answers import (
    IDENTITY,
    NOT_FOUND,
    ONLY_GET,
    ONLY_POST,
    STORED,
    UNAUTHORIZED,
    Answer,
    Gone,
    Refused,
    unavailable,
)
from reconciler.receiver.bodies import Bodies
from reconciler.receiver.event import NotAnEvent, parse_event
from reconciler.receiver.logs import write_log
from reconciler.receiver.metrics import CONTENT_TYPE
from reconciler.receiver.signature import SIGNATURE_HEADER, verify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from reconciler.receiver.event import Event
    from reconciler.receiver.group_commit import GroupCommit
    from reconciler.receiver.limits import Limits
    from reconciler.receiver.metrics import Metrics
    from reconciler.receiver.secrets import KnownSecrets

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_SIGNATURE = SIGNATURE_HEADER.lower().encode()
_DIGEST = re.compile(r"[0-9a-f]{64}")
_READ_SECONDS = 3.0
"""Within which secrets must be read again."""
_STORE_SECONDS = 4.0
"""Within which an event must be stored."""
_PAUSES_BEFORE_READS = (0.0, 0.5, 1.0, 1.5)
"""Seconds. A secret that the API made is stored shortly after its endpoint begins to send."""
_BETWEEN_READS = 0.5
"""Seconds between two reads, which all deliveries share: many of them must not use up the reads that are
allowed before the secret is stored."""
_UNHEALTHY_SECONDS = 30.0
_LINES, _SECONDS_PER_LINE = 20, 1.0


class DeliveryApp:
    """Verifies deliveries, has them stored, and answers."""

    def __init__(self, secrets: KnownSecrets, commit: GroupCommit, metrics: Metrics, limits: Limits) -> None:
        """Everything that it uses is started and stopped elsewhere."""
        self._secrets = secrets
        self._commit = commit
        self._metrics = metrics
        self._bodies = Bodies(limits)
        self._store_failed_at = float("-inf")
        self._reading = {webhook: asyncio.Lock() for webhook in secrets.webhooks}
        self._lines: dict[HTTPStatus, Allowance] = {}

    async def respond(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.monotonic()
        name = _name(scope)
        is_probe = name in {"healthz", "metrics"}
        known = name if name in self._secrets else ""
        try:
            answer = await self._probe(name, scope) if is_probe else await self._deliver(name, scope, receive)
        except Refused as refused:
            answer = refused.answer
        except Gone:
            return
        if not is_probe:
            self._metrics.answered(known, answer.status, time.monotonic() - began)
            self._note(known, answer)
        await _send(send, answer, head=scope["method"] == "HEAD")

    async def _deliver(self, name: str, scope: MutableMapping[str, Any], receive: Receive) -> Answer:
        if name not in self._secrets:
            return NOT_FOUND
        if scope["method"] != "POST":
            return ONLY_POST
        async with self._bodies.read(scope["headers"], receive) as body:
            return await self._accept(name, body, _signature(scope["headers"]))

    async def _accept(self, name: str, body: bytes, signature: str) -> Answer:
        if not await self._is_authentic(name, body, signature):
            if not self._secrets.of(name).secrets:
                return unavailable("the signing secrets could not be read yet")
            return UNAUTHORIZED
        try:
            event = parse_event(name, body, signature, time.time())
        except NotAnEvent as error:
            return Answer(HTTPStatus.BAD_REQUEST, str(error))
        return await self._store(event)

    async def _store(self, event: Event) -> Answer:
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._commit.store(event)
        except (ReconcilerError, TimeoutError) as error:
            self._store_failed_at = time.monotonic()
            self._metrics.store_failures.inc()
            problem = (
                error.message if isinstance(error, ReconcilerError) else "the inbox did not answer in time"
            )
            if self._may_log(HTTPStatus.SERVICE_UNAVAILABLE):
                write_log(logging.ERROR, "event not stored", webhook=event.webhook, problem=problem)
            return unavailable("the event could not be stored")
        write_log(
            logging.DEBUG, "event stored", webhook=event.webhook, event_id=event.id, event_type=event.type
        )
        return STORED

    async def _is_authentic(self, name: str, body: bytes, signature: str) -> bool:
        """Return whether a current secret signed the body; secrets are read again if none did."""
        if self._matches(name, body, signature):
            return True
        # A text that no secret can produce is not worth a read.
        pauses = _PAUSES_BEFORE_READS if _DIGEST.fullmatch(signature) else ()
        for pause in pauses:
            if not self._secrets.may_read_after_mismatch(name):
                return False
            asked_at = time.monotonic()
            await asyncio.sleep(pause)
            await self._read_again(name, asked_at + pause)
            if self._matches(name, body, signature):
                return True
        return False

    async def _read_again(self, name: str, asked_at: float) -> None:
        """Read the secrets, unless they were read a moment ago; wait for at most a few seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READ_SECONDS), self._reading[name]:
                if self._secrets.of(name).began_at < asked_at - _BETWEEN_READS:
                    await asyncio.shield(asyncio.to_thread(self._secrets.read_after_mismatch, name))

    def _matches(self, name: str, body: bytes, signature: str) -> bool:
        return verify(body, signature, [secret.reveal() for secret in self._secrets.of(name).secrets])

    async def _probe(self, name: str, scope: MutableMapping[str, Any]) -> Answer:
        if scope["method"] not in {"GET", "HEAD"}:
            return ONLY_GET
        if name == "metrics":
            metrics = await asyncio.to_thread(self._metrics.text)
            return Answer(HTTPStatus.OK, metrics.decode(), ((b"content-type", CONTENT_TYPE.encode()),))
        problems = []
        if self._secrets.unknown:
            problems.append("signing secrets could not be read yet")
        if time.monotonic() - self._store_failed_at < _UNHEALTHY_SECONDS:
            problems.append("an event could not be stored")
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        text = json.dumps({"status": "failing" if problems else "ok", "problems": problems})
        return Answer(status, text, ((b"content-type", b"application/json"),))

    def _note(self, webhook: str, answer: Answer) -> None:
        """Log a refusal, unless there are many: strangers can cause them. The request is not quoted."""
        if answer.status != HTTPStatus.OK and self._may_log(answer.status):
            write_log(
                logging.WARNING,
                "delivery refused",
                webhook=webhook or None,
                status=answer.status.value,
                why=answer.text,
            )

    def _may_log(self, status: HTTPStatus) -> bool:
        allowance = self._lines.setdefault(status, Allowance(_LINES, _SECONDS_PER_LINE))
        return allowance.take(time.monotonic())


def _name(scope: MutableMapping[str, Any]) -> str:
    """Return what follows the mount point in the path."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    return path.removeprefix("/").removesuffix("/")


def _signature(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the signature; empty if there is none, or several."""
    found = [value for key, value in headers if key == _SIGNATURE]
    return found[0].decode("latin-1") if len(found) == 1 else ""


async def _send(send: Send, answer: Answer, *, head: bool) -> None:
    body = answer.text.encode()
    headers = [(b"content-length", str(len(body)).encode()), IDENTITY, *answer.headers]
    if body and not any(key == b"content-type" for key, _ in headers):
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    if answer.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
