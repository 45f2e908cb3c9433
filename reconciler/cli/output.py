"""Write results to stdout or files, and problems to stderr."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, TextIO

from reconciler.cli.guarded import GuardedStream
from reconciler.cli.turns import in_turn
from reconciler.credentials.known import KNOWN
from reconciler.credentials.outgoing import outgoing
from reconciler.errors import ReconcilerError
from reconciler.named_files import create, write_whole
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_result(
    text: str, path: str | None = None, *, commands: bool = False, is_prose: bool = False
) -> None:
    """Write a result to stdout, or to the file `path` in one piece; it may consist of our own `commands`.

    On a terminal, lines of prose are broken between words.

    A reader that has left (`| head`) is not an error: the output is dropped, and the run continues.

    Raises:
        ReconcilerError: it cannot be written.
    """
    if path is None or path == "-":
        text = _for_terminal(text, sys.stdout) if is_prose else text
        in_turn(partial(_write, text, to_stdout=True, commands=commands))
    else:
        write_file(path, text, commands=commands)


def write_file(path: str, text: str, *, commands: bool = False) -> None:
    """Write the file in one piece: a reader sees the old content or the new, never a part.

    What is not a regular file is written through; a process that stops reading a pipe is not an error.

    Raises:
        ReconcilerError: it cannot be written.
    """
    try:
        write_whole(path, outgoing(text, commands=commands).encode(errors="backslashreplace"))
    except BrokenPipeError:
        return
    except (OSError, ValueError) as error:
        raise _unwritable(path, error, "name a file in an existing folder that you can write to") from error


def create_file(root: Path, name: str, content: str | bytes) -> bool:
    """Write the file `name` below `root` in one piece; return False if something already has that name.

    Text is written without known secrets, and bytes as they are.

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
        if isinstance(content, str):
            content = KNOWN.mask(content).encode(errors="backslashreplace")
        return create(target, content)
    except FileExistsError:
        raise ReconcilerError(
            f"cannot write {visible(target)}: a file is in the place of a folder", hint="name another folder"
        ) from None
    # A link to itself is a RuntimeError before Python 3.13.
    except (OSError, ValueError, RuntimeError) as error:
        raise _unwritable(target, error, "name a folder that you can write to") from error


def _unwritable(target: str | Path, error: Exception, hint: str) -> ReconcilerError:
    why = error.strerror if isinstance(error, OSError) else "not a path"
    return ReconcilerError(f"cannot write {visible(target)}: {why}", hint=hint)


def write_error(message: str, hint: str | None = None) -> None:
    """Write one problem to stderr; its line breaks are kept, everything else is escaped."""
    text = "\n".join(visible(line) for line in message.splitlines())
    _complain(_for_terminal(f"error: {text}\n" + (f"hint: {visible(hint)}\n" if hint else ""), sys.stderr))


def write_warning(message: str, hint: str) -> None:
    """Write one warning to stderr, escaped."""
    _complain(_for_terminal(f"warning: {visible(message)}\nhint: {visible(hint)}\n", sys.stderr))


def write_problems(text: str) -> None:
    """Write a text that a renderer has escaped to stderr."""
    _complain(text)


def write_note(message: str) -> None:
    """Write a line of information to stderr."""
    _complain(_for_terminal(f"{visible(message)}\n", sys.stderr))


def internal_error(error: Exception, *, trace: bool) -> ReconcilerError:
    """Return the error for a bug, which says only its type: its text might quote a secret.

    With `trace`, write where it happened to stderr, too.
    """
    if trace:
        import traceback  # noqa: PLC0415 (rarely needed)

        # Only the frames: locals and the message might quote a secret.
        write_error("".join(traceback.format_tb(error.__traceback__)).rstrip())
    hint = None if trace else "report it with the output of the same command with -vv"
    return ReconcilerError(f"internal error: {type(error).__name__}", hint=hint)


def wants_color(stream: TextIO, environ: Mapping[str, str], *, no_color: bool) -> bool:
    """Return whether to use colours: on a terminal, unless NO_COLOR or FORCE_COLOR says otherwise.

    Each counts if it is set and not empty (https://no-color.org, https://force-color.org).
    """
    if no_color or environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()


def _for_terminal(text: str, stream: TextIO) -> str:
    """Return `text` with its long lines broken between words if `stream` is a terminal."""
    if not stream.isatty():
        return text
    import shutil  # noqa: PLC0415 (loads compression; only a terminal has a width)

    from reconciler.report.format.style import wrapped  # noqa: PLC0415 (only a terminal needs it)

    return wrapped(text, shutil.get_terminal_size().columns)


def _complain(text: str) -> None:
    in_turn(partial(_write, text))


def _write(text: str, *, to_stdout: bool = False, commands: bool = False) -> None:
    """Write to stdout or stderr. What a reader that has left (`| head`) does not get is not an error.

    Raises:
        ReconcilerError: stdout is closed, or on a full disk.
    """
    stream = sys.stdout if to_stdout else sys.stderr
    try:
        if commands and isinstance(stream, GuardedStream):
            stream.write_commands(text)
        else:
            stream.write(text)
        stream.flush()
    except OSError as error:
        if to_stdout:
            give_up_stdout(error)
        else:
            _discard(stream)


def give_up_stdout(error: OSError) -> None:
    """Write nothing more to stdout after a write has failed.

    Raises:
        ReconcilerError: it is closed, or on a full disk; not if its reader has left.
    """
    _discard(sys.stdout)
    if not isinstance(error, BrokenPipeError):
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise ReconcilerError(f"cannot write to stdout: {why}", hint="check where stdout goes") from error


def _discard(stream: TextIO) -> None:
    """Let everything else go nowhere, so that the interpreter's last flush succeeds."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    with contextlib.suppress(OSError):
        stream.flush()
