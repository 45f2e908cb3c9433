"""Test deliveries as text, as Markdown and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from reconciler.report.format.escape import visible
from reconciler.report.format.markdown import COMMENT_LIMIT, cell, code, table
from reconciler.report.format.style import Ink, Style, pad, width

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARKS = {"delivered": ("✓", Ink.GREEN), "failed": ("✗", Ink.RED), "not attempted": ("○", Ink.DIM)}


class DeliveryLine(Protocol):
    """One test delivery, as `usecases.deliver_tests` tells of it."""

    @property
    def name(self) -> str:
        """The webhook."""
        ...

    @property
    def endpoint_id(self) -> str:
        """Where it was sent from."""
        ...

    @property
    def url(self) -> str | None:
        """Where it was sent to."""
        ...

    @property
    def arrival(self) -> str:
        """`delivered`, `failed` or `not attempted`."""
        ...

    @property
    def detail(self) -> str | None:
        """Why it failed."""
        ...

    @property
    def hint(self) -> str | None:
        """What to do about it."""
        ...

    @property
    def request_id(self) -> str | None:
        """The API's own id of the request."""
        ...


def deliveries_text(organization: str, deliveries: Sequence[DeliveryLine], *, color: bool = False) -> str:
    """Return the deliveries as text, ending in a newline."""
    style = Style(color)
    column = max((width(visible(each.name)) for each in deliveries), default=0)
    lines = []
    for each in deliveries:
        mark, ink = _MARKS[each.arrival]
        tail = style.paint(f"{visible(each.endpoint_id)}  {visible(each.url or '-')}", Ink.DIM)
        lines.append(
            f"  {style.paint(mark, ink)} {pad(visible(each.name), column)}  "
            f"{style.paint(f'{each.arrival:13}', ink)}  {tail}"
        )
        if each.detail:
            lines.append(f"      {visible(_told(each))}")
        if each.hint:
            lines.append(f"      hint: {visible(each.hint)}")
    return "\n".join([*lines, "", f"{visible(organization)}: {_totals(deliveries)}"]).lstrip("\n") + "\n"


def deliveries_markdown(organization: str, deliveries: Sequence[DeliveryLine]) -> str:
    """Return the deliveries as GitHub's Markdown, ending in a newline."""
    heading = f"### Test deliveries of {code(organization)}\n\n{_totals(deliveries)}."
    if not deliveries:
        return f"{heading}\n"
    rows = [_row(each) for each in sorted(deliveries, key=lambda each: each.arrival == "delivered")]
    text, left_out = table(("Webhook", "Result", "Endpoint", "URL", ""), rows, COMMENT_LIMIT)
    more = f"\n\n{left_out:,} of them not shown here." if left_out else ""
    return f"{heading}\n\n{text}{more}\n"


def _row(each: DeliveryLine) -> tuple[str, ...]:
    told = [cell(text) for text in (_told(each) if each.detail else None, each.hint) if text]
    url = cell(each.url) if each.url else ""
    return cell(each.name), each.arrival, cell(each.endpoint_id), url, "<br>".join(told)


def deliveries_value(organization: str, deliveries: Sequence[DeliveryLine]) -> dict[str, Any]:
    """Return the deliveries as a JSON object."""
    return {
        "organization": organization,
        "deliveries": [
            {
                "name": each.name,
                "endpoint_id": each.endpoint_id,
                "url": each.url,
                "result": str(each.arrival),
                "detail": each.detail,
                "hint": each.hint,
                "request_id": each.request_id,
            }
            for each in deliveries
        ],
    }


def _told(each: DeliveryLine) -> str:
    """Return why it failed, with the id to quote to the API's support."""
    known = not each.request_id or each.request_id in (each.detail or "")
    return f"{each.detail}" if known else f"{each.detail} [request {each.request_id}]"


def _totals(deliveries: Sequence[DeliveryLine]) -> str:
    counts = {word: sum(each.arrival == word for each in deliveries) for word in _MARKS}
    return ", ".join(f"{number:,} {word}" for word, number in counts.items() if number) or "nothing to test"
