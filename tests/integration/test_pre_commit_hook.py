"""`.pre-commit-hooks.yaml`: the hook is run as pre-commit runs it, in a scratch repository."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.errors import ExitCode

ROOT = Path(__file__).resolve().parents[2]
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
MANIFEST = """apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata: {name: %s}
spec: {url: "https://hooks.example.com/%s", events: [run.failed]}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "a.yaml").write_text(MANIFEST % ("a", "a"))
    return tmp_path


def run_hook(folder: Path, *args: str) -> tuple[int, str]:
    """Do what pre-commit does for `language: python` without file names: its environment is first on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [*shlex.split(HOOK["entry"]), *args]
    done = subprocess.run(
        command, cwd=folder, env={"PATH": path}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_hook_checks_folders() -> None:
    """Names and URLs are unique across files, so the files that changed are no arguments."""
    expected: dict[str, Any] = {"id": "reconciler-validate", "language": "python", "pass_filenames": False}
    assert expected.items() <= HOOK.items()


def test_the_hook_runs_for_every_commit() -> None:
    """One that only deletes or renames a manifest has no file that could start it."""
    template = yaml.safe_load(
        (ROOT / "reconciler/_templates/pre-commit-config.yaml").read_text(encoding="utf-8")
    )
    for hook in (HOOK, *template["repos"][0]["hooks"]):
        assert hook["always_run"] is True
        assert not hook.keys() & {"files", "types", "types_or"}


def test_a_repository_in_order_passes(repository: Path) -> None:
    """Nothing is wrong, so the commit goes through."""
    code, output = run_hook(repository)
    assert code == ExitCode.OK
    assert "1 webhook in 1 file" in output


def test_a_duplicate_in_a_file_that_did_not_change_stops_the_commit(repository: Path) -> None:
    """The new file is right by itself: only the folder as a whole shows what is wrong."""
    (repository / "manifests" / "b.yaml").write_text(MANIFEST % ("a", "b"))
    code, output = run_hook(repository)
    assert code == ExitCode.INVALID
    assert "manifests/b.yaml:3:18: error[WH021]" in output


def test_other_folders_are_named_as_arguments(repository: Path) -> None:
    """`args: [prod]` in .pre-commit-config.yaml checks that folder instead."""
    (repository / "prod").mkdir()
    (repository / "prod" / "c.yaml").write_text(MANIFEST % ("C", "c"))
    code, output = run_hook(repository, "prod")
    assert code == ExitCode.INVALID
    assert "prod/c.yaml:3:18: error[WH014]" in output


def test_the_configuration_is_checked_too(repository: Path) -> None:
    """A broken reconciler.yaml stops the commit."""
    (repository / "reconciler.yaml").write_text("kind: Config\n")
    code, output = run_hook(repository)
    assert code == ExitCode.INVALID
    assert "reconciler.yaml:1:1: error[WH011]" in output
