"""A figure beside what it is compared with and what its budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections import Counter

    from benchmarks.measuring import Sample

Bound = Literal["at most", "at least", "exactly"]
_SIGNS: dict[Bound, str] = {"at most": "≤", "at least": "≥", "exactly": "="}
TIMES = "×"  # noqa: RUF001 (the sign of a ratio, not a letter)
_HUNDRED = 100


@dataclass(frozen=True)
class Quantity:
    """A number with its unit, and where it was taken several times, the lowest and the highest."""

    value: float
    unit: str
    low: float | None = None
    high: float | None = None

    @classmethod
    def seconds(cls, sample: Sample) -> Quantity:
        """Return the median of a sample's times."""
        return cls(sample.seconds, "s", sample.fastest, sample.slowest)

    def __str__(self) -> str:
        """Return it with about three digits; times below a second are in milliseconds."""
        in_milliseconds = self.unit == "s" and self.value < 1
        scale, unit = (1_000, "ms") if in_milliseconds else (1, self.unit)
        if self.value == 1 and unit == "requests":
            unit = "request"
        text = f"{_digits(self.value * scale, unit)} {unit}"
        if self.low is None or self.high is None:
            return text
        return f"{text} ({_digits(self.low * scale, unit)} to {_digits(self.high * scale, unit)})"


@dataclass(frozen=True)
class Limit:
    """What a budget allows."""

    bound: Bound
    value: float
    unit: str = TIMES

    def allows(self, value: float) -> bool:
        """Whether `value` is within it."""
        match self.bound:
            case "at most":
                return value <= self.value
            case "at least":
                return value >= self.value
            case "exactly":
                return value == self.value

    def __str__(self) -> str:
        return f"{_SIGNS[self.bound]} {self.value:g} {self.unit}"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    budget: str
    """P1 to P10; empty for what has no budget."""
    what: str
    measured: Quantity | None = None
    against: Quantity | None = None
    baseline: str = ""
    """What `against` is."""
    score: float | None = None
    """What is held to the limit, in the limit's unit: most often a ratio."""
    limit: Limit | None = None
    problem: str = ""
    """Why there is no figure."""

    @property
    def met(self) -> bool | None:
        """Whether the budget is kept; None where there is none, or no figure."""
        if self.limit is None or self.score is None:
            return None
        return self.limit.allows(self.score)

    @property
    def verdict(self) -> str:
        """`met`, `not met`, `not measured`, or nothing."""
        if self.problem:
            return "not measured"
        return {True: "met", False: "not met", None: ""}[self.met]

    def to_json(self) -> dict[str, Any]:
        """Return it for a machine."""
        return {
            "budget": self.budget,
            "what": self.what,
            "measured": self.measured and vars(self.measured),
            "against": self.against and vars(self.against),
            "baseline": self.baseline,
            "score": self.score,
            "limit": self.limit and vars(self.limit),
            "met": self.met,
            "problem": self.problem,
        }


def ratio(
    budget: str, what: str, sample: Sample, baseline: str, against: Sample, at_most: float | None = None
) -> Row:
    """Return how many times as long as `against` it takes; without `at_most` there is no budget for it."""
    return Row(
        budget,
        what,
        Quantity.seconds(sample),
        Quantity.seconds(against),
        baseline,
        sample.ratio_to(against),
        None if at_most is None else Limit("at most", at_most),
    )


def exact(budget: str, what: str, found: Counter[str], expected: Counter[str]) -> Row:
    """Return counts by kind that have to be exactly those expected."""
    deviation = (found - expected).total() + (expected - found).total()
    return Row(
        budget,
        what,
        Quantity(found.total(), "requests"),
        Quantity(expected.total(), "requests"),
        " + ".join(f"{number:,} {kind}" for kind, number in expected.items()) + ":",
        deviation,
        Limit("exactly", 0, "others"),
    )


def _digits(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:.2f}"
    return f"{value:.1f}" if unit == "ms" and value < _HUNDRED else f"{value:,.0f}"
