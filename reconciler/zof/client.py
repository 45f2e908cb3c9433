"""The Zof Webhooks API, as the port `EndpointApi`."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Self

from msgspec import Struct
from msgspec.structs import replace

from reconciler.credentials.known import KNOWN
from reconciler.errors import ApiError, InvalidInput
from reconciler.headers import read_date
from reconciler.http_client import READ_TIMEOUT
from reconciler.ports import Deleted, Delivered, NotDelivered, Refused, Unanswered
from reconciler.retry import LONGEST_LISTING
from reconciler.zof.caller import Caller, CallFailure, moment
from reconciler.zof.pacing import Gate, Pacer, read_signals
from reconciler.zof.responses import (
    Events,
    Page,
    is_id,
    read_creation,
    read_deletion,
    read_page,
    read_refusal,
    read_test,
    secrets_in,
)
from reconciler.zof.wire import NoResponse, Request, Response, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType

    import httpx

    from reconciler.model import Endpoint, OddEntry, Secret
    from reconciler.ports import Clock, CreateAnswer, DeleteAnswer, Exchange, Reporter, TestAnswer
    from reconciler.zof.caller import Success

PAGE_SIZE = 100
"""The API's largest page size."""
MAX_PAGES = 5_000
MAX_ENDPOINTS = 200_000
MAX_LISTING = 96 * 1024 * 1024
"""Bytes. A longer listing is taken for endless."""

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE = 401, 403, 404, 410
_REDIRECT = range(300, 400)
_SERVER_ERROR = 500
_KEY_LIMIT = 255


class Probe(Struct, frozen=True):
    """What `doctor` learns about the key and the server from one small request."""

    endpoints_visible: bool
    """Whether the organization has any endpoint."""
    request_id: str | None
    server_date: datetime | None
    """The server's time (aware), if it sends it."""
    rate_limit: int | None
    """Requests that a window allows, if the server sends it."""


