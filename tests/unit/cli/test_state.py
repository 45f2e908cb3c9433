"""Where a run's logs are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.state import audit_path, journal_path
from reconciler.model import Organization

if TYPE_CHECKING:
    import pytest


def test_a_relative_state_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the XDG specification says: logs would be in whichever folder a command runs in."""
    acme = Organization("acme", "https://api.zof.ai/v1")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    assert journal_path(acme).parent == Path("/home/ada/.local/state/webhook-reconciler")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert audit_path(acme).parent == Path("/state/webhook-reconciler")
