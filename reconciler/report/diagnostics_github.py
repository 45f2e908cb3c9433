"""Diagnostics as GitHub's workflow commands, which annotate the lines of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.report.escape import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.diagnostics import Diagnostic


def diagnostics_github(diagnostics: Sequence[Diagnostic]) -> str:
    """Return one workflow command for each diagnostic."""
    return "".join(_command(diagnostic) for diagnostic in diagnostics)


def _command(diagnostic: Diagnostic) -> str:
    """Return one workflow command."""
    properties = {"title": diagnostic.rule}
    if place := diagnostic.location:
        where = {"file": place.path, "line": str(place.line), "col": str(place.column)}
        end = {"endColumn": str(diagnostic.extent.end)} if diagnostic.extent else {}
        properties = {**where, **end, **properties}
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    lines = [diagnostic.message, *(f"note: {other.location}: {other.message}" for other in diagnostic.also)]
    if diagnostic.hint:
        lines.append(f"help: {diagnostic.hint}")
    return f"::{diagnostic.severity} {listed}::{'%0A'.join(map(_data, lines))}\n"


def _data(text: str) -> str:
    """Escape the message of a workflow command.

    Line breaks and the percent sign by GitHub's own rules; what else would steer a terminal becomes visible.
    """
    lines = text.splitlines()
    return "%0A".join(visible(line).replace("%", "%25") for line in lines)


def _property(text: str) -> str:
    """Escape a property of a workflow command, which colons and commas would end."""
    return visible(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
