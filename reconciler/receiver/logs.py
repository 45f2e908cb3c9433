"""The receiver's log: one JSON object a line, without bodies, signatures and secrets."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

log = logging.getLogger("reconciler.receiver")


def write_log(level: int, message: str, **fields: object) -> None:
    """Log what happened. The fields are names, ids, numbers and our own words."""
    if log.isEnabledFor(level):
        log.log(level, message, extra={"fields": fields})


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Other loggers' exceptions are named by type: their texts might quote a request."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
        return json.dumps(line, default=str)


def log_to(stream: TextIO | None = None, *, verbose: bool = False) -> None:
    """Write the log of the receiver and of its server to a stream; None: to stderr.

    `verbose`: also accepted deliveries.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    server = logging.getLogger("uvicorn")
    server.handlers[:] = [handler]
    server.propagate = False
    server.setLevel(logging.WARNING)
