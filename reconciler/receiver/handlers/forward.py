"""Forward events to a URL."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError

from reconciler.errors import UsageError
from reconciler.receiver.handing import HandlingFailed
from reconciler.receiver.signature import SIGNATURE_HEADER

if TYPE_CHECKING:
    from reconciler.receiver.event import Event

_ANSWER_MAX = 65_536


class Forward:
    """Sends each event to a URL, with its original body and signature; any 2xx accepts it."""

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        """Send nothing yet; wait for an answer for at most `timeout` seconds.

        Raises:
            UsageError: the URL is not one of HTTP.
        """
        try:
            parsed = urllib3.util.parse_url(url)
        except LocationParseError:
            parsed = urllib3.util.Url()
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise UsageError("--forward is not a URL", hint="use one like http://127.0.0.1:9000/events")
        self._url = url
        # No redirect is followed: the receiver of the event is the one that was named.
        self._pool = urllib3.PoolManager(
            maxsize=16, retries=urllib3.Retry(0, redirect=0, raise_on_redirect=False), timeout=timeout
        )

    def __call__(self, event: Event) -> None:
        """Send the event.

        Raises:
            HandlingFailed: no answer came, or one other than 2xx.
        """
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: event.signature,
            # An id with other characters is in the body.
            "X-Zof-Event-Id": event.id.encode("ascii", "replace").decode(),
            "X-Zof-Event-Type": event.type.encode("ascii", "replace").decode(),
            "X-Zof-Webhook": event.webhook,
        }
        try:
            answer = self._pool.request(
                "POST", self._url, body=event.body, headers=headers, preload_content=False
            )
            try:
                answer.read(_ANSWER_MAX)
            finally:
                answer.release_conn()
        except (HTTPError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise HandlingFailed(f"no answer from the URL: {type(reason).__name__}") from None
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise HandlingFailed(f"the URL answered {answer.status}")
