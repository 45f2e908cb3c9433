"""The lock that keeps two runs of one organization apart.

Safety does not depend on it: it only saves two runs from racing each other. So in doubt a run takes the lock
over, and a run that loses it warns and continues.
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
from reconciler.plan.plan import ActiveRun
from reconciler.texts import known_timestamp, read_count, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from reconciler.model import Run
    from reconciler.ports import Clock, LockStore, SeenLock

LEASE = timedelta(seconds=30)
RENEWAL = 10.0
"""Seconds between renewals: two may fail before the lease expires."""
_POLL = 1.0
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
        texts = {key: _plain(fields[key]).encode("ascii", "replace").decode() for key in _NOTED}
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
    by, host, url = (_plain(seen.note.get(key, "")) for key in ("holder", "host", "run_url"))
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


class _Watch(Struct):
    """How long a held lock has not changed by this run's clock: the holder's clock may be wrong."""

    version: int = -1
    since: float = 0.0

    def unchanged(self, version: int, now: float) -> float:
        """Return the seconds since `version` was first seen."""
        if version != self.version:
            self.version, self.since = version, now
        return now - self.since


class Lock:
    """The lock of one organization. A context manager that holds it.

    While it is held, a thread renews the lease: a wait for the API's quota may be longer than the lease.
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
        """Prepare; `acquire` takes the lock.

        Args:
            store: has the lock document.
            clock: for waiting, and for the lease's dates.
            holder: this run.
            timeout: seconds that `acquire` waits for another run.
            renewal: seconds between renewals.
            warn: called from any thread when the lock is lost or cannot be released.
            alive: whether a process of this host is running.
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
        """Whether another run has taken the lock over."""

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> bool:
        """Take the lock, if need be after another run ends; return whether this run had to wait.

        Raises:
            LockHeld: another run still holds it after `timeout` seconds.
            StoreError: the store refused or did not answer.
        """
        started = self._clock.monotonic()
        watch = _Watch()
        waited = False
        while True:
            version, fields = self._store.read_lock()
            state = lock_state(fields, self._holder, self._clock.now(), self._alive)
            still = watch.unchanged(version, self._clock.monotonic()) >= LEASE.total_seconds()
            if state is not LockState.HELD or still:
                if self._take(version):
                    return waited
                # Another run was faster: report that one.
                _, fields = self._store.read_lock()
            waited = True
            if self._clock.monotonic() - started >= self._timeout:
                raise _held(fields or {})
            self._clock.sleep(min(_POLL, self._timeout))

    def _take(self, version: int) -> bool:
        """Write this run into the lock; return False if another run was faster."""
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
        self._note(self._holder.to_note(since=self._since))
        return True

    def _fields(self) -> dict[str, str]:
        return self._holder.to_fields(since=self._since, expires=self._clock.now() + LEASE)

    def _note(self, note: Mapping[str, str]) -> None:
        """Show who holds the lock to those who may read only metadata. The run does not depend on it."""
        with contextlib.suppress(ReconcilerError):
            self._store.note_lock(note)

    def _keep_renewing(self) -> None:
        while not self._stopped.wait(self._renewal):
            self.renew()

    def renew(self) -> None:
        """Extend the lease. Never raises: a lost lock gives one warning and ends the renewals."""
        with self._mutex:
            if self._version is None:
                return
            # If the store does not answer, the next renewal may still be in time.
            with contextlib.suppress(ReconcilerError):
                try:
                    self._version = self._store.write_lock(self._fields(), cas=self._version)
                except CasConflict:
                    self._check_owner()
            lost = self.lost
        if lost:
            self._stopped.set()
            self._warn("another run has taken over the lock; this run continues")

    def _check_owner(self) -> None:
        version, fields = self._store.read_lock()
        ours = fields is not None and fields.get("id") == self._holder.id
        self._version = version if ours else None
        self.lost = not ours

    def release(self) -> None:
        """Release the lock if this run still holds it. Never raises: a lock that stays expires by itself."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._mutex:
            version, self._version = self._version, None
            if version is None:
                return
            # Before the lock is free: the next holder's note must stay.
            self._note({})
            try:
                self._store.write_lock(None, cas=version)
            except CasConflict:
                self.lost = True
            except ReconcilerError as error:
                self._warn(f"could not release the lock, which expires in 30 seconds: {error.message}")


def _held(fields: Mapping[str, str]) -> LockHeld:
    holder, host = (_plain(fields.get(key, "")) or "unknown" for key in ("holder", "host"))
    since = _plain(fields.get("since", "")) or "an unknown time"
    where = f" ({_plain(fields['run_url'])})" if fields.get("run_url") else ""
    return LockHeld(
        f"another run holds the lock: {holder} on {host} since {since}{where}",
        hint="wait for it to end, or raise --lock-timeout; the lock of a dead run expires in 30 seconds",
    )


def _plain(text: str) -> str:
    """Return the printable part of `text`: anybody may have written it, with line ends or colours."""
    return "".join(char for char in text if char.isprintable())[:200]
