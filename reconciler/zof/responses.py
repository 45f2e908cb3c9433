"""Read the API's responses: bytes → values. Until it has been read here, no response is trusted.

Unknown fields and event types are accepted: the vendor adds both without notice. A missing or malformed part
that we depend on is an error.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeGuard

from msgspec import Struct

from reconciler.credentials.foreign import foreign_text
from reconciler.credentials.known import KNOWN
from reconciler.model import Endpoint, OddEntry, Secret
from reconciler.ports import Created, Deleted, Delivered, NotDelivered, Refused
from reconciler.texts import YEARS, as_count, is_text
from reconciler.untrusted_json import TooMuchJson, load_json
from reconciler.urls import LONGEST_URL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.zof.wire import Response


# Safe in a path: no separators, no escapes, no invisible characters, not a dot segment.
_ID = re.compile(r"(?!\.+\Z)[A-Za-z0-9_.:~@=+-]{1,255}")
_LARGEST_ID = 10**100
_CURSOR_LIMIT = 4096
# Unix seconds reach this in the year 5138; a larger number counts milliseconds.
_MILLISECONDS = 1e11
_MASK = re.compile(r"\*{3}|\.{3}|…|•|\A\W*(?:redacted|hidden|masked|secret)\W*\Z", re.IGNORECASE)
_DISABLED = frozenset({"disabled", "inactive", "paused", "suspended"})
_RATE_LIMIT = re.compile(rb"rate[ _-]?limit|too many requests|throttl", re.IGNORECASE)
_WORDS_WITHIN = 5_000
_CLIENT_ERROR, _FORBIDDEN, _TOO_MANY_REQUESTS = 400, 403, 429
_NO_SUCH_OPERATION = frozenset({405, 501})
_REDIRECT = range(300, 400)
_NOT_FOLLOWED = (
    "a redirect, which is not followed because it would take the API key along; check the API's URL"
)


class UnreadableResponse(Exception):
    """The response cannot be understood. The text says why and quotes nothing; it never leaves `zof`."""


class Page(Struct, frozen=True):
    """One page of the listing."""

    endpoints: Sequence[Endpoint | OddEntry]
    next_cursor: str | None
    """None on the last page."""


class Events:
    """Event lists as sorted tuples. Equal lists share one tuple, since a fleet has few different ones."""

    def __init__(self) -> None:
        self._tuples: dict[tuple[str, ...], tuple[str, ...]] = {}

    def read(self, value: Any) -> tuple[str, ...]:
        """Return the events of an endpoint object, sorted and without repetitions."""
        if not isinstance(value, list):
            raise UnreadableResponse("`events` is not a list")
        try:
            known = self._tuples.get(tuple(value))
        except TypeError:  # it contains a list or an object
            raise UnreadableResponse("`events` contains something other than a string") from None
        if known is not None:
            return known
        if not all(is_text(name) for name in value):
            raise UnreadableResponse("`events` contains something other than a string")
        events = tuple(sorted(set(value)))
        events = self._tuples.setdefault(events, events)
        self._tuples[tuple(value)] = events
        return events


def read_page(body: bytes, events: Events) -> Page:
    """Read a page of the listing.

    Raises:
        UnreadableResponse: the body is not a page.
    """
    value = _read_object(body)
    data, has_more, cursor = value.get("data"), value.get("has_more"), value.get("next_cursor")
    if not isinstance(data, list):
        raise UnreadableResponse("`data` is not a list")
    if not isinstance(has_more, bool):
        raise UnreadableResponse("`has_more` is neither true nor false")
    if has_more and (not is_text(cursor) or not 0 < len(cursor) <= _CURSOR_LIMIT):
        raise UnreadableResponse("there are more pages, but `next_cursor` is not usable")
    next_cursor = cursor if has_more else None
    try:
        return Page([read_endpoint(item, events) for item in data], next_cursor)
    except UnreadableResponse:
        return Page([_read_entry(item, events) for item in data], next_cursor)


def _read_entry(value: Any, events: Events) -> Endpoint | OddEntry:
    """Read an entry of a page on which some cannot be read as endpoints."""
    try:
        return read_endpoint(value, events)
    except UnreadableResponse as error:
        entry = value if isinstance(value, dict) else {}
        url = entry.get("url")
        readable = is_text(url) and 0 < len(url) <= LONGEST_URL
        return OddEntry(_read_id(entry.get("id")), url if readable else None, str(error))


def _read_id(value: Any) -> str | None:
    """Read an id: a text that is safe in a path, or an integer, which counts as its decimal text."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID:
        return str(value)
    return value if is_id(value) else None


