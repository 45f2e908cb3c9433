"""Read the bodies of deliveries as they are, in bounded memory and time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from reconciler.receiver.answers import BAD_LENGTH, TOO_LARGE, TOO_SLOW, Gone, Refused, unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping

    from reconciler.receiver.limits import Limits

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_DIGITS = 18


class Bodies:
    """Counts the bytes that are held. For one event loop."""

    def __init__(self, limits: Limits) -> None:
        """Hold nothing yet."""
        self._limits = limits
        self._held = 0

    @asynccontextmanager
    async def read(self, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> AsyncIterator[bytes]:
        """Yield the raw body; its bytes count as held until the end of the block.

        Raises:
            Refused: it is too large, too slow, or too many bytes are held.
            Gone: the sender has disconnected.
        """
        length = next((value for key, value in headers if key == b"content-length"), b"0")
        if not length.isdigit():
            raise Refused(BAD_LENGTH)
        # int() is slow on many digits.
        if len(length) > _DIGITS or int(length) > self._limits.body_bytes:
            raise Refused(TOO_LARGE)
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while await self._read_chunk(chunks, receive):
                    self._check(chunks)
            self._check(chunks)
        except TimeoutError:
            self._held -= sum(map(len, chunks))
            raise Refused(TOO_SLOW) from None
        except BaseException:
            self._held -= sum(map(len, chunks))
            raise
        body = b"".join(chunks)
        try:
            yield body
        finally:
            self._held -= len(body)

    async def _read_chunk(self, chunks: list[bytes], receive: Receive) -> bool:
        """Add the next part of a body; return whether there are more."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunk: bytes = message.get("body", b"")
        self._held += len(chunk)
        chunks.append(chunk)
        return bool(message.get("more_body"))

    def _check(self, chunks: list[bytes]) -> None:
        if sum(map(len, chunks)) > self._limits.body_bytes:
            raise Refused(TOO_LARGE)
        if self._held > self._limits.held_bytes:
            raise Refused(unavailable("too many deliveries at a time", close=True))
