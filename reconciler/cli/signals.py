"""Stop a run in order: SIGINT and SIGTERM finish the current step, a second signal ends the process."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import FrameType


def stop_on_signal(stop: threading.Event, note: str) -> AbstractContextManager[None]:
    """Let SIGINT and SIGTERM set `stop` and write `note` to stderr inside the context.

    A second signal ends the process immediately; the next run resumes.
    """

    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        # Not through sys.stderr: a signal may interrupt a write to it.
        os.write(2, f"\n{note}\n".encode())

    return _handled(handle, signal.SIGINT, signal.SIGTERM)


def terminate_as_interrupt() -> AbstractContextManager[None]:
    """Let SIGTERM end the program as Ctrl-C does inside the context, so that everything is cleaned up."""
    return _handled(signal.default_int_handler, signal.SIGTERM)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], object], *numbers: signal.Signals) -> Iterator[None]:
    """Handle signals inside the context, if it is in the main thread: Python handles none in others."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
