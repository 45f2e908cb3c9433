"""Replace the measurements in benchmarks/README.md, between their marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BEGIN, END = "<!-- figures: begin (script/bench --write-docs) -->", "<!-- figures: end -->"


def write_document(path: Path, table: str, machine: Mapping[str, str]) -> None:
    """Replace the table and the description of the machine in the document; the other text stays.

    Raises:
        ValueError: the marks are missing.
    """
    path.write_text(renew(path.read_text(encoding="utf-8"), table, machine), encoding="utf-8")


def renew(text: str, table: str, machine: Mapping[str, str]) -> str:
    """Return the document's text with new measurements.

    Raises:
        ValueError: the marks are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"cannot place the measurements: the document lacks `{BEGIN}` or `{END}`")
    taken_on = ", ".join(f"{name} {value}" for name, value in machine.items())
    return f"{before}{BEGIN}\n\n{table}\nTaken on: {taken_on}.\n\n{END}{after}"
