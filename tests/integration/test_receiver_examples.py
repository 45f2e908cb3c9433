"""The examples of handlers, run as their users run them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.receiver.event import parse_event
from reconciler.receiver.handing import HandlingFailed
from reconciler.receiver.handlers.command import RunCommand
from reconciler.receiver.handlers.forward import Forward
from tests.fixtures.web import Answer, Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.receiver.event import Event

EXAMPLES = Path(__file__).parents[2] / "examples" / "receiver"


def an_event(event_id: str, kind: str, **fields: str) -> Event:
    """Return an event about an object with these fields."""
    content = {"id": event_id, "type": kind, "created": "2026-05-20T12:00:00Z", "data": {"object": fields}}
    return parse_event("hooks", json.dumps(content).encode(), "", 0.0)


@pytest.fixture
def service() -> Iterator[Collector]:
    """Give a pager, or a chat."""
    with Collector(Answer(202)) as server:
        yield server


def test_somebody_is_paged_when_a_gate_blocks(service: Collector) -> None:
    """Only a blocked gate pages, with the event's id as key; a pager that refuses is tried again."""
    environ = {**os.environ, "PAGER_URL": service.url, "PAGER_KEY": "routing"}
    command = f"{sys.executable} {EXAMPLES / 'page_on_blocked_gate.py'}"
    page = RunCommand(command, environ=environ)
    page(an_event("evt_1", "run.completed", id="run_1"))
    assert service.received == []
    page(an_event("evt_2", "release.gate_blocked", id="gate_1"))
    (alert,) = service.received
    assert (alert["dedup_key"], alert["payload"]["summary"]) == ("evt_2", "Release gate blocked: gate_1")
    service.reply = Answer(500)
    with pytest.raises(HandlingFailed):
        page(an_event("evt_3", "release.gate_blocked", id="gate_2"))


def test_a_plan_is_approved_from_chat(service: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pending plan is posted with a button to its page; the approval is posted, too."""
    monkeypatch.setenv("CHAT_URL", service.url)
    monkeypatch.setenv("APPROVAL_PAGE", "https://app.example.com/remediations/{id}")
    spec = importlib.util.spec_from_file_location("approve_from_chat", EXAMPLES / "approve_from_chat.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.handlers(an_event("evt_1", "remediation.plan_pending", id="plan/1"))
    example.handlers(an_event("evt_2", "remediation.approved", id="plan/1"))
    asked, confirmed = service.received
    assert asked["blocks"][1]["elements"][0]["url"] == "https://app.example.com/remediations/plan%2F1"
    assert confirmed["text"] == "Remediation plan plan/1 was approved."


def test_a_dashboard_shows_runs(tmp_path: Path) -> None:
    """Forwarded events appear as runs with their latest state, each counted once, and are escaped."""
    command = [sys.executable, str(EXAMPLES / "runs_dashboard.py"), str(tmp_path / "runs.db"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as dashboard:
        assert dashboard.stdout is not None
        url = dashboard.stdout.readline().strip()
        forward = Forward(url)
        for event_id, kind, run in (
            ("evt_1", "run.started", "run_1"),
            ("evt_2", "run.started", "<b>run_2"),
            ("evt_3", "run.failed", "run_1"),
            ("evt_3", "run.failed", "run_1"),
            ("evt_4", "agent.offline", "run_3"),
        ):
            forward(an_event(event_id, kind, run_id=run))
        page = httpx.get(url).text
        dashboard.terminate()
    assert '<tr><td>run_1<td style="color:#c00">failed' in page
    assert '<tr><td>&lt;b&gt;run_2<td style="color:#06c">running' in page
    assert page.count("<tr><td>") == 2
