"""`reconciler github`: the GitHub requests of our workflows. Hidden from the list of commands."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import click

from reconciler.errors import ExitCode, InvalidInput, ReconcilerError
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.github.client import GitHub

_AUTHOR = "github-actions[bot]"
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_FILE_MAX = 64 * 1024 * 1024
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def _mark(function: Any) -> Any:
    key = click.option("--key", required=True, metavar="KEY", help="The subject, such as plan:acme-prod.")
    author = click.option(
        "--author", default=_AUTHOR, show_default=True, metavar="LOGIN", help="The owner of GITHUB_TOKEN."
    )
    return key(author(function))


@click.group("github")
def command() -> None:
    """Make the GitHub requests of our workflows, with the job's own token in GITHUB_TOKEN.

    docs/reference/workflows.md of webhook-reconciler describes the workflows.
    """


@command.command("comment")
@click.argument("file", metavar="FILE")
@_mark
def comment(file: str, key: str, author: str) -> ExitCode:
    """Comment on the job's pull request with the text of FILE.

    There is one comment for each KEY: it is changed in place.

    \b
    Example:
      reconciler github comment plan.md --key plan:acme-prod
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.github.sticky import Mark, put_comment

    text = _read(file)
    pull = _pull_request(os.environ)
    with _github(os.environ) as github:
        page = put_comment(github, pull, Mark(key, author), text)
    write_result(f"commented: {visible(page)}\n")
    return ExitCode.OK


@command.command("issue")
@click.argument("file", metavar="FILE")
@click.option("--title", required=True, metavar="TEXT", help="The issue's title.")
@_mark
def issue(file: str, title: str, key: str, author: str) -> ExitCode:
    """Open an issue with the text of FILE, or change the one for KEY that is open.

    \b
    Example:
      reconciler github issue drift.md --key drift:acme-prod --title "Webhooks drift"
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.github.sticky import Mark, put_issue

    text = _read(file)
    with _github(os.environ) as github:
        page = put_issue(github, Mark(key, author), title, text)
    write_result(f"open: {visible(page)}\n")
    return ExitCode.OK


@command.command("close-issue")
@click.option("--why", required=True, metavar="TEXT", help="The first line of the closed issue.")
@_mark
def close_issue(why: str, key: str, author: str) -> ExitCode:
    """Close the issue for KEY, if it is open.

    \b
    Example:
      reconciler github close-issue --key drift:acme-prod --why "The drift is gone."
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.output import write_result
    from reconciler.github.sticky import Mark
    from reconciler.github.sticky import close_issue as close

    with _github(os.environ) as github:
        page = close(github, Mark(key, author), why)
    write_result("nothing to close\n" if page is None else f"closed: {visible(page)}\n")
    return ExitCode.OK


@command.command("reviewed-plan")
@click.option("--out", required=True, metavar="FILE", help="The file for the plan, if there is one.")
@click.option("--artifact", required=True, metavar="NAME", help="The artifact's name without the commit.")
def reviewed_plan(out: str, artifact: str) -> ExitCode:
    """Get the plan of the merge group or the merged pull request, for `apply --plan`.

    The preview saved it as the artifact NAME-COMMIT. Without one nothing is written; a notice says so.

    \b
    Example:
      reconciler github reviewed-plan --artifact webhooks-plan --out plan.json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli.logins import require
    from reconciler.cli.output import write_file, write_result
    from reconciler.github.review import find_review
    from reconciler.report.format.github import command as workflow_command

    commit = require(os.environ, "GITHUB_SHA", "the commit that was pushed")
    if not _COMMIT.fullmatch(commit):
        raise InvalidInput("GITHUB_SHA is not a commit", hint="set it to the 40 digits of the pushed commit")
    with _github(os.environ) as github:
        review = find_review(github, commit, artifact)
    if review is None:
        message = "No pull request was merged with this commit: only the guards limit what is applied."
        write_result(workflow_command("notice", "no reviewed plan", message), commands=True)
    elif review.plan is None:
        message = f"Pull request #{review.pull} has no saved plan: only the guards limit what is applied."
        write_result(workflow_command("warning", "no reviewed plan", message), commands=True)
    else:
        write_file(out, review.plan.decode("utf-8", "replace"))
        whose = "the merge group" if review.pull is None else f"pull request #{review.pull}"
        write_result(f"reviewed: the plan of {whose} at {review.head[:12]}\n")
    return ExitCode.OK


def _github(environ: Mapping[str, str]) -> GitHub:
    from reconciler.cli.logins import require
    from reconciler.cli.system import SystemClock
    from reconciler.github.client import GitHub
    from reconciler.model import Secret

    repository = require(environ, "GITHUB_REPOSITORY", "owner/name")
    if not _REPOSITORY.fullmatch(repository):
        raise InvalidInput("GITHUB_REPOSITORY does not have the form owner/name")
    token = Secret(require(environ, "GITHUB_TOKEN", "the job's token: ${{ github.token }}"))
    url = environ.get("GITHUB_API_URL") or "https://api.github.com"
    return GitHub(repository, token, url=url, clock=SystemClock())


def _pull_request(environ: Mapping[str, str]) -> int:
    """Return the number of the pull request that this job runs for.

    Raises:
        InvalidInput: it runs for none.
    """
    from reconciler.cli.logins import require

    event = _read(require(environ, "GITHUB_EVENT_PATH", "the file with the event that started the job"))
    try:
        number = json.loads(event)["pull_request"]["number"]
    except (ValueError, KeyError, TypeError, RecursionError):
        number = None
    if not isinstance(number, int):
        raise InvalidInput(
            "this job does not run for a pull request", hint="use it in a workflow `on: pull_request`"
        )
    return number


def _read(path: str) -> str:
    from reconciler.named_files import read_whole

    try:
        return read_whole(path, _FILE_MAX).decode()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ReconcilerError(f"cannot read {visible(path)}: {why}") from None
