"""A login's token is registered with GitHub's masker, and reaches nobody but the runner."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "hvs.CAESIJ-tokenOfALogin0123456789"
PROGRAM = textwrap.dedent(
    f"""
    from reconciler.cli.guarded import guarded_output
    from reconciler.cli.runner_masks import hide_token
    from reconciler.model import Secret
    with guarded_output():
        hide_token(Secret({TOKEN!r}))
        print({TOKEN!r})
    """
)
IN_JOB = {**os.environ, "GITHUB_ACTIONS": "true"}


def test_the_process_that_started_us_gets_the_token() -> None:
    """The runner reads stderr through a pipe; our own output is masked."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=IN_JOB
    )
    assert (ran.stdout, ran.stderr) == ("***\n", f"::add-mask::{TOKEN}\n")


def test_outside_of_a_job_it_stays_secret() -> None:
    """Nobody else acts on the command."""
    env = {name: value for name, value in os.environ.items() if name != "GITHUB_ACTIONS"}
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=env)
    assert (ran.stdout, ran.stderr) == ("***\n", "")


@pytest.mark.parametrize("redirection", ["2>log", "2>&1 | tee log", "2>&1 | cat > log"])
def test_a_file_does_not_get_the_token(tmp_path: Path, redirection: str) -> None:
    """Neither does a program beside us, which the runner does not control."""
    shell = f'"$0" -c "$1" {redirection}'
    ran = subprocess.run(
        ["bash", "-c", shell, sys.executable, PROGRAM],
        capture_output=True, text=True, check=True, env=IN_JOB, cwd=tmp_path,
    )  # fmt: skip
    assert TOKEN not in ran.stdout + ran.stderr + (tmp_path / "log").read_text()
