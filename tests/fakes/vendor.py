"""The vendor's side of the wire: `FakeApi` behind HTTP, for the real client, with habits of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import httpx
from msgspec import Struct

from reconciler.model import Endpoint, Secret
from reconciler.ports import Created, Deleted, Delivered, NotDelivered, Refused, Unanswered
from reconciler.zof.client import ZofApi

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.ports import CreateAnswer, DeleteAnswer, Reporter, TestAnswer
    from tests.fakes.api import FakeApi

CreatedAs = Literal["created", "created_at", "unix", "no zone", "absent"]


class Habits(Struct, frozen=True):
    """How the vendor writes what `FakeApi` knows."""

    created_as: CreatedAs = "created"
    delete_status: int = 204
    odd_entries: tuple[Any, ...] = ()
    """Entries of each listing that no endpoint has: `events` null, a number as id, nonsense."""
    after_secret: str = ""
    """How each signing secret ends: with a line break, for example. Deliveries are signed with all of it."""


class Vendor(httpx.BaseTransport):
    """Answers HTTP requests from a `FakeApi`. `strike` and `lose` see each request first and last."""

    def __init__(self, api: FakeApi, habits: Habits | None = None) -> None:
        """Stand before `api`."""
        self.api = api
        self.habits = habits or Habits()
        self.strike: Callable[[httpx.Request], httpx.Response | None] = _nothing
        """May answer, or raise, instead of the API: the request has no effect."""
        self.lose: Callable[[httpx.Request], httpx.Response | None] = _nothing
        """May answer, or raise, after the request was carried out."""

    def client(self, reporter: Reporter) -> ZofApi:
        """Return the real client, with virtual time and this vendor."""
        return ZofApi(
            "http://127.0.0.1:8080/v1",
            Secret("zof_key"),
            clock=self.api.clock,
            reporter=reporter,
            jitter=lambda: 0.5,
            transport=self,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as the API does."""
        response = self.strike(request)
        if response is None:
            response = self._answer(request)
            response = self.lose(request) or response
        response.headers.setdefault("Date", f"{self.api.clock.now():%a, %d %b %Y %H:%M:%S} GMT")
        response.headers.setdefault("X-Request-Id", f"req_{self.api.requests_sent}")
        return response

    def _answer(self, request: httpx.Request) -> httpx.Response:
        *_, last = request.url.path.rstrip("/").split("/")
        endpoint_id = request.url.path.removeprefix("/v1/webhooks/").split("/")[0]
        match request.method, last:
            case "GET", "webhooks":
                return self._listing()
            case "POST", "webhooks":
                return self._created(
                    self.api.create(request.headers["Idempotency-Key"], Secret(request.content.decode()))
                )
            case "POST", "test":
                return self._tested(self.api.test(endpoint_id))
            case "DELETE", _:
                return self._deleted(self.api.delete(endpoint_id))
            case _:
                return _error(404, "not_found", "no such path")

    def _listing(self) -> httpx.Response:
        found = (entry for page in self.api.list_pages() for entry in page)
        entries = [self._json(endpoint) for endpoint in found if isinstance(endpoint, Endpoint)]
        return httpx.Response(200, json={"data": [*entries, *self.habits.odd_entries], "has_more": False})

    def _created(self, answer: CreateAnswer) -> httpx.Response:
        if not isinstance(answer, Created):
            return _failure(answer)
        value = self._json(answer.endpoint)
        if answer.secret is not None:
            value["secret"] = answer.secret.reveal() + self.habits.after_secret
            self.api.secrets[answer.endpoint.id] = value["secret"]
        return httpx.Response(201, json=value)

    def _tested(self, answer: TestAnswer) -> httpx.Response:
        if isinstance(answer, Delivered | NotDelivered):
            return httpx.Response(200, json={"delivered": isinstance(answer, Delivered)})
        return _failure(answer)

    def _deleted(self, answer: DeleteAnswer) -> httpx.Response:
        return httpx.Response(self.habits.delete_status) if isinstance(answer, Deleted) else _failure(answer)

    def _json(self, endpoint: Endpoint) -> dict[str, Any]:
        value: dict[str, Any] = {
            "id": endpoint.id,
            "url": endpoint.url,
            "events": list(endpoint.events),
            "enabled": endpoint.enabled,
        }
        created = endpoint.created
        match self.habits.created_as:
            case "created" | "created_at" as name if created is not None:
                value[name] = created.isoformat()
            case "unix" if created is not None:
                value["created"] = created.timestamp()
            case "no zone" if created is not None:
                value["created"] = created.replace(tzinfo=None).isoformat()
            case _:
                pass
        return value


def _failure(answer: Refused | Unanswered) -> httpx.Response:
    if isinstance(answer, Refused):
        return _error(answer.status, answer.code, answer.message, answer.param)
    return _error(500, "internal_error", answer.reason)


def _error(status: int, code: str, message: str, param: str | None = None) -> httpx.Response:
    error = {"code": code, "message": message} | ({"param": param} if param else {})
    return httpx.Response(status, content=json.dumps({"error": error}).encode())


def refusal(status: int, code: str = "refused", **headers: str) -> httpx.Response:
    """Return an error answer of the API, with more headers."""
    response = _error(status, code, "no")
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def _nothing(_request: httpx.Request) -> None:
    """Let it pass."""
