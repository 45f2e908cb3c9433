"""Who holds the lock, and whether that run is in progress: values for those who apply and those who plan."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from reconciler.plan.plan import ActiveRun
from reconciler.texts import known_timestamp, read_count, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from reconciler.model import Run
    from reconciler.ports import SeenLock

LEASE = timedelta(seconds=30)
_PROC = Path("/proc")
_START_FIELD = 19
"""Field 22 of /proc/<pid>/stat (proc(5)), counted from the field after the program's name."""
_NOTED = ("holder", "host", "boot_id", "pid", "process_start", "run_url", "since")
"""What a plan may see of the lock's fields."""
_ENDED = {"Z", "X"}
"""States of a process that has ended and was not waited for."""


class Holder(Struct, frozen=True):
    """Who holds the lock: enough to find that run, and to see whether it is still in progress."""

    id: str
    """Different for each run."""
    name: str
    host: str
    boot_id: str
    """The host's boot and process namespace, within which a pid is unique. May be empty."""
    pid: int
    process_start: str
    """When the process started, in the kernel's ticks, since pids are reused. May be empty."""
    run_url: str = ""

    @classmethod
    def here(cls, run: Run, *, proc: Path = _PROC) -> Self:
        """Describe this process, which executes `run`; with less detail where `proc` does not exist."""
        return cls(
            id=secrets.token_hex(8),
            name=run.actor or "unknown",
            host=socket.gethostname(),
            boot_id=_boot_id(proc),
            pid=os.getpid(),
            process_start=_process_start(os.getpid(), proc),
            run_url=run.url or "",
        )

    def to_fields(self, *, since: datetime, expires: datetime) -> dict[str, str]:
        """Return the lock document's fields."""
        return {
            "id": self.id,
            "holder": self.name,
            "host": self.host,
            "boot_id": self.boot_id,
            "pid": str(self.pid),
            "process_start": self.process_start,
            "run_url": self.run_url,
            "since": to_timestamp(since) or "",
            "expires": to_timestamp(expires) or "",
        }

    def to_note(self, *, since: datetime) -> dict[str, str]:
        """Return what the lock's metadata shows: printable ASCII, since some servers accept nothing else."""
        fields = self.to_fields(since=since, expires=since)
        texts = {key: plain(fields[key]).encode("ascii", "replace").decode() for key in _NOTED}
        return {key: text for key, text in texts.items() if text}


class LockState(StrEnum):
    """Whether a run may take the lock: in every state but `HELD`."""

    FREE = "free"
    OURS = "ours"
    """This run holds it already: the response to an earlier write was lost."""
    EXPIRED = "expired"
    """Its lease has expired or cannot be read."""
    DEAD = "dead"
    """Its process on this host has ended."""
    HELD = "held"


def lock_state(
    fields: Mapping[str, str] | None,
    holder: Holder,
    now: datetime,
    alive: Callable[[int, str], bool],
) -> LockState:
    """Return the state of the lock as `holder` sees it. Pure.

    Args:
        fields: the lock document's fields; None if the lock is free.
        holder: the run that wants the lock.
        now: the current time.
        alive: whether a process of this host is running, by its pid and start time.
    """
    if not fields:
        return LockState.FREE
    if fields.get("id") == holder.id:
        return LockState.OURS
    expires = known_timestamp(fields.get("expires"))
    if expires is None or expires <= now:
        return LockState.EXPIRED
    process = _process_here(fields, holder)
    return LockState.HELD if process is None or alive(*process) else LockState.DEAD


def _process_here(fields: Mapping[str, str], holder: Holder) -> tuple[int, str] | None:
    """Return the pid and start time of the process that holds the lock if it is one of `holder`'s host."""
    same_boot = holder.boot_id != "" and fields.get("boot_id") == holder.boot_id
    pid, started = read_count(fields.get("pid")), fields.get("process_start", "")
    if not same_boot or fields.get("host") != holder.host or pid is None or not started:
        return None
    return pid, started


def active_run(
    seen: SeenLock | None, here: Holder, *, alive: Callable[[int, str], bool] | None = None
) -> ActiveRun | None:
    """Return the run of another process that holds the lock, as its metadata shows it; None: none does.

    Args:
        seen: the lock's metadata.
        here: this process.
        alive: whether a process of this host is running, by its pid and start time.
    """
    if seen is None or not seen.note or seen.age > LEASE.total_seconds():
        return None
    process = _process_here(seen.note, here)
    if process is not None and (
        process == (here.pid, here.process_start) or not (alive or is_alive)(*process)
    ):
        return None
    by, host, url = (plain(seen.note.get(key, "")) for key in ("holder", "host", "run_url"))
    since = known_timestamp(seen.note.get("since"))
    return ActiveRun(by or "unknown", host or "unknown", since, url or None)


def is_alive(pid: int, process_start: str) -> bool:
    """Whether process `pid` of this host is running and is the one that started at `process_start`."""
    return _process_start(pid, _PROC) == process_start


def _boot_id(proc: Path) -> str:
    """Return an id of this boot and process namespace; empty where the system has none."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {(proc / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process_start(pid: int, proc: Path) -> str:
    """Return when process `pid` started, in ticks since the boot; empty if it is not running."""
    try:
        stat = (proc / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    # The program's name, in parentheses, may contain spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    if len(fields) <= _START_FIELD or fields[0] in _ENDED:
        return ""
    return fields[_START_FIELD]


def plain(text: str) -> str:
    """Return the printable part of `text`: anybody may have written it, with line ends or colours."""
    return "".join(char for char in text if char.isprintable())[:200]
