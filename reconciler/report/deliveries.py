"""The results of test deliveries as text, Markdown and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from reconciler.plan.outcome import DeliveryResult
from reconciler.report.format.escape import visible
from reconciler.report.format.markdown import COMMENT_LIMIT, cell, code, table
from reconciler.report.format.style import Ink, Style, item, pad, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.plan.outcome import DeliveryOutcome

_MARKS = {
    DeliveryResult.DELIVERED: ("✓", Ink.GREEN),
    DeliveryResult.FAILED: ("✗", Ink.RED),
    DeliveryResult.NOT_ATTEMPTED: ("○", Ink.DIM),
}


def deliveries_text(organization: str, deliveries: Sequence[DeliveryOutcome], *, color: bool = False) -> str:
    """Return the deliveries as text, ending in a newline."""
    style = Style(color)
    column = max((width(visible(each.name)) for each in deliveries), default=0)
    lines: list[str] = []
    for each in deliveries:
        symbol, ink = _MARKS[each.result]
        result = style.paint(f"{each.result:13}", ink)
        where = style.paint(f"{visible(each.endpoint_id)}  {visible(each.url or '-')}", Ink.DIM)
        text = f"{pad(visible(each.name), column)}  {result}  {where}"
        lines += item(style.paint(symbol, ink), text, _detail(each), each.hint)
    if lines:
        lines.append("")
    return "\n".join([*lines, f"{visible(organization)}: {_totals(deliveries)}"]) + "\n"


def deliveries_markdown(organization: str, deliveries: Sequence[DeliveryOutcome]) -> str:
    """Return the deliveries as GitHub's Markdown, failures first, ending in a newline."""
    parts = [f"### Test deliveries of {code(organization)}", f"{_totals(deliveries)}."]
    if deliveries:
        rows = [
            (
                cell(each.name),
                each.result,
                cell(each.endpoint_id),
                cell(each.url),
                cell(_detail(each), each.hint),
            )
            for each in sorted(deliveries, key=lambda each: each.result is DeliveryResult.DELIVERED)
        ]
        header = ("Webhook", "Result", "Endpoint", "URL", "")
        parts.append(table(header, rows, COMMENT_LIMIT, ("delivery", "deliveries")))
    return "\n\n".join(parts) + "\n"


def deliveries_value(organization: str, deliveries: Sequence[DeliveryOutcome]) -> dict[str, Any]:
    """Return the deliveries as a JSON object."""
    return {"organization": organization, "deliveries": to_builtins(deliveries)}


def _detail(each: DeliveryOutcome) -> str | None:
    """Return why it failed, with the request id to quote to the API's support."""
    if each.detail is None or each.request_id is None or each.request_id in each.detail:
        return each.detail
    return f"{each.detail} [request {each.request_id}]"


def _totals(deliveries: Sequence[DeliveryOutcome]) -> str:
    counts = {result: sum(each.result is result for each in deliveries) for result in DeliveryResult}
    return ", ".join(f"{number:,} {word}" for word, number in counts.items() if number) or "nothing to test"
