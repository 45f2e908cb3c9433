"""Write and read the files that options name, whatever has that name: a file, a link, a pipe or a device.

A regular file is replaced in one piece: a reader sees the old content or the new, never a part. Its
permissions and its owner stay, and a link to it stays a link. Anything else is written through: it is never
renamed, deleted or read back, so `--output /dev/null` leaves /dev/null as it is.

The functions raise what the operating system reports, an `OSError`; for a null character in a path it is a
`ValueError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import select
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 10.0
"""Seconds to wait for the process at the other end of a pipe."""
READ_TIMEOUT = 30.0
"""Seconds in which a file must have been read: what writes into a pipe may never end."""
_FLAGS = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_CHUNK = 1 << 20
_PIPE_CHUNK = select.PIPE_BUF
"""A pipe that is ready for writing takes as many bytes without blocking."""
_DESCRIPTOR = re.compile(r"/dev/fd/([0-9]{1,9})|/proc/(?:self|thread-self)/fd/([0-9]{1,9})")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_MOST_LINKS = 40
# A file that may be written although its folder may not, or that is a mount of its own.
_NOT_REPLACEABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY}


def write_whole(path: str, data: bytes, *, patience: float = PATIENCE) -> None:
    """Write a file: replace a regular one, also behind a link; write through anything else.

    Args:
        path: what to write.
        data: the whole content.
        patience: seconds to wait for a process that reads the pipe at `path`.
    """
    if (descriptor := open_through(path, patience=patience)) is not None:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        return
    target = Path(os.path.realpath(path))
    before = _stat(target)
    try:
        with _temporary(target, data, before) as temporary:
            temporary.replace(target)
    except OSError as error:
        if before is None or error.errno not in _NOT_REPLACEABLE:
            raise
        with os.fdopen(_open_regular(target, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            file.write(data)


def create(target: Path, data: bytes) -> bool:
    """Write a new file in one piece; return False if something has that name, even a broken link."""
    if os.path.lexists(target):
        return False
    with _temporary(target, data, None) as temporary:
        try:
            # Unlike a rename, a link never replaces a file that was created in the meantime.
            os.link(temporary, target)
        except FileExistsError:
            return False
    return True


@contextlib.contextmanager
def _temporary(target: Path, data: bytes, before: os.stat_result | None) -> Iterator[Path]:
    """Write a new file beside `target` with the permissions and the owner of the file that it will replace.

    It is deleted at the end unless it was renamed.
    """
    path = target.with_name(f".reconciler.{secrets.token_hex(8)}")
    mode = 0o666 if before is None else 0o600
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if before is not None:
                _keep_owner(descriptor, before)
            os.fsync(descriptor)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _stat(path: Path) -> os.stat_result | None:
    """Return what a path leads to; None if there is nothing."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _keep_owner(descriptor: int, before: os.stat_result) -> None:
    """Give an open file the owner and the permissions that another had."""
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def open_through(path: str, *, patience: float = PATIENCE) -> int | None:
    """Open what is not a regular file for writing; return None for a regular file, and if there is nothing.

    An open descriptor such as `/dev/stdout` or `/dev/fd/63` is used as it is, whatever is behind it.
    """
    number = _open_descriptor(path)
    if number is not None:
        return os.dup(number)
    found = _stat(Path(path))
    if found is None or stat.S_ISREG(found.st_mode):
        return None
    descriptor = _open_for_writing(path, patience if stat.S_ISFIFO(found.st_mode) else 0.0)
    os.set_blocking(descriptor, True)
    return descriptor


def _open_descriptor(path: str) -> int | None:
    """Return the number of the descriptor of this process that `path` means, also behind links."""
    for _ in range(_MOST_LINKS):
        if path in _STANDARD:
            return _STANDARD[path]
        if found := _DESCRIPTOR.fullmatch(path):
            return int(found[1] or found[2])
        try:
            target = Path(path).readlink()
        except OSError:
            return None
        path = os.path.normpath(Path(path).parent / target)
    return None


def _open_for_writing(path: str, patience: float) -> int:
    deadline = time.monotonic() + patience
    while True:
        try:
            return os.open(path, os.O_WRONLY | _FLAGS)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() >= deadline:
                raise OSError(errno.ENXIO, "no process reads it", path) from None
        time.sleep(0.05)


def append_line(descriptor: int, line: bytes, *, patience: float = PATIENCE) -> None:
    """Append a line to an open log. In a regular file it is on disk at the end.

    Raises:
        OSError: it cannot be written; a `TimeoutError` if the process that reads a pipe takes nothing for
            `patience` seconds.
    """
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.write(descriptor, line)
        os.fsync(descriptor)
        return
    waiting = select.poll()
    waiting.register(descriptor, select.POLLOUT)
    rest = memoryview(line)
    while rest:
        if not waiting.poll(patience * 1000):
            raise TimeoutError(errno.ETIMEDOUT, "no process reads it")
        rest = rest[os.write(descriptor, rest[:_PIPE_CHUNK]) :]


def open_log(path: Path, *, follow: bool, begin: bool = False, patience: float = PATIENCE) -> int:
    """Open a file to append to, and create it, private to its owner, if there is none.

    Args:
        path: the file; what is not a regular file is written through.
        follow: whether a link is followed. An open descriptor behind one, as in /dev/stdout, is always used.
        begin: whether to begin a new file with the permissions of the old one, which becomes
            `.previous.jsonl`.
        patience: seconds to wait for a process that reads the pipe at `path`.

    Raises:
        OSError: it cannot be opened, or is a link that is not followed.
    """
    if not follow and path.is_symlink() and _open_descriptor(str(path)) is None:
        raise OSError(errno.ELOOP, "it is a symbolic link", str(path))
    if (descriptor := open_through(str(path), patience=patience)) is not None:
        return descriptor
    target = Path(os.path.realpath(path)) if follow else path
    before = _stat(target) if begin else None
    if before is not None:
        target.replace(target.with_suffix(".previous.jsonl"))
    descriptor = _open_regular(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if before is not None:
        # Without the right to give files away, the new one is the user's own.
        with contextlib.suppress(PermissionError):
            _keep_owner(descriptor, before)
    return descriptor


def open_regular(path: Path) -> int:
    """Open a regular file for reading; never wait for a pipe or a device.

    Raises:
        OSError: there is none, or something else has that name.
    """
    return _open_regular(path, os.O_RDONLY, follow=True)


def _open_regular(path: Path, flags: int, *, follow: bool = False) -> int:
    descriptor = os.open(path, flags | _FLAGS | (0 if follow else os.O_NOFOLLOW), 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


def read_whole(path: str, limit: int, *, timeout: float = READ_TIMEOUT) -> bytes:
    """Return the content of a file, or what a process writes into a pipe such as `<(command)`.

    Args:
        path: what to read.
        limit: the largest number of bytes.
        timeout: seconds after which it must have been read.

    Raises:
        OSError: it cannot be read, is larger, or takes longer.
    """
    deadline = time.monotonic() + timeout
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        data = bytearray()
        found = os.fstat(descriptor)
        large = stat.S_ISREG(found.st_mode) and found.st_size > limit
        while not large:
            if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError(errno.ETIMEDOUT, f"it does not end within {timeout:g} s", path)
            piece = os.read(descriptor, min(_CHUNK, limit + 1 - len(data)))
            if not piece:
                return bytes(data)
            data += piece
            large = len(data) > limit
        raise OSError(errno.EFBIG, f"it is larger than {limit // 1024**2} MiB", path)
    finally:
        os.close(descriptor)
