"""New files: written in one piece, and never in the place of anything that is there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from reconciler.cli.output import umask
from reconciler.errors import ReconcilerError
from reconciler.report.format.escape import visible


def create_file(root: Path, name: str, text: str) -> bool:
    """Write the file `name` below `root`; return False, and write nothing, where something has that name.

    Whoever looks sees all of it or nothing. A symbolic link counts as something, wherever it leads.

    Raises:
        ReconcilerError: it cannot be written, or a link below `root` would take it elsewhere.
    """
    target = root / name
    try:
        if not target.parent.resolve().is_relative_to(root.resolve()):
            raise ReconcilerError(
                f"{visible(target.parent)} leads out of {visible(root)}", hint="replace the symbolic link"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            return False
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o666 & ~umask())
            # Unlike a rename, a link never replaces what somebody else has made meanwhile.
            os.link(temporary, target)
        finally:
            Path(temporary).unlink()
    except FileExistsError:
        if os.path.lexists(target):
            return False
        raise ReconcilerError(
            f"cannot write {visible(target)}: a file stands where a folder is needed",
            hint="name another folder",
        ) from None
    # A link that leads to itself is a RuntimeError before Python 3.13.
    except (OSError, ValueError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise ReconcilerError(
            f"cannot write {visible(target)}: {why}", hint="name a folder that is yours"
        ) from error
    return True
