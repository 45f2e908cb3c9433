"""What is shown of URLs that somebody typed into the console."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.credentials.redaction import mask_url
from reconciler.model import Endpoint, Run
from reconciler.plan.plan import Plan
from reconciler.plan.status import StatusRow
from reconciler.report.pages.fleet import Fleet, fleet_html
from reconciler.report.pages.plan import PlanSection, plan_html
from reconciler.report.pages.templates import PageContext
from reconciler.report.plan.markdown import plan_markdown
from reconciler.report.plan.summary import DRIFT, View
from reconciler.report.plan.text import plan_text
from reconciler.report.status import status_markdown, status_text

NOW = datetime(2026, 11, 12, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.com/zof", "https://hooks.example.com/zof"),
        ("https://hooks.example.com:8443/zof-runs/v2/", "https://hooks.example.com:8443/zof-runs/v2/"),
        ("https://ada:hunter2@hooks.example.com/zof", "https://***@hooks.example.com/zof"),
        ("https://a@b:c@hooks.example.com", "https://***@hooks.example.com"),
        ("//ada:hunter2@hooks.example.com/", "//***@hooks.example.com/"),
        ("https://x.example.com/?token=hunter2&to=a", "https://x.example.com/?token=***&to=***"),
        ("https://x.example.com/?a=b=c?d=e", "https://x.example.com/?a=***"),
        ("https://hooks.slack.com/services/T0/B0/abcdefgh12345678ABCD", "https://hooks.slack.com/services/T0/B0/***"),
        ("https://x.example.com/in/0a1b2c3d-0000-4000-8000-0123456789ab/z", "https://x.example.com/in/***/z"),
        ("https://x.example.com/integrations-of-all-teams", "https://x.example.com/integrations-of-all-teams"),
        ("https://x.example.com/?abcdefgh12345678", "https://x.example.com/?***"),
        ("https://x.example.com/in/whsec_hunter2", "https://x.example.com/in/***"),
        ("https://x.example.com/?hvs.hunter2", "https://x.example.com/?***"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)  # fmt: skip
def test_credentials_are_not_shown(url: str, shown: str) -> None:
    """Names, passwords, values and parts like tokens are hidden; host and path are not."""
    assert mask_url(url) == shown


def test_no_report_shows_an_unmanaged_endpoints_credentials() -> None:
    """Whatever is put into a comment, an issue or a page."""
    endpoint = Endpoint("we_1", "https://ada:hunter2@x.example.com/zof?token=hunter2", ("run.failed",), NOW)
    plan = Plan("acme", (), 0, 0, (endpoint,))
    row = StatusRow(endpoint.id, endpoint.id, endpoint.url, "unmanaged", unmanaged=True, endpoint=endpoint)
    occasion = PageContext(NOW, Run())
    view = View(verbose=True, now=NOW)
    for text in (
        plan_text(plan, title=DRIFT, view=view),
        plan_markdown(plan, title=DRIFT, view=view),
        plan_html([PlanSection(plan, (), view)], occasion),
        status_text("acme", [row], now=NOW),
        status_markdown("acme", [row], now=NOW),
        fleet_html([Fleet("acme", [row])], occasion, known_events=("run.failed",)),
    ):
        assert "x.example.com/zof" in text
        assert "hunter2" not in text
