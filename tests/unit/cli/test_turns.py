"""Several items at a time: outputs come in order, and nobody waits for what an interrupt abandons."""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.turns import Abandoned, begin_writing, in_turn, one_by_one, side_by_side
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence


class Show:
    """Records what is shown, and on which thread."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.abandoned = threading.Event()

    def __call__(self, output: Callable[[], object]) -> None:
        self.threads.add(threading.current_thread())
        output()

    def write(self, text: str) -> None:
        in_turn(partial(self.texts.append, text))

    def run(
        self,
        items: Sequence[str],
        act: Callable[[str], str],
        workers: int = 8,
        stop: threading.Event | None = None,
    ) -> Generator[tuple[str, str | None]]:
        yield from side_by_side(
            items,
            act,
            workers=workers,
            stop=stop or threading.Event(),
            show=self,
            on_abandon=self.abandoned.set,
        )


def test_outputs_come_in_order_whichever_ends_first() -> None:
    """All are at work at the same time, the last ends first; this thread shows what they write."""
    show, together = Show(), threading.Barrier(3)
    ended = {name: threading.Event() for name in "abc"}
    ended["end"] = threading.Event()
    ended["end"].set()
    after = dict(zip("abc", ["b", "c", "end"], strict=True))

    def act(name: str) -> str:
        together.wait(PATIENCE)
        show.write(f"{name} begins")
        assert ended[after[name]].wait(PATIENCE)
        show.write(f"{name} ends")
        ended[name].set()
        return name.upper()

    assert list(show.run("abc", act)) == [("a", "A"), ("b", "B"), ("c", "C")]
    assert show.texts == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]
    assert show.threads == {threading.current_thread()}
    assert not show.abandoned.is_set()


def test_no_more_are_at_work_than_asked_for() -> None:
    """Each pair of workers meets; nobody else is at work meanwhile."""
    at_work: set[str] = set()
    most, pair, mutex = [0], threading.Barrier(2), threading.Lock()

    def act(name: str) -> str:
        with mutex:
            at_work.add(name)
            most[0] = max(most[0], len(at_work))
        pair.wait(PATIENCE)
        with mutex:
            at_work.remove(name)
        return name

    assert [result for _, result in Show().run("abcdefgh", act, workers=2)] == list("abcdefgh")
    assert most == [2]


def test_a_stop_waits_only_for_what_writes() -> None:
    """What only reads is abandoned, and must not begin to write; what was not begun is left out."""
    show, stop = Show(), threading.Event()
    writing, reading, hold = threading.Event(), threading.Event(), threading.Event()
    refused = threading.Event()

    def act(name: str) -> str:
        if name == "writer":
            begin_writing()
            writing.set()
            assert stop.wait(PATIENCE)
            show.write("the step is finished")
        elif name == "reader":
            reading.set()
            assert hold.wait(PATIENCE)
            try:
                begin_writing()
            except Abandoned:
                refused.set()
                raise
        return name

    def interrupt() -> None:
        assert writing.wait(PATIENCE)
        assert reading.wait(PATIENCE)
        stop.set()

    threading.Thread(target=interrupt).start()
    ended = []
    for each in show.run(["writer", "reader", "third"], act, workers=2, stop=stop):
        ended.append(each)
        if each[0] == "reader":
            hold.set()
    assert ended == [("writer", "writer"), ("reader", None), ("third", None)]
    assert show.texts == ["the step is finished"]
    assert show.abandoned.is_set()
    assert refused.wait(PATIENCE)


def test_an_interrupt_abandons_everything() -> None:
    """It passes through; nothing else begins, and whoever is at work is asked to end."""
    show = Show()
    begun = []

    def act(name: str) -> str:
        begun.append(name)
        in_turn(_interrupt)
        assert show.abandoned.wait(PATIENCE)
        return name

    with closing(show.run("abc", act, workers=1)) as running, pytest.raises(KeyboardInterrupt):
        next(running)
    assert begun == ["a"]
    assert show.abandoned.is_set()


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_alone_an_output_is_shown_immediately() -> None:
    """One after another, on this thread; a stop leaves out the rest."""
    show, stop = Show(), threading.Event()

    def act(name: str) -> str:
        begin_writing()
        show.write(name)
        if name == "b":
            stop.set()
        return name

    assert list(one_by_one("abc", act, stop=stop)) == [("a", "a"), ("b", "b"), ("c", None)]
    assert show.texts == ["a", "b"]
