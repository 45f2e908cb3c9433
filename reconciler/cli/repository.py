"""Paths from the root of the repository, as code hosts take them for annotations and alerts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.model import Location


def repository_root(environ: Mapping[str, str]) -> Path | None:
    """Return the root of the current folder's repository; None if it is in none.

    Without a `.git`, as in a container that got a copy, it is GITHUB_WORKSPACE if that contains the folder.
    """
    folder = Path.cwd()
    root = root_above(folder)
    workspace = environ.get("GITHUB_WORKSPACE")
    if root is None and workspace:
        real = Path(os.path.realpath(workspace))
        return real if folder.is_relative_to(real) else None
    return root


def root_above(folder: Path) -> Path | None:
    """Return the folder at or above `folder` (absolute) that has a `.git`; None if there is none."""
    return next((each for each in (folder, *folder.parents) if os.path.lexists(each / ".git")), None)


def place_in_repository(environ: Mapping[str, str] = os.environ) -> Callable[[Location], Location]:
    """Return a function that returns a place with its path from the root of the repository.

    Paths outside of it are kept, and all paths if there is no repository.
    """
    root = repository_root(environ)
    if root is None:
        return lambda place: place

    def moved(place: Location) -> Location:
        path = os.path.relpath(Path.cwd() / place.path, root)
        return place if path.split(os.sep, 1)[0] == os.pardir else replace(place, path=path)

    return moved
