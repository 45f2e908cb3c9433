"""Register the tokens of logins with the masker of GitHub's runner, if it reads our output.

The runner does not know them, since they are not the repository's secrets. The command for it contains the
token, so nothing else may read it, such as `tee` or a file that stderr is redirected to.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.guarded import GuardedStream
from reconciler.credentials.known import KNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model import Secret

_PROC = Path("/proc")
_ACCESS = 0o3
"""The bits of a file's flags that say whether it is open for reading."""
_LONGEST_CHAIN = 64


def hide_token(token: Secret, environ: Mapping[str, str] = os.environ) -> None:
    """Mask a token of a login in our output and, in a job of GitHub Actions, in the job's log."""
    KNOWN.add(token)
    stream = sys.stderr
    if environ.get("GITHUB_ACTIONS") != "true" or not isinstance(stream, GuardedStream):
        return
    try:
        reaches_runner = is_read_by_ancestor(stream.fileno())
    except (OSError, ValueError):
        return
    if reaches_runner:
        stream.write_unmasked(f"::add-mask::{token.reveal()}\n")
        stream.flush()


def is_read_by_ancestor(descriptor: int, proc: Path = _PROC) -> bool:
    """Return whether a pipe's readers are processes that started us, as far as they can be seen.

    The runner starts our shell and reads its output. In a container it cannot be seen: then nobody is seen to
    read the pipe.
    """
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return False
    readers = _readers(f"pipe:[{os.fstat(descriptor).st_ino}]", proc)
    return not readers or not readers.isdisjoint(_ancestors(proc))


def _readers(pipe: str, proc: Path) -> set[int]:
    """Return the other processes that have a pipe open for reading."""
    found = set()
    for file in proc.glob("[0-9]*/fd/*"):
        process = int(file.parent.parent.name)
        try:
            if process == os.getpid() or str(file.readlink()) != pipe:
                continue
            details = (file.parent.parent / "fdinfo" / file.name).read_text("ascii")
        except OSError:
            # It ended, or belongs to somebody else.
            continue
        flags = next(line.split()[1] for line in details.splitlines() if line.startswith("flags:"))
        if int(flags, 8) & _ACCESS == os.O_RDONLY:
            found.add(process)
    return found


def _ancestors(proc: Path) -> set[int]:
    """Return the processes that started us, as far as they can be seen."""
    found: set[int] = set()
    process = os.getppid()
    while process > 0 and len(found) < _LONGEST_CHAIN:
        found.add(process)
        try:
            # The name, in parentheses, may contain anything.
            process = int(
                (proc / str(process) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1]
            )
        except (OSError, ValueError, IndexError):
            break
    return found
