"""Store the events of many requests in one transaction: the disk is waited for once, not once for each."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.receiver.event import Event

    Store = Callable[[Sequence[Event]], int]

_BATCH = 500
_WAITING_MAX = 5000
_MOMENT = 0.02


class TooBusy(ReconcilerError):
    """More events wait to be stored than can be in time."""


class GroupCommit:
    """Stores events while others gather. For one event loop."""

    def __init__(self, store: Store) -> None:
        """`store` stores events durably and blocks meanwhile."""
        self._store = store
        self._waiting: list[tuple[Event, asyncio.Future[ReconcilerError | None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._idle = threading.Event()
        self._idle.set()

    async def store(self, event: Event) -> None:
        """Return when the event is stored.

        Raises:
            ReconcilerError: it may not be.
        """
        if len(self._waiting) >= _WAITING_MAX:
            raise TooBusy("too many events wait to be stored")
        stored: asyncio.Future[ReconcilerError | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, stored))
        if self._task is None:
            self._idle.clear()
            self._task = asyncio.create_task(self._run())
        problem = await stored
        if problem is not None:
            raise ReconcilerError(problem.message, hint=problem.hint)

    def give_way(self) -> None:
        """Block another thread for a moment while events are being stored: their senders wait for answers."""
        self._idle.wait(_MOMENT)

    def close(self) -> None:
        """End the thread, after what is being stored."""
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            problem: ReconcilerError | None = None
            try:
                await loop.run_in_executor(self._thread, self._store, [event for event, _ in batch])
            except ReconcilerError as error:
                problem = error
            except Exception as error:  # noqa: BLE001 (whatever it is, the event is not stored)
                problem = ReconcilerError(f"the event could not be stored: {type(error).__name__}")
            for _, stored in batch:
                # A request that waited too long has been answered.
                if not stored.done():
                    stored.set_result(problem)
        self._task = None
        self._idle.set()
