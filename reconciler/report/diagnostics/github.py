"""Diagnostics as GitHub's workflow commands, which annotate the lines of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.report.format.github import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.diagnostics import Diagnostic


def diagnostics_github(diagnostics: Sequence[Diagnostic]) -> str:
    """Return one workflow command for each diagnostic."""
    return "".join(_command(diagnostic) for diagnostic in diagnostics)


def _command(diagnostic: Diagnostic) -> str:
    """Return one workflow command."""
    lines = [diagnostic.message, *(f"note: {other.location}: {other.message}" for other in diagnostic.also)]
    if diagnostic.hint:
        lines.append(f"help: {diagnostic.hint}")
    end = diagnostic.extent.end if diagnostic.extent else None
    return command(
        diagnostic.severity, diagnostic.rule, "\n".join(lines), diagnostic.location, end_column=end
    )
