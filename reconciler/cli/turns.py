"""Process several items at a time, each on a thread of its own; what they write comes out in their order."""

from __future__ import annotations

import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Output = Callable[[], object]

_T = TypeVar("_T")
_R = TypeVar("_R")
_POLL = 0.1
"""Seconds between two looks at `stop`, while an item is waited for."""


class Abandoned(Exception):
    """Nobody waits for this thread's item any more."""


def in_turn(output: Output) -> None:
    """Call `output` when it is the turn of this thread's item; immediately if the thread has none."""
    task = getattr(_mine, "task", None)
    if task is None:
        output()
    else:
        task.outputs.put(output)


def begin_writing() -> None:
    """From now on, this thread's item is waited for, even if `stop` is set.

    Raises:
        Abandoned: it was set before.
    """
    task = getattr(_mine, "task", None)
    if task is not None and not task.commit():
        raise Abandoned


def one_by_one(
    items: Iterable[_T], act: Callable[[_T], _R], *, stop: threading.Event
) -> Iterator[tuple[_T, _R | None]]:
    """Yield each item with what `act` returns for it; with None once `stop` is set."""
    for item in items:
        yield item, None if stop.is_set() else act(item)


def side_by_side(
    items: Iterable[_T],
    act: Callable[[_T], _R],
    *,
    workers: int,
    stop: threading.Event,
    show: Callable[[Output], object],
    on_abandon: Callable[[], object],
) -> Iterator[tuple[_T, _R | None]]:
    """Yield each item, in order, with what `act` returns for it; with None if it is not waited for.

    Args:
        items: what to process.
        act: processes an item, on a thread of its own. It raises nothing but `Abandoned`.
        workers: how many items are processed at a time.
        stop: once it is set, no item is begun, and only those are waited for that write.
        show: calls an output of an item, on this thread, when it is the item's turn.
        on_abandon: called if threads are at work that nobody waits for, to clean up after them.
    """
    tasks: deque[_Task[_T, _R]] = deque(_Task(item, stop) for item in items)
    waiting: SimpleQueue[_Task[_T, _R]] = SimpleQueue()
    for task in tasks:
        waiting.put(task)
    over = threading.Event()
    threads = [
        threading.Thread(target=_work, args=(waiting, act, over), name=f"organization {number}", daemon=True)
        for number in range(min(workers, len(tasks)))
    ]
    for thread in threads:
        thread.start()
    abandoned = False
    try:
        while tasks:
            task = tasks.popleft()
            while (output := task.next_output()) is not None:
                show(output)
            abandoned = abandoned or task.is_abandoned
            yield task.item, None if task.is_abandoned else task.result
    except BaseException:
        abandoned = True
        raise
    finally:
        over.set()
        if abandoned:
            on_abandon()
        else:
            for thread in threads:
                thread.join()


_mine = threading.local()
"""The task of this thread."""


class _Task(Generic[_T, _R]):
    """An item, its outputs and its result."""

    def __init__(self, item: _T, stop: threading.Event) -> None:
        self.item = item
        self.result: _R | None = None
        self.is_abandoned = False
        self.outputs: SimpleQueue[Output | None] = SimpleQueue()
        """None is the end."""
        self._stop = stop
        self._mutex = threading.Lock()
        self._writes = False

    def run(self, act: Callable[[_T], _R]) -> None:
        """Process the item on this thread, unless the run is to stop."""
        _mine.task = self
        try:
            if not self._stop.is_set():
                self.result = act(self.item)
        except Abandoned:
            pass
        finally:
            _mine.task = None
            self.outputs.put(None)

    def commit(self) -> bool:
        """Note that the item must be waited for; False if the run was stopped before."""
        with self._mutex:
            self._writes = self._writes or not self._stop.is_set()
            return self._writes

    def next_output(self) -> Output | None:
        """Wait for the next output, and return it; None at the end, or where the item is abandoned."""
        while True:
            try:
                return self.outputs.get(timeout=_POLL)
            except Empty:
                with self._mutex:
                    self.is_abandoned = self._stop.is_set() and not self._writes
                if self.is_abandoned:
                    return None


def _work(waiting: SimpleQueue[_Task[_T, _R]], act: Callable[[_T], _R], over: threading.Event) -> None:
    while not over.is_set():
        try:
            task = waiting.get_nowait()
        except Empty:
            return
        task.run(act)
