"""Places for code hosts are counted from the root of the repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.cli.commands.validate import from_repository_root
from reconciler.diagnostics import Diagnostic, Related, Severity
from reconciler.model import Location

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def infra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the working folder: one below the root of a repository."""
    folder = tmp_path / "repository" / "infra"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def _paths(path: str) -> tuple[str, str]:
    other = Related(Location(path, 3), "the first one is here")
    diagnostic = Diagnostic(Severity.ERROR, "WH021", "m", Location(path, 7), also=(other,))
    (moved,) = from_repository_root([diagnostic])
    assert moved.location is not None
    return moved.location.path, moved.also[0].location.path


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("manifests/a.yaml", "infra/manifests/a.yaml"),
        ("./a.yaml", "infra/a.yaml"),
        ("../a.yaml", "a.yaml"),
        ("..a.yaml", "infra/..a.yaml"),
        ("../../a.yaml", "../../a.yaml"),
        ("/elsewhere/a.yaml", "/elsewhere/a.yaml"),
    ],
)
def test_a_path_within_the_repository_begins_at_its_root(infra: Path, path: str, seen: str) -> None:
    """So annotations and alerts meet the files of a pull request; what lies outside stays as it is."""
    (infra.parent / ".git").mkdir()
    assert _paths(path) == (seen, seen)
    assert _paths(str(infra / "b.yaml")) == ("infra/b.yaml", "infra/b.yaml")


def test_the_git_file_of_a_worktree_marks_a_root_too(infra: Path) -> None:
    """The nearest mark counts."""
    (infra.parent / ".git").mkdir()
    (infra / ".git").write_text("gitdir: elsewhere\n")
    assert _paths("a.yaml") == ("a.yaml", "a.yaml")


def test_without_a_git_folder_the_workspace_is_the_root(infra: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container has a copy without it; a workspace elsewhere says nothing about this folder."""
    monkeypatch.setenv("GITHUB_WORKSPACE", str(infra.parent))
    assert _paths("a.yaml") == ("infra/a.yaml", "infra/a.yaml")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(infra / "elsewhere"))
    assert _paths("a.yaml") == ("a.yaml", "a.yaml")


@pytest.mark.usefixtures("infra")
def test_without_a_repository_paths_stay_as_they_are() -> None:
    """There is nothing to count from; a diagnostic without a place has none afterwards."""
    assert _paths("./a.yaml") == ("./a.yaml", "./a.yaml")


def test_what_has_no_place_gets_none(infra: Path) -> None:
    """It is about no file."""
    (infra / ".git").mkdir()
    nowhere = Diagnostic(Severity.ERROR, "WH001", "m")
    assert from_repository_root([nowhere]) == [nowhere]