class ZofApi:
    """The Zof Webhooks API of one organization, over HTTPS. Thread-safe; close it, or use it with `with`."""

    def __init__(
        self,
        base_url: str,
        key: Secret,
        *,
        clock: Clock,
        reporter: Reporter,
        requests_per_minute: int | None = None,
        jitter: Callable[[], float] = random.random,
        transport: httpx.BaseTransport | None = None,
        read_timeout: float = READ_TIMEOUT,
        observe: Callable[[Exchange], object] | None = None,
    ) -> None:
        """Open the connection pool; nothing is sent yet.

        Args:
            base_url: for example `https://api.zof.ai/v1`; plain http is accepted on loopback only.
            key: the API key.
            clock: for pauses and deadlines.
            reporter: gets long waits, and a warning when this API version is going to be removed.
            requests_per_minute: an even pace; None: as fast as the API's headers allow.
            jitter: returns random numbers from 0 to 1.
            transport: what carries the requests; None: the network.
            read_timeout: seconds that the server may be silent.
            observe: gets the shape of each response, without its values.

        Raises:
            InvalidInput: the key must not be sent to the URL, or the key or the pace is invalid.
        """
        if requests_per_minute is not None and requests_per_minute < 1:
            raise InvalidInput("`requestsPerMinute` must be 1 or more")
        self._clock = clock
        self._reporter = reporter
        self._wire = Wire(base_url, key, clock=clock, read_timeout=read_timeout, transport=transport)
        if self._wire.warning:
            reporter.warn(self._wire.warning)
        self._pacer = Pacer(requests_per_minute)
        self._caller = Caller(
            self._wire,
            Gate(self._pacer, clock, reporter),
            clock=clock,
            reporter=reporter,
            jitter=jitter,
            observe=None if observe is None else _describing(observe),
        )

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._wire.close()

    def now(self) -> datetime:
        """Return the API's time (aware): ours, corrected by the last `Date` that it sent."""
        return self._caller.api_clock.now()

    @property
    def announced_quota(self) -> int | None:
        """How many requests a minute the API allows, by its last answer; None if it has not said."""
        return self._pacer.limit

    @property
    def requests_sent(self) -> int:
        """How many requests were sent so far, retries included."""
        return self._wire.requests_sent

    def list_pages(self) -> Iterator[Sequence[Endpoint | OddEntry]]:
        """Yield the pages of the listing, one after another, to its end.

        An entry that cannot be read as an endpoint comes as an `OddEntry`.

        Raises:
            ApiError: a page failed, a cursor or an id came twice, or a response cannot be read.
        """
        events = Events()
        ids: set[str] = set()
        cursors: set[str] = set()
        cursor: str | None = None
        entries = size = 0
        deadline = self._clock.monotonic() + LONGEST_LISTING
        for number in range(1, MAX_PAGES + 1):
            result = self._page(cursor, events)
            page, request_id = result.value, result.response.request_id
            entries, size = entries + len(page.endpoints), size + len(result.response.body)
            if entries > MAX_ENDPOINTS:
                raise _incomplete(f"it has more than {MAX_ENDPOINTS:,} endpoints", request_id)
            if size > MAX_LISTING:
                raise _incomplete(f"it has more than {MAX_LISTING >> 20} MB", request_id)
            if self._clock.monotonic() > deadline:
                raise _incomplete("it takes more than an hour", request_id)
            found = [entry.id for entry in page.endpoints if entry.id is not None]
            before = len(ids)
            ids.update(found)
            if len(ids) != before + len(found):
                raise _incomplete("an endpoint is listed twice", request_id)
            self._reporter.listed(len(ids), number)
            yield page.endpoints
            cursor = page.next_cursor
            if cursor is None:
                return
            if cursor in cursors:
                raise _incomplete("a cursor was repeated", request_id)
            cursors.add(cursor)
        raise _incomplete(f"it has more than {MAX_PAGES} pages", None)

    def create(self, idempotency_key: str, body: Secret) -> CreateAnswer:
        """POST exactly `body` (JSON) under `idempotency_key`; retried with the same key only.

        A refusal after an attempt of unknown outcome is `Unanswered` with `stored_error`: an endpoint may
        exist, and the refusal (such as a URL conflict) may be about that endpoint.
        """
        if not _is_header_text(idempotency_key):
            return Refused(400, "invalid_key", "the key is not a valid header; nothing was sent")
        KNOWN.add(*secrets_in(body))
        request = Request("POST", "/webhooks", body=body, idempotency_key=idempotency_key)
        result = self._caller.call(
            request, lambda response: read_creation(response, body), retry_unreadable=True
        )
        if not isinstance(result, CallFailure):
            return replace(result.value, windows=result.windows)
        settled = self._settle(result)
        if isinstance(settled, Refused) and result.windows and not _is_about_key(settled):
            reason = f"refused after an attempt of unknown outcome: {replace(settled, request_id=None)}"
            settled = Unanswered(reason, stored_error=True, request_id=settled.request_id)
        return replace(settled, windows=result.windows)

    def test(self, endpoint_id: str) -> TestAnswer:
        """Ask for a signed test delivery. A 404 of the API's own comes back as `Refused`."""
        if not is_id(endpoint_id):
            return _unsendable_id()
        result: Success[Delivered | NotDelivered] | CallFailure = self._caller.call(
            Request("POST", f"/webhooks/{endpoint_id}/test"),
            read_test,
            retry_unreadable=True,
        )
        return self._settle(result) if isinstance(result, CallFailure) else result.value

    def delete(self, endpoint_id: str) -> DeleteAnswer:
        """Delete the endpoint; a 404 or 410 of the API's own is success.

        A 405 or 501 (no such operation) is `Refused`; a proxy's page, whatever its status, is `Unanswered`.
        """
        if not is_id(endpoint_id):
            return _unsendable_id()
        request = Request("DELETE", f"/webhooks/{endpoint_id}")
        result = self._caller.call(request, read_deletion, retry_unreadable=True)
        if not isinstance(result, CallFailure):
            return result.value
        if isinstance(result.last, Response) and result.status in {_NOT_FOUND, _GONE}:
            return Deleted(result.last.request_id)
        return self._settle(result)

    def probe(self) -> Probe:
        """Make the smallest request that needs the key and its permission.

        Raises:
            ApiError: the request failed; the message says what to check.
        """
        result = self._caller.call(
            Request("GET", "/webhooks", query={"limit": "1"}),
            lambda response: read_page(response.body, Events()),
        )
        if isinstance(result, CallFailure):
            raise self._explain(result)
        date = read_date(result.response.headers.get("date"))
        signals = read_signals(result.response.headers, 0.0)
        return Probe(bool(result.value.endpoints), result.response.request_id, date, signals.limit)

    def _page(self, cursor: str | None, events: Events) -> Success[Page]:
        query = {"limit": str(PAGE_SIZE)} | ({} if cursor is None else {"starting_after": cursor})
        result = self._caller.call(
            Request("GET", "/webhooks", query=query), lambda response: read_page(response.body, events)
        )
        if isinstance(result, CallFailure):
            raise self._explain(result)
        return result

    def _settle(self, failure: CallFailure) -> Refused | Unanswered:
        """Return the result of a request that failed."""
        last = failure.last
        if not isinstance(last, Response):
            return Unanswered(last.reason, request_id=last.request_id)
        refused = read_refusal(last)
        if failure.is_lasting:
            return refused
        reason = f"HTTP {last.status} {refused.code}: {refused.message}"
        if failure.wait_until is not None:
            reason += f"; the API asks to wait until {moment(failure.wait_until)}"
        return Unanswered(reason, stored_error=last.status >= _SERVER_ERROR, request_id=last.request_id)

    def _explain(self, failure: CallFailure) -> ApiError:
        """Return the error for a listing that failed, with a hint of what to check."""
        settled, status = self._settle(failure), failure.last.status
        if failure.is_rate_limit:
            message, hint = "the rate limit of the Zof API is used up", _wait_hint(failure.wait_until)
        elif status in _REDIRECT:
            message, hint = _REDIRECTED
        elif status == _NOT_FOUND:
            message, hint = _NO_API
        elif isinstance(settled, Unanswered):
            message, hint = _NO_ANSWER
        else:
            message, hint = _REASONS.get(settled.status, _OTHER_REASON)
        hint = (isinstance(failure.last, NoResponse) and failure.last.hint) or hint
        return ApiError(f"{message}: {settled}", hint=hint, status=failure.status)


