"""Who runs a command, from which commit."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.attribution import current_run, sources_url

if TYPE_CHECKING:
    import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_run_in_github_actions_is_attributed_by_its_variables() -> None:
    """Actor, commit and the run's page come from the variables that GitHub Actions sets."""
    run = current_run(
        {
            "GITHUB_ACTOR": "octocat",
            "GITHUB_SHA": COMMIT,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "acme/hooks",
            "GITHUB_RUN_ID": "42",
            "USER": "runner",
        }
    )
    assert (run.actor, run.commit) == ("octocat", COMMIT)
    assert run.url == "https://github.com/acme/hooks/actions/runs/42"


def test_a_folder_in_github_actions_has_an_address() -> None:
    """Inside the checkout a folder is a page of the repository at this commit; anywhere else it is none."""
    environ = {
        "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/hooks", "GITHUB_SHA": COMMIT,
        "GITHUB_WORKSPACE": "/hooks/hooks",
    }  # fmt: skip
    root = f"https://github.com/acme/hooks/blob/{COMMIT}"
    assert sources_url(environ, Path("/hooks/hooks")) == root
    assert sources_url(environ, Path("/hooks/hooks/a b/c")) == f"{root}/a%20b/c"
    assert sources_url(environ, Path("/hooks/other")) is None
    for missing in environ:
        assert sources_url({k: v for k, v in environ.items() if k != missing}, Path("/hooks/hooks")) is None


def test_a_run_by_hand_is_attributed_to_the_user_or_to_whom_they_name() -> None:
    """`--actor` counts most, then the user's name; a page needs all of its parts."""
    assert current_run({"USER": "ada", "GITHUB_SHA": "x"}).actor == "ada"
    assert current_run({"LOGNAME": "ada", "GITHUB_SHA": "x"}).actor == "ada"
    assert current_run({"USER": "ada", "GITHUB_ACTOR": "x", "GITHUB_SHA": "x"}, "grace").actor == "grace"
    assert current_run({"GITHUB_SHA": "x", "GITHUB_RUN_ID": "42"}).url is None


def test_git_gets_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook, a pager or an alias of the user's configuration cannot read them either."""
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\n", encoding="utf-8")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("VAULT_TOKEN", "hvs.canary")
    current_run({})
    assert "canary" not in (tmp_path / "seen").read_text(encoding="utf-8")


def test_the_commit_comes_from_git_where_there_is_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout the commit is HEAD; outside, or without git, it is unknown."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    repository = tmp_path / "checkout"
    repository.mkdir()
    monkeypatch.chdir(repository)
    assert current_run({}).commit is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert current_run({}).commit == head
    assert current_run({}).actor == "a", "who wrote it, where nobody else is known"
    assert current_run({"GITHUB_SHA": head, "USER": "ada"}).actor == "ada"
    assert current_run({"GITHUB_SHA": "4" * 40}).actor is None
    assert current_run({"GITHUB_SHA": "--help"}).actor is None
    monkeypatch.setenv("PATH", "")
    assert current_run({}).commit is None
