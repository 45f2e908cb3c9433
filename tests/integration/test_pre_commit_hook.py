"""`.pre-commit-hooks.yaml`: the hook is run as pre-commit runs it, in a scratch repository."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from reconciler.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give our repository as pre-commit clones it; its `python3` makes environments with what is tested."""
    folder = tmp_path_factory.mktemp("hook") / "checkout"
    (folder / "script").mkdir(parents=True)
    shutil.copy(ROOT / "script/hook", folder / "script/hook")
    (folder / "bin").mkdir()
    (folder / "bin/python3").write_text(
        "#!/bin/sh\n"
        f'for environment; do :; done\nmkdir -p "$environment/bin"\n'
        f'ln -s {Path(sys.executable).with_name("reconciler")} "$environment/bin/reconciler"\n'
        f"""printf '#!/bin/sh\\necho "$@" >> {folder}/installed.log\\n' > "$environment/bin/pip"\n"""
        'chmod +x "$environment/bin/pip"\n'
    )
    (folder / "bin/python3").chmod(0o755)
    return folder


@pytest.fixture
def run_hook(checkout: Path) -> Callable[..., tuple[int, str]]:
    """Give what pre-commit does for `language: script` without file names: it runs the file of its clone."""

    def run(folder: Path, *args: str) -> tuple[int, str]:
        script, *own = shlex.split(HOOK["entry"])
        done = subprocess.run(
            [checkout / script, *own, *args], cwd=folder, capture_output=True, text=True, check=False,
            env={"PATH": f"{checkout}/bin{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_hook_checks_folders() -> None:
    """Names and URLs are unique across files, so the files that changed are no arguments."""
    expected: dict[str, Any] = {"id": "reconciler-validate", "language": "script", "pass_filenames": False}
    assert expected.items() <= HOOK.items()


def test_the_hook_installs_locked_requirements_once(
    repository: Path, checkout: Path, run_hook: Callable[..., tuple[int, str]]
) -> None:
    """With hashes, then our own code of the same checkout; the second commit installs nothing."""
    for _ in range(2):
        assert run_hook(repository)[0] == ExitCode.OK
    *locked, own = (checkout / "installed.log").read_text().splitlines()
    assert [line.rpartition("/")[2] for line in locked] == ["requirements.txt", "requirements-build.txt"]
    assert all("--no-deps" in line and "--require-hashes" in line for line in locked)
    assert own.endswith(f"--no-deps --no-build-isolation {checkout}")


def test_the_hook_runs_for_every_commit() -> None:
    """One that only deletes or renames a manifest has no file that could start it."""
    template = yaml.safe_load(
        (ROOT / "reconciler/_templates/pre-commit-config.yaml").read_text(encoding="utf-8")
    )
    for hook in (HOOK, *template["repos"][0]["hooks"]):
        assert hook["always_run"] is True
        assert not hook.keys() & {"files", "types", "types_or"}


def test_a_repository_in_order_passes(repository: Path, run_hook: Callable[..., tuple[int, str]]) -> None:
    """Nothing is wrong, so the commit goes through."""
    code, output = run_hook(repository)
    assert code == ExitCode.OK
    assert "1 webhook in 1 file" in output


def test_a_duplicate_in_a_file_that_did_not_change_stops_the_commit(
    repository: Path, run_hook: Callable[..., tuple[int, str]]
) -> None:
    """The new file is right by itself: only the folder as a whole shows what is wrong."""
    (repository / "manifests" / "b.yaml").write_text(MANIFEST % ("a", "b"))
    code, output = run_hook(repository)
    assert code == ExitCode.INVALID
    assert "manifests/b.yaml:3:18: error[WH021]" in output


def test_other_folders_are_named_as_arguments(
    repository: Path, run_hook: Callable[..., tuple[int, str]]
) -> None:
    """`args: [prod]` in .pre-commit-config.yaml checks that folder instead."""
    (repository / "prod").mkdir()
    (repository / "prod" / "c.yaml").write_text(MANIFEST % ("C", "c"))
    code, output = run_hook(repository, "prod")
    assert code == ExitCode.INVALID
    assert "prod/c.yaml:3:18: error[WH014]" in output


def test_the_configuration_is_checked_too(repository: Path, run_hook: Callable[..., tuple[int, str]]) -> None:
    """A broken reconciler.yaml stops the commit."""
    (repository / "reconciler.yaml").write_text("kind: Config\n")
    code, output = run_hook(repository)
    assert code == ExitCode.INVALID
    assert "reconciler.yaml:1:1: error[WH011]" in output
