"""The journal: each step of a run, on disk before it is taken, so that a killed run leaves a report.

Nothing depends on it: what is to be done next follows from Vault and the API alone. It is for people, who
want to know what the run that was cut off had done, had in hand and had not begun. JSON Lines:

    {"at": "…", "event": "began", "organization": "acme", "actor": "ada", "digest": "sha256:…",
     "changes": {"ci": "create"}}
    {"at": "…", "event": "step", "name": "ci", "step": "create the endpoint"}
    {"at": "…", "event": "ended", "name": "ci", "action": "create", "ok": true, "detail": null}
    {"at": "…", "event": "over"}
"""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct, field

from reconciler.apply.json_lines import JsonLines, read_objects
from reconciler.errors import ReconcilerError
from reconciler.texts import from_timestamp, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from reconciler.plan.plan import Plan
    from reconciler.ports import Clock, Reporter

_SIZE_MAX = 64 * 1024 * 1024


class Journal:
    """One run's journal in a file. A context manager; what the file held before is kept as `.previous`."""

    def __init__(self, path: Path, clock: Clock, warn: Callable[[str], None]) -> None:
        """Open nothing yet; `warn` is told when the file cannot be written."""
        self._lines = JsonLines(path, "journal", warn)
        self._clock = clock

    def __enter__(self) -> Self:
        self._lines.open(keep_previous=True)
        # As long as it is locked, its run is at work and was not cut off.
        self._lines.lock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An error that is told comes to an end of its own.
        if kind is None or issubclass(kind, ReconcilerError):
            self._append("over")
        self._lines.close()

    def began(self, plan: Plan, actor: str | None) -> None:
        """Note what this run is going to do."""
        changes = {change.name: change.action.value for change in plan.changes}
        self._append(
            "began", organization=plan.organization, actor=actor, digest=plan.digest, changes=changes
        )

    def step(self, name: str, step: str) -> None:
        """Note a step that is about to be taken."""
        self._append("step", name=name, step=step)

    def ended(self, name: str, action: str, *, ok: bool, detail: str | None) -> None:
        """Note what became of a change."""
        self._append("ended", name=name, action=action, ok=ok, detail=detail)

    def _append(self, event: str, **values: Any) -> None:
        self._lines.append({"at": to_timestamp(self._clock.now()), "event": event, **values})


class Recorder:
    """A `Reporter` that writes the journal and passes everything on to another."""

    def __init__(self, journal: Journal, reporter: Reporter) -> None:
        """Write to `journal`, then tell `reporter`."""
        self._journal = journal
        self._reporter = reporter
        self.listed = reporter.listed
        self.answered = reporter.answered
        self.planned = reporter.planned
        self.waiting = reporter.waiting
        self.warn = reporter.warn

    def step(self, name: str, description: str, api_requests: int) -> None:
        """As the port says."""
        self._journal.step(name, description)
        self._reporter.step(name, description, api_requests)

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        """As the port says."""
        self._journal.ended(name, action, ok=ok, detail=detail)
        self._reporter.finished(name, action, ok=ok, detail=detail)


class CutOff(Struct, frozen=True):
    """What a run that was cut off had done."""

    at: datetime
    """When it took its last step (aware)."""
    actor: str | None
    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    in_hand: Mapping[str, str] = field(default_factory=dict)
    """The step that each change in hand was about to take, by name."""
    not_attempted: tuple[str, ...] = ()


def read_cut_off(path: Path) -> CutOff | None:
    """Return what the journal's last run left; None where it ended, is at work, or nothing can be told."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            lines = file.read(_SIZE_MAX).splitlines()
    except (OSError, ValueError):
        return None
    return _cut_off(list(read_objects(lines)))


def _cut_off(events: list[dict[str, Any]]) -> CutOff | None:
    if not events or events[-1].get("event") == "over":
        return None
    began, last = events[0], events[-1]
    changes = began.get("changes")
    at = _moment(last.get("at"))
    if not isinstance(changes, dict) or at is None:
        return None
    ends = {str(e.get("name")): e.get("ok") is True for e in events if e.get("event") == "ended"}
    steps = {str(e.get("name")): str(e.get("step")) for e in events if e.get("event") == "step"}
    return CutOff(
        at=at,
        actor=actor if isinstance(actor := began.get("actor"), str) else None,
        done=tuple(sorted(name for name, ok in ends.items() if ok)),
        failed=tuple(sorted(name for name, ok in ends.items() if not ok)),
        in_hand={name: steps[name] for name in sorted(steps.keys() - ends.keys())},
        not_attempted=tuple(sorted(changes.keys() - steps.keys() - ends.keys())),
    )


def _moment(text: object) -> datetime | None:
    try:
        return from_timestamp(text) if isinstance(text, str) else None
    except ValueError:
        return None
