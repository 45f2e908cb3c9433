"""One exit code for several organizations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORST_FIRST = (
    ExitCode.FAILED,
    ExitCode.INVALID,
    ExitCode.LOCKED,
    ExitCode.REFUSED,
    ExitCode.PARTIAL,
    ExitCode.PENDING,
    ExitCode.OK,
)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the code that asks for attention first: 1, 3, 6, 4, 5, 2, 0; 0 where there is none."""
    given = set(codes)
    return next((code for code in _WORST_FIRST if code in given), ExitCode.OK)
