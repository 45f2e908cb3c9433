"""What the parts of the embedded Zof API share: store, behaviour, quota and request log."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct, field

from reconciler.sandbox.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.sandbox.behavior import Behavior
    from reconciler.sandbox.zof_store import ZofStore

_LOG_LENGTH = 200_000


class LoggedRequest(Struct, frozen=True):
    """One request to the API as it went, without its body."""

    number: int
    method: str
    path: str
    query: str
    status: int | None
    """None: the connection was closed without an answer."""
    at: float
    """Unix time of its arrival."""
    request_id: str
    organization: str | None
    """Whose key it carried; None for a key that is missing or unknown."""
    idempotency_key: str | None


class RequestLog:
    """The newest requests, in the order of their answers. Thread-safe."""

    def __init__(self, last_number: int = 0) -> None:
        """Count on from `last_number`."""
        self._lock = threading.Lock()
        self._entries: deque[LoggedRequest] = deque(maxlen=_LOG_LENGTH)
        self._last_number = last_number

    def next_number(self) -> int:
        """Return a number for a request that has just arrived."""
        with self._lock:
            self._last_number += 1
            return self._last_number

    def add(self, entry: LoggedRequest) -> None:
        """Note a request that is about to be answered."""
        with self._lock:
            self._entries.append(entry)

    def entries(self) -> tuple[LoggedRequest, ...]:
        """Return what was noted, oldest first."""
        with self._lock:
            return tuple(self._entries)


class Quota(Struct, frozen=True):
    """What the rate limit says about one request."""

    limit: int
    remaining: int
    resets_at: int
    """Unix time in whole seconds, rounded up: who waits for it is never early."""
    exceeded: bool


class RateLimiter:
    """Fixed windows, each begun by its first request. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, bucket: str, limit: int, window: float, now: float) -> Quota:
        """Count one request against `bucket`. A request beyond the limit is not counted."""
        with self._lock:
            begun, used = self._windows.get(bucket, (now, 0))
            if not begun <= now < begun + window:
                begun, used = now, 0
            exceeded = used >= limit
            used += not exceeded
            self._windows[bucket] = (begun, used)
        return Quota(limit, max(0, limit - used), math.ceil(begun + window), exceeded)


class ZofState(Struct):
    """One server's state. `behavior` is replaced as a whole, so no request sees half of a change."""

    store: ZofStore
    behavior: Behavior
    clock: Callable[[], float]
    """Unix time."""
    log: RequestLog
    faults: Faults = field(default_factory=Faults)
    limiter: RateLimiter = field(default_factory=RateLimiter)
