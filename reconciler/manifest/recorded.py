"""The paths of manifests as the ledger records them: the same wherever a command runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.manifest.files import display_path

if TYPE_CHECKING:
    from collections.abc import Sequence


class RecordedPaths:
    """Turns the paths of files below named files and folders into paths from the root of their repository.

    The root is the nearest folder with a `.git`; without one, it is a folder that the caller names.
    """

    def __init__(self, named: Sequence[str], otherwise: str) -> None:
        """Look for the repositories of `named`; `otherwise` is the root outside a repository."""
        self._otherwise = _absolute(otherwise)
        self._named = {
            display_path(each): self._recorded(_absolute(each)) for each in named if "\0" not in each
        }

    def of(self, path: str) -> str:
        """Return the recorded path of a file, which was found below a named path."""
        for named, recorded in self._named.items():
            if path == named:
                return recorded
            if path.startswith(named if named.endswith("/") else f"{named}/"):
                return os.path.normpath(f"{recorded}/{path[len(named) :]}")
        return path

    def spellings(self, named: str) -> tuple[str, ...]:
        """Return how files below a named path may have been recorded, also by earlier versions."""
        if "\0" in named:
            return ()
        absolute, real = _absolute(named), os.path.realpath(named)
        return tuple(dict.fromkeys([self._recorded(absolute), self._recorded(real), absolute, real]))

    def folders_of(self, paths: Sequence[str], name: str) -> tuple[str, ...] | None:
        """Return the folders `name` at the roots of the repositories; None unless all `paths` are in them."""
        found = []
        for path in paths:
            root = None if "\0" in path else _repository(_absolute(path))
            folder = f"{root}/{name}"
            if root is None or not f"{_absolute(path)}/".startswith(f"{folder}/"):
                return None
            found.append(folder)
        return tuple(dict.fromkeys(found))

    def _recorded(self, absolute: str) -> str:
        return display_path(os.path.relpath(absolute, _repository(absolute) or self._otherwise))


def _absolute(path: str) -> str:
    # Links stay as they are named: where they lead may differ between machines.
    return os.path.abspath(path)  # noqa: PTH100


def _repository(path: str) -> str | None:
    """Return the nearest folder with a `.git`, at or above an absolute path."""
    place = Path(path)
    return next((str(each) for each in (place, *place.parents) if os.path.lexists(each / ".git")), None)
