"""A checklist as text and JSON: what is well, what is not, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.errors import ExitCode
from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, pad, width

if TYPE_CHECKING:
    from collections.abc import Sequence


class Check(Struct, frozen=True):
    """One thing that a run needs."""

    name: str
    ok: bool | None
    """None: it could not be checked, because something before it is not well."""
    detail: str
    hint: str | None = None
    exit_code: ExitCode = ExitCode.OK
    """What a run would end with for this."""


_MARKS = {True: ("✓", Ink.GREEN), False: ("✗", Ink.RED), None: ("○", Ink.DIM)}


def checkup_text(organization: str, checks: Sequence[Check], *, color: bool = False) -> str:
    """Return the checklist as text, ending in a newline."""
    style = Style(color)
    column = max(width(visible(check.name)) for check in checks)
    lines = [style.paint(visible(organization), Ink.BOLD)]
    for check in checks:
        mark, ink = _MARKS[check.ok]
        lines.append(
            f"  {style.paint(mark, ink)} {pad(visible(check.name), column)}  {visible(check.detail)}"
        )
        if check.hint:
            lines.append(f"      hint: {visible(check.hint)}")
    return "\n".join(lines) + "\n"


def checkup_value(organization: str, checks: Sequence[Check]) -> dict[str, Any]:
    """Return the checklist as a JSON object."""
    return {
        "organization": organization,
        "ok": all(check.ok for check in checks),
        "checks": [
            {"name": check.name, "ok": check.ok, "detail": check.detail, "hint": check.hint}
            for check in checks
        ],
    }
