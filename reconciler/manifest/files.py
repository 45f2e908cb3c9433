"""Find and read manifest files, within limits. A path that cannot be read is a value, too."""

from __future__ import annotations

import errno
import os
import stat
from itertools import chain
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_FILES = 100_000
"""Files and folders below one path. More are a mistake, such as the root of a disk."""
_SUFFIXES = (".yaml", ".yml")
_CHUNK = 65_536
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class Unreadable(Struct, frozen=True):
    """Why a path cannot be read, in a clause that follows the path."""

    message: str
    hint: str | None = None
    too_large: bool = False


def read_all(
    paths: Sequence[str | os.PathLike[str]], *, most: int = MAX_FILES
) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Yield each manifest file under `paths`, as (path, content or why it cannot be read).

    A folder is walked recursively in the order of names: files that end in `.yaml` or `.yml`, no
    hidden entries, no symbolic links. A file that is named itself is read whatever it is called, and
    a link that is named itself is followed. A file that several `paths` lead to comes once. A folder with
    more than `most` files and folders is not walked to its end; that is reported.
    """
    found = chain.from_iterable(_find(os.fspath(path), most) for path in paths)
    return _once(found) if len(paths) > 1 else found


def read_file(path: str, *, follow: bool = True) -> bytes | Unreadable:
    """Return the content of a regular file of at most 8 MiB; never waits on a pipe or device.

    Args:
        path: the file.
        follow: whether a symbolic link is followed.
    """
    try:
        descriptor = os.open(path, _FLAGS if follow else _FLAGS | os.O_NOFOLLOW)
    except OSError as error:
        return _unreadable(error)
    except ValueError:
        return Unreadable("the path contains a null character")
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return Unreadable("it is not a regular file")
        return _read(descriptor, found.st_size)
    except OSError as error:
        return _unreadable(error)
    finally:
        os.close(descriptor)


def display_path(path: str) -> str:
    """Return `path` as it can be written out: bytes of a file name that are not UTF-8 are replaced."""
    return path if path.isascii() else os.fsencode(path).decode(errors="replace")


def _find(path: str, most: int) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Yield the files that one path leads to."""
    if os.path.isdir(path):  # noqa: PTH112 - strings throughout: building Path objects doubles the walk's cost
        return _walk(path, most)
    return iter([(path, read_file(path))])


def _walk(folder: str, most: int) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Yield the files below `folder`, sorted by name in each folder.

    Pending folders and files are on a stack, because folders may be nested deeper than Python recurses.
    """
    # Path, and whether it is a folder.
    waiting = [(folder, True)]
    seen = 0
    while waiting:
        seen += 1
        if seen > most + 1:
            message = f"it has more than {most:,} manifests and folders; the rest is not read"
            yield folder, Unreadable(message, "name the folder that holds the manifests", too_large=True)
            return
        path, is_folder = waiting.pop()
        if not is_folder:
            yield path, read_file(path, follow=False)
            continue
        try:
            # A listed folder may have become a link; the named folder itself may be a link.
            if path != folder and os.path.islink(path):  # noqa: PTH114 - strings throughout
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))  # noqa: TRY301 - as opening it would
            waiting += _entries(path)
        except OSError as error:
            yield path, _unreadable(error)


def _entries(folder: str) -> list[tuple[str, bool]]:
    """Return the folders and manifest files of a folder, the last first, and whether each is a folder."""
    with os.scandir(folder) as entries:
        found = sorted(
            (entry.name, entry.path, is_folder)
            for entry in entries
            if not entry.name.startswith(".")
            and (
                (is_folder := entry.is_dir(follow_symlinks=False))
                or (entry.name.endswith(_SUFFIXES) and not entry.is_symlink())
            )
        )
    return [(path, is_folder) for _, path, is_folder in reversed(found)]


def _once(
    found: Iterable[tuple[str, bytes | Unreadable]],
) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Leave out a file that came before under another spelling of its path."""
    seen: set[str] = set()
    for path, content in found:
        # A path with a null character, which a configuration may hold, has no real one.
        real = path if "\0" in path else os.path.realpath(path)
        if real not in seen:
            seen.add(real)
            yield path, content


def _read(descriptor: int, size: int) -> bytes | Unreadable:
    """Read an open file, which had `size` bytes when it was opened, to its end or to the limit."""
    data = os.read(descriptor, _CHUNK)
    if len(data) == size:
        return data
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        return Unreadable(
            f"it is larger than {MAX_FILE_BYTES // 1024**2} MiB", "split the file", too_large=True
        )
    return data


def _unreadable(error: OSError) -> Unreadable:
    """Return an operating system's error as a reason."""
    if isinstance(error, FileNotFoundError):
        return Unreadable("no such file or folder", "check the path and the folder you are in")
    return Unreadable((error.strerror or type(error).__name__).lower())
