"""The run log: a journal for the next run and an audit log for the record, both JSON Lines, without secrets.

The journal has each step before it is taken, so that a killed run leaves a report. Nothing depends on it:
what to do next follows from Vault and the API alone.

    {"at": "…", "event": "began", "organization": "acme", "actor": "ada", "digest": "sha256:…",
     "changes": {"ci": "create"}}
    {"at": "…", "event": "step", "name": "ci", "step": "create the endpoint"}
    {"at": "…", "event": "ended", "name": "ci", "action": "create", "ok": true, "detail": null}
    {"at": "…", "event": "over"}

The audit log says who changed what, when, and by which request; it only grows. An event is a request that the
API has answered (`create endpoint`, `delete endpoint`), or a change that ended, by its action:

    {"at": "…", "organization": "acme", "name": "ci", "event": "create endpoint", "ok": true,
     "endpoint_id": "we_1", "request_id": "req_1", "detail": null, "actor": "ada", "commit": "4f0c…",
     "pull_request": "https://…", "run": "https://…"}
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TextIO

from msgspec import Struct, field

from reconciler.credentials.outgoing import outgoing
from reconciler.errors import ReconcilerError
from reconciler.named_files import append_line, open_log, open_regular
from reconciler.plan.history import HistoryEntry
from reconciler.texts import known_timestamp, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from reconciler.model import Run
    from reconciler.plan.plan import Plan
    from reconciler.ports import Clock, Reporter

_P = ParamSpec("_P")
_JOURNAL_MAX = 64 * 1024 * 1024
_REQUESTS = ("create endpoint", "delete endpoint")


class RunLog:
    """A `Reporter` that writes one run's journal and audit log. A context manager. Thread-safe.

    A disk that is full or read-only does not stop the run: it gets one warning, and that file is not written
    any more.
    """

    def __init__(
        self,
        organization: str,
        run: Run,
        clock: Clock,
        *,
        journal: Path,
        audit: Path,
        warn: Callable[[str], None],
    ) -> None:
        """Open nothing yet; `warn` is called when a file cannot be written."""
        self._journal = _JsonLines(journal, "journal", warn)
        self._audit = _JsonLines(audit, "audit log", warn)
        self._clock = clock
        self._actor = run.actor
        self._origin = {
            "organization": organization,
            "actor": run.actor,
            "commit": run.commit,
            "pull_request": run.pull_request,
            "run": run.url,
        }

    def __enter__(self) -> Self:
        # The audit log says what happened: nobody may direct it into another file.
        self._audit.open(follow=False, begin=False)
        self._journal.open(follow=True, begin=True)
        # `read_cut_off` sees by this lock that the run is still in progress.
        self._journal.lock()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # One of our own errors is reported to the user: that run was not cut off.
        if kind is None or issubclass(kind, ReconcilerError):
            self._journal.append(self._at() | {"event": "over"})
        self._journal.close()
        self._audit.close()

    def began(self, plan: Plan) -> None:
        """Log what this run is going to do."""
        changes = {change.name: change.action.value for change in plan.changes}
        event = {"event": "began", "organization": plan.organization, "actor": self._actor}
        self._journal.append(self._at() | event | {"digest": plan.digest, "changes": changes})

    def step(self, name: str, description: str, api_requests: int) -> None:  # noqa: ARG002 (the port's signature)
        """Log a step that is about to be taken."""
        self._journal.append(self._at() | {"event": "step", "name": name, "step": description})

    def answered(
        self, name: str, request: str, *, endpoint_id: str | None, request_id: str | None, ok: bool
    ) -> None:
        """Log the result of a request that creates or deletes an endpoint."""
        self._record(name, f"{request} endpoint", ok=ok, endpoint_id=endpoint_id, request_id=request_id)

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        """Log the end of a change."""
        ended = {"event": "ended", "name": name, "action": action, "ok": ok, "detail": detail}
        self._journal.append(self._at() | ended)
        self._record(name, action, ok=ok, detail=detail)

    def listed(self, *_: object, **__: object) -> None:
        """Not logged."""

    planned = waiting = warn = listed

    def _record(
        self,
        name: str,
        event: str,
        *,
        ok: bool,
        endpoint_id: str | None = None,
        request_id: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Append one line to the audit log."""
        values = {"name": name, "event": event, "ok": ok}
        ids = {"endpoint_id": endpoint_id, "request_id": request_id}
        self._audit.append(self._at() | values | ids | {"detail": detail} | self._origin)

    def _at(self) -> dict[str, Any]:
        return {"at": to_timestamp(self._clock.now())}


