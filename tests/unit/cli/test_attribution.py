"""Who runs the program, and for which pull request, by the environment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.attribution import current_run
from reconciler.model import Run

if TYPE_CHECKING:
    from pathlib import Path

GITHUB = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/hooks", "GITHUB_ACTOR": "ada"}


@pytest.mark.parametrize(
    ("event", "number"),
    [
        ({"pull_request": {"number": 12}}, "12"),
        ({"head_commit": {"message": "Merge pull request #12 from acme/x\n\nMore"}}, "12"),
        ({"head_commit": {"message": "Add a webhook (#12)\n\n(#99)"}}, "12"),
        ({"head_commit": {"message": "Fix (#12) and more"}}, None),
        ({"head_commit": {"message": 5}}, None),
        ({"head_commit": None}, None),
        ({"pull_request": {"number": "12/../x"}}, None),
        ([], None),
        ("{", None),
    ],
)
def test_the_pull_request_is_the_events(tmp_path: Path, event: object, number: str | None) -> None:
    """A preview's and a merge's pull request are known from GitHub's event; anything odd is unknown."""
    path = tmp_path / "event.json"
    path.write_text(event if isinstance(event, str) else json.dumps(event))
    run = current_run({**GITHUB, "GITHUB_EVENT_PATH": str(path)})
    assert run.pull_request == (number and f"https://github.com/acme/hooks/pull/{number}")


def test_without_an_event_there_is_no_pull_request(tmp_path: Path) -> None:
    """Neither a missing file nor another system has one."""
    assert current_run({**GITHUB, "GITHUB_EVENT_PATH": str(tmp_path / "none")}).pull_request is None
    gitlab = {"GITLAB_USER_LOGIN": "grace", "CI_COMMIT_SHA": "4" * 40, "CI_JOB_URL": "https://gitlab/1"}
    assert current_run(gitlab) == Run("grace", "4" * 40, "https://gitlab/1")
    assert current_run({"USER": "ada"}, actor="grace").actor == "grace"
