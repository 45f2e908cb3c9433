"""What our workflows do on GitHub: `reconciler github comment`, `issue` and `reviewed-plan`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.logins import require
from reconciler.cli.output import write_file, write_result
from reconciler.cli.system import SystemClock
from reconciler.errors import ExitCode, InvalidInput, ReconcilerError
from reconciler.github.client import GitHub
from reconciler.github.review import find_review
from reconciler.github.sticky import Mark, close_issue, put_comment, put_issue
from reconciler.model import Secret
from reconciler.report.format.escape import visible
from reconciler.report.format.github import command

if TYPE_CHECKING:
    from collections.abc import Mapping

_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def comment(file: str, key: str, author: str) -> ExitCode:
    """Let the pull request of this job have one comment with the file's text."""
    text = _read(file)
    pull = _pull_request(os.environ)
    with _github(os.environ) as github:
        page = put_comment(github, pull, Mark(key, author), text)
    write_result(f"commented: {visible(page)}\n")
    return ExitCode.OK


def issue(file: str, key: str, author: str, title: str) -> ExitCode:
    """Let the repository have one open issue with the file's text."""
    text = _read(file)
    with _github(os.environ) as github:
        page = put_issue(github, Mark(key, author), title, text)
    write_result(f"open: {visible(page)}\n")
    return ExitCode.OK


def close(key: str, author: str, why: str) -> ExitCode:
    """Close that issue, if it is open."""
    with _github(os.environ) as github:
        page = close_issue(github, Mark(key, author), why)
    write_result("nothing to close\n" if page is None else f"closed: {visible(page)}\n")
    return ExitCode.OK


def reviewed_plan(out: str, artifact: str) -> ExitCode:
    """Write the plan of the merged pull request that this job's commit comes from, if there is one."""
    commit = require(os.environ, "GITHUB_SHA", "the commit that was pushed")
    if not _COMMIT.fullmatch(commit):
        raise InvalidInput("GITHUB_SHA is no commit")
    with _github(os.environ) as github:
        review = find_review(github, commit, artifact)
    if review is None:
        message = "No pull request was merged with this commit: the guards alone bound what is applied."
        write_result(command("notice", "no reviewed plan", message))
    elif review.plan is None:
        message = f"Pull request #{review.pull} has no saved plan: the guards alone bound what is applied."
        write_result(command("warning", "no reviewed plan", message))
    else:
        write_file(out, review.plan.decode("utf-8", "replace"))
        write_result(f"reviewed: the plan of pull request #{review.pull} at {review.head[:12]}\n")
    return ExitCode.OK


def _github(environ: Mapping[str, str]) -> GitHub:
    repository = require(environ, "GITHUB_REPOSITORY", "owner/name")
    if not _REPOSITORY.fullmatch(repository):
        raise InvalidInput("GITHUB_REPOSITORY is not like owner/name")
    token = Secret(require(environ, "GITHUB_TOKEN", "the job's token: ${{ github.token }}"))
    url = environ.get("GITHUB_API_URL") or "https://api.github.com"
    return GitHub(repository, token, url=url, clock=SystemClock())


def _pull_request(environ: Mapping[str, str]) -> int:
    """Return the number of the pull request that this job runs for.

    Raises:
        InvalidInput: it runs for none.
    """
    event = _read(require(environ, "GITHUB_EVENT_PATH", "the file with the event that started the job"))
    try:
        number = json.loads(event)["pull_request"]["number"]
    except (ValueError, KeyError, TypeError, RecursionError):
        number = None
    if not isinstance(number, int):
        raise InvalidInput(
            "this job runs for no pull request", hint="use it in a workflow `on: pull_request`"
        )
    return number


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ReconcilerError(f"cannot read {visible(path)}: {why}") from None
