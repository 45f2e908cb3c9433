"""Which files are manifests, through the command line and on real servers: none is silently skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.command import CommandLine


def _rename(file: Path) -> None:
    file.rename(file.with_suffix(".YAML"))


def _link(file: Path) -> None:
    target = file.with_name(".shared") / "x"
    target.parent.mkdir()
    file.rename(target)
    file.symlink_to(".shared/x")


def _mount(file: Path) -> None:
    """Arrange all manifests as Kubernetes mounts a ConfigMap."""
    folder = file.parent
    files = list(folder.iterdir())
    (folder / "..2026_11_30_17").mkdir()
    (folder / "..data").symlink_to("..2026_11_30_17")
    for each in files:
        each.rename(folder / "..2026_11_30_17" / each.name)
        each.symlink_to(f"..data/{each.name}")


@pytest.mark.parametrize("change", [_rename, _link, _mount])
def test_a_manifest_with_another_name_or_place_keeps_its_webhook(
    command: CommandLine, change: object
) -> None:
    """A renamed, linked or mounted manifest is read as before: nothing is deleted, nothing has drifted."""
    assert callable(change)
    file = command.write("a")
    command.write("b")
    assert command("apply", "--yes").exit_code == 0
    live = command.live
    change(file)
    assert "2 webhooks in 2 files" in command("validate").stdout
    assert command("plan", "--exit-code").stdout.startswith("No changes. 2 webhooks ")
    assert command("drift").stdout.startswith("No drift. 2 webhooks ")
    assert command("apply", "--yes").exit_code == 0
    assert command.live == live


@pytest.mark.parametrize("target", ["../elsewhere/a.yaml", "gone.yaml"])
def test_a_link_that_is_not_followed_stops_every_command(command: CommandLine, target: str) -> None:
    """A manifest that became a link out of its folder, or to nothing, is an error, and nothing is deleted."""
    file = command.write("a")
    command.write("b")
    assert command("apply", "--yes").exit_code == 0
    live, sent = command.live, len(command.zof.requests)
    (command.folder / "elsewhere").mkdir()
    file.rename(command.folder / "elsewhere" / "a.yaml")
    file.symlink_to(target)
    for args in (["validate"], ["plan"], ["drift"], ["status"], ["apply", "--yes"]):
        result = command(*args)
        assert result.exit_code == 3
        assert (
            f"manifests/a.yaml:1:1: error[WH001]: this path cannot be read: it is a symbolic link to {target}"
            in (result.output)
        )
    assert command.live == live
    assert len(command.zof.requests) == sent


def test_files_of_other_tools_are_excluded(command: CommandLine) -> None:
    """`exclude` names YAML files that are not manifests; `validate -v` counts them."""
    command.write("a")
    (command.folder / "manifests/kustomization.yaml").write_text("resources: [a.yaml]\n", encoding="utf-8")
    assert command("validate").exit_code == 3
    (command.folder / "reconciler.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations:\n"
        f"- name: {command.environment['ZOF_ORGANIZATION']}\n  exclude: ['**/kustomization.yaml']\n",
        encoding="utf-8",
    )
    assert command("validate").stdout == "No problems. 1 webhook in 1 file.\n"
    assert command("validate", "-v").stdout == "No problems. 1 webhook in 1 file; 1 file excluded.\n"
    assert command("validate", "manifests/kustomization.yaml", "-v").stdout == (
        "No problems. 0 webhooks in 0 files; 1 file excluded.\n"
    )
    assert command("apply", "--yes").exit_code == 0
    assert list(command.live) == ["https://hooks.example.com/a"]


@pytest.mark.parametrize("form", ["text", "markdown", "github", "json", "html"])
def test_drift_without_any_manifests_is_refused(command: CommandLine, form: str) -> None:
    """As for `plan`: the path is probably wrong, and a green report would mean nothing."""
    file = command.write("a")
    assert command("apply", "--yes").exit_code == 0
    file.unlink()
    result = command("drift", "--format", form)
    assert result.exit_code == 4
    assert "there are no manifests at all while 1 webhook" in result.output
    assert "No drift." not in result.output or form == "html"
    assert command("plan").exit_code == 4
