"""What Vault's answers mean: an object of the expected shape, or one of our errors. Pure."""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.texts import YEARS
from reconciler.vault.failures import failure, unexpected_shape

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import requests

    from reconciler.vault.failures import Purpose

    Parse = Callable[[bytes | bytearray], dict[str, Any] | None]

_MAX_WORDS = 200
_CHUNK = 65_536
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class Answer(Struct, frozen=True):
    """A usable answer."""

    data: dict[str, Any]
    """The JSON object's `data`; empty where there is none."""
    auth: dict[str, Any]
    """The JSON object's `auth`, of a login; empty where there is none."""
    found: bool = True
    """False where Vault said 404 and still told something: a deleted version."""
    at: datetime | None = None
    """Vault's own time, from the `Date` header."""


def read_body(response: requests.Response) -> bytearray:
    """Read the body to its end."""
    data = bytearray()
    for chunk in response.iter_content(_CHUNK):
        # Not as a list of pieces: their memory would be kept between others.
        data += chunk
    return data


def json_object(data: bytes | bytearray) -> dict[str, Any] | None:
    """Return the JSON object that a body is, in UTF-8 alone, or None."""
    try:
        body = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def interpret(
    response: requests.Response, content: bytes | bytearray, purpose: Purpose, parse: Parse = json_object
) -> Answer:
    """Return what `response` says.

    Args:
        response: status and headers count.
        content: its body, as `read_body` gives it.
        purpose: what it answers.
        parse: reads the JSON object of the body.

    Raises:
        StoreError: it is a refusal, or nothing that Vault would say.
    """
    status = response.status_code
    body = parse(content)
    if status == HTTPStatus.NO_CONTENT:
        return Answer({}, {}, at=_date(response))
    if body is None or status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
        # A 404 that is not Vault's own must not pass for "there is no such document".
        if status == HTTPStatus.NOT_FOUND:
            raise unexpected_shape(purpose)
        raise failure(status, _words(body), purpose, wait=_seconds(response.headers.get("Retry-After")))
    data, auth = ({} if body.get(key) is None else body[key] for key in ("data", "auth"))
    if not isinstance(data, dict) or not isinstance(auth, dict):
        raise unexpected_shape(purpose)
    if status == HTTPStatus.NOT_FOUND and not data:
        raise failure(status, _words(body), purpose) if "errors" in body else unexpected_shape(purpose)
    return Answer(data, auth, found=status == HTTPStatus.OK, at=_date(response))


def _words(body: dict[str, Any] | None) -> str:
    """Return Vault's `errors` as one short line."""
    errors = (body or {}).get("errors")
    texts = [text for text in errors if isinstance(text, str)] if isinstance(errors, list) else []
    return _CONTROL.sub(" ", "; ".join(texts)).strip()[:_MAX_WORDS]


def _date(response: requests.Response) -> datetime | None:
    try:
        date = parsedate_to_datetime(response.headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo and date.year in YEARS else None


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() and text.isascii() else None
