"""The answers to deliveries."""

from __future__ import annotations

from http import HTTPStatus

from msgspec import Struct

_RETRY_AFTER = b"5"
IDENTITY_HEADER = "x-webhook-receiver"
IDENTITY = (IDENTITY_HEADER.encode(), b"webhook-reconciler")
"""The header of every answer, by which `reconciler doctor` and `test` recognize a receiver of ours."""


class Answer(Struct, frozen=True):
    """The answer to a request."""

    status: HTTPStatus
    text: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False
    """Whether the connection cannot be used again, because the request was not read to its end."""


class Refused(Exception):
    """A request is answered before it was read to its end."""

    def __init__(self, answer: Answer) -> None:
        """`answer` is the answer."""
        super().__init__(answer.text)
        self.answer = answer


class Gone(Exception):
    """The sender has disconnected."""


STORED = Answer(HTTPStatus.OK)
UNAUTHORIZED = Answer(HTTPStatus.UNAUTHORIZED, "the signature does not match")
BAD_LENGTH = Answer(HTTPStatus.BAD_REQUEST, "Content-Length is not a number", close=True)
TOO_LARGE = Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is larger than 1 MiB", close=True)
TOO_SLOW = Answer(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time", close=True)
NOT_FOUND = Answer(HTTPStatus.NOT_FOUND, "there is no such webhook", close=True)
ONLY_POST = Answer(HTTPStatus.METHOD_NOT_ALLOWED, "use POST", ((b"allow", b"POST"),), close=True)
ONLY_GET = Answer(HTTPStatus.METHOD_NOT_ALLOWED, "use GET", ((b"allow", b"GET, HEAD"),), close=True)


def unavailable(text: str, *, close: bool = False) -> Answer:
    """Return the answer that lets the sender try again later."""
    headers = ((b"retry-after", _RETRY_AFTER),)
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, text, headers, close=close)
