"""Who runs this, from which commit, and where it can be read about: for the record in the ledger."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from reconciler.model import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_GIT_PATIENCE = 2.0
_EVENT_SIZE = 1 << 22
# A merge commit, or the title that a squash takes from the pull request.
_MERGED = re.compile(r"^Merge pull request #(?P<merge>[0-9]{1,9}) |\(#(?P<squash>[0-9]{1,9})\)$")


def current_run(environ: Mapping[str, str], actor: str | None = None) -> Run:
    """Return who runs this: `actor`, else what GitHub Actions or GitLab CI say, else this machine's user.

    Where none of them is known, as in a container, it is the commit's author.
    """
    named = actor or _first(environ, "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME")
    commit = _first(environ, "GITHUB_SHA", "CI_COMMIT_SHA") or _git_commit()
    return Run(
        actor=named or (_git_author(commit) if commit else None),
        commit=commit,
        url=_run_url(environ) or environ.get("CI_JOB_URL") or None,
        pull_request=_pull_request(environ),
    )


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    return next((value for name in names if (value := environ.get(name))), None)


def _pull_request(environ: Mapping[str, str]) -> str | None:
    """Return the page of the pull request whose merge, or whose preview, this GitHub Actions run is."""
    server, repository, path = (
        environ.get(f"GITHUB_{part}") for part in ("SERVER_URL", "REPOSITORY", "EVENT_PATH")
    )
    number = _pull_request_number(path) if path else None
    return f"{server}/{repository}/pull/{number}" if server and repository and number else None


def _pull_request_number(path: str) -> str | None:
    """Return a pull request's number from the event's file: GitHub puts it into the merge's message."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            event = json.loads(file.read(_EVENT_SIZE))
        if "pull_request" in event:
            return str(int(event["pull_request"]["number"]))
        title = event["head_commit"]["message"].partition("\n")[0]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    found = _MERGED.search(title)
    return (found["merge"] or found["squash"]) if found else None


def _run_url(environ: Mapping[str, str]) -> str | None:
    """Return the page of the GitHub Actions run, where there is one."""
    parts = [environ.get(f"GITHUB_{part}") for part in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return "{}/{}/actions/runs/{}".format(*parts) if all(parts) else None


def sources_url(environ: Mapping[str, str], folder: Path) -> str | None:
    """Return the web address of `folder` at this commit, inside a checkout of GitHub Actions; else None."""
    server, repository, commit, workspace = (
        environ.get(f"GITHUB_{part}") for part in ("SERVER_URL", "REPOSITORY", "SHA", "WORKSPACE")
    )
    if not (server and repository and commit and workspace and folder.is_relative_to(workspace)):
        return None
    below = quote(folder.relative_to(workspace).as_posix())
    return f"{server}/{repository}/blob/{commit}" + (f"/{below}" if below != "." else "")


def _git_commit() -> str | None:
    """Return the commit that is checked out here; None outside a repository or without git."""
    answer = _git("rev-parse", "HEAD")
    return answer if answer and _COMMIT.fullmatch(answer) else None


def _git_author(commit: str) -> str | None:
    """Return who wrote a commit; None where it is not in this repository."""
    if not _COMMIT.fullmatch(commit):
        return None
    return _git("show", "--no-patch", "--no-show-signature", "--format=%an", commit)


def _git(*args: str) -> str | None:
    """Return what git says; None where it fails or says nothing."""
    try:
        done = subprocess.run(["git", *args], capture_output=True, check=False, timeout=_GIT_PATIENCE)
    except (OSError, subprocess.SubprocessError):
        return None
    return (done.stdout.decode("utf-8", "replace").strip() or None) if done.returncode == 0 else None
