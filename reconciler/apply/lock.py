"""The lock that keeps two runs of one organization apart.

Safety does not depend on it: it only saves two runs from racing each other. So in doubt a run takes the lock
over, and a run that loses it warns and continues.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from reconciler.apply.holder import LEASE, LockState, is_alive, lock_state, plain
from reconciler.errors import CasConflict, LockHeld, ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.apply.holder import Holder
    from reconciler.ports import Clock, LockStore

RENEWAL = 10.0
"""Seconds between renewals: two may fail before the lease expires."""
_POLL = 1.0


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
        waiting: Callable[[float, str], None] = lambda _seconds, _reason: None,
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
            waiting: called with the longest wait in seconds and its reason, once for each run that holds the
                lock meanwhile; with 0 when the wait has ended.
            alive: whether a process of this host is running.
        """
        self._store = store
        self._clock = clock
        self._holder = holder
        self._timeout = timeout
        self._renewal = renewal
        self._warn = warn
        self._waiting = waiting
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

        The wait is reported with the run that holds the lock.

        Raises:
            LockHeld: another run still holds it after `timeout` seconds.
            StoreError: the store refused or did not answer.
        """
        started = self._clock.monotonic()
        watch = _Watch()
        waited_for: str | None = None
        while True:
            version, fields = self._store.read_lock()
            state = lock_state(fields, self._holder, self._clock.now(), self._alive)
            still = watch.unchanged(version, self._clock.monotonic()) >= LEASE.total_seconds()
            if state is not LockState.HELD or still:
                if self._take(version):
                    if waited_for is not None:
                        self._waiting(0.0, "")
                    return waited_for is not None
                # Another run was faster: report that one.
                _, fields = self._store.read_lock()
            held = _held(fields or {})
            left = self._timeout - (self._clock.monotonic() - started)
            if left <= 0:
                raise held
            if held.message != waited_for:
                if waited_for is not None:
                    self._waiting(0.0, "")
                waited_for = held.message
                self._waiting(left, waited_for)
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
    holder, host = (plain(fields.get(key, "")) or "unknown" for key in ("holder", "host"))
    since = plain(fields.get("since", "")) or "an unknown time"
    where = f" ({plain(fields['run_url'])})" if fields.get("run_url") else ""
    return LockHeld(
        f"another run holds the lock: {holder} on {host} since {since}{where}",
        hint="wait for it to end, or raise --lock-timeout; the lock of a dead run expires in 30 seconds",
    )