class Reporters:
    """A `Reporter` that passes each call on to several, in their order."""

    def __init__(self, *reporters: Reporter) -> None:
        self.listed = _each([reporter.listed for reporter in reporters])
        self.planned = _each([reporter.planned for reporter in reporters])
        self.step = _each([reporter.step for reporter in reporters])
        self.answered = _each([reporter.answered for reporter in reporters])
        self.finished = _each([reporter.finished for reporter in reporters])
        self.waiting = _each([reporter.waiting for reporter in reporters])
        self.warn = _each([reporter.warn for reporter in reporters])


def _each(calls: list[Callable[_P, None]]) -> Callable[_P, None]:
    def call(*args: _P.args, **kwargs: _P.kwargs) -> None:
        for each in calls:
            each(*args, **kwargs)

    return call


class _JsonLines:
    """A file of JSON Lines that is only appended to, and is on disk when `append` returns. Thread-safe."""

    def __init__(self, path: Path, what: str, warn: Callable[[str], None]) -> None:
        self._path = path
        self._what = what
        self._warn = warn
        self._mutex = threading.Lock()
        self._file: int | None = None

    def open(self, *, follow: bool, begin: bool) -> None:
        """Open the file, private to its owner.

        Args:
            follow: whether a symbolic link is followed.
            begin: whether to begin a new file, and to keep the old one under another name.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = open_log(self._path, follow=follow, begin=begin)
        except (OSError, ValueError) as error:
            self._give_up(error)

    def lock(self) -> None:
        """Lock the file until it is closed, unless another process has locked it."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, value: Mapping[str, Any]) -> None:
        """Write one line; in a regular file it is on disk at the end."""
        line = outgoing(json.dumps(value)) + "\n"
        with self._mutex:
            if self._file is None:
                return
            try:
                append_line(self._file, line.encode())
            except OSError as error:
                os.close(self._file)
                self._file = None
                self._give_up(error)

    def close(self) -> None:
        """Close the file, if it is open."""
        with self._mutex:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _give_up(self, error: OSError | ValueError) -> None:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        self._warn(f"cannot write the {self._what} {self._path}: {why}; the run continues without it")


class CutOff(Struct, frozen=True):
    """What a run that was cut off had done, by its journal."""

    at: datetime
    """When it took its last step (aware)."""
    actor: str | None
    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    in_progress: Mapping[str, str] = field(default_factory=dict)
    """The step that each change in progress was about to take, by name."""
    not_attempted: tuple[str, ...] = ()


def read_cut_off(path: Path) -> CutOff | None:
    """Return what the journal's last run left; None if it ended, is in progress or left no journal."""
    try:
        with _open_text(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            lines = file.read(_JOURNAL_MAX).splitlines()
    except (OSError, ValueError):
        return None
    events = list(_read_objects(lines))
    if not events or events[-1].get("event") == "over":
        return None
    began, last = events[0], events[-1]
    changes = began.get("changes")
    at = known_timestamp(last.get("at"))
    if not isinstance(changes, dict) or at is None:
        return None
    ends = {str(e.get("name")): e.get("ok") is True for e in events if e.get("event") == "ended"}
    steps = {str(e.get("name")): str(e.get("step")) for e in events if e.get("event") == "step"}
    return CutOff(
        at=at,
        actor=_text(began.get("actor")),
        done=tuple(sorted(name for name, ok in ends.items() if ok)),
        failed=tuple(sorted(name for name, ok in ends.items() if not ok)),
        in_progress={name: steps[name] for name in sorted(steps.keys() - ends.keys())},
        not_attempted=tuple(sorted(changes.keys() - steps.keys() - ends.keys())),
    )


def read_audit(path: Path, organization: str) -> tuple[HistoryEntry, ...]:
    """Return an organization's entries in an audit log, in their order; nothing if there is no log.

    Raises:
        ReconcilerError: the log cannot be read.
    """
    try:
        with _open_text(path) as file:
            return tuple(
                _entry(value) for value in _read_objects(file) if value.get("organization") == organization
            )
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ReconcilerError(f"cannot read the audit log {path}: {error.strerror}") from error


def _open_text(path: Path) -> TextIO:
    """Open a log for reading. A pipe or a device is not read: nobody knows when it ends."""
    return os.fdopen(open_regular(path), encoding="utf-8", errors="replace")


def _entry(value: dict[str, Any]) -> HistoryEntry:
    text = {key: _text(each) for key, each in value.items()}
    return HistoryEntry(
        name=text.get("name") or "-",
        action=text.get("event") or "-",
        is_request=text.get("event") in _REQUESTS,
        at=known_timestamp(value.get("at")),
        actor=text.get("actor"),
        commit=text.get("commit"),
        url=text.get("run"),
        pull_request=text.get("pull_request"),
        endpoint_id=text.get("endpoint_id"),
        request_id=text.get("request_id"),
        ok=value.get("ok") is True,
        detail=text.get("detail"),
    )


def _read_objects(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects; skip other lines: the last may have been cut off, and anybody may write the file."""
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
