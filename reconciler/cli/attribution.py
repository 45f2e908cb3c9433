"""Find out who runs this, from which commit, and the pages of the run and the pull request."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from reconciler.child_processes import child_environment
from reconciler.model import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.report.pages.templates import PageContext

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_GIT_PATIENCE = 2.0
_EVENT_SIZE = 1 << 22
# A merge commit, or the title that a squash takes from the pull request.
_MERGED = re.compile(r"^Merge pull request #(?P<merge>[0-9]{1,9}) |\(#(?P<squash>[0-9]{1,9})\)$")


def current_run(environ: Mapping[str, str], actor: str | None = None) -> Run:
    """Return who runs this: `actor`, else the user of GitHub Actions or GitLab CI, else this machine's user.

    If none of them is known, as in a container, it is the commit's author.
    """
    named = actor or _first(environ, "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME")
    commit = _first(environ, "GITHUB_SHA", "CI_COMMIT_SHA") or _git_commit()
    if not named and commit and _COMMIT.fullmatch(commit):
        named = _git("show", "--no-patch", "--no-show-signature", "--format=%an", commit)
    return Run(
        actor=named,
        commit=commit,
        url=_page(environ, "actions/runs", environ.get("GITHUB_RUN_ID")) or environ.get("CI_JOB_URL") or None,
        pull_request=_page(environ, "pull", _pull_request_number(environ.get("GITHUB_EVENT_PATH"))),
    )


def page_context(actor: str | None) -> PageContext:
    """Return when and by whom a page is made: now, by this run of `actor`."""
    from reconciler.report.pages.templates import PageContext  # noqa: PLC0415 (most runs write no page)

    return PageContext(datetime.now(UTC), current_run(os.environ, actor), sources_url(os.environ, Path.cwd()))


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    return next((value for name in names if (value := environ.get(name))), None)


def _page(environ: Mapping[str, str], kind: str, name: str | None) -> str | None:
    """Return the page of something in the repository that this GitHub Actions run is for."""
    server, repository = environ.get("GITHUB_SERVER_URL"), environ.get("GITHUB_REPOSITORY")
    return f"{server}/{repository}/{kind}/{name}" if server and repository and name else None


def _pull_request_number(path: str | None) -> str | None:
    """Return a pull request's number from the event's file, also from the title of a merge commit."""
    if not path:
        return None
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


def sources_url(environ: Mapping[str, str], folder: Path) -> str | None:
    """Return the web address of `folder` at this commit if it is in a checkout of GitHub Actions."""
    root = _page(environ, "blob", environ.get("GITHUB_SHA"))
    workspace = environ.get("GITHUB_WORKSPACE")
    if not (root and workspace and folder.is_relative_to(workspace)):
        return None
    below = quote(folder.relative_to(workspace).as_posix())
    return root + (f"/{below}" if below != "." else "")


def _git_commit() -> str | None:
    """Return the current commit; None outside a repository or without git."""
    answer = _git("rev-parse", "HEAD")
    return answer if answer and _COMMIT.fullmatch(answer) else None


def _git(*args: str) -> str | None:
    """Return git's output; None if git fails or prints nothing."""
    try:
        done = subprocess.run(
            ["git", *args],
            env=child_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_GIT_PATIENCE,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return (done.stdout.decode("utf-8", "replace").strip() or None) if done.returncode == 0 else None
