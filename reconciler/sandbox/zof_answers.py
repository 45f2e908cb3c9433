"""Answers of the embedded Zof API in memory, and the wrong ones that faults make of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

from msgspec import Struct, field
from starlette.responses import JSONResponse

from reconciler.sandbox.faults import Fault, FaultKind
from reconciler.sandbox.zof_requests import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Send


class Answer(Struct):
    """A whole answer in memory: none is large."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    @classmethod
    def of_json(cls, status: int, value: Any, headers: Mapping[str, str] | None = None) -> Self:
        """Make an answer whose body is `value` as JSON."""
        response = JSONResponse(value, status, headers)
        return cls(status, list(response.raw_headers), bytes(response.body))

    @classmethod
    def of_problem(cls, problem: Problem) -> Self:
        """Make the error answer that the API gives."""
        return cls.of_json(problem.status, problem.body(), problem.headers)

    @classmethod
    def page(cls, content: bytes, content_type: bytes) -> Self:
        """Make a 200 with anything in it."""
        return cls(200, [(b"content-type", content_type)], content)

    async def send(self, send: Send, *, cut: bool = False) -> None:
        """Send it; `cut`: only half of the body, and no end."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        body = self.body[: len(self.body) // 2] if cut else self.body
        await send({"type": "http.response.body", "body": body, "more_body": cut})


_STATUS_PROBLEMS = {
    400: ("invalid_request", "The request is invalid."),
    401: ("unauthorized", "The API key is missing, expired or invalid."),
    403: ("forbidden", "The API key lacks a permission."),
    404: ("not_found", "There is no such endpoint in this organization."),
    409: ("conflict", "The state forbids it."),
    429: ("rate_limit_exceeded", "Too many requests."),
    503: ("unavailable", "The service is unavailable."),
}


def spoiled(query: bytes, fault: Fault, true_answer: Answer | None) -> Answer:
    """Return the answer that `fault` makes.

    Args:
        query: the request's query string.
        fault: what goes wrong; not `close`, `hang` or `truncated`, which are no answers.
        true_answer: the answer that the API gave; needed for the faults of a listing's shape.
    """
    match fault.kind:
        case FaultKind.MALFORMED:
            return Answer.page(b'{"data": [{"id": ', b"application/json")
        case FaultKind.HTML:
            return Answer.page(b"<!doctype html><title>Sign in</title>", b"text/html; charset=utf-8")
        case FaultKind.REDIRECT:
            return Answer(302, [(b"location", b"https://elsewhere.example.com/")])
        case FaultKind.STATUS if fault.body is not None:
            return Answer(fault.status, [(b"content-type", b"application/json")], fault.body.encode())
        case FaultKind.STATUS:
            code, message = _STATUS_PROBLEMS.get(fault.status, ("internal_error", "Something went wrong."))
            return Answer.of_problem(Problem(fault.status, code, message))
        case shape:
            assert true_answer is not None  # noqa: S101 (these come after the commit always)
            return _misshapen(query, shape, true_answer)


def _misshapen(query: bytes, shape: FaultKind, answer: Answer) -> Answer:
    """Return a listing with its shape spoiled; another answer stays as it is."""
    value = json.loads(answer.body) if answer.body else None
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return answer
    asked_for = parse_qs(query.decode("latin-1")).get("starting_after", [None])[0]
    spoil: dict[FaultKind, Callable[[], dict[str, Any]]] = {
        FaultKind.DATA_NOT_LIST: lambda: {"data": {"items": value["data"]}},
        FaultKind.NO_CURSOR: lambda: {"has_more": True, "next_cursor": None},
        FaultKind.REPEATED_CURSOR: lambda: {"has_more": True, "next_cursor": asked_for},
        FaultKind.REPEATED_ID: lambda: {"data": value["data"] + value["data"][:1]},
    }
    return Answer.of_json(answer.status, value | spoil[shape]())
