"""Print events."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from reconciler.receiver.handing import HandlingFailed

if TYPE_CHECKING:
    from reconciler.receiver.event import Event


class Print:
    """Writes each event's body to a stream as one line of JSON."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        """Write to `stream`; stdout by default."""
        self._stream = stream or sys.stdout.buffer
        self._mutex = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Write the event.

        Raises:
            HandlingFailed: nobody reads the stream any more.
        """
        line = msgspec.json.format(event.body, indent=-1) + b"\n"
        try:
            with self._mutex:
                self._stream.write(line)
                self._stream.flush()
        except OSError as error:
            raise HandlingFailed(f"cannot print: {error.strerror}") from None
