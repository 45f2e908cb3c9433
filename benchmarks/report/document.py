"""Renews the figures in docs/performance.md, between their marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BEGIN, END = "<!-- figures: begin (script/bench --write-docs) -->", "<!-- figures: end -->"


def write_document(path: Path, table: str, machine: Mapping[str, str]) -> None:
    """Put the table and what it was taken on into the document, and leave the rest as it is.

    Raises:
        ValueError: the document has no such marks.
    """
    path.write_text(renew(path.read_text(encoding="utf-8"), table, machine), encoding="utf-8")


def renew(text: str, table: str, machine: Mapping[str, str]) -> str:
    """Return the document's text with other figures. Raises as `write_document`."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks `{BEGIN}` or `{END}`")
    taken_on = ", ".join(f"{name} {value}" for name, value in machine.items())
    return f"{before}{BEGIN}\n\n{table}\nTaken on: {taken_on}.\n\n{END}{after}"
