"""What `init` pins, installed with the workflows' own commands: one byte that differs fails the job."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from reconciler import __version__
from reconciler.cli.app import reconciler
from tests.fixtures.runner import template

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MISMATCH = "THESE PACKAGES DO NOT MATCH THE HASHES"
(LOCKED, PINNED) = next(
    step["run"].splitlines()
    for step in yaml.safe_load(template("preview"))["jobs"]["validate"]["steps"]
    if step.get("name") == "Install"
)


def wheel(folder: Path, name: str, version: str, code: str = "") -> Path:
    """Write a wheel with one module."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    file = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{module}.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(
            f"{info}/RECORD", f"{module}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return file


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a repository that pins a wheel."""
    ours = wheel(tmp_path, "webhook-reconciler", __version__)
    folder = tmp_path / "webhooks"
    made = CliRunner().invoke(reconciler, ["init", str(folder), "--from", str(ours)])
    assert made.exit_code == 0, made.output
    return folder


@pytest.fixture
def install(tmp_path: Path, repository: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Give a job's command; pip finds packages only in the folder `index`."""
    (tmp_path / "index").mkdir()

    def run(command: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path),
            "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": str(tmp_path / "index"), "PIP_TARGET": str(tmp_path / "installed"),
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=repository, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def test_the_pinned_wheel_is_installed(
    tmp_path: Path, repository: Path, install: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    """From the repository alone; with one byte more, nothing is."""
    done = install(PINNED)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "installed/webhook_reconciler.py").exists()
    (copied,) = (repository / ".reconciler").glob("*.whl")
    copied.write_bytes(copied.read_bytes() + b"\n")
    changed = install(PINNED)
    assert changed.returncode != 0
    assert MISMATCH in changed.stderr


def test_another_package_with_the_locked_name_and_version_is_refused(
    tmp_path: Path, install: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    """Whoever takes over an index, or a package in it, gets no code into the job."""
    lock = tmp_path / "webhooks/.reconciler/requirements.txt"
    name, version = next(line for line in lock.read_text().splitlines() if "==" in line)[:-2].split("==")
    wheel(tmp_path / "index", name, version, "raise SystemExit('run')")
    done = install(LOCKED)
    assert done.returncode != 0
    assert MISMATCH in done.stderr
    assert not (tmp_path / "installed").exists()
