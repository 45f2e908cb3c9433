"""Who holds a lock, and whether it may be taken from them."""

from __future__ import annotations

import os
import secrets
import socket
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from reconciler.texts import from_timestamp, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from reconciler.model import Run

_PROC = Path("/proc")
_START_FIELD = 19
"""Field 22 of /proc/<pid>/stat, counted from the one after the program's name (proc(5))."""
_GONE = {"Z", "X"}
"""The states of a process that has ended and is still listed."""


class Holder(Struct, frozen=True):
    """Who holds the lock: enough to tell whether it still runs, and to find it."""

    id: str
    """Different for each run."""
    name: str
    host: str
    boot_id: str
    """Which boot of the host, and which of its process namespaces: pids are unique in there. May be empty."""
    pid: int
    process_start: str
    """When the process started, in the kernel's ticks: a pid is used again. May be empty."""
    run_url: str = ""

    @classmethod
    def here(cls, run: Run, *, proc: Path = _PROC) -> Self:
        """Describe this process, which carries out `run`. Where `proc` is missing it just says less."""
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


class Verdict(StrEnum):
    """Whether the lock may be taken, and why."""

    FREE = "free"
    OURS = "ours"
    """We hold it already: an earlier write's answer was lost."""
    LAPSED = "lapsed"
    """Its lease has run out, or says nothing that can be understood."""
    DEAD = "dead"
    """Its process is gone from this host."""
    HELD = "held"


def may_take(
    fields: Mapping[str, str] | None,
    holder: Holder,
    now: datetime,
    alive: Callable[[int, str], bool],
) -> Verdict:
    """Decide whether `holder` may take the lock. Pure.

    Args:
        fields: the lock document's fields, None where the lock is free.
        holder: who asks.
        now: the time.
        alive: whether a process of this host still runs, by its pid and start time.
    """
    if not fields:
        return Verdict.FREE
    if fields.get("id") == holder.id:
        return Verdict.OURS
    expires = _moment(fields.get("expires"))
    if expires is None or expires <= now:
        return Verdict.LAPSED
    same_boot = holder.boot_id != "" and fields.get("boot_id") == holder.boot_id
    if same_boot and fields.get("host") == holder.host:
        pid, started = fields.get("pid", ""), fields.get("process_start", "")
        if pid.isdecimal() and started and not alive(int(pid), started):
            return Verdict.DEAD
    return Verdict.HELD


def is_alive(pid: int, process_start: str) -> bool:
    """Whether the process `pid` of this host runs and is the one that started at `process_start`."""
    return _process_start(pid, _PROC) == process_start


def _moment(text: str | None) -> datetime | None:
    try:
        return from_timestamp(text)
    except ValueError:
        return None


def _boot_id(proc: Path) -> str:
    """Return what tells this boot and this process namespace from others; empty where nothing does."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {(proc / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process_start(pid: int, proc: Path) -> str:
    """Return when process `pid` started, in ticks since the boot; empty where it does not run."""
    try:
        stat = (proc / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    # The program's name, in parentheses, may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    if len(fields) <= _START_FIELD or fields[0] in _GONE:
        return ""
    return fields[_START_FIELD]
