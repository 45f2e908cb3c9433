"""The results of test deliveries as text, Markdown and JSON."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.plan.outcome import DeliveryOutcome, DeliveryResult
from reconciler.report.deliveries import deliveries_markdown, deliveries_text, deliveries_value

RESULTS = (
    DeliveryOutcome("a", "we_1", "https://a.example.com/", DeliveryResult.DELIVERED, request_id="req_1"),
    DeliveryOutcome("bb", "we_2", None, DeliveryResult.FAILED, "HTTP 500", "repair it", "req_2"),
    DeliveryOutcome(
        "c",
        "we_3",
        "https://c.example.com/",
        DeliveryResult.FAILED,
        "HTTP 404 [request req_3]",
        None,
        "req_3",
    ),
    DeliveryOutcome("d", "we_4", "https://d.example.com/", DeliveryResult.NOT_ATTEMPTED),
)


def test_the_results_as_text() -> None:
    """Each has its mark, endpoint and reason; the totals come last."""
    assert (
        deliveries_text("acme", RESULTS)
        == """\
  ✓ a   delivered      we_1  https://a.example.com/
  ✗ bb  failed         we_2  -
      HTTP 500 [request req_2]
      hint: repair it
  ✗ c   failed         we_3  https://c.example.com/
      HTTP 404 [request req_3]
  ○ d   not attempted  we_4  https://d.example.com/

acme: 1 delivered, 2 failed, 1 not attempted
"""
    )
    assert deliveries_text("acme", []) == "acme: nothing to test\n"
    assert "\x1b[32m" in deliveries_text("acme", RESULTS, color=True)


def test_the_results_as_markdown_and_json() -> None:
    """Markdown shows foreign text as code; JSON has every field."""
    shown = deliveries_markdown("acme", RESULTS)
    assert "1 delivered, 2 failed, 1 not attempted.\n" in shown
    assert "| `bb` | failed | `we_2` |  | `HTTP 500 [request req_2]`<br>`repair it` |" in shown
    assert deliveries_markdown("acme", []) == "### Test deliveries of `acme`\n\nnothing to test.\n"
    value = deliveries_value("acme", RESULTS)["deliveries"][1]
    assert (value["result"], value["request_id"]) == ("failed", "req_2")


def test_control_characters_are_escaped() -> None:
    """Text of the API cannot control a terminal."""
    hostile = replace(RESULTS[1], name="\x1b[31m", detail="\x1b]0;\n")
    assert "\x1b" not in deliveries_text("acme", [hostile]) + deliveries_markdown("acme", [hostile])
