"""Diagnostics for a person: place, source line with a caret, related places, hint; then the count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.diagnostics import Severity, page_of
from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, count, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.diagnostics import Diagnostic, Extent
    from reconciler.model import Location

_INKS = {Severity.ERROR: Ink.RED, Severity.WARNING: Ink.YELLOW}


def diagnostics_text(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """Return the diagnostics for a terminal.

    Args:
        diagnostics: in the order in which they are to be shown.
        color: whether to paint with ANSI sequences.
    """
    style = Style(color)
    blocks = ["\n".join(_block(diagnostic, style)) for diagnostic in diagnostics]
    return "\n\n".join([*blocks, _total(diagnostics, style)]) + "\n"


def _block(diagnostic: Diagnostic, style: Style) -> list[str]:
    """Return the lines of one diagnostic."""
    ink = _INKS[diagnostic.severity]
    head = style.paint(f"{diagnostic.severity}[{visible(diagnostic.rule)}]", Ink.BOLD, ink)
    place = f"{style.paint(_place(diagnostic.location), Ink.BOLD)}: " if diagnostic.location else ""
    lines = [f"{place}{head}: {visible(diagnostic.message)}"]
    if diagnostic.location and diagnostic.excerpt is not None:
        mark = style.paint(
            _mark("^", diagnostic.location, diagnostic.excerpt, diagnostic.extent), Ink.BOLD, ink
        )
        lines += _excerpt(diagnostic.location, diagnostic.excerpt, mark, style)
    for other in diagnostic.also:
        note = style.paint("note:", Ink.BOLD)
        lines.append(f"  {note} {_place(other.location)}: {visible(other.message)}")
        if other.excerpt is not None:
            mark = style.paint(_mark("-", other.location, other.excerpt, other.extent), Ink.BOLD, Ink.CYAN)
            lines += _excerpt(other.location, other.excerpt, mark, style)
    if diagnostic.hint:
        lines.append(f"  {style.paint('help:', Ink.BOLD, Ink.CYAN)} {visible(diagnostic.hint)}")
    return lines


def _excerpt(place: Location, source: str, mark: str, style: Style) -> list[str]:
    """Return a source line with its number, and a mark under what is meant."""
    number = str(place.line)
    gutter = style.paint(f"{' ' * len(number)} |", Ink.DIM)
    numbered = style.paint(f"{number} |", Ink.DIM)
    # What stands before the mark may be longer on the screen than in the file, and the reverse.
    before = " " * width(visible(source[: place.column - 1]))
    return [f"  {numbered} {visible(source)}".rstrip(), f"  {gutter} {before}{mark}"]


def _mark(char: str, place: Location, source: str, extent: Extent | None) -> str:
    """Return the characters that stand under what is meant: at least one."""
    end = extent.end if extent else place.column + 1
    return char * max(1, width(visible(source[place.column - 1 : end - 1])))


def _total(diagnostics: Sequence[Diagnostic], style: Style) -> str:
    """Return how many errors and warnings there are, and where more is said about them."""
    errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    warnings = len(diagnostics) - errors
    parts = [count(errors, "error")] if errors or not warnings else []
    parts += [count(warnings, "warning")] if warnings else []
    total = style.paint(" and ".join(parts), Ink.BOLD)
    if not diagnostics:
        return total
    code = visible(diagnostics[0].rule)
    return f"{total}\nMore about a rule: `reconciler validate --explain {code}`, or {page_of(code)}"


def _place(location: Location) -> str:
    """Return a place as editors and terminals understand it."""
    return f"{visible(location.path)}:{location.line}:{location.column}"
