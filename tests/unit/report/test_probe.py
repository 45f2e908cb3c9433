"""A probe's report as text and JSON."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.plan.probe import Finding, Leftover, ProbeReport
from reconciler.report.probe import probe_text, probe_value

REPORT = ProbeReport(
    "https://hooks.example.com/probe",
    (
        Finding("creation", "endpoint we_1 was created", as_assumed=True),
        Finding("duplicate URL", "refused: HTTP 409", as_assumed=False, consequence="allow a gap"),
        Finding("fields of the listing", "id, url", as_assumed=None),
    ),
    removed=("we_0",),
    left=(Leftover("we_1", "it could not be deleted", "remove it"),),
    failure="no answer",
    hint="try again",
)


def test_the_report_as_text() -> None:
    """Each aspect has its mark, and each difference its consequence; what is left comes last."""
    assert (
        probe_text(REPORT)
        == """\
Probe at https://hooks.example.com/probe
  deleted from an interrupted probe: we_0
  ✓ creation               endpoint we_1 was created
  ! duplicate URL          refused: HTTP 409
      allow a gap
  ○ fields of the listing  id, url
  ✗ ended early: no answer
      hint: try again
  ✗ we_1: it could not be deleted
      hint: remove it
3 aspects observed, 1 unlike the assumptions; not everything was removed.
"""
    )
    calm = ProbeReport(REPORT.url, REPORT.findings[:1])
    assert probe_text(calm).endswith("1 aspect observed, 0 unlike the assumptions; nothing is left.\n")
    assert "\x1b[33m" in probe_text(REPORT, color=True)


def test_the_report_as_json() -> None:
    """Every part has its key."""
    value = probe_value(REPORT)
    assert value["findings"][1] == {
        "aspect": "duplicate URL",
        "observed": "refused: HTTP 409",
        "as_assumed": False,
        "consequence": "allow a gap",
    }
    assert value["left"] == [
        {"endpoint_id": "we_1", "reason": "it could not be deleted", "hint": "remove it"}
    ]
    assert (value["complete"], value["removed"], value["failure"]) == (False, ["we_0"], "no answer")


def test_control_characters_are_escaped() -> None:
    """Text of the API cannot control a terminal."""
    hostile = replace(
        REPORT,
        findings=(Finding("creation", "\x1b[31m", as_assumed=False, consequence="\x1b"),),
        removed=("\x1b",),
        left=(Leftover("\x1b", "\x1b]0;\n", "\x1b"),),
        failure="\x1b",
    )
    assert "\x1b" not in probe_text(hostile)
