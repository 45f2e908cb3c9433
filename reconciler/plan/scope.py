"""The scope that PATHs on the command line limit: which webhooks without a manifest there a run may touch."""

from __future__ import annotations

import posixpath

from msgspec import Struct


class PathScope(Struct, frozen=True):
    """What is known about the manifests inside and outside the PATHs.

    A webhook that a manifest in the PATHs declares is in scope. Any other is in scope only if its recorded
    manifest lies in the PATHs and no manifest declares it: it may have moved out of the PATHs.
    """

    paths: tuple[str, ...]
    """The PATHs in every spelling that the ledger may have recorded, normalised."""
    declared: frozenset[str] | None
    """The names that manifests outside the PATHs declare; None if it is not known where all manifests are."""
    complete: bool = True
    """Whether all manifests outside the PATHs could be read. If not, `declared` may lack names."""

    def may_remove(self, name: str, manifest: str | None) -> bool:
        """Whether a webhook that no manifest in the PATHs declares is in scope, as far as its record shows.

        Args:
            name: the webhook.
            manifest: the recorded path of its manifest; None if it is not known.
        """
        if not self.complete or manifest is None or (self.declared is not None and name in self.declared):
            return False
        place = posixpath.normpath(manifest)
        return any(_is_in(place, path) for path in self.paths)

    def withholds(self, *, owns_others: bool) -> bool:
        """Whether no webhook without a manifest in the PATHs is in scope.

        If it is not known where all manifests are, PATHs are taken for all of them, unless webhooks are owned
        whose manifests lie elsewhere (`owns_others`).
        """
        return not self.complete or (self.declared is None and owns_others)


def _is_in(place: str, path: str) -> bool:
    """Whether a normalised path is `path` or below it."""
    if path == ".":
        return not place.startswith(("/", "../")) and place != ".."
    return place == path or place.startswith(path.rstrip("/") + "/")
