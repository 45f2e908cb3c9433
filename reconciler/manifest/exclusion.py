"""The files of other tools that are not read: globs below the folders of manifests."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Exclusion:
    """Decides which paths are excluded, and records those that it was asked about."""

    def __init__(self, patterns: Sequence[str], folders: Sequence[str]) -> None:
        """Exclude what `patterns` match below `folders`.

        Args:
            patterns: globs, as for `PurePath.full_match`: `**` stands for any number of folders, `*` and `?`
                do not match a slash. A pattern that matches a folder excludes everything in it.
            folders: where the patterns begin. A path that is in none of them is matched by its last part.
        """
        self._patterns = [_parts(pattern) for pattern in patterns]
        self._folders = [os.path.join(os.path.realpath(folder), "") for folder in folders]  # noqa: PTH118 - strings, as in the walk
        self._real: dict[str, str] = {}
        self.paths: set[str] = set()
        """The real paths of what was excluded; what is inside an excluded folder is not looked at."""

    def covers(self, path: str) -> bool:
        """Whether a path is excluded; if it is, it is recorded."""
        parent, name = os.path.split(path)
        real = self._real.get(parent)
        if real is None:
            real = self._real[parent] = os.path.realpath(parent) if "\0" not in parent else parent
        place = os.path.join(real, name)  # noqa: PTH118 - as above
        if not any(self._is_excluded(below) for below in self._below(place, name)):
            return False
        self.paths.add(place)
        return True

    def _below(self, place: str, name: str) -> Iterator[list[str]]:
        """Yield the parts of a path below each of the folders that it is in."""
        folders = [folder for folder in self._folders if place.startswith(folder)]
        for folder in folders:
            yield place[len(folder) :].split("/")
        if not folders:
            yield [name]

    def _is_excluded(self, parts: list[str]) -> bool:
        """Whether a pattern matches a path or a folder that it is in."""
        return any(
            _matches(pattern, parts[:end]) for pattern in self._patterns for end in range(1, len(parts) + 1)
        )


def _parts(pattern: str) -> list[str]:
    return [part for part in pattern.split("/") if part not in {"", "."}]


def _matches(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a pattern matches a whole path, in time proportional to the product of their lengths."""
    # The places in the pattern that the parts read so far can lead to.
    places = _skipping({0}, pattern)
    for part in parts:
        places = _skipping(
            {
                place if pattern[place] == "**" else place + 1
                for place in places
                if place < len(pattern) and (pattern[place] == "**" or fnmatchcase(part, pattern[place]))
            },
            pattern,
        )
    return len(pattern) in places


def _skipping(places: set[int], pattern: Sequence[str]) -> set[int]:
    """Return the places, and those after each `**`, which may stand for no folder at all."""
    found = set(places)
    for place in places:
        while place < len(pattern) and pattern[place] == "**":
            place += 1  # noqa: PLW2901 (moves on)
            found.add(place)
    return found
