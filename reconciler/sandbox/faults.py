"""Faults of the embedded Zof API on demand: what goes wrong, for which requests, and how often."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs

from msgspec import Meta, field
from msgspec.structs import force_setattr, replace
from starlette.responses import JSONResponse, Response

from reconciler.sandbox.behavior import Count, HeaderText, JsonSettings, PositiveCount, Seconds
from reconciler.sandbox.zof_requests import Problem

if TYPE_CHECKING:
    from collections.abc import Callable


class FaultKind(StrEnum):
    """What goes wrong."""

    CLOSE = "close"
    """The connection is closed without an answer."""
    STATUS = "status"
    """An error answer, for example 500, 503, 429, 401 or 403."""
    HANG = "hang"
    """The server waits, then carries the request out (even if the client has disconnected), and answers."""
    MALFORMED = "malformed"
    """A 200 with the content type of JSON and a body that is not JSON."""
    HTML = "html"
    """A 200 with a web page, as a proxy or a sign-in page sends it."""
    REDIRECT = "redirect"
    """A 302 to another host."""
    TRUNCATED = "truncated"
    """The correct answer, cut off in the middle of its body."""
    DATA_NOT_LIST = "data_not_list"
    """A listing whose `data` is an object."""
    NO_CURSOR = "no_cursor"
    """A listing with `has_more` but without a cursor."""
    REPEATED_CURSOR = "repeated_cursor"
    """A listing whose next cursor is the one in the request (skip the first page, which has none)."""
    REPEATED_ID = "repeated_id"
    """A listing that contains its first endpoint twice."""


_NEED_THE_ANSWER = frozenset(
    {
        FaultKind.TRUNCATED,
        FaultKind.DATA_NOT_LIST,
        FaultKind.NO_CURSOR,
        FaultKind.REPEATED_CURSOR,
        FaultKind.REPEATED_ID,
    }
)


class Fault(JsonSettings, frozen=True):
    """One thing that goes wrong, before or after the request was carried out."""

    kind: FaultKind
    after_commit: bool = False
    """Whether the request is carried out first. Always true for faults that alter the correct answer."""
    status: Annotated[int, Meta(ge=400, le=599)] = 500
    """The status of `FaultKind.STATUS`."""
    body: str | None = None
    """The exact body of `FaultKind.STATUS`; None for the API's usual error object."""
    seconds: Seconds = 0.0
    """The duration of `FaultKind.HANG`."""
    headers: Mapping[HeaderText, HeaderText] = field(default_factory=dict)
    """Additional headers, for example `Retry-After`."""

    def __post_init__(self) -> None:
        force_setattr(self, "after_commit", self.after_commit or self.kind in _NEED_THE_ANSWER)


class FaultRule(Fault, frozen=True, kw_only=True):
    """A fault and the requests that get it: `times` of those that match, after the first `skip` of them."""

    method: str = "*"
    """The HTTP method, or `*` for any."""
    path: str = "*"
    """The path as a shell pattern, for example `/v1/webhooks/*/test`."""
    times: PositiveCount | None = 1
    """None: every time."""
    skip: Count = 0

    def matches(self, method: str, path: str) -> bool:
        """Whether this rule applies to a request."""
        return self.method in {"*", method} and fnmatchcase(path, self.path)


class Faults:
    """The active rules, in the order in which they were added. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> None:
        """Add `rule` at the end."""
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        """Remove every rule."""
        with self._lock:
            self._rules.clear()

    def rules(self) -> tuple[FaultRule, ...]:
        """Return the rules that are not used up, with what remains of `times` and `skip`."""
        with self._lock:
            return tuple(self._rules)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault for this request, if there is one, and count it."""
        with self._lock:
            for number, rule in enumerate(self._rules):
                if not rule.matches(method, path):
                    continue
                if rule.skip:
                    self._rules[number] = replace(rule, skip=rule.skip - 1)
                    continue
                if rule.times == 1:
                    del self._rules[number]
                elif rule.times is not None:
                    self._rules[number] = replace(rule, times=rule.times - 1)
                return rule
        return None


# --- wrong answers ------------------------------------------------------------------------------------

_STATUS_PROBLEMS = {
    400: ("invalid_request", "The request is invalid."),
    401: ("unauthorized", "The API key is missing, expired or invalid."),
    403: ("forbidden", "The API key lacks a permission."),
    404: ("not_found", "The endpoint does not exist in this organization."),
    409: ("conflict", "The request conflicts with the current state."),
    429: ("rate_limit_exceeded", "Too many requests."),
    503: ("unavailable", "The service is unavailable."),
}


def wrong_answer(fault: Fault, query: bytes, correct: Response | None) -> Response:
    """Return the answer that `fault` produces.

    Args:
        fault: any kind but `close`, `hang` and `truncated`, which do not produce an answer of their own.
        query: the request's query string.
        correct: the API's answer; required for faults that alter it.
    """
    match fault.kind:
        case FaultKind.MALFORMED:
            return Response(b'{"data": [{"id": ', media_type="application/json")
        case FaultKind.HTML:
            return Response(b"<!doctype html><title>Sign in</title>", media_type="text/html")
        case FaultKind.REDIRECT:
            return Response(status_code=302, headers={"location": "https://elsewhere.example.com/"})
        case FaultKind.STATUS if fault.body is not None:
            return Response(fault.body, fault.status, media_type="application/json")
        case FaultKind.STATUS:
            code, message = _STATUS_PROBLEMS.get(fault.status, ("internal_error", "Something went wrong."))
            return Problem(fault.status, code, message).response()
        case shape:
            assert correct is not None  # noqa: S101 (`after_commit` is true for these kinds)
            return _alter_listing(shape, query, correct)


def _alter_listing(shape: FaultKind, query: bytes, answer: Response) -> Response:
    """Return a listing of the wrong shape; other answers are returned unchanged."""
    value = json.loads(bytes(answer.body) or b"null")
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return answer
    cursor = parse_qs(query.decode("latin-1")).get("starting_after", [None])[0]
    changes: dict[FaultKind, Callable[[], dict[str, Any]]] = {
        FaultKind.DATA_NOT_LIST: lambda: {"data": {"items": value["data"]}},
        FaultKind.NO_CURSOR: lambda: {"has_more": True, "next_cursor": None},
        FaultKind.REPEATED_CURSOR: lambda: {"has_more": True, "next_cursor": cursor},
        FaultKind.REPEATED_ID: lambda: {"data": value["data"] + value["data"][:1]},
    }
    return JSONResponse(value | changes[shape](), answer.status_code)
