"""The files in the user's state folder: those of runs, what an interrupted one left, and the inbox."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.apply.run_log import read_cut_off
from reconciler.cli.output import write_note
from reconciler.report.format.style import listed

if TYPE_CHECKING:
    from reconciler.model import Organization

_NAMED = 10


def journal_path(organization: Organization) -> Path:
    """Return where runs for an organization of an API write their journal."""
    return _state_file(organization, "jsonl")


def audit_path(organization: Organization) -> Path:
    """Return where runs for an organization of an API append to the audit log."""
    return _state_file(organization, "audit.jsonl")


def inbox_path(organization: Organization) -> Path:
    """Return where a receiver stores events for an organization of an API."""
    return _state_file(organization, "inbox.db")


def _state_file(organization: Organization, suffix: str) -> Path:
    home = os.path.expanduser("~/.local/state")  # noqa: PTH111 (Path's own raises if there is no home)
    fallback = tempfile.gettempdir() if home.startswith("~") else home
    # The XDG specification: a relative path is ignored, or each folder would have logs of its own.
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    state = named if named.is_absolute() else Path(fallback)
    api = re.sub(r"[^a-z0-9.]+", "-", organization.api_url.partition("://")[2].lower())
    return state / "webhook-reconciler" / f"{api}-{organization.name}.{suffix}"


def report_cut_off(journal: Path) -> None:
    """Write a note to stderr if the last run that wrote `journal` was cut off."""
    left = read_cut_off(journal)
    if left is None:
        return
    by = f" by {left.actor}" if left.actor else ""
    write_note(f"The last run{by} was cut off at {left.at:%Y-%m-%d %H:%M:%S} UTC; nothing is lost.")
    write_note(f"  done:          {listed(left.done, _NAMED)}")
    if left.failed:
        write_note(f"  failed:        {listed(left.failed, _NAMED)}")
    in_progress = [f"{name} ({step})" for name, step in left.in_progress.items()]
    write_note(f"  in progress:   {listed(in_progress, _NAMED)}")
    write_note(f"  not attempted: {listed(left.not_attempted, _NAMED)}")
