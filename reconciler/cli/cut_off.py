"""What a run that was cut off had done: told before the next one goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.apply.run_log import read_cut_off
from reconciler.cli.output import write_note
from reconciler.report.format.style import count

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAMED = 10


def tell_what_was_cut_off(journal: Path) -> None:
    """Write a note to stderr if the last run that wrote `journal` did not come to its end."""
    left = read_cut_off(journal)
    if left is None:
        return
    by = f" by {left.actor}" if left.actor else ""
    write_note(f"The last run{by} was cut off at {left.at:%Y-%m-%d %H:%M:%S} UTC; nothing is lost.")
    write_note(f"  done:          {_listed(left.done)}")
    if left.failed:
        write_note(f"  failed:        {_listed(left.failed)}")
    in_progress = [f"{name} ({step})" for name, step in left.in_progress.items()]
    write_note(f"  in progress:   {_listed(in_progress)}")
    write_note(f"  not attempted: {_listed(left.not_attempted)}")


def _listed(names: Iterable[str]) -> str:
    """Return the names, or the first of many and how many more there are."""
    given = list(names)
    more = f" and {count(len(given) - _NAMED, 'other')}" if len(given) > _NAMED else ""
    return (", ".join(given[:_NAMED]) + more) or "-"
