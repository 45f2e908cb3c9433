"""The files that `reconciler init` writes, and which of them are still as it wrote them."""

from __future__ import annotations

import difflib
import hashlib
from typing import TYPE_CHECKING

from reconciler.cli.output import create_file, write_file
from reconciler.cli.pins import FOLDER, LOCK, PIN, locked_extra, locked_requirements, pinned_source
from reconciler.errors import ReconcilerError
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.cli.pins import Source

RECORD = f"{FOLDER}/written.sha256"
"""The hashes of the files as they were written, in the format of `sha256sum`."""


class Scaffold:
    """The files of one repository of webhooks, in its `folder`."""

    def __init__(self, folder: Path) -> None:
        """Read what earlier runs wrote."""
        self._folder = folder
        lines = (self._read(RECORD) or "").splitlines()
        pairs = [line.partition("  ") for line in lines]
        self._written = {name: digest for digest, separator, name in pairs if separator}

    @property
    def has_pin(self) -> bool:
        """Whether the repository pins a source."""
        return (self._folder / PIN).exists()

    def pins(self, source: Source, extra: str | None) -> dict[str, str | bytes]:
        """Return the files that pin what is installed, by their names.

        Args:
            source: of our own code.
            extra: whose dependencies are locked, too; None keeps the one that is locked already.
        """
        extra = extra or locked_extra(self._read(LOCK) or "")
        files: dict[str, str | bytes] = {
            LOCK: locked_requirements(source, extra),
            PIN: pinned_source(source),
        }
        if source.archive is not None:
            files[f"{FOLDER}/{source.archive.name}"] = source.archive.read_bytes()
        return files

    def create(self, files: Mapping[str, str | bytes]) -> str:
        """Write the files that do not exist; return a line about each.

        Raises:
            ReconcilerError: a file cannot be written.
        """
        lines = []
        for name, content in files.items():
            place = visible(self._folder / name)
            if create_file(self._folder, name, content):
                self._record(name, content)
                lines.append(f"wrote {place}\n")
            else:
                lines.append(f"kept  {place} (it exists)\n")
        return "".join(lines)

    def upgrade(self, files: Mapping[str, str | bytes]) -> str:
        """Write the files that are new or that nobody has edited; return a line about each, and differences.

        A file that was written and then deleted is not written again.

        Raises:
            ReconcilerError: a file cannot be written.
        """
        lines, differences = [], []
        for name, content in files.items():
            place = visible(self._folder / name)
            before = self._digest(name)
            if before is None and name in self._written:
                lines.append(f"left out {place} (it was deleted)\n")
            elif before is None and create_file(self._folder, name, content):
                self._record(name, content)
                lines.append(f"wrote    {place}\n")
            elif before == _sha256(content):
                self._record(name, content)
                lines.append(f"kept     {place} (up to date)\n")
            elif before is not None and before == self._written.get(name) and isinstance(content, str):
                self._replace(name, content)
                self._record(name, content)
                lines.append(f"renewed  {place}\n")
            else:
                lines.append(f"kept     {place} (edited; the difference is below)\n")
                differences.append(self._difference(name, content))
        return "".join([*lines, *differences])

    def _difference(self, name: str, content: str | bytes) -> str:
        """Return the changes that would turn a file into ours."""
        if isinstance(content, bytes):
            return ""
        mine, ours = (self._read(name) or "").splitlines(), content.splitlines()
        place = visible(self._folder / name)
        lines = difflib.unified_diff(mine, ours, place, f"{place} of this version", lineterm="")
        return "".join(["\n", *(f"{visible(line)}\n" for line in lines)])

    def _record(self, name: str, content: str | bytes) -> None:
        """Remember a file as it was written, immediately: a run that fails at a later file forgets none."""
        if self._written.get(name) == _sha256(content):
            return
        self._written[name] = _sha256(content)
        text = "".join(f"{digest}  {name}\n" for name, digest in sorted(self._written.items()))
        if not create_file(self._folder, RECORD, text):
            self._replace(RECORD, text)

    def _replace(self, name: str, text: str) -> None:
        """Write a file that exists; never through a symbolic link, which could lead out of the folder."""
        path = self._folder / name
        if path.resolve() != self._folder.resolve() / name:
            raise ReconcilerError(f"{visible(path)} is behind a symbolic link", hint="replace it with a file")
        write_file(str(path), text)

    def _digest(self, name: str) -> str | None:
        path = self._folder / name
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None

    def _read(self, name: str) -> str | None:
        path = self._folder / name
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _sha256(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()
