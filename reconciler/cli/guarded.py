"""The way out: every text that this program writes is masked, and none is a command for a CI runner."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

from reconciler.credentials.known import KNOWN
from reconciler.credentials.outgoing import outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator


class GuardedStream:
    """A stream of text that guards whatever is written to it: by us, by click or by rich.

    Each text comes out in one piece, whichever thread writes it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._mutex = threading.RLock()
        self._in_line = False
        """Whether the last text did not end its line."""

    def write(self, text: str) -> int:
        """Write a text, guarded."""
        with self._mutex:
            # A text that continues a line cannot be a command.
            before = "-" if self._in_line else ""
            self._pass_on(outgoing(before + text)[len(before) :])
        return len(text)

    def write_commands(self, text: str) -> int:
        """Write our own commands for a CI runner: their contents are escaped."""
        self._pass_on(outgoing(text, commands=True))
        return len(text)

    def write_unmasked(self, text: str) -> int:
        """Write a text that must contain a secret: for GitHub's masker alone."""
        self._pass_on(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write texts, guarded."""
        self.write("".join(lines))

    def _pass_on(self, text: str) -> None:
        with self._mutex:
            self._stream.write(text)
            if text:
                self._in_line = not text.endswith(("\n", "\r"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def guarded_output() -> Iterator[None]:
    """Guard stdout and stderr inside the context, for a run that knows no secret yet."""
    KNOWN.clear()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = GuardedStream(sys.stdout), GuardedStream(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
