"""Write results to stdout or files, and problems to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from reconciler.errors import ReconcilerError
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def write_result(text: str, path: str | None = None) -> None:
    """Write a result to stdout, or to the file `path` in one piece.

    A closed stdout (`| head`) is not an error: the output is dropped, and the run continues.

    Raises:
        ReconcilerError: the file cannot be written.
    """
    if path is None or path == "-":
        _write(sys.stdout, text)
    else:
        write_file(path, text)


def write_file(path: str, text: str) -> None:
    """Write the file in one piece: a reader sees the old content or the new, never a part.

    Raises:
        ReconcilerError: it cannot be written.
    """
    target = Path(path)
    try:
        with _temporary(target, text) as temporary:
            temporary.replace(target)
    except (OSError, ValueError) as error:
        raise _unwritable(target, error, "name a file in an existing folder that you can write to") from error


def create_file(root: Path, name: str, text: str) -> bool:
    """Write the file `name` below `root` in one piece; return False if something already has that name.

    A symbolic link counts as something, even a broken one.

    Raises:
        ReconcilerError: it cannot be written, or a link below `root` points outside of it.
    """
    target = root / name
    try:
        if not target.parent.resolve().is_relative_to(root.resolve()):
            raise ReconcilerError(
                f"{visible(target.parent)} is outside of {visible(root)}", hint="replace the symbolic link"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            return False
        with _temporary(target, text) as temporary:
            # Unlike a rename, a link never replaces a file that was created in the meantime.
            os.link(temporary, target)
    except FileExistsError:
        if os.path.lexists(target):
            return False
        raise ReconcilerError(
            f"cannot write {visible(target)}: a file is in the place of a folder", hint="name another folder"
        ) from None
    # A link to itself is a RuntimeError before Python 3.13.
    except (OSError, ValueError, RuntimeError) as error:
        raise _unwritable(target, error, "name a folder that you can write to") from error
    return True


@contextlib.contextmanager
def _temporary(target: Path, text: str) -> Iterator[Path]:
    """Write the text to a new file beside `target`, which is deleted at the end unless it was renamed."""
    import tempfile  # noqa: PLC0415 (most runs write to stdout)

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            # mkstemp makes a private file; a result has the permissions of any new file.
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _unwritable(target: Path, error: Exception, hint: str) -> ReconcilerError:
    why = error.strerror if isinstance(error, OSError) else "not a path"
    return ReconcilerError(f"cannot write {visible(target)}: {why}", hint=hint)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_error(message: str, hint: str | None = None) -> None:
    """Write one problem to stderr; its line breaks are kept, everything else is escaped."""
    text = "\n".join(visible(line) for line in message.splitlines())
    _write(sys.stderr, f"error: {text}\n" + (f"hint: {visible(hint)}\n" if hint else ""))


def write_warning(message: str, hint: str) -> None:
    """Write one warning to stderr, escaped."""
    _write(sys.stderr, f"warning: {visible(message)}\nhint: {visible(hint)}\n")


def write_problems(text: str) -> None:
    """Write a text that a renderer has escaped to stderr."""
    _write(sys.stderr, text)


def write_note(message: str) -> None:
    """Write a line of information to stderr."""
    _write(sys.stderr, f"{visible(message)}\n")


def wants_color(stream: TextIO, environ: Mapping[str, str], *, no_color: bool) -> bool:
    """Return whether to use colours: on a terminal, unless they are switched off (https://no-color.org)."""
    if no_color or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # The rest goes nowhere, so that the interpreter's last flush succeeds.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
