"""What the API's answers mean: bytes → values. Every answer is hostile until it has been read here.

Unknown fields and unknown event types are no errors (the vendor adds both without notice); a missing or
misshapen part that we act on is.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeGuard

from msgspec import Struct

from reconciler.model import Endpoint, Secret
from reconciler.ports import Created, Deleted, Delivered, NotDelivered, Refused
from reconciler.texts import YEARS, is_text
from reconciler.zof.wire import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.zof.wire import Response


# Stands in a path as it is: no separators, no escapes, nothing invisible, and no dot segment.
_ID = re.compile(r"(?!\.+\Z)[A-Za-z0-9_.:~@=+-]{1,255}")
_CURSOR_LIMIT = 4096
# Unix seconds reach this in the year 5138; a larger number counts milliseconds.
_MILLISECONDS = 1e11
_MASK = re.compile(r"\*{3}|\.{3}|…|•|\A\W*(?:redacted|hidden|masked|secret)\W*\Z", re.IGNORECASE)
_CLIENT_ERROR = 400
_NO_SUCH_OPERATION = frozenset({405, 501})
_REDIRECT = range(300, 400)
_NOT_FOLLOWED = "a redirect, which is not followed since the key would go along; check the API's URL"


class UnreadableResponse(Exception):
    """An answer that cannot be understood. Its text says why and quotes nothing; it never leaves `zof`."""


class Page(Struct, frozen=True):
    """One page of the listing."""

    endpoints: list[Endpoint]
    next_cursor: str | None
    """None: it was the last page."""


class Events:
    """Event lists as sorted tuples, each kept once: fleets have few different ones."""

    def __init__(self) -> None:
        self._tuples: dict[tuple[str, ...], tuple[str, ...]] = {}

    def read(self, value: Any) -> tuple[str, ...]:
        """Return the events of an endpoint object, sorted and without repetitions."""
        if not isinstance(value, list):
            raise UnreadableResponse("an endpoint's `events` are no list")
        try:
            known = self._tuples.get(tuple(value))
        except TypeError:  # a list or an object among them
            raise UnreadableResponse("an endpoint's `events` hold something else than texts") from None
        if known is not None:
            return known
        if not all(is_text(name) for name in value):
            raise UnreadableResponse("an endpoint's `events` hold something else than texts")
        events = tuple(sorted(set(value)))
        events = self._tuples.setdefault(events, events)
        self._tuples[tuple(value)] = events
        return events


def read_page(body: bytes, events: Events) -> Page:
    """Read a page of the listing.

    Raises:
        UnreadableResponse: it is none.
    """
    value = _read_object(body)
    data, has_more, cursor = value.get("data"), value.get("has_more"), value.get("next_cursor")
    if not isinstance(data, list):
        raise UnreadableResponse("`data` is no list")
    if not isinstance(has_more, bool):
        raise UnreadableResponse("`has_more` is neither true nor false")
    if has_more and (not is_text(cursor) or not 0 < len(cursor) <= _CURSOR_LIMIT):
        raise UnreadableResponse("there are more pages, and `next_cursor` does not say where")
    return Page([read_endpoint(item, events) for item in data], cursor if has_more else None)


def read_endpoint(value: Any, events: Events) -> Endpoint:
    """Read an endpoint object.

    Raises:
        UnreadableResponse: `id`, `url` or `events` is missing or misshapen.
    """
    if not isinstance(value, dict):
        raise UnreadableResponse("an endpoint is no object")
    endpoint_id, url = value.get("id"), value.get("url")
    if not is_id(endpoint_id):
        raise UnreadableResponse("an endpoint's `id` is missing or cannot stand in a URL")
    if not is_text(url) or not url:
        raise UnreadableResponse("an endpoint's `url` is no text")
    return Endpoint(endpoint_id, url, events.read(value.get("events")), read_created_at(value.get("created")))


def is_id(value: Any) -> TypeGuard[str]:
    """Whether `value` can be an endpoint's id: a text that stands in a URL's path as it is."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def read_created_at(value: Any) -> datetime | None:
    """Read `created`, RFC 3339 or Unix time; None where it is absent or something else."""
    try:
        moment = _moment(value)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment is not None and moment.year in YEARS else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        # Without an offset nobody knows which hour is meant.
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC) if moment.tzinfo else None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return datetime.fromtimestamp(value / 1000 if value >= _MILLISECONDS else value, UTC)
    return None


def read_creation(answer: Response, asked: Secret) -> Created:
    """Read the answer to a creation. URL and events that it leaves out are those that `asked` names.

    The secret may stand under `secret` or `signing_secret`. Where both are there and differ, the latter
    counts: its name says what it is for, while `secret` may be an echo of the request.

    Raises:
        UnreadableResponse: it names no endpoint.
    """
    value = _read_object(answer.body)
    request = _read_object(asked.reveal().encode(errors="replace"))
    for name in ("url", "events"):
        if value.get(name) is None:
            value[name] = request.get(name)
    secrets = [read_secret(value.get(name)) for name in ("signing_secret", "secret")]
    secret = next((secret for secret in secrets if secret is not None), None)
    return Created(read_endpoint(value, Events()), secret, request_id=answer.request_id)


