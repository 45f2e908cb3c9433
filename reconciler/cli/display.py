"""The progress of a command on stderr: one display, with a row for each organization at work."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

from reconciler.cli.output import wants_color
from reconciler.cli.progress import BarReporter, LineReporter, Rows
from reconciler.texts import read_count

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from reconciler.cli.options import Options
    from reconciler.ports import Clock


class Display:
    """Makes the reporters that fit stderr: rows of one display on a terminal, lines elsewhere."""

    def __init__(
        self, *, verbose: int = 0, show_progress: bool = False, color: bool = False, several: bool = False
    ) -> None:
        """Show nothing yet. Of `several` organizations, each line and row names its own."""
        self._verbose = verbose
        self._several = several
        self._show_progress = show_progress
        self._color = color
        self._mutex = threading.Lock()
        self._rows: Rows | None = None

    @classmethod
    def of(cls, options: Options, *, several: bool) -> Display:
        """Return the display that the options choose."""
        color = wants_color(sys.stderr, os.environ, no_color=options.no_color)
        return cls(
            verbose=options.verbose, show_progress=not options.no_progress, color=color, several=several
        )

    def reporter(
        self, organization: str, clock: Clock, *, requests_per_minute: int
    ) -> LineReporter | BarReporter:
        """Return the reporter of an organization."""
        if not self._show_progress or not sys.stderr.isatty():
            return self.lines(organization, clock)
        with self._mutex:
            # Late: not every command shows a bar.
            rows = self._rows = self._rows or _make_rows(color=self._color)
        return BarReporter(
            rows,
            clock,
            requests_per_minute=requests_per_minute,
            verbose=self._verbose,
            about=self._about(organization),
        )

    def lines(self, organization: str, clock: Clock) -> LineReporter:
        """Return a reporter that writes lines on a terminal, too."""
        return LineReporter(
            sys.stderr,
            clock,
            verbose=self._verbose,
            quiet=not self._show_progress,
            about=self._about(organization),
        )

    def hidden(self) -> AbstractContextManager[None]:
        """Return a context that hides the rows, so that results can be written."""
        return nullcontext() if self._rows is None else self._rows.hidden()

    def _about(self, organization: str) -> str:
        return organization if self._several else ""


def _make_rows(*, color: bool) -> Rows:
    for name in ("COLUMNS", "LINES"):
        # rich fails at digits that are not a number, such as `²`.
        if read_count(os.environ.get(name)) is None:
            os.environ.pop(name, None)
    from rich.console import Console  # noqa: PLC0415 (rich is slow to import)
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Note(ProgressColumn):
        """The text after the bar, asked for at each refresh so that a wait counts down."""

        def render(self, task: Task) -> Text:
            total = "" if task.total is None else f"{task.completed:.0f}/{task.total:.0f} "
            return Text(total + task.fields["note"]())

    return Rows(
        Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=44)),
            BarColumn(bar_width=20),
            Note(table_column=Column(no_wrap=True)),
            console=Console(stderr=True, no_color=not color, highlight=False),
            transient=True,
        )
    )