def read_endpoint(value: Any, events: Events) -> Endpoint:
    """Read an endpoint object.

    Raises:
        UnreadableResponse: `id`, `url` or `events` is missing or misshapen.
    """
    if not isinstance(value, dict):
        raise UnreadableResponse("the entry is not an object")
    endpoint_id, url = value.get("id"), value.get("url")
    if not is_id(endpoint_id):
        endpoint_id = _read_id(endpoint_id)
    if endpoint_id is None:
        raise UnreadableResponse("`id` is missing or cannot be used in a URL")
    if not is_text(url) or not url:
        raise UnreadableResponse("`url` is not a string")
    if len(url) > LONGEST_URL:
        raise UnreadableResponse(f"`url` has more than {LONGEST_URL:,} characters")
    return Endpoint(
        endpoint_id,
        url,
        events.read(value.get("events")),
        read_created_at(value.get("created")) or read_created_at(value.get("created_at")),
        _is_enabled(value),
    )


def _is_enabled(value: dict[str, Any]) -> bool:
    """Whether an endpoint object says that events are delivered; an unknown status counts as yes."""
    status = value.get("status")
    disabled = isinstance(status, str) and status.strip().lower() in _DISABLED
    return not disabled and value.get("enabled") is not False


def is_id(value: Any) -> TypeGuard[str]:
    """Whether `value` can be an endpoint's id: a string that is safe in a URL's path."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def read_created_at(value: Any) -> datetime | None:
    """Read the time of creation, RFC 3339 or Unix time; None if it is absent, ambiguous or something else."""
    try:
        moment = _moment(value)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment is not None and moment.year in YEARS else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        # Without an offset the moment is ambiguous.
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC) if moment.tzinfo else None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return datetime.fromtimestamp(value / 1000 if value >= _MILLISECONDS else value, UTC)
    return None


def read_creation(response: Response, asked: Secret) -> Created:
    """Read the response to a creation. A URL or events that it leaves out are taken from the request.

    The secret is under `secret` or `signing_secret`. If both exist and differ, the latter counts, since
    `secret` may be an echo of the request.

    Raises:
        UnreadableResponse: it contains no endpoint.
    """
    value = _read_object(response.body)
    request = _read_object(asked.reveal().encode(errors="replace"))
    for name in ("url", "events"):
        if value.get(name) is None:
            value[name] = request.get(name)
    secrets = [read_secret(value.get(name)) for name in ("signing_secret", "secret")]
    secret = next((secret for secret in secrets if secret is not None), None)
    KNOWN.add(*secrets)
    return Created(read_endpoint(value, Events()), secret, request_id=response.request_id)


def read_secret(value: Any) -> Secret | None:
    """Return a signing secret; None if it is absent, empty or masked, which must never be stored.

    Whitespace around it is kept, a line break included: the API signs with all that it returned.
    """
    if not is_text(value) or not (core := value.strip()) or not core.isprintable() or _MASK.search(value):
        return None
    return Secret(value)


def read_test(response: Response) -> Delivered | NotDelivered:
    """Read the response to a test. Its shape is undocumented: only an explicit failure counts as one.

    Raises:
        UnreadableResponse: it is neither empty nor JSON, or it is an error object.
    """
    value = _read_anything(response.body)
    status = as_count(value.get("status_code"))
    failed_status = status is not None and status >= _CLIENT_ERROR
    if value.get("delivered") is not False and value.get("success") is not False and not failed_status:
        _refuse_error(value)
        return Delivered(response.request_id)
    words = [f"the receiver answered {status}"] if failed_status else []
    words += [_words(value.get(name)) for name in ("error", "message", "reason")]
    reason = "; ".join(dict.fromkeys(filter(None, words))) or "the API says that it was not delivered"
    return NotDelivered(reason, response.request_id, status)


def read_deletion(response: Response) -> Deleted:
    """Read the response to a deletion. Its shape is undocumented, but a web page is refused.

    Raises:
        UnreadableResponse: it is neither empty nor JSON, or it says that nothing was deleted.
    """
    value = _read_anything(response.body)
    _refuse_error(value)
    if value.get("deleted") is False:
        raise UnreadableResponse("it says that nothing was deleted")
    return Deleted(response.request_id)


def check_refusal(response: Response, method: str) -> None:
    """Make sure that a refusal comes from the API itself: a proxy may answer 404, too.

    That deletions are not supported may come from any server: only a person acts on that.

    Raises:
        UnreadableResponse: it contains no error object.
    """
    if method == "DELETE" and response.status in _NO_SUCH_OPERATION:
        return
    try:
        error = _read_object(response.body).get("error")
    except UnreadableResponse:
        if response.status in _REDIRECT:
            raise UnreadableResponse(_NOT_FOLLOWED) from None
        raise
    if not _is_error(error):
        raise UnreadableResponse(
            _NOT_FOLLOWED if response.status in _REDIRECT else "it contains no error object"
        )


def read_refusal(response: Response) -> Refused:
    """Read a response that is not a success. It may be anything, also the web page of a proxy."""
    status, request_id = response.status, response.request_id
    if status in _REDIRECT:
        return Refused(status, "redirect", _NOT_FOLLOWED, request_id=request_id)
    try:
        value = _read_object(response.body).get("error")
    except UnreadableResponse:
        return Refused(status, "unknown", "the response contains no error object", request_id=request_id)
    error = value if isinstance(value, dict) else {"message": value}
    return Refused(
        status,
        foreign_text(error.get("code"), limit=64) or "unknown",
        foreign_text(error.get("message")) or "without a message",
        foreign_text(error.get("param"), limit=64) or None,
        request_id,
    )


def is_rate_limit(response: Response) -> bool:
    """Whether the API asks to wait: a 429, or a 403 with words that say so ("secondary rate limit")."""
    if response.status == _FORBIDDEN:
        return _RATE_LIMIT.search(response.body, 0, _WORDS_WITHIN) is not None
    return response.status == _TOO_MANY_REQUESTS


def secrets_in(body: Secret) -> list[Secret]:
    """Return the secrets in a request body: the signing secret that it proposes."""
    try:
        value = _read_object(body.reveal().encode(errors="replace")).get("secret")
    except UnreadableResponse:
        return [body]
    return [Secret(value)] if isinstance(value, str) else []


def _words(value: Any) -> str:
    return foreign_text(value.get("message") if isinstance(value, dict) else value)


def _is_error(value: Any) -> bool:
    """Whether `value` looks like the API's `error` object."""
    return isinstance(value, dict) and any(isinstance(value.get(key), str) for key in ("code", "message"))


def _refuse_error(value: dict[str, Any]) -> None:
    if _is_error(value.get("error")):
        raise UnreadableResponse("it is an error object with a success status")


def _read_anything(body: bytes) -> dict[str, Any]:
    """Read a response of undocumented shape; return {} unless it is a JSON object."""
    value = _read_json(body) if body.strip() else None
    return value if isinstance(value, dict) else {}


def _read_object(body: bytes) -> dict[str, Any]:
    value = _read_json(body)
    if not isinstance(value, dict):
        raise UnreadableResponse("it is not a JSON object")
    return value


def _read_json(body: bytes) -> Any:
    try:
        return load_json(body)
    except TooMuchJson:
        raise UnreadableResponse("it has too many values") from None
    except ValueError:
        # The cause quotes the response, which may contain a signing secret.
        start = body[:256].lstrip().lower()
        is_page = start.startswith((b"<!doctype", b"<html"))
        raise UnreadableResponse(
            "it is a web page, not the API's JSON" if is_page else "it is not JSON"
        ) from None
