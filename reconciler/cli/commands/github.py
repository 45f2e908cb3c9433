"""`reconciler github`: what our workflows do on GitHub. Not in the list of commands: it is for them."""

from __future__ import annotations

from typing import Any

import click

_AUTHOR = "github-actions[bot]"


def _mark(function: Any) -> Any:
    key = click.option(
        "--key", required=True, metavar="KEY", help="What it is about, such as plan:acme-prod."
    )
    author = click.option(
        "--author", default=_AUTHOR, show_default=True, metavar="LOGIN", help="Whom GITHUB_TOKEN belongs to."
    )
    return key(author(function))


@click.group("github")
def command() -> None:
    """What our GitHub workflows do on GitHub, with the job's own token in GITHUB_TOKEN.

    docs/reference/workflows.md of webhook-reconciler describes the workflows.
    """


@command.command("comment")
@click.argument("file", metavar="FILE")
@_mark
def comment(file: str, key: str, author: str) -> int:
    """Comment on the job's pull request with the text of FILE.

    There is one comment for each KEY: it is changed in place.

    \b
    Example:
      reconciler github comment plan.md --key plan:acme-prod
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import github_job  # noqa: PLC0415 (loads the libraries that do the work)

    return github_job.comment(file, key, author)


@command.command("issue")
@click.argument("file", metavar="FILE")
@click.option("--title", required=True, metavar="TEXT", help="The issue's title.")
@_mark
def issue(file: str, title: str, key: str, author: str) -> int:
    """Open an issue with the text of FILE, or change the one for KEY that is open.

    \b
    Example:
      reconciler github issue drift.md --key drift:acme-prod --title "Webhooks drift"
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import github_job  # noqa: PLC0415 (loads the libraries that do the work)

    return github_job.issue(file, key, author, title)


@command.command("close-issue")
@click.option("--why", required=True, metavar="TEXT", help="What becomes the first line of the issue.")
@_mark
def close_issue(why: str, key: str, author: str) -> int:
    """Close the issue for KEY, if it is open.

    \b
    Example:
      reconciler github close-issue --key drift:acme-prod --why "The drift is gone."
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import github_job  # noqa: PLC0415 (loads the libraries that do the work)

    return github_job.close(key, author, why)


@command.command("reviewed-plan")
@click.option("--out", required=True, metavar="FILE", help="Where the plan is written, if there is one.")
@click.option("--artifact", required=True, metavar="NAME", help="The artifact's name without the commit.")
def reviewed_plan(out: str, artifact: str) -> int:
    """Get the plan that reviewers of the merged pull request saw, for `apply --plan`.

    The preview saved it as the artifact NAME-COMMIT. Without one nothing is written, and that is said.

    \b
    Example:
      reconciler github reviewed-plan --artifact webhooks-plan --out plan.json
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import github_job  # noqa: PLC0415 (loads the libraries that do the work)

    return github_job.reviewed_plan(out, artifact)
