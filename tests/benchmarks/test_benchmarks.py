"""The benchmarks' calculations and output. Nothing is timed here."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from benchmarks.measuring import Run, Sample
from benchmarks.pacing import Pacing, floor, judge
from benchmarks.report.document import BEGIN, END, renew
from benchmarks.report.plot import draw
from benchmarks.report.table import describe, render_table
from benchmarks.rows import Limit, Quantity, Row, exact, ratio
from reconciler.sandbox.zof_gateway import LoggedRequest

SVG = "{http://www.w3.org/2000/svg}"


def sample(*seconds: float) -> Sample:
    return Sample(tuple(Run(each, 50.0) for each in seconds))


def request(at: float, status: int = 201) -> LoggedRequest:
    return LoggedRequest(0, "POST", "/v1/webhooks", "", status, at, "req", "acme", None)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """A round in which the machine was slow for both does not change it."""
    row = ratio("P1", "plan", sample(1, 30, 2), "loader", sample(2, 60, 4), at_most=0.7)
    assert row.score == 0.5
    assert row.verdict == "met"
    assert str(row.measured) == "2.00 s (1.00 to 30.00)"


def test_samples_add_up_round_by_round() -> None:
    """Two baselines together take what both took in each round."""
    assert [run.seconds for run in (sample(1, 2) + sample(3, 5)).runs] == [4, 7]


@pytest.mark.parametrize(
    ("limit", "kept", "broken"),
    [(Limit("at most", 2), 2, 2.1), (Limit("at least", 2), 2, 1.9), (Limit("exactly", 2), 2, 1)],
    ids=str,
)
def test_a_limit_includes_its_own_value(limit: Limit, kept: float, broken: float) -> None:
    """A value at the limit meets the budget, a value beyond it does not."""
    assert limit.allows(kept)
    assert not limit.allows(broken)


def test_a_request_of_another_kind_is_a_deviation_though_the_sum_is_right() -> None:
    """One read in place of one listing is two deviations."""
    row = exact("P7", "plan", Counter({"pages": 1, "reads": 1}), Counter({"pages": 2}))
    assert row.score == 2
    assert row.verdict == "not met"


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (Quantity(0.0123, "s"), "12.3 ms"),
        (Quantity(0.95, "s", 0.9, 1.2), "950 ms (900 to 1,200)"),
        (Quantity(1, "requests"), "1 request"),
        (Quantity(1234.5, "MB"), "1,234 MB"),
    ],
    ids=str,
)
def test_a_quantity_has_one_unit_for_all_of_its_numbers(quantity: Quantity, text: str) -> None:
    """Milliseconds below a second, and the spread in the same unit."""
    assert str(quantity) == text


def test_a_figure_that_could_not_be_taken_says_why() -> None:
    """A problem is one cell of one line of the table, whatever it contains, and not a verdict."""
    row = Row("P2", "octoDNS", problem="a | b\nc", limit=Limit("at least", 10))
    table = render_table([row])
    assert r"a \| b c" in table
    assert "not measured" in table
    assert len(table.splitlines()) == 3
    assert "not measured" in describe(row)


def test_what_has_no_budget_has_no_verdict() -> None:
    """A ratio without a limit is neither met nor not met."""
    row = ratio("", "plan of 10", sample(1), "loader", sample(2))
    assert row.verdict == ""
    assert row.to_json()["met"] is None
    assert "0.50" in render_table([row])


@pytest.mark.parametrize(("requests", "windows"), [(0, 0), (1, 0), (30, 0), (31, 1), (60, 1), (121, 4)])
def test_the_floor_is_all_windows_but_the_last(requests: int, windows: int) -> None:
    """The last request goes when the windows before its own are over."""
    assert floor(requests, 30, 6.0) == windows * 6.0


def test_a_client_that_waits_for_each_window_is_never_too_early() -> None:
    """Windows start with their first request, and none is refused."""
    log = [request(at) for at in (0.0, 0.1, 6.5, 6.6, 13.0)]
    assert judge(log, limit=2, window=6.0) == Pacing(accepted=5, windows=3, most_refused=0, too_early=0)


def test_a_request_in_transit_when_a_window_ended_is_refused_but_not_too_early() -> None:
    """Only requests sent after the answer that asks to wait count."""
    log = [request(0.0), request(0.1), request(0.11, 429), request(2.0, 429), request(6.5)]
    assert judge(log, limit=2, window=6.0) == Pacing(accepted=3, windows=2, most_refused=2, too_early=1)


def test_the_log_may_be_out_of_order() -> None:
    """It is in the order of the answers; the times of arrival count."""
    log = [request(6.5), request(0.1), request(0.0)]
    assert judge(log, limit=2, window=6.0).windows == 2


def test_the_plot_has_a_text_alternative() -> None:
    """It has a title, a description with every point, and the name of every line."""
    root = ET.fromstring(draw({"plan": [(10, 0.25), (100_000, 8.5)], "a<b": [(30, 9.0)]}))  # noqa: S314 (ours)
    assert root.get("role") == "img"
    description = root.findtext(f"{SVG}desc") or ""
    assert "plan: 10 in 250 ms, 100,000 in 8.5 s." in description
    assert "a<b: 30 in 9 s." in description
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"plan", "a<b", "100,000", "10 s"} <= set(texts)
    assert len(list(root.iter(f"{SVG}circle"))) == 3


def test_labels_in_the_plot_do_not_overlap() -> None:
    """Lines that end in the same place have labels one line apart."""
    root = ET.fromstring(draw({name: [(10, 1.0), (100, 2.0)] for name in ("one", "two", "three")}))  # noqa: S314 (ours)
    heights = sorted(
        float(text.get("y", "")) for text in root.iter(f"{SVG}text") if text.text in {"one", "two", "three"}
    )
    assert heights[1] - heights[0] >= 15
    assert heights[2] - heights[1] >= 15


def test_the_page_gets_new_measurements_and_keeps_its_other_text() -> None:
    """The text between the marks is replaced, any number of times."""
    text = f"# Before\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    renewed = renew(text, "| new |\n", {"cores": "2", "python": "3.11"})
    assert renewed.startswith("# Before\n")
    assert renewed.endswith("\n\nafter\n")
    assert "old" not in renewed
    assert "| new |" in renewed
    assert "cores 2, python 3.11" in renewed
    assert renew(renewed, "| new |\n", {"cores": "2", "python": "3.11"}) == renewed


def test_a_page_without_marks_is_not_changed() -> None:
    """The place for the measurements is unknown."""
    with pytest.raises(ValueError, match="lacks"):
        renew("# Nothing here\n", "", {})
