"""The lock that keeps two runs of one organization apart.

It is a courtesy: it saves two runs from racing each other, and safety does not depend on it. So it may
be wrong in favour of going on, and losing it in the middle of a run is told, not fatal.
"""

from __future__ import annotations

import contextlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from reconciler.apply.holder import Verdict, is_alive, may_take
from reconciler.errors import CasConflict, LockHeld, ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from reconciler.apply.holder import Holder
    from reconciler.ports import Clock, LockStore

LEASE = timedelta(seconds=30)
RENEWAL = 10.0
"""Seconds between renewals: two may fail before the lease lapses."""
_POLL = 1.0


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
