"""A file of JSON Lines that is only ever appended to, and is on disk when `append` returns."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path


class JsonLines:
    """One file, open for appending. Thread-safe.

    A disk that is full or read-only stops nothing: it is told once, and what follows is dropped.
    """

    def __init__(self, path: Path, what: str, warn: Callable[[str], None]) -> None:
        """Open nothing yet; `warn` is told when `what` cannot be written."""
        self._path = path
        self._what = what
        self._warn = warn
        self._mutex = threading.Lock()
        self._file: int | None = None

    def open(self, *, keep_previous: bool = False) -> None:
        """Open the file, private to its owner; with `keep_previous` as a new one, the old is renamed."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if keep_previous and self._path.exists():
                self._path.replace(self._path.with_suffix(".previous.jsonl"))
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            self._give_up(error)

    def lock(self) -> None:
        """Lock the file until it is closed, if nobody else has; `is_at_work` sees that."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, value: Mapping[str, Any]) -> None:
        """Write one line, and wait until it is on disk."""
        line = json.dumps(value) + "\n"
        with self._mutex:
            if self._file is None:
                return
            try:
                os.write(self._file, line.encode())
                os.fsync(self._file)
            except OSError as error:
                os.close(self._file)
                self._file = None
                self._give_up(error)

    def close(self) -> None:
        """Close the file, if it is open."""
        with self._mutex:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _give_up(self, error: OSError) -> None:
        self._warn(
            f"the {self._what} {self._path} cannot be written: {error.strerror}; the run goes on without"
        )


def read_objects(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects; the last line may have been cut off, and anybody may have written the file."""
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value
