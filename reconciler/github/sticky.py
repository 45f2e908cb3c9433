"""One comment on a pull request and one issue of a repository, found by a mark and updated in place.

A comment is ours if our author wrote it and it begins with our mark. Text that a plan quotes never comes
first, and other people are not our author, so neither is taken for ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.github.client import InDoubt

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.github.client import GitHub

BODY_LIMIT = 65_536
"""Characters: GitHub refuses more."""
ACTIONS = "github-actions[bot]"
"""The author of what a job writes with its own token."""
_CUT = "\n\n**Cut off here:** the run has the rest.\n"
_LOOKS = 3
"""How often to check for a comment or issue whose creation is in doubt."""


class Mark(Struct, frozen=True):
    """Identifies our comment or issue: `key` names its use, such as `plan:acme-prod`."""

    key: str
    author: str = ACTIONS

    @property
    def line(self) -> str:
        """The first line of the body. GitHub does not show it."""
        return f"<!-- webhook-reconciler {self.key} -->"

    def is_on(self, found: dict[str, Any]) -> bool:
        """Whether a comment or an issue is ours."""
        user, body = found.get("user"), found.get("body")
        return (
            isinstance(user, dict)
            and user.get("login") == self.author
            and isinstance(body, str)
            and body.replace("\r\n", "\n").startswith(f"{self.line}\n")
        )

    def body(self, text: str) -> str:
        """Return the body: the mark and the text, cut off between two blocks if it is too long."""
        whole = f"{self.line}\n{text}"
        if len(whole) <= BODY_LIMIT:
            return whole
        kept = whole[: BODY_LIMIT - len(_CUT)]
        return (kept.rpartition("\n\n")[0] or kept) + _CUT


def put_comment(github: GitHub, pull: int, mark: Mark, text: str) -> str:
    """Create or update our comment on the pull request; return its page.

    Raises:
        ReconcilerError: GitHub refused, or did not answer.
    """
    path = f"issues/{pull}/comments"

    def find() -> str | None:
        ours = next(filter(mark.is_on, github.pages(path)), None)
        return None if ours is None else f"issues/comments/{ours['id']}"

    return _put(github, find, path, {"body": mark.body(text)})


def put_issue(github: GitHub, mark: Mark, title: str, text: str) -> str:
    """Create or update our open issue in the repository; return its page.

    Raises:
        ReconcilerError: GitHub refused, or did not answer.
    """

    def find() -> str | None:
        ours = _open_issue(github, mark)
        return None if ours is None else f"issues/{ours['number']}"

    return _put(github, find, "issues", {"title": title, "body": mark.body(text)})


def _put(github: GitHub, find: Callable[[], str | None], path: str, body: dict[str, str]) -> str:
    """Change what `find` returns the path of, else create it in `path`; return its page."""
    for look in range(_LOOKS):
        ours = find()
        try:
            return _page(github.create(path, body) if ours is None else github.change(ours, body))
        except InDoubt:
            if look == _LOOKS - 1:
                raise
    raise AssertionError  # pragma: no cover (the last look returns or raises)


def close_issue(github: GitHub, mark: Mark, why: str) -> str | None:
    """Close our open issue, with `why` as its first paragraph; return its page, None if there is none.

    Raises:
        ReconcilerError: GitHub refused, or did not answer.
    """
    ours = _open_issue(github, mark)
    if ours is None:
        return None
    old = ours["body"].replace("\r\n", "\n").removeprefix(f"{mark.line}\n")
    body = {"state": "closed", "state_reason": "completed", "body": mark.body(f"{why}\n\n{old}")}
    return _page(github.change(f"issues/{ours['number']}", body))


def _open_issue(github: GitHub, mark: Mark) -> dict[str, Any] | None:
    """Return our oldest open issue: if two runs opened one each, the older is used."""
    issues = github.pages("issues", state="open", sort="created", direction="asc")
    return next((each for each in issues if "pull_request" not in each and mark.is_on(each)), None)


def _page(written: dict[str, Any]) -> str:
    return str(written.get("html_url", ""))
