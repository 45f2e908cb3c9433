"""How the fleet stands, in a few words and numbers."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.report.format.style import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.report.status.text import StatusLine


class Posture(StrEnum):
    """How one webhook stands: what needs a person first comes first."""

    DRIFTED = "drifted"
    INTERRUPTED = "interrupted"
    UNVERIFIED = "unverified"
    ROTATION_DUE = "rotation due"
    PENDING = "pending"
    IN_SYNC = "in sync"
    RELEASED = "released"
    UNMANAGED = "unmanaged"

    @property
    def slug(self) -> str:
        """The word as a class name."""
        return self.value.replace(" ", "-")


_NOT_OURS = {Posture.RELEASED, Posture.UNMANAGED}
_CALM = {Posture.IN_SYNC} | _NOT_OURS


def posture_of(line: StatusLine) -> Posture:
    """Return how a webhook stands; every `pending …` is pending."""
    return Posture(line.state) if line.state in set(Posture) else Posture.PENDING


def counts_of(postures: Iterable[Posture]) -> dict[Posture, int]:
    """Return how many stand how, in the order of `Posture`; what there is none of is left out."""
    counts = Counter(postures)
    return {posture: counts[posture] for posture in Posture if counts[posture]}


def managed_of(counts: Mapping[Posture, int]) -> int:
    """Return how many webhooks are ours."""
    return sum(number for posture, number in counts.items() if posture not in _NOT_OURS)


def headline(counts: Mapping[Posture, int]) -> str:
    """Return the sentence that a person reads first."""
    total = managed_of(counts)
    open_ones = {posture: number for posture, number in counts.items() if posture not in _CALM}
    number = sum(open_ones.values())
    if not total:
        return "No webhook is managed here yet."
    if not open_ones:
        return "The one webhook is in sync." if total == 1 else f"All {total:,} webhooks are in sync."
    listed = ", ".join(f"{each:,} {posture}" for posture, each in open_ones.items())
    return f"{number:,} of {count(total, 'webhook')} {'is' if number == 1 else 'are'} not in sync: {listed}."


def drift_headline(drifted: int, total: int) -> str:
    """Return the sentence that a person reads first who asked for drift."""
    if not drifted:
        return (
            f"No drift: {count(total, 'webhook')} as applied." if total else "No webhook is managed here yet."
        )
    need = "needs" if drifted == 1 else "need"
    return f"{drifted:,} of {count(total, 'webhook')} {need} a run although no manifest changed."
