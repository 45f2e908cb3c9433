"""Diagnostics as text: place, source line with a caret, related places, hint; the count at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.diagnostics import Severity, page_of
from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, count, listed, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.diagnostics import Diagnostic, Related
    from reconciler.model import Location

_MOST_PLACES = 5
"""Repetitions of a warning that are named; the rest is counted."""
_INKS = {Severity.ERROR: Ink.RED, Severity.WARNING: Ink.YELLOW}


def diagnostics_text(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """Return the diagnostics for a terminal.

    Args:
        diagnostics: in the order in which to show them.
        color: whether to use ANSI colours.
    """
    style = Style(color)
    blocks = ["\n".join(_block(first, style, others)) for first, others in _grouped(diagnostics)]
    return "\n\n".join([*blocks, _total(diagnostics, style)]) + "\n"


def _grouped(diagnostics: Sequence[Diagnostic]) -> list[tuple[Diagnostic, list[Diagnostic]]]:
    """Return each diagnostic with its repetitions: warnings of one rule with the same texts."""
    found: dict[object, tuple[Diagnostic, list[Diagnostic]]] = {}
    for number, each in enumerate(diagnostics):
        is_warning = each.severity is Severity.WARNING and not each.also
        key: object = (each.rule, each.message, each.hint) if is_warning else number
        if key in found:
            found[key][1].append(each)
        else:
            found[key] = (each, [])
    return list(found.values())


def _repeated(others: Sequence[Diagnostic]) -> str:
    """Return where else a warning applies: the first places, and how many there are."""
    places = [_place(each.location) for each in others if each.location is not None]
    return f"the same at {listed(places, _MOST_PLACES)}"


def _block(diagnostic: Diagnostic, style: Style, others: Sequence[Diagnostic] = ()) -> list[str]:
    """Return the lines of one diagnostic, and of the places of the `others` that are equal."""
    ink = _INKS[diagnostic.severity]
    head = style.paint(f"{diagnostic.severity}[{visible(diagnostic.rule)}]", Ink.BOLD, ink)
    place = f"{style.paint(_place(diagnostic.location), Ink.BOLD)}: " if diagnostic.location else ""
    lines = [f"{place}{head}: {visible(diagnostic.message)}", *_excerpt(diagnostic, "^", ink, style)]
    for other in diagnostic.also:
        note = style.paint("note:", Ink.BOLD)
        lines.append(f"  {note} {_place(other.location)}: {visible(other.message)}")
        lines += _excerpt(other, "-", Ink.CYAN, style)
    if others:
        lines.append(f"  {style.paint('note:', Ink.BOLD)} {_repeated(others)}")
    if diagnostic.hint:
        lines.append(f"  {style.paint('help:', Ink.BOLD, Ink.CYAN)} {visible(diagnostic.hint)}")
    return lines


def _excerpt(where: Diagnostic | Related, mark: str, ink: Ink, style: Style) -> list[str]:
    """Return the source line with its number, underlined with `mark`; nothing without a source line."""
    place, source = where.location, where.excerpt
    if place is None or source is None:
        return []
    number, end = str(place.line), where.extent.end if where.extent else place.column + 1
    # Escapes change the width, so measure the visible text.
    before = " " * width(visible(source[: place.column - 1]))
    underline = style.paint(mark * max(1, width(visible(source[place.column - 1 : end - 1]))), Ink.BOLD, ink)
    return [
        f"  {style.paint(f'{number} |', Ink.DIM)} {visible(source)}".rstrip(),
        f"  {style.paint(' ' * len(number) + ' |', Ink.DIM)} {before}{underline}",
    ]


def _total(diagnostics: Sequence[Diagnostic], style: Style) -> str:
    """Return the number of errors and warnings, and where to read about the first rule."""
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
    """Return a place in the form that editors and terminals link."""
    return f"{visible(location.path)}:{location.line}:{location.column}"
