"""The audit log: who changed what, when, and by which request. It is only ever appended to.

One JSON object a line, on disk before the run goes on; never a secret. An event is a request that the API has
answered (`create endpoint`, `delete endpoint`), or a change that ended, by its action:

    {"at": "…", "organization": "acme", "name": "ci", "event": "create endpoint", "ok": true,
     "endpoint_id": "we_1", "request_id": "req_1", "detail": null, "actor": "ada", "commit": "4f0c…",
     "pull_request": "https://…", "run": "https://…"}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from reconciler.apply.json_lines import JsonLines, read_objects
from reconciler.errors import ReconcilerError
from reconciler.plan.history import HistoryEntry
from reconciler.texts import from_timestamp, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from reconciler.model import Run
    from reconciler.ports import Clock, Reporter

_REQUESTS = ("create endpoint", "delete endpoint")


class AuditLog:
    """One organization's audit log in a file. A context manager. Thread-safe."""

    def __init__(
        self, path: Path, organization: str, run: Run, clock: Clock, warn: Callable[[str], None]
    ) -> None:
        """Open nothing yet; `warn` is told when the file cannot be written."""
        self._lines = JsonLines(path, "audit log", warn)
        self._same = {
            "organization": organization,
            "actor": run.actor,
            "commit": run.commit,
            "pull_request": run.pull_request,
            "run": run.url,
        }
        self._clock = clock

    def __enter__(self) -> Self:
        self._lines.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()

    def note(
        self,
        name: str,
        event: str,
        *,
        ok: bool,
        endpoint_id: str | None = None,
        request_id: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Append one line."""
        value: dict[str, Any] = {
            "at": to_timestamp(self._clock.now()),
            "name": name,
            "event": event,
            "ok": ok,
            "endpoint_id": endpoint_id,
            "request_id": request_id,
            "detail": detail,
        }
        self._lines.append(value | self._same)


class Auditor:
    """A `Reporter` that writes the audit log and passes everything on to another."""

    def __init__(self, log: AuditLog, reporter: Reporter) -> None:
        """Write to `log`, then tell `reporter`."""
        self._log = log
        self._reporter = reporter
        self.listed = reporter.listed
        self.planned = reporter.planned
        self.step = reporter.step
        self.waiting = reporter.waiting
        self.warn = reporter.warn

    def answered(
        self, name: str, request: str, *, endpoint_id: str | None, request_id: str | None, ok: bool
    ) -> None:
        """As the port says."""
        self._log.note(name, f"{request} endpoint", ok=ok, endpoint_id=endpoint_id, request_id=request_id)
        self._reporter.answered(name, request, endpoint_id=endpoint_id, request_id=request_id, ok=ok)

    def finished(self, name: str, action: str, *, ok: bool, detail: str | None = None) -> None:
        """As the port says."""
        self._log.note(name, action, ok=ok, detail=detail)
        self._reporter.finished(name, action, ok=ok, detail=detail)


def read_audit(path: Path, organization: str) -> tuple[HistoryEntry, ...]:
    """Return what an audit log says of an organization, in its order; nothing where there is no log.

    Raises:
        ReconcilerError: there is one, and it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return tuple(
                _entry(value) for value in read_objects(file) if value.get("organization") == organization
            )
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ReconcilerError(f"the audit log {path} cannot be read: {error.strerror}") from error


def _entry(value: dict[str, Any]) -> HistoryEntry:
    """Return one line as an entry; what makes no sense is unknown."""
    text = {key: found if isinstance(found := value.get(key), str) else None for key in value}
    return HistoryEntry(
        name=text.get("name") or "-",
        action=text.get("event") or "-",
        is_request=text.get("event") in _REQUESTS,
        at=_moment(text.get("at")),
        actor=text.get("actor"),
        commit=text.get("commit"),
        url=text.get("run"),
        pull_request=text.get("pull_request"),
        endpoint_id=text.get("endpoint_id"),
        request_id=text.get("request_id"),
        ok=value.get("ok") is True,
        detail=text.get("detail"),
    )


def _moment(text: str | None) -> datetime | None:
    try:
        return from_timestamp(text)
    except ValueError:
        return None
