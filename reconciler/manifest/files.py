"""Find and read manifest files, within limits. A path that cannot be read is a value, too."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.manifest.exclusion import Exclusion

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
    paths: Sequence[str | os.PathLike[str]],
    *,
    most: int = MAX_FILES,
    exclusion: Exclusion | None = None,
    seen: set[str] | None = None,
) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Yield each manifest file under `paths`, as (path, content or why it cannot be read).

    A folder is walked recursively in the order of names: files that end in `.yaml` or `.yml` in any case, no
    hidden entries. A symbolic link below it is followed if its target is inside the folder; any other link
    is yielded as unreadable, unless it leads to a file that does not look like a manifest. A file that is
    named itself is read whatever it is called, and a link that is named itself is followed. A file that
    several paths or links lead to comes once. A folder with more than `most` files and folders is not walked
    to its end; that is reported. What `exclusion` covers is recorded there and left out, and so are the files
    whose real paths are in `seen`; others are added to it.
    """
    seen = set() if seen is None else seen
    return chain.from_iterable(_find(os.fspath(path), most, exclusion, seen) for path in paths)


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


def leads_out_of(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> bool:
    """Whether `path`, with its links resolved, is neither `folder` nor below it."""
    # A path with a null character leads nowhere: reading it reports that.
    return "\0" not in os.fspath(path) and not _is_in(os.path.realpath(path), os.path.realpath(folder))


def display_path(path: str) -> str:
    """Return `path` as it can be written out: bytes of a file name that are not UTF-8 are replaced."""
    return path if path.isascii() else os.fsencode(path).decode(errors="replace")


def is_manifest_name(name: str) -> bool:
    """Whether a file of this name is a manifest: it ends in `.yaml` or `.yml`, in any case."""
    return name.endswith(_SUFFIXES) or name.lower().endswith(_SUFFIXES)


def _find(
    path: str, most: int, exclusion: Exclusion | None, seen: set[str]
) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Yield the files that one path leads to, except those whose real paths are in `seen`; add them to it."""
    # A path with a null character, which a configuration may hold, has no real one.
    real = path if "\0" in path else os.path.realpath(path)
    if os.path.isdir(path):  # noqa: PTH112 - strings throughout: building Path objects doubles the walk's cost
        yield from _Walk(path, real, most, exclusion, seen)
    elif real not in seen and not (exclusion and exclusion.covers(path)):
        seen.add(real)
        yield path, read_file(path)


class _Walk:
    """Walks one folder: first everything that is not a link, then what links lead to.

    So a file that has a place of its own comes under that one, and a link to it adds nothing.
    """

    def __init__(
        self, folder: str, root: str, most: int, exclusion: Exclusion | None, seen: set[str]
    ) -> None:
        """Walk `folder`, whose real path is `root`."""
        self._folder = folder
        self._root = root
        self._most = most
        self._exclusion = exclusion
        self._seen = seen
        self._links: deque[str] = deque()
        self._count = 0

    def __iter__(self) -> Iterator[tuple[str, bytes | Unreadable]]:
        is_open = self._folder.endswith(os.sep)
        real = os.path.join(self._root, "") if is_open else self._root  # noqa: PTH118 - strings throughout
        yield from self._below(self._folder, self._folder, real)
        while self._links and self._count <= self._most:
            self._count += 1
            yield from self._follow(self._links.popleft())
        if self._count > self._most + 1 or self._links:
            message = f"it has more than {self._most:,} manifests and folders; the rest is not read"
            hint = "name the folder that holds the manifests"
            yield self._folder, Unreadable(message, hint, too_large=True)

    def _below(self, shown: str, top: str, real: str) -> Iterator[tuple[str, bytes | Unreadable]]:
        """Yield the files below the folder `top`, sorted by name in each folder, as paths below `shown`.

        Pending folders and files are on a stack, because folders may be nested deeper than Python recurses.
        """
        # Path, and whether it is a folder.
        waiting = [(top, True)]
        while waiting:
            self._count += 1
            if self._count > self._most + 1:
                return
            path, is_folder = waiting.pop()
            below = path[len(top) :]
            if is_folder:
                try:
                    # A listed folder may have become a link; the named folder itself may be a link.
                    if path != top and os.path.islink(path):  # noqa: PTH114 - strings throughout
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))  # noqa: TRY301 - as opening it would
                    waiting += self._entries(path, shown + below)
                except OSError as error:
                    yield shown + below, _unreadable(error)
            elif (place := real + below) not in self._seen:
                self._seen.add(place)
                yield shown + below, read_file(path, follow=False)

    def _entries(self, folder: str, shown: str) -> list[tuple[str, bool]]:
        """Return the folders and manifest files of a folder, the last first, and whether each is a folder.

        Its links are followed later.
        """
        found = []
        links = []
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                is_link = not is_folder and entry.is_symlink()
                if not (is_folder or is_link or is_manifest_name(name)):
                    continue
                if self._exclusion and self._exclusion.covers(os.path.join(shown, name)):  # noqa: PTH118 - as above
                    continue
                if is_link:
                    links.append(os.path.join(shown, name))  # noqa: PTH118 - as above
                else:
                    found.append((name, entry.path, is_folder))
        self._links += sorted(links)
        return [(path, is_folder) for _, path, is_folder in sorted(found, reverse=True)]

    def _follow(self, link: str) -> Iterator[tuple[str, bytes | Unreadable]]:
        """Yield what a symbolic link leads to; or why it is not followed, if it may lead to manifests."""
        try:
            target = os.path.realpath(link, strict=True)
            mode = os.stat(target).st_mode  # noqa: PTH116 - strings throughout
        except OSError as error:
            yield link, _broken(link, error)
            return
        is_folder = stat.S_ISDIR(mode)
        if not (is_folder or is_manifest_name(link) or is_manifest_name(target)):
            return
        if not _is_in(target, self._root):
            yield link, _not_followed(link, f"which is outside of {display_path(self._folder)}")
        elif is_folder and _is_in(os.path.realpath(os.path.dirname(link)), target):  # noqa: PTH120 - as above
            yield link, _not_followed(link, "which contains the link")
        elif is_folder:
            if target not in self._seen:
                self._seen.add(target)
                yield from self._below(link, target, target)
        elif target not in self._seen:
            self._seen.add(target)
            yield link, read_file(target, follow=False)


def _is_in(path: str, folder: str) -> bool:
    """Whether a real path is `folder` or below it."""
    return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118 - strings throughout


def _broken(link: str, error: OSError) -> Unreadable:
    """Return why a link whose target cannot be found is not followed."""
    if error.errno == errno.ELOOP:
        return _not_followed(link, "which leads back to it")
    if isinstance(error, FileNotFoundError):
        return _not_followed(link, "which does not exist")
    return _not_followed(link, f"which cannot be read: {_unreadable(error).message}")


def _not_followed(link: str, why: str) -> Unreadable:
    """Return why a link is not followed, in a clause about its target."""
    try:
        target = display_path(os.readlink(link))  # noqa: PTH115 - strings throughout
    except OSError:
        # It has been replaced or removed meanwhile.
        target = "another place"
    return Unreadable(
        f"it is a symbolic link to {target}, {why}",
        "replace the link with the file or folder itself, or list it under `exclude` in reconciler.yaml",
    )


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
