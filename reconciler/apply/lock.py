"""The lock that keeps two runs of one organization apart.

It is a courtesy: it saves two runs from racing each other, and safety does not depend on it. So it may
be wrong in favour of going on, and losing it in the middle of a run is told, not fatal.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from reconciler.errors import CasConflict, LockHeld, ReconcilerError
from reconciler.texts import from_timestamp, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType

    from reconciler.model import Run
    from reconciler.ports import Clock, LockStore

LEASE = timedelta(seconds=30)
RENEWAL = 10.0
"""Seconds between renewals: two may fail before the lease lapses."""
_POLL = 1.0
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


class _Watch(Struct):
    """How long a held lock has not changed, by our own clock: the holder's clock may be wrong."""

    version: int = -1
    since: float = 0.0

    def unchanged(self, version: int, now: float) -> float:
        """Return the seconds since `version` was first seen."""
        if version != self.version:
            self.version, self.since = version, now
        return now - self.since


class Lock:
    """The lock of one organization. A context manager: held inside, freed at the end.

    While it is held, a thread renews the lease, since a wait for the API's quota may outlast it.
    """

    def __init__(
        self,
        store: LockStore,
        clock: Clock,
        holder: Holder,
        *,
        timeout: float = 60.0,
        renewal: float = RENEWAL,
        warn: Callable[[str], None] = lambda _message: None,
        alive: Callable[[int, str], bool] = is_alive,
    ) -> None:
        """Take nothing yet.

        Args:
            store: where the lock lies.
            clock: waits for the lock and dates the lease.
            holder: this run.
            timeout: how many seconds `acquire` waits for another run.
            renewal: the seconds between two renewals.
            warn: called, from any thread, when the lock is lost or cannot be freed.
            alive: whether a process of this host still runs.
        """
        self._store = store
        self._clock = clock
        self._holder = holder
        self._timeout = timeout
        self._renewal = renewal
        self._warn = warn
        self._alive = alive
        self._mutex = threading.Lock()
        self._version: int | None = None
        self._since = clock.now()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = False
        """Somebody else took the lock while this run went on."""

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    # --- taking it ----------------------------------------------------------------------------------

    def acquire(self) -> bool:
        """Take the lock, waiting for another run to end; return whether we had to wait.

        Raises:
            LockHeld: it is still held after `timeout` seconds.
            StoreError: the store refuses or does not answer.
        """
        started = self._clock.monotonic()
        watch = _Watch()
        waited = False
        while True:
            version, fields = self._store.read_lock()
            verdict = may_take(fields, self._holder, self._clock.now(), self._alive)
            still = watch.unchanged(version, self._clock.monotonic()) >= LEASE.total_seconds()
            if verdict is not Verdict.HELD or still:
                if self._take(version):
                    return waited
                # Another run was faster: this is about that one.
                _, fields = self._store.read_lock()
            waited = True
            if self._clock.monotonic() - started >= self._timeout:
                raise _held(fields or {})
            self._clock.sleep(min(_POLL, self._timeout))

    def _take(self, version: int) -> bool:
        """Write our name into the lock; False when another run was faster."""
        self._since = self._clock.now()
        with self._mutex:
            try:
                self._version = self._store.write_lock(self._fields(), cas=version)
            except CasConflict:
                return False
            self.lost = False
        self._stopped.clear()
        self._thread = threading.Thread(target=self._keep_renewing, name="lock renewal", daemon=True)
        self._thread.start()
        return True

    def _fields(self) -> dict[str, str]:
        return self._holder.to_fields(since=self._since, expires=self._clock.now() + LEASE)

    # --- keeping it ---------------------------------------------------------------------------------

    def _keep_renewing(self) -> None:
        while not self._stopped.wait(self._renewal):
            self.renew()

    def renew(self) -> None:
        """Extend the lease. Losing the lock is told once and ends the renewing; nothing is raised."""
        with self._mutex:
            if self._version is None:
                return
            # Where the store does not answer, the next renewal may still be in time.
            with contextlib.suppress(ReconcilerError):
                try:
                    self._version = self._store.write_lock(self._fields(), cas=self._version)
                except CasConflict:
                    self._look_who_has_it()
            lost = self.lost
        if lost:
            self._stopped.set()
            self._warn("another run has taken the lock over; this run goes on")

    def _look_who_has_it(self) -> None:
        version, fields = self._store.read_lock()
        ours = fields is not None and fields.get("id") == self._holder.id
        self._version = version if ours else None
        self.lost = not ours

    # --- giving it back -----------------------------------------------------------------------------

    def release(self) -> None:
        """Free the lock if it is still ours. Never raises: a lock that stays lapses by itself."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._mutex:
            version, self._version = self._version, None
            if version is None:
                return
            try:
                self._store.write_lock(None, cas=version)
            except CasConflict:
                self.lost = True
            except ReconcilerError as error:
                self._warn(f"the lock could not be freed and lapses by itself: {error.message}")


def _held(fields: Mapping[str, str]) -> LockHeld:
    holder, host = (_plain(fields.get(key, "")) or "unknown" for key in ("holder", "host"))
    since = _plain(fields.get("since", "")) or "an unknown time"
    where = f" ({_plain(fields['run_url'])})" if fields.get("run_url") else ""
    return LockHeld(
        f"another run holds the lock: {holder} on {host} since {since}{where}",
        hint="wait for it to end, or raise --lock-timeout; the lock of a dead run lapses in 30 seconds",
    )


def _plain(text: str) -> str:
    """Return `text` without what could forge lines or colours: anybody may have written it."""
    return "".join(char for char in text if char.isprintable())[:200]


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
