"""Progress on stderr: a bar for a person who waits, warnings for everybody, lines where asked for."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Self, TextIO

from reconciler.report.format.escape import visible
from reconciler.report.format.style import count, duration

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID

    from reconciler.ports import Clock

_MINUTE = 60.0


def eta_seconds(done: int, total: int, elapsed: float, requests_per_minute: int) -> float | None:
    """Return how long the rest takes: by the speed so far or by the quota, whichever is slower.

    None while nothing can be said: before the first request, or when nothing is left.
    """
    left = total - done
    if left <= 0 or done <= 0:
        return None
    by_speed = elapsed / done * left
    by_quota = left / requests_per_minute * _MINUTE
    # The first window's requests may go at once: what is left of it does not wait.
    if total <= requests_per_minute:
        by_quota = 0.0
    return max(by_speed, by_quota)


def _answer(request: str, endpoint_id: str | None, request_id: str | None, *, ok: bool) -> str:
    """Return what became of a request, with the id to quote to the API's support."""
    about = f" {endpoint_id}" if endpoint_id else ""
    return f"{request}{about} {'done' if ok else 'not done'} [request {request_id or 'without id'}]"


class LineReporter:
    """Lines on a stream: warnings always, the rest when asked for. Thread-safe."""

    def __init__(self, stream: TextIO, *, verbose: int = 0) -> None:
        """Write to `stream`; `verbose` as often as `-v` was given."""
        self._stream = stream
        self._verbose = verbose
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Begin: nothing to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End: nothing to do."""

    def listed(self, endpoints: int, pages: int) -> None:
        """Tell how far the listing has come."""
        self._tell(f"listed {count(endpoints, 'endpoint')} on {count(pages, 'page')}")

    def planned(self, api_requests: int) -> None:
        """Tell how many API requests are coming."""
        self._tell(f"{count(api_requests, 'API request')} to send")

    def step(self, name: str, description: str, api_requests: int) -> None:  # noqa: ARG002 (the port's signature)
        """Tell of a step."""
        self._tell(f"{name}: {description}")

    def answered(
        self, name: str, request: str, *, endpoint_id: str | None, request_id: str | None, ok: bool
    ) -> None:
        """Tell what became of a request."""
        self._tell(f"{name}: {_answer(request, endpoint_id, request_id, ok=ok)}")

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        """Tell that a change ended."""
        end = f": {detail}" if detail else ""
        self._tell(f"{name}: {action} {'done' if ok else 'not done'}{end}")

    def waiting(self, seconds: float, reason: str) -> None:
        """Tell of a wait."""
        self._tell(f"waiting {duration(seconds)}: {reason}")

    def warn(self, message: str) -> None:
        """Warn, whatever the verbosity."""
        self._line(f"warning: {message}")

    def _tell(self, message: str) -> None:
        if self._verbose:
            self._line(message)

    def _line(self, message: str) -> None:
        with self._lock:
            try:
                self._stream.write(f"{visible(message)}\n")
                self._stream.flush()
            except BrokenPipeError:
                # Nobody reads: the run goes on all the same.
                self._verbose = 0


class BarReporter:
    """A bar of API requests, with the time that is left, on a terminal. Thread-safe.

    The bar is there only inside the context, so that questions and results never meet it.
    """

    def __init__(
        self, progress: Progress, clock: Clock, *, requests_per_minute: int, verbose: int = 0
    ) -> None:
        """Show on `progress`, which `make_reporter` builds; the quota bounds the estimate."""
        self._progress = progress
        self._clock = clock
        self._quota = requests_per_minute
        self._verbose = verbose
        self._lock = threading.Lock()
        self._task: TaskID | None = None
        self._total = self._done = 0
        self._began = self._until = 0.0
        self._reason = ""

    def __enter__(self) -> Self:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        with self._lock:
            if self._task is not None:
                self._progress.remove_task(self._task)
                self._task = None
        self._progress.stop()

    def listed(self, endpoints: int, pages: int) -> None:
        """Show how far the listing has come: its end is not known."""
        text = f"{count(endpoints, 'live endpoint')} on {count(pages, 'page')}"
        with self._lock:
            if not self._total:
                self._show(text)

    def planned(self, api_requests: int) -> None:
        """Show a bar of so many requests."""
        with self._lock:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._total, self._done, self._began = api_requests, 0, self._clock.monotonic()
            self._task = self._progress.add_task("starting", total=api_requests or None, note="")

    def step(self, name: str, description: str, api_requests: int) -> None:
        """Move the bar on by the step's requests."""
        with self._lock:
            # A compensation was not planned: the bar never passes its end.
            self._done += api_requests
            self._total = max(self._total, self._done)
            self._show(f"{visible(name)}: {visible(description)}")

    def answered(
        self, name: str, request: str, *, endpoint_id: str | None, request_id: str | None, ok: bool
    ) -> None:
        """Leave a line above the bar when asked for."""
        if self._verbose:
            self._print(f"  {visible(name)} {visible(_answer(request, endpoint_id, request_id, ok=ok))}")

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        """Leave a line above the bar for what failed, and for everything when asked for."""
        if ok and not self._verbose:
            return
        end = f": {visible(detail)}" if detail else ""
        self._print(f"{'✓' if ok else '✗'} {visible(name)} {visible(action)}{end}")

    def waiting(self, seconds: float, reason: str) -> None:
        """Show a countdown until the next step."""
        with self._lock:
            self._until, self._reason = self._clock.monotonic() + seconds, visible(reason)

    def warn(self, message: str) -> None:
        """Leave a warning above the bar."""
        self._print(f"warning: {visible(message)}")

    def note(self) -> str:
        """Return what stands behind the bar now: the wait, else the time that is left."""
        now = self._clock.monotonic()
        if self._until > now:
            return f"waiting {duration(round(self._until - now))}: {self._reason}"
        left = eta_seconds(self._done, self._total, now - self._began, self._quota)
        return "" if left is None else f"about {duration(round(left))} left"

    def _show(self, text: str) -> None:
        if self._task is None:
            self._task = self._progress.add_task(text, total=None)
        known = {"total": self._total, "completed": self._done} if self._total else {}
        self._progress.update(self._task, description=text, **known)  # type: ignore[arg-type] # (rich types each key apart)

    def _print(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


Terminal = LineReporter | BarReporter


def make_reporter(
    clock: Clock, *, requests_per_minute: int, verbose: int, show_bar: bool, color: bool
) -> Terminal:
    """Return the reporter that fits stderr: a bar on a terminal, lines elsewhere."""
    if not show_bar or not sys.stderr.isatty():
        return LineReporter(sys.stderr, verbose=verbose)
    from reconciler.cli.bar import make_progress  # noqa: PLC0415 (rich is slow to import)

    return make_progress(clock, requests_per_minute=requests_per_minute, verbose=verbose, color=color)
