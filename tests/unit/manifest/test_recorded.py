"""Paths as the ledger records them, and manifests outside the PATHs."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.manifest.load import load_manifests
from reconciler.manifest.recorded import RecordedPaths


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)


def manifest(path: str, name: str, **changes: str) -> None:
    spec = {"url": f"https://hooks.example.com/{name}", "events": "[run.failed]", **changes}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    lines = [f"  {key}: {value}" for key, value in spec.items()]
    head = f"apiVersion: webhooks.zof.ai/v1\nkind: Webhook\nmetadata:\n  name: {name}\nspec:\n"
    Path(path).write_text(head + "\n".join(lines) + "\n")


@pytest.mark.parametrize("git", ["folder", "file"])
@pytest.mark.parametrize(
    ("folder", "named"),
    [
        (".", "repo/manifests"),
        (".", "./repo//manifests/"),
        ("repo", "manifests"),
        ("repo", "../repo/manifests"),
        ("repo/manifests", "."),
        ("repo/manifests/team-a", ".."),
        ("repo/docs", "{top}/repo/manifests"),
    ],
)
def test_a_path_in_a_repository_begins_at_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: str, folder: str, named: str
) -> None:
    """Wherever the command runs and however the folder is named; in a worktree, `.git` is a file."""
    manifest("repo/manifests/team-a/x.yaml", "x")
    Path("repo/docs").mkdir()
    Path("repo/.git").mkdir() if git == "folder" else Path("repo/.git").touch()
    monkeypatch.chdir(tmp_path / folder)
    named = named.format(top=tmp_path)
    recorded = RecordedPaths([named], "anywhere")
    (found,) = load_manifests([named], recorded=recorded.of).webhooks
    assert found.recorded_path == "manifests/team-a/x.yaml"
    assert found.location.path != found.recorded_path or (folder, named) == ("repo", "manifests")
    assert recorded.spellings(named)[0] == "manifests"


@pytest.mark.parametrize(("otherwise", "expected"), [("", "conf/m/x.yaml"), ("conf", "m/x.yaml")])
def test_a_path_outside_a_repository_begins_at_the_configuration(otherwise: str, expected: str) -> None:
    """Without a configuration file, at the working directory."""
    manifest("conf/m/x.yaml", "x")
    (found,) = load_manifests(["conf/m"], recorded=RecordedPaths(["conf/m"], otherwise).of).webhooks
    assert found.recorded_path == expected


def test_a_link_is_recorded_as_it_is_named_and_compared_as_both() -> None:
    """Where a link leads differs between machines; a folder may have been named directly before."""
    manifest("m/team/x.yaml", "x")
    Path("link").symlink_to("m/team")
    recorded = RecordedPaths(["link"], "")
    assert recorded.of("link/x.yaml") == "link/x.yaml"
    assert recorded.spellings("link") == (
        "link",
        "m/team",
        str(Path("link").absolute()),
        str(Path("m/team").resolve()),
    )
    assert recorded.spellings("nul\0") == ()


def test_names_outside_the_paths_are_known() -> None:
    """They are no webhooks of the run, and a file in the paths is not read twice."""
    manifest("m/a/a.yaml", "a")
    manifest("m/b/b.yaml", "b")
    loaded = load_manifests(["m/a"], outside=["m"])
    assert [each.name for each in loaded.webhooks] == ["a"]
    assert loaded.paths == ("m/a/a.yaml",)
    assert loaded.diagnostics == ()
    assert loaded.outside is not None
    assert loaded.outside.names == {"b"}
    assert loaded.outside.errors == ()


@pytest.mark.parametrize("changes", [{"name": "a"}, {"name": "b", "url": "https://hooks.example.com/a"}])
def test_a_duplicate_outside_the_paths_is_an_error(changes: dict[str, str]) -> None:
    """Otherwise two teams would replace each other's webhook in turn."""
    manifest("m/a/a.yaml", "a")
    manifest("m/b/b.yaml", **{"url": "https://hooks.example.com/other", **changes})
    loaded = load_manifests(["m/a"], outside=["m"])
    (problem,) = loaded.diagnostics
    assert problem.location is not None
    assert (problem.location.path, problem.also[0].location.path) == ("m/b/b.yaml", "m/a/a.yaml")


def test_other_problems_outside_the_paths_do_not_stop_a_run() -> None:
    """They are kept apart: their manifests may declare names that are not known."""
    manifest("m/a/a.yaml", "a")
    manifest("m/b/b.yaml", "b", events="[run.unknown]")
    manifest("m/b/c.yaml", "c")
    manifest("m/b/d.yaml", "c")
    Path("m/b/e.yaml").write_text("a: [")
    loaded = load_manifests(["m/a"], outside=["m"])
    assert loaded.ok
    assert loaded.outside is not None
    assert loaded.outside.names == {"c"}
    assert {each.location.path for each in loaded.outside.errors if each.location} == {
        "m/b/b.yaml",
        "m/b/d.yaml",
        "m/b/e.yaml",
    }
