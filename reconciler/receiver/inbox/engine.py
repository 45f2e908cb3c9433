"""Open the database of an inbox, with settings under which a commit survives a crash and a power failure."""

from __future__ import annotations

import contextlib
import resource
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from reconciler.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import URL

_BUSY_SECONDS = 5.0
_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 15
_POOL = 100
"""Connections at most: one for each webhook that is handed on, and a few more."""


def parse_url(url: str) -> URL:
    """Return the URL of an inbox.

    Raises:
        UsageError: it is not one of an engine that is supported.
    """
    hint = "use sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The error quotes the URL, which may contain a password.
        raise UsageError("the inbox is not a URL", hint=hint) from None
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return parsed.set(drivername="sqlite+pysqlite")
    if kind in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    what = "an inbox in memory loses events" if kind == "sqlite" else f"an inbox in {kind} is not supported"
    raise UsageError(what, hint=hint)


def open_engine(url: URL, *, durable: bool) -> Engine:
    """Return the engine of an inbox; nothing is connected yet.

    Args:
        url: from `parse_url`.
        durable: whether a commit is on disk when it returns. Otherwise it survives the end of the process,
            but possibly not a power failure.

    Raises:
        UsageError: the driver is not installed.
    """
    # SQLAlchemy would put bodies and signatures into its errors.
    options: dict[str, Any] = {"hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        _create_file(Path(url.database or ""))
        engine = create_engine(
            url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False}, **options
        )
        synchronous = "FULL" if durable else "NORMAL"
        event.listen(engine, "connect", lambda connection, _: _set_up_sqlite(connection, synchronous))
        return engine
    try:
        engine = create_engine(
            url,
            connect_args={"connect_timeout": _CONNECT_SECONDS},
            max_overflow=_POOL,
            pool_pre_ping=True,
            **options,
        )
    except (ImportError, NoSuchModuleError):
        raise UsageError(
            "an inbox in PostgreSQL needs psycopg, which is not installed",
            hint="pip install 'webhook-reconciler[receiver,postgresql]'",
        ) from None
    event.listen(engine, "connect", lambda connection, _: _set_up_postgresql(connection, durable=durable))
    return engine


def free_space(database: Path) -> float:
    """Return by how many bytes the files of a SQLite database may grow.

    Two limits are known: the free space of the disk, and the size that this process may give to a file.
    """
    # What cannot be asked is reported by the write itself.
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(database.parent).free
        largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if largest == resource.RLIM_INFINITY:
            return free
        files = (database, database.with_name(f"{database.name}-wal"))
        return min(free, largest - max(file.stat().st_size for file in files if file.exists()))
    return float("inf")


def _create_file(path: Path) -> None:
    """Create the database's file for this user alone, because it contains events."""
    # An error is reported by the first connection.
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)


def _set_up_sqlite(connection: Any, synchronous: str) -> None:
    """Let readers and one writer work side by side, and a commit wait for the disk."""
    for setting in (
        "journal_mode = WAL",
        f"synchronous = {synchronous}",
        # Where fsync alone does not reach the disk (macOS).
        "fullfsync = ON",
    ):
        connection.execute(f"PRAGMA {setting}").close()


def _set_up_postgresql(connection: Any, *, durable: bool) -> None:
    """A role or a database may have another default; a statement must not take longer than a delivery."""
    connection.execute(f"SET synchronous_commit = {'on' if durable else 'local'}")
    connection.execute(f"SET statement_timeout = '{_STATEMENT_SECONDS}s'")
    connection.commit()
