"""Secrets that Vault deletes by itself: plans and the status say so before it happens."""

from __future__ import annotations

from datetime import timedelta

from reconciler.report.plan.github import plan_github
from reconciler.report.plan.markdown import plan_markdown
from reconciler.report.plan.text import plan_text
from reconciler.report.status import status_markdown, status_text, status_value
from reconciler.usecases.fleet import fleet
from reconciler.usecases.preview import drift
from tests.fakes.world import Org, webhook

FLEET = tuple(webhook(f"w{number}") for number in range(7))


def _org() -> Org:
    org = Org()
    org.store.delete_version_after = timedelta(days=30)
    org.apply(*FLEET)
    return org


def test_a_plan_warns_before_secrets_disappear() -> None:
    """In every format, also when there are no changes; the first names and the first time are given."""
    org = _org()
    plan = org.plan(*FLEET).plan
    assert not plan.changes
    (warning,) = plan.warnings
    assert warning.startswith("Vault will delete 7 stored secrets (w0, w1, w2, w3, w4 and 2 more) by itself")
    assert "reconciler doctor" in warning
    assert f"warning: {warning}\n" in plan_text(plan)
    assert warning in plan_markdown(plan)
    assert plan_github(plan).startswith("::warning ")
    assert plan.to_json()["warnings"] == [warning]
    assert drift(org.wanting(FLEET)).plan.warnings == plan.warnings


def test_the_status_warns_and_has_the_time() -> None:
    """The table is followed by the warning; JSON has the time of each."""
    org = _org()
    rows, now = fleet(org.plan(*FLEET)), org.clock.now()
    assert "warning: Vault will delete 7 stored secrets" in status_text("acme", rows, now=now)
    assert "[!WARNING]" in status_markdown("acme", rows, now=now)
    expiring = status_value("acme", rows, observed_at=now)["webhooks"][0]["secret_expires_at"]
    assert expiring == (org.store.list_metadata()["w0"].expires_at or now).isoformat().replace("+00:00", "Z")


def test_without_the_setting_nothing_is_said() -> None:
    """A secret that stays needs no words, and neither does one that is to go."""
    org = Org()
    org.apply(*FLEET)
    assert org.plan(*FLEET).plan.warnings == ()
    org.store.delete_version_after = timedelta(days=30)
    org.apply(*FLEET[1:])
    assert org.plan(*FLEET[1:]).plan.warnings == ()


def test_a_secret_that_disappeared_comes_back() -> None:
    """What Vault deleted by itself is undeleted by the next apply; the endpoint stays."""
    org = _org()
    before = set(org.api.endpoints)
    org.clock.advance(days=31)
    assert [change.name for change in org.plan(*FLEET).plan.changes] == [each.name for each in FLEET]
    org.apply(*FLEET)
    org.check(FLEET)
    assert set(org.api.endpoints) == before
