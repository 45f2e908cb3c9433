"""A measurement with its baseline and its budget."""

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
    """A number with its unit, and the lowest and the highest value if it was measured several times."""

    value: float
    unit: str
    low: float | None = None
    high: float | None = None

    @classmethod
    def seconds(cls, sample: Sample) -> Quantity:
        """Return the median of a sample's times."""
        return cls(sample.seconds, "s", sample.fastest, sample.slowest)

    def __str__(self) -> str:
        """Return it with about three digits; times below a second in milliseconds."""
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
    """The limit of a budget."""

    bound: Bound
    value: float
    unit: str = TIMES

    def allows(self, value: float) -> bool:
        """Whether `value` is within the limit."""
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
    """P1, P2 and so on; empty if there is no budget."""
    what: str
    measured: Quantity | None = None
    against: Quantity | None = None
    baseline: str = ""
    """The name of the baseline that `against` was measured with."""
    score: float | None = None
    """The value that is compared with the limit, in its unit: usually a ratio."""
    limit: Limit | None = None
    problem: str = ""
    """Why there is no measurement."""

    @property
    def met(self) -> bool | None:
        """Whether the budget is met; None without a budget or a measurement."""
        if self.limit is None or self.score is None:
            return None
        return self.limit.allows(self.score)

    @property
    def verdict(self) -> str:
        """`met`, `not met`, `not measured`, or empty."""
        if self.problem:
            return "not measured"
        return {True: "met", False: "not met", None: ""}[self.met]

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
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
    """Return a row with the ratio of `sample` to `against`; without `at_most` it has no budget."""
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
    """Return a row of counts by kind that must be exactly as expected."""
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
