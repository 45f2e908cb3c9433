"""Find the reviewed plan, which the preview of a merged pull request saved for the apply.

It only limits the apply, which makes its own plan from the merged manifests. A forged one could therefore
lift only that limit; guards and manifests still apply.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.github.client import GitHub

PLAN_NAME = "plan.json"
"""The file in the artifact."""
_PLAN_MAX = 256 * 1024 * 1024


class Review(Struct, frozen=True):
    """A merged pull request and its reviewed plan."""

    pull: int
    head: str
    """The commit that was planned."""
    plan: bytes | None
    """None if no preview saved one, or it has expired."""


def find_review(github: GitHub, commit: str, artifact: str) -> Review | None:
    """Return the review of the pull request whose merge created `commit`; None if there is none.

    Args:
        github: the repository.
        commit: the pushed commit.
        artifact: the artifact's name without the planned commit at its end.

    Raises:
        ReconcilerError: GitHub refused, did not answer, or the archive is damaged.
    """
    for pull in github.pages(f"commits/{commit}/pulls"):
        if not pull.get("merged_at") or pull.get("merge_commit_sha") != commit:
            continue
        head = str(pull["head"]["sha"])
        found = _newest(github, f"{artifact}-{head}", head)
        plan = None if found is None else _unpack(github.download(f"actions/artifacts/{found['id']}/zip"))
        return Review(int(pull["number"]), head, plan)
    return None


def _newest(github: GitHub, name: str, head: str) -> dict[str, Any] | None:
    """Return the newest artifact of that name from a run at `head` of this repository, not of a fork."""
    found = [
        each
        for each in github.pages("actions/artifacts", "artifacts", name=name)
        if not each.get("expired") and each.get("name") == name and _is_own(each.get("workflow_run"), head)
    ]
    return max(found, key=lambda each: int(each["id"]), default=None)


def _is_own(run: object, head: str) -> bool:
    return (
        isinstance(run, dict)
        and run.get("head_sha") == head
        and run.get("repository_id") is not None
        and run.get("repository_id") == run.get("head_repository_id")
    )


def _unpack(archive: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            if files.getinfo(PLAN_NAME).file_size > _PLAN_MAX:
                raise ReconcilerError("the reviewed plan is too large")
            return files.read(PLAN_NAME)
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, EOFError, OSError):
        raise ReconcilerError(
            "the artifact of the reviewed plan is damaged",
            hint="run the preview of the pull request again, then this job",
        ) from None