def read_secret(value: Any) -> Secret | None:
    """Return a signing secret, or None where it is absent, empty or masked: those are never stored."""
    if not is_text(value) or not value.strip() or not value.isprintable() or _MASK.search(value):
        return None
    return Secret(value)


def read_test(answer: Response, secrets: Sequence[Secret]) -> Delivered | NotDelivered:
    """Read the answer to a test. What it looks like is undocumented: only a clear "no" is a failure.

    Raises:
        UnreadableResponse: it is neither empty nor JSON, or an error object.
    """
    value = _read_anything(answer.body)
    status = value.get("status_code")
    failed_status = isinstance(status, int) and status >= _CLIENT_ERROR
    if value.get("delivered") is not False and value.get("success") is not False and not failed_status:
        _refuse_error(value)
        return Delivered(answer.request_id)
    words = [f"the receiver answered {status}"] if failed_status else []
    words += [_words(value.get(name), secrets) for name in ("error", "message", "reason")]
    reason = "; ".join(filter(None, words)) or "the API says that it was not delivered"
    return NotDelivered(reason, answer.request_id)


def read_deletion(answer: Response) -> Deleted:
    """Read the answer to a deletion. What it looks like is undocumented, but it is no web page.

    Raises:
        UnreadableResponse: it is neither empty nor JSON, or says itself that nothing was deleted.
    """
    value = _read_anything(answer.body)
    _refuse_error(value)
    if value.get("deleted") is False:
        raise UnreadableResponse("it says that nothing was deleted")
    return Deleted(answer.request_id)


def check_refusal(answer: Response, method: str) -> None:
    """Make sure that an answer that is no success is the API's own: a proxy in between says "404", too.

    That there is no deletion may be said by whatever serves the API: nobody acts on it but a person.

    Raises:
        UnreadableResponse: it holds no error object.
    """
    if method == "DELETE" and answer.status in _NO_SUCH_OPERATION:
        return
    try:
        error = _read_object(answer.body).get("error")
    except UnreadableResponse:
        if answer.status in _REDIRECT:
            raise UnreadableResponse(_NOT_FOLLOWED) from None
        raise
    if not _is_error(error):
        raise UnreadableResponse(_NOT_FOLLOWED if answer.status in _REDIRECT else "it holds no error object")


def read_refusal(answer: Response, secrets: Sequence[Secret]) -> Refused:
    """Read an answer that is no success. It may be anything: a proxy's web page is one, too."""
    status, request_id = answer.status, answer.request_id
    if status in _REDIRECT:
        return Refused(status, "redirect", _NOT_FOLLOWED, request_id=request_id)
    try:
        value = _read_object(answer.body).get("error")
    except UnreadableResponse:
        return Refused(status, "unknown", "the answer holds no error object", request_id=request_id)
    error = value if isinstance(value, dict) else {"message": value}
    return Refused(
        status,
        clean(error.get("code"), secrets, limit=64) or "unknown",
        clean(error.get("message"), secrets) or "without a message",
        clean(error.get("param"), secrets, limit=64) or None,
        request_id,
    )


def secrets_in(body: Secret) -> list[Secret]:
    """Return what must not be shown of a request body: the signing secret that it proposes."""
    try:
        value = _read_object(body.reveal().encode(errors="replace")).get("secret")
    except UnreadableResponse:
        return [body]
    return [Secret(value)] if isinstance(value, str) else []


def _words(value: Any, secrets: Sequence[Secret]) -> str:
    return clean(value.get("message") if isinstance(value, dict) else value, secrets)


def _is_error(value: Any) -> bool:
    """Whether `value` is what the API says under `error`."""
    return isinstance(value, dict) and any(isinstance(value.get(key), str) for key in ("code", "message"))


def _refuse_error(value: dict[str, Any]) -> None:
    if _is_error(value.get("error")):
        raise UnreadableResponse("it is an error object with the status of a success")


def _read_anything(body: bytes) -> dict[str, Any]:
    """Read an answer of undocumented shape: an object's fields; none where it is empty or another JSON."""
    value = _read_json(body) if body.strip() else None
    return value if isinstance(value, dict) else {}


def _read_object(body: bytes) -> dict[str, Any]:
    value = _read_json(body)
    if not isinstance(value, dict):
        raise UnreadableResponse("it is no JSON object")
    return value


def _read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        # The cause quotes the answer, which may hold a signing secret.
        start = body[:256].lstrip().lower()
        is_page = start.startswith((b"<!doctype", b"<html"))
        raise UnreadableResponse(
            "it is a web page, not the API's JSON" if is_page else "it is no JSON"
        ) from None
