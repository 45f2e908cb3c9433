"""Paths as code hosts count them: from the root of the repository, wherever in it the command runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.diagnostics import Diagnostic
    from reconciler.model import Location


def from_repository_root(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics with paths from the root of the repository that the working folder is in.

    What lies outside of it keeps its path, and so does everything where there is no repository.
    """
    folder = Path.cwd()
    root = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)
    if root is None:
        return list(diagnostics)
    return [_moved(diagnostic, folder, root) for diagnostic in diagnostics]


def _moved(diagnostic: Diagnostic, folder: Path, root: Path) -> Diagnostic:
    """Return a diagnostic with all its places seen from `root`."""
    return replace(
        diagnostic,
        location=diagnostic.location and _seen_from(root, folder, diagnostic.location),
        also=tuple(
            replace(other, location=_seen_from(root, folder, other.location)) for other in diagnostic.also
        ),
    )


def _seen_from(root: Path, folder: Path, place: Location) -> Location:
    """Return a place, which was named in `folder`, as it is seen from `root`."""
    path = os.path.relpath(folder / place.path, root)
    return place if path.split(os.sep, 1)[0] == os.pardir else replace(place, path=path)
