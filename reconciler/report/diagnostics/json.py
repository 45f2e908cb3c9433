"""Diagnostics as a JSON array."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from reconciler.diagnostics import page_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.diagnostics import Diagnostic, Extent
    from reconciler.model import Location


def diagnostics_json(diagnostics: Sequence[Diagnostic]) -> str:
    """Return the diagnostics as a JSON array. Lines and columns count from 1, columns in characters."""
    return json.dumps([_object(diagnostic) for diagnostic in diagnostics], indent=2) + "\n"


def _object(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return the JSON object of one diagnostic."""
    return {
        "severity": str(diagnostic.severity),
        "rule": diagnostic.rule,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "location": _location(diagnostic.location, diagnostic.extent) if diagnostic.location else None,
        "also": [
            {**_location(other.location, other.extent), "message": other.message} for other in diagnostic.also
        ],
        "docs": page_of(diagnostic.rule),
    }


def _location(location: Location, extent: Extent | None) -> dict[str, Any]:
    """Return the JSON object of a place; `end_column` is the first column after it, or null if unknown."""
    end = extent.end if extent else None
    return {"path": location.path, "line": location.line, "column": location.column, "end_column": end}
