"""Who runs this, from which commit, and where it can be read about: for the record in the ledger."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

from reconciler.model import Run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_GIT_PATIENCE = 2.0


def current_run(environ: Mapping[str, str], actor: str | None = None) -> Run:
    """Return who runs this: `actor`, else what GitHub Actions says, else the user of this machine."""
    return Run(
        actor=actor or environ.get("GITHUB_ACTOR") or environ.get("USER") or environ.get("LOGNAME") or None,
        commit=environ.get("GITHUB_SHA") or _git_commit(),
        url=_run_url(environ),
    )


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
    try:
        answer = (
            subprocess.run(
                ["git", "rev-parse", "HEAD"], capture_output=True, check=False, timeout=_GIT_PATIENCE
            )
            .stdout.decode("ascii", "replace")
            .strip()
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer if _COMMIT.fullmatch(answer) else None
