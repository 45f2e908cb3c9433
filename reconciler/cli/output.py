"""Where results and problems go: stdout or a file, and stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from reconciler.errors import ReconcilerError
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_result(text: str, path: str | None = None) -> None:
    """Write a result to stdout, or to the file `path` in one piece.

    A reader of stdout that has gone (`| head`) is no failure: the rest is dropped, and the run goes on.

    Raises:
        ReconcilerError: the file cannot be written.
    """
    if path is None or path == "-":
        _write(sys.stdout, text)
    else:
        write_file(path, text)


def write_file(path: str, text: str) -> None:
    """Write the file in one piece: whoever reads it sees the old content or the new, never a part.

    Raises:
        ReconcilerError: it cannot be written.
    """
    import tempfile  # noqa: PLC0415 (most runs write to stdout)

    target = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                # mkstemp makes a private file; a result has the permissions that any new file gets.
                os.fchmod(file.fileno(), 0o666 & ~umask())
            Path(temporary).replace(target)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise ReconcilerError(
            f"cannot write {visible(path)}: {why}", hint="name a file in a folder that exists and is yours"
        ) from error


def write_error(message: str, hint: str | None = None) -> None:
    """Write one problem to stderr: lines of our own are kept, everything else is escaped."""
    text = "\n".join(visible(line) for line in message.splitlines())
    _write(sys.stderr, f"error: {text}\n" + (f"hint: {visible(hint)}\n" if hint else ""))


def write_problems(text: str) -> None:
    """Write a text that a renderer has escaped to stderr."""
    _write(sys.stderr, text)


def write_note(message: str) -> None:
    """Write a line of information to stderr."""
    _write(sys.stderr, f"{visible(message)}\n")


def wants_color(stream: TextIO, environ: Mapping[str, str], *, no_color: bool) -> bool:
    """Tell whether to paint on `stream`: not when told not to (https://no-color.org), nor off a terminal."""
    if no_color or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """Send whatever is still to come to nowhere, so that the interpreter's last flush succeeds."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def umask() -> int:
    """Return what new files do not get of 0o666."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
