"""Show progress on stderr: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Self, TextIO

from reconciler.report.format.escape import visible
from reconciler.report.format.style import count, duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from rich.progress import Progress, TaskID

    from reconciler.ports import Clock, Reporter

_MINUTE = 60.0
LONGEST_SILENCE = 30.0
"""Seconds after which a run off a terminal writes a sign of life."""
_LONG_REASON = 50
"""Characters of a reason that a row of 80 columns would cut."""


def eta_seconds(done: int, total: int, elapsed: float, requests_per_minute: int) -> float | None:
    """Return the remaining seconds, by the speed so far or by the quota, whichever is slower.

    None before the first request and after the last.
    """
    left = total - done
    if left <= 0 or done <= 0:
        return None
    by_speed = elapsed / done * left
    by_quota = left / requests_per_minute * _MINUTE
    # The requests of the first window do not wait.
    if total <= requests_per_minute:
        by_quota = 0.0
    return max(by_speed, by_quota)


def _answer(request: str, endpoint_id: str | None, request_id: str | None, *, ok: bool) -> str:
    """Return the result of a request, with the id to quote to the API's support."""
    about = f" {endpoint_id}" if endpoint_id else ""
    return f"{request}{about} {'done' if ok else 'not done'} [request {request_id or 'without id'}]"


class LineReporter:
    """Writes a line for each change that ends, and for warnings; everything else if verbose. Thread-safe.

    Inside the context, a thread writes a line whenever nothing was written for 30 seconds.
    """

    def __init__(
        self, stream: TextIO, clock: Clock, *, verbose: int = 0, quiet: bool = False, about: str = ""
    ) -> None:
        """Write to `stream`.

        Args:
            stream: for the lines.
            clock: for the signs of life.
            verbose: counts the `-v`.
            quiet: whether to write warnings only, unless verbose.
            about: the organization, of several.
        """
        self._stream = stream
        self._clock = clock
        self._verbose = verbose
        self._quiet = quiet and not verbose
        self._about = f"{about}: " if about else ""
        self._lock = threading.Lock()
        self._last = clock.monotonic()
        self._current = "waiting"
        self._until, self._reason = 0.0, ""
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to write signs of life."""
        self._last = self._clock.monotonic()
        if not self._quiet:
            self._over.clear()
            self._thread = threading.Thread(target=self._keep_writing, name="signs of life", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the signs of life."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _keep_writing(self) -> None:
        while not self._over.wait(self.sign_of_life()):
            pass

    def sign_of_life(self) -> float:
        """Write a line if nothing was written for 30 seconds; return the seconds until the next is due."""
        now = self._clock.monotonic()
        if now - self._last >= LONGEST_SILENCE:
            is_waiting = self._until > now
            self._line(_wait(self._until - now, self._reason) if is_waiting else f"still {self._current}")
        return max(0.0, LONGEST_SILENCE - (now - self._last))

    def listed(self, endpoints: int, pages: int) -> None:
        """Report how far the listing is."""
        self._current = f"listing: {count(endpoints, 'endpoint')} on {count(pages, 'page')} so far"
        self._report(f"listed {count(endpoints, 'endpoint')} on {count(pages, 'page')}")

    def planned(self, api_requests: int) -> None:
        """Report how many API requests the run needs."""
        self._report(f"{count(api_requests, 'API request')} to send")

    def step(self, name: str, description: str, api_requests: int) -> None:  # noqa: ARG002 (the port's signature)
        """Report a step."""
        self._current = f"at {name}: {description}"
        self._report(f"{name}: {description}")

    def answered(
        self, name: str, request: str, *, endpoint_id: str | None, request_id: str | None, ok: bool
    ) -> None:
        """Report the result of a request."""
        self._report(f"{name}: {_answer(request, endpoint_id, request_id, ok=ok)}")

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        """Report the end of a change."""
        if not self._quiet:
            end = f": {detail}" if detail else ""
            self._line(f"{name}: {action} {'done' if ok else 'not done'}{end}")

    def waiting(self, seconds: float, reason: str) -> None:
        """Report a wait: a long one without -v, too, unless another thread has reported it."""
        until = self._clock.monotonic() + seconds
        with self._lock:
            if seconds <= 0:
                self._until = until
                return
            is_news = seconds >= LONGEST_SILENCE and until >= self._until + 1
            self._until, self._reason = max(until, self._until), reason
        if self._verbose or (is_news and not self._quiet):
            self._line(_wait(seconds, reason))

    def warn(self, message: str) -> None:
        """Write a warning."""
        self._line(message, "warning: ")

    def _report(self, message: str) -> None:
        if self._verbose:
            self._line(message)

    def _line(self, message: str, kind: str = "") -> None:
        with self._lock:
            self._last = self._clock.monotonic()
            try:
                self._stream.write(f"{kind}{self._about}{visible(message)}\n")
                self._stream.flush()
            except OSError:
                # Nobody reads the output any more, or the disk is full; the run continues.
                self._verbose, self._quiet = 0, True


def _wait(seconds: float, reason: str) -> str:
    return f"waiting {duration(round(seconds))}: {reason}"


class Rows:
    """The display of all organizations at work, a row for each. Thread-safe.

    It is shown while there is a row, so that it never overlaps questions and results.
    """

    def __init__(self, progress: Progress) -> None:
        """Show on `progress`, which `Display` builds."""
        self.progress = progress
        self._mutex = threading.Lock()
        self._rows = self._hiders = 0

    def enter(self) -> None:
        """Begin a row."""
        self._change(rows=1)

    def leave(self) -> None:
        """End a row."""
        self._change(rows=-1)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the display inside the context."""
        self._change(hiders=1)
        try:
            yield
        finally:
            self._change(hiders=-1)

    def _change(self, *, rows: int = 0, hiders: int = 0) -> None:
        with self._mutex:
            self._rows += rows
            self._hiders += hiders
            if self._rows and not self._hiders:
                self.progress.start()
            else:
                self.progress.stop()


