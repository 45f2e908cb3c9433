"""The look of the progress bar; apart because it imports rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from reconciler.cli.terminal import BarReporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.ports import Clock


class _Note(ProgressColumn):
    """What stands behind the bar: asked for anew at each refresh, so that a wait counts down."""

    def __init__(self, note: Callable[[], str]) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._note = note

    def render(self, task: Task) -> Text:
        return Text(("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f} ") + self._note())


def make_progress(clock: Clock, *, requests_per_minute: int, verbose: int, color: bool) -> BarReporter:
    """Return a reporter whose bar appears on stderr and leaves nothing behind."""
    console = Console(stderr=True, no_color=not color, highlight=False)
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=44)),
        BarColumn(bar_width=20),
        console=console,
        transient=True,
    )
    reporter = BarReporter(progress, clock, requests_per_minute=requests_per_minute, verbose=verbose)
    progress.columns = (*progress.columns, _Note(reporter.note))
    return reporter
