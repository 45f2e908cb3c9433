"""PATHs on the command line limit the scope, on the real servers: other teams' webhooks stay."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.fixtures.command import CommandLine


def _write(command: CommandLine, team: str, name: str, **spec: object) -> Path:
    """Write manifests/<team>/<name>.yaml."""
    file = command.write(name, **spec)  # type: ignore[arg-type]
    place = file.parent / team / file.name
    place.parent.mkdir(exist_ok=True)
    return file.rename(place)


def _recorded(command: CommandLine, name: str) -> str:
    data = command.vault.request("GET", f"secret/metadata/{command.prefix}/{name}")["data"]
    return str(data["custom_metadata"]["manifest"])


def test_one_team_applies_its_folder(
    command: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its webhooks are created, changed and deleted, from any folder; the other team's stays throughout."""
    (tmp_path / ".git").mkdir()
    _write(command, "team-a", "a")
    extra = _write(command, "team-a", "extra")
    _write(command, "team-b", "b")
    assert command("apply", "--yes").exit_code == 0
    assert [_recorded(command, name) for name in ("a", "b")] == [
        "manifests/team-a/a.yaml",
        "manifests/team-b/b.yaml",
    ]
    theirs = command.live["https://hooks.example.com/b"]

    plan = command("plan", "manifests/team-a", "--exit-code")
    assert plan.exit_code == 0
    assert "1 webhook is out of scope: no manifest in the PATHs declares it." in plan.stdout
    assert json.loads(command("plan", "manifests/team-a", "--format", "json").stdout)["summary"] == {
        **dict.fromkeys(["create", "replace", "delete", "rotate", "resume", "release", "update"], 0),
        "unchanged": 2,
        "out_of_scope": 1,
        **dict.fromkeys(["drift", "rotation_due", "cleanup_due", "in_progress"], 0),
    }
    assert "1 webhook is out of scope" in command("plan", "manifests/team-a", "--format", "markdown").stdout
    assert "1 webhook is out of scope" in command("drift", "manifests/team-a").stdout
    assert "hooks.example.com/b" not in command("status", "manifests/team-a").stdout

    extra.unlink()
    monkeypatch.chdir(tmp_path / "manifests" / "team-a")
    applied = command("apply", ".", "--yes")
    assert applied.exit_code == 0, applied.output
    assert "1 to delete; 1 unchanged, 1 out of scope." in applied.stdout
    _write(command, "team-a", "new")
    assert command("apply", "../team-a", "--yes").exit_code == 0
    assert _recorded(command, "new") == "manifests/team-a/new.yaml"
    monkeypatch.chdir(tmp_path)
    assert sorted(command.live) == [f"https://hooks.example.com/{name}" for name in ("a", "b", "new")]
    assert command.live["https://hooks.example.com/b"] == theirs
    assert command("plan", "--exit-code").exit_code == 0


def test_a_manifest_that_moves_to_another_team_is_not_deleted(command: CommandLine) -> None:
    """The team that it leaves sees that it is declared elsewhere; an unreadable manifest may declare it."""
    moving = _write(command, "team-a", "moving")
    _write(command, "team-a", "a")
    _write(command, "team-b", "b")
    assert command("apply", "--yes").exit_code == 0
    live = command.live
    moved = moving.rename(moving.parents[1] / "team-b" / "moving.yaml")
    for team in ("team-a", "team-b"):
        applied = command("apply", f"manifests/{team}", "--yes")
        assert applied.exit_code == 0, applied.output
        assert "No changes." in applied.stdout
    assert command.live == live

    text = moved.read_text(encoding="utf-8")
    moved.write_text("{", encoding="utf-8")
    applied = command("apply", "manifests/team-a", "--yes")
    assert applied.exit_code == 0
    assert "2 webhooks are out of scope" in applied.stdout
    assert "warning: manifests outside the PATHs have errors, such as " in applied.stderr
    assert "manifests/team-b/moving.yaml" in applied.stderr
    assert command("apply", "--yes").exit_code == 3
    assert command.live == live
    moved.write_text(text, encoding="utf-8")
    assert command("plan", "--exit-code").exit_code == 0


def test_paths_beside_the_default_folder_take_its_place(command: CommandLine) -> None:
    """Without a configuration, `manifests/` may be another organization's: its names do not count."""
    command.write("a")
    staging = (command.folder / "manifests").rename(command.folder / "staging")
    command.write("a")
    command.write("b")
    (staging / "b.yaml").write_bytes((command.folder / "manifests/b.yaml").read_bytes())
    assert command("apply", "staging", "--yes").exit_code == 0
    assert len(command.live) == 2
    (staging / "b.yaml").unlink()
    assert command("apply", "staging", "--yes").exit_code == 0
    assert list(command.live) == ["https://hooks.example.com/a"]


def test_a_record_without_a_path_is_out_of_scope(command: CommandLine) -> None:
    """Where the metadata has none, nothing shows that the webhook belongs to the PATHs."""
    file = _write(command, "team-a", "a")
    _write(command, "team-a", "stays")
    assert command("apply", "--yes").exit_code == 0
    path = f"secret/metadata/{command.prefix}/a"
    values = command.vault.request("GET", path)["data"]["custom_metadata"]
    del values["manifest"]
    command.vault.request("POST", path, {"custom_metadata": values})
    file.unlink()
    applied = command("apply", "manifests/team-a", "--yes")
    assert "1 webhook is out of scope" in applied.stdout
    assert len(command.live) == 2
    assert command("apply", "--yes").exit_code == 0
    assert len(command.live) == 1


def test_an_empty_path_is_refused_where_webhooks_are_owned(command: CommandLine) -> None:
    """The guard counts what is in scope: another team's webhooks do not matter."""
    file = _write(command, "team-a", "a")
    _write(command, "team-b", "b")
    (command.folder / "manifests/team-c").mkdir()
    assert command("apply", "--yes").exit_code == 0
    file.unlink()
    refused = command("plan", "manifests/team-a")
    assert refused.exit_code == 4
    assert "there are no manifests at all in the PATHs while 1 webhook is owned there" in refused.stdout
    assert command("drift", "manifests/team-a").exit_code == 4
    assert command("plan", "manifests/team-c").exit_code == 0
    assert len(command.live) == 2
