"""Diagnostics as text for people, as JSON for programs, and as annotations for GitHub Actions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from reconciler.diagnostics import Severity
from reconciler.report.escape import visible
from reconciler.report.style import Ink, Style, count, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.diagnostics import Diagnostic
    from reconciler.model import Location

_INKS = {Severity.ERROR: Ink.RED, Severity.WARNING: Ink.YELLOW}


def diagnostics_text(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """Return the diagnostics for a terminal: place, source line with a caret, hint, and the count at the end.

    Args:
        diagnostics: in the order in which they are to be shown.
        color: whether to paint with ANSI sequences.
    """
    style = Style(color)
    blocks = ["\n".join(_block(diagnostic, style)) for diagnostic in diagnostics]
    return "\n\n".join([*blocks, _total(diagnostics, style)]) + "\n"


def diagnostics_json(diagnostics: Sequence[Diagnostic]) -> str:
    """Return the diagnostics as a JSON array, one object each; lines and columns count from 1."""
    return json.dumps([_object(diagnostic) for diagnostic in diagnostics], indent=2) + "\n"


def diagnostics_github(diagnostics: Sequence[Diagnostic]) -> str:
    """Return the diagnostics as GitHub's workflow commands, which annotate the lines of a pull request."""
    return "".join(_command(diagnostic) for diagnostic in diagnostics)


def _block(diagnostic: Diagnostic, style: Style) -> list[str]:
    """Return the lines of one diagnostic."""
    head = style.paint(
        f"{diagnostic.severity}[{visible(diagnostic.rule)}]", Ink.BOLD, _INKS[diagnostic.severity]
    )
    place = f"{style.paint(_place(diagnostic.location), Ink.BOLD)}: " if diagnostic.location else ""
    lines = [f"{place}{head}: {visible(diagnostic.message)}"]
    if diagnostic.location and diagnostic.excerpt is not None:
        lines += _excerpt(diagnostic.location, diagnostic.excerpt, style, _INKS[diagnostic.severity])
    lines += [f"  {style.paint('note:', Ink.BOLD)} see also {_place(other)}" for other in diagnostic.also]
    if diagnostic.hint:
        lines.append(f"  {style.paint('help:', Ink.BOLD, Ink.CYAN)} {visible(diagnostic.hint)}")
    return lines


def _excerpt(place: Location, source: str, style: Style, ink: Ink) -> list[str]:
    """Return a source line with its number, and a caret under the column."""
    number = str(place.line)
    before = source[: place.column - 1]
    gutter = style.paint(f"{' ' * len(number)} |", Ink.DIM)
    numbered = style.paint(f"{number} |", Ink.DIM)
    # What stands before the caret may be longer on the screen than in the file, and the reverse.
    caret = " " * width(visible(before)) + style.paint("^", Ink.BOLD, ink)
    return [f"  {numbered} {visible(source)}".rstrip(), f"  {gutter} {caret}"]


def _total(diagnostics: Sequence[Diagnostic], style: Style) -> str:
    """Return how many errors and warnings there are."""
    errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    warnings = len(diagnostics) - errors
    parts = [count(errors, "error")] if errors or not warnings else []
    parts += [count(warnings, "warning")] if warnings else []
    return style.paint(" and ".join(parts), Ink.BOLD)


def _place(location: Location) -> str:
    """Return a place as editors and terminals understand it."""
    return f"{visible(location.path)}:{location.line}:{location.column}"


def _object(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return the JSON object of one diagnostic."""
    return {
        "severity": str(diagnostic.severity),
        "rule": diagnostic.rule,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "location": _location(diagnostic.location) if diagnostic.location else None,
        "also": [_location(other) for other in diagnostic.also],
    }


def _location(location: Location) -> dict[str, Any]:
    """Return the JSON object of a place."""
    return {"path": location.path, "line": location.line, "column": location.column}


def _command(diagnostic: Diagnostic) -> str:
    """Return one workflow command."""
    properties = {"title": diagnostic.rule}
    if place := diagnostic.location:
        properties = {"file": place.path, "line": str(place.line), "col": str(place.column), **properties}
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = diagnostic.message + (f"\nhelp: {diagnostic.hint}" if diagnostic.hint else "")
    return f"::{diagnostic.severity} {listed}::{_data(message)}\n"


def _data(text: str) -> str:
    """Escape the message of a workflow command.

    Line breaks and the percent sign by GitHub's own rules; what else would steer a terminal becomes visible.
    """
    lines = text.splitlines()
    return "%0A".join(visible(line).replace("%", "%25") for line in lines)


def _property(text: str) -> str:
    """Escape a property of a workflow command, which colons and commas would end."""
    return visible(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
