"""The report of a probe: as text and as a JSON value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.report.format.escape import visible
from reconciler.report.format.style import Ink, Style, count, item, pad, width

if TYPE_CHECKING:
    from reconciler.plan.probe import ProbeReport

_MARKS = {True: ("✓", Ink.GREEN), False: ("!", Ink.YELLOW), None: ("○", Ink.DIM)}


def probe_text(report: ProbeReport, *, color: bool = False) -> str:
    """Return the report as text, ending in a newline: what was observed, what follows, what is left."""
    style = Style(color)
    lines = [style.paint(f"Probe at {visible(report.url)}", Ink.BOLD)]
    if report.removed:
        lines.append(f"  deleted from an interrupted probe: {visible(', '.join(report.removed))}")
    column = max((width(visible(each.aspect)) for each in report.findings), default=0)
    for each in report.findings:
        symbol, ink = _MARKS[each.as_assumed]
        text = f"{pad(visible(each.aspect), column)}  {visible(each.observed)}"
        lines += item(style.paint(symbol, ink), text, each.consequence)
    failed = style.paint("✗", Ink.RED)
    if report.failure is not None:
        lines += item(failed, f"ended early: {visible(report.failure)}", hint=report.hint)
    for left in report.left:
        lines += item(
            failed, f"{visible(left.endpoint_id or 'leftover')}: {visible(left.reason)}", hint=left.hint
        )
    different = sum(each.as_assumed is False for each in report.findings)
    observed = f"{count(len(report.findings), 'aspect')} observed, {different:,} unlike the assumptions"
    lines.append(f"{observed}; {'not everything was removed' if report.left else 'nothing is left'}.")
    return "\n".join(lines) + "\n"


def probe_value(report: ProbeReport) -> dict[str, Any]:
    """Return the report as a JSON object."""
    return {
        "url": report.url,
        "complete": report.complete,
        "findings": [
            {
                "aspect": each.aspect,
                "observed": each.observed,
                "as_assumed": each.as_assumed,
                "consequence": each.consequence,
            }
            for each in report.findings
        ],
        "removed": list(report.removed),
        "left": [
            {"endpoint_id": each.endpoint_id, "reason": each.reason, "hint": each.hint}
            for each in report.left
        ],
        "failure": report.failure,
        "hint": report.hint,
    }