class BarReporter:
    """A bar of API requests with the remaining time, on a terminal. Thread-safe.

    The bar is shown only inside the context, so that it never overlaps questions and results.
    """

    def __init__(
        self, rows: Rows, clock: Clock, *, requests_per_minute: int, verbose: int = 0, about: str = ""
    ) -> None:
        """Show a row; the quota limits the estimate; `about` is the organization, of several."""
        self._rows = rows
        self._progress = rows.progress
        self._clock = clock
        self._quota = requests_per_minute
        self._verbose = verbose
        self._about = f"{about}: " if about else ""
        self._lock = threading.Lock()
        self._task: TaskID | None = None
        self._total = self._done = 0
        self._began = self._until = 0.0
        self._reason = ""

    def __enter__(self) -> Self:
        """Show the bar."""
        with self._lock:
            # A display without a row would scroll the terminal by a line at each refresh.
            self._show("connecting")
        self._rows.enter()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._rows.leave()
        with self._lock:
            if self._task is not None:
                self._progress.remove_task(self._task)
                self._task = None

    def listed(self, endpoints: int, pages: int) -> None:
        """Show how far the listing is; its end is not known."""
        text = f"{count(endpoints, 'live endpoint')} on {count(pages, 'page')}"
        with self._lock:
            if not self._total:
                self._show(text)

    def planned(self, api_requests: int) -> None:
        """Show a bar of as many requests."""
        with self._lock:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._total, self._done, self._began = api_requests, 0, self._clock.monotonic()
            self._task = self._add_task("starting", api_requests or None)

    def step(self, name: str, description: str, api_requests: int) -> None:
        """Advance the bar by the step's requests."""
        with self._lock:
            # The plan does not count the requests of a clean-up: the bar never passes its end.
            self._done += api_requests
            self._total = max(self._total, self._done)
            self._show(f"{visible(name)}: {visible(description)}")

    def answered(
        self, name: str, request: str, *, endpoint_id: str | None, request_id: str | None, ok: bool
    ) -> None:
        """Write a line above the bar if verbose."""
        if self._verbose:
            self._print(
                f"  {self._about}{visible(name)} {visible(_answer(request, endpoint_id, request_id, ok=ok))}"
            )

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        """Write a line above the bar for a failure, and for every change if verbose."""
        if ok and not self._verbose:
            return
        end = f": {visible(detail)}" if detail else ""
        self._print(f"{'✓' if ok else '✗'} {self._about}{visible(name)} {visible(action)}{end}")

    def waiting(self, seconds: float, reason: str) -> None:
        """Show a countdown until the next step; a reason that its row would cut is also a line above it."""
        with self._lock:
            self._until, self._reason = self._clock.monotonic() + seconds, visible(reason)
        if len(reason) > _LONG_REASON:
            self._print(self._about + _wait(seconds, visible(reason)))

    def warn(self, message: str) -> None:
        """Write a warning above the bar."""
        self._print(f"warning: {self._about}{visible(message)}")

    def note(self) -> str:
        """Return the text after the bar: the current wait, else the remaining time."""
        now = self._clock.monotonic()
        if self._until > now:
            return _wait(self._until - now, self._reason)
        left = eta_seconds(self._done, self._total, now - self._began, self._quota)
        return "" if left is None else f"about {duration(round(left))} left"

    def _show(self, text: str) -> None:
        if self._task is None:
            self._task = self._add_task(text, None)
        known = {"total": self._total, "completed": self._done} if self._total else {}
        self._progress.update(self._task, description=self._about + text, **known)  # type: ignore[arg-type] # (rich types each key apart)

    def _add_task(self, text: str, total: int | None) -> TaskID:
        return self._progress.add_task(self._about + text, total=total, note=self.note)

    def _print(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def shown(reporter: Reporter) -> AbstractContextManager[object]:
    """Return a context that shows the bar of a reporter, or writes its signs of life."""
    return reporter if isinstance(reporter, BarReporter | LineReporter) else nullcontext()
