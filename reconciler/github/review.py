"""Find the reviewed plan, which the preview of a merge group or a merged pull request saved for the apply.

It only limits the apply, which makes its own plan from the merged manifests. A forged one could therefore
lift only that limit; guards and manifests still apply.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.errors import ReconcilerError
from reconciler.texts import as_count

if TYPE_CHECKING:
    from reconciler.github.client import GitHub

PLAN_NAME = "plan.json"
"""The file in the artifact."""
_PLAN_MAX = 32 * 1024 * 1024
"""Bytes; a plan of 10,000 changes has about 8 MB."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""What GitHub's own action writes. Of other methods, Python's reader unpacks pieces of any size."""
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
)
"""What Python's reader raises for archives that it cannot read."""


class Review(Struct, frozen=True):
    """A merged pull request or merge group, and its reviewed plan."""

    pull: int | None
    """None for a group of a merge queue, which may have several."""
    head: str
    """The commit that was planned."""
    plan: bytes | None
    """None if no preview saved one, or it has expired."""


def find_review(github: GitHub, commit: str, artifact: str) -> Review | None:
    """Return the review of the merge that created `commit`; None if there is none.

    A merge queue pushes the commit of its group, so the group's plan is that of `commit` itself.

    Args:
        github: the repository.
        commit: the pushed commit.
        artifact: the artifact's name without the planned commit at its end.

    Raises:
        ReconcilerError: GitHub refused, did not answer, or the archive is damaged.
    """
    if (planned := _newest(github, f"{artifact}-{commit}", commit)) is not None:
        return Review(None, commit, _download(github, planned))
    for pull in github.pages(f"commits/{commit}/pulls"):
        if not pull.get("merged_at") or pull.get("merge_commit_sha") != commit:
            continue
        branch = pull.get("head")
        head = branch.get("sha") if isinstance(branch, dict) else None
        number = as_count(pull.get("number"))
        if number is None or not isinstance(head, str):
            raise ReconcilerError(
                f"GitHub's answer about the pull request of {commit} cannot be read", hint="run the job again"
            )
        found = _newest(github, f"{artifact}-{head}", head)
        return Review(number, head, None if found is None else _download(github, found))
    return None


def _download(github: GitHub, artifact: int) -> bytes:
    return unpack(github.download(f"actions/artifacts/{artifact}/zip"))


def _newest(github: GitHub, name: str, head: str) -> int | None:
    """Return the id of the newest artifact of that name from a run at `head`, not of a fork."""
    found = [
        as_count(each.get("id"))
        for each in github.pages("actions/artifacts", "artifacts", name=name)
        if not each.get("expired") and each.get("name") == name and _is_own(each.get("workflow_run"), head)
    ]
    return max((number for number in found if number is not None), default=None)


def _is_own(run: object, head: str) -> bool:
    return (
        isinstance(run, dict)
        and run.get("head_sha") == head
        and run.get("repository_id") is not None
        and run.get("repository_id") == run.get("head_repository_id")
    )


def unpack(archive: bytes) -> bytes:
    """Return the plan in an artifact's archive. What the archive says about sizes is not trusted.

    Raises:
        ReconcilerError: the archive is damaged, or the plan is too large.
    """
    try:
        plan = _read_bounded(archive)
    except _DAMAGED:
        plan = None
    if plan is None:
        raise ReconcilerError(
            "the artifact of the reviewed plan is damaged",
            hint="run the preview of the pull request again, then this job",
        )
    if len(plan) > _PLAN_MAX:
        raise ReconcilerError(f"the reviewed plan has more than {_PLAN_MAX >> 20} MB")
    return plan


def _read_bounded(archive: bytes) -> bytes | None:
    """Return at most a byte more than a plan may have; None: it is packed in another way than GitHub's."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        packed = files.getinfo(PLAN_NAME)
        if packed.compress_type not in _METHODS:
            return None
        with files.open(packed) as file:
            return file.read(_PLAN_MAX + 1)