def _describing(observe: Callable[[Exchange], object]) -> Callable[[Request, Response], object]:
    from reconciler.zof.exchange import describe_exchange  # noqa: PLC0415 (only a probe observes)

    return lambda request, response: observe(describe_exchange(request.method, response))


_REASONS = {
    _UNAUTHORIZED: (
        "the Zof API does not accept the API key: it is missing, invalid or expired",
        "check ZOF_API_KEY (or the variable that `keyEnv` names) and the key in Admin Center > Developer",
    ),
    _FORBIDDEN: (
        "the API key lacks the permission `webhooks:manage`",
        "grant it in Admin Center > Developer, or use another key in ZOF_API_KEY (or what `keyEnv` names)",
    ),
}
_NO_API = ("there is no webhooks API at this URL", "check ZOF_API_URL, for example https://api.zof.ai/v1")
_NO_ANSWER = (
    "the Zof API sent no usable response",
    "check ZOF_API_URL, the network and the API's status, then try again",
)
_REDIRECTED = ("the Zof API's URL redirects to another", "set ZOF_API_URL to the API's own URL")
_OTHER_REASON = ("the Zof API refused to list the endpoints", "the API's message above says why")


def _wait_hint(until: datetime | None) -> str:
    when = "in a few minutes" if until is None else f"after {moment(until)}"
    return f"run again {when}; every program that uses this API key takes part of its quota"


def _incomplete(why: str, request_id: str | None) -> ApiError:
    request = f" [request {request_id}]" if request_id else ""
    return ApiError(
        f"the API's listing is incomplete: {why}{request}",
        hint="nothing was changed; run again, and send the request id to the API's support if it fails",
    )


def _unsendable_id() -> Refused:
    return Refused(400, "invalid_id", "the endpoint's id cannot be used in a URL; nothing was sent")


def _is_header_text(text: str) -> bool:
    return 0 < len(text) <= _KEY_LIMIT and text.isascii() and text.isprintable() and " " not in text


def _is_about_key(refused: Refused) -> bool:
    return refused.status in {_UNAUTHORIZED, _FORBIDDEN} and not refused.is_cap
