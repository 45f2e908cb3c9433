"""Completion in the shell: commands, options, organizations and webhooks, offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.shell_completion import BashComplete, get_completion_class

from reconciler.cli.app import reconciler

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """apiVersion: webhooks.zof.ai/v1
kind: Config
organizations:
  - {name: acme-prod, manifests: [prod]}
  - {name: acme-test, manifests: [test]}
  - {name: beta, manifests: [beta]}
"""
MANIFEST = """apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata: {name: %s, labels: {owner: a}}
spec: {url: "https://hooks.example.com/%s", events: [run.failed]}
"""


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a repository with two organizations that have webhooks; it is the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reconciler.yaml").write_text(CONFIG)
    for organization, names in (("prod", ("alerts", "audit")), ("test", ("alerts", "trial")), ("beta", ())):
        (tmp_path / organization).mkdir()
        for name in names:
            (tmp_path / organization / f"{name}.yaml").write_text(MANIFEST % (name, name))
    return tmp_path


def completed(*words: str) -> list[str]:
    """Return what the shell offers for the last word."""
    *args, incomplete = words
    found = BashComplete(reconciler, {}, "reconciler", "_RECONCILER_COMPLETE").get_completions(
        args, incomplete
    )
    return [each.value for each in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ro",), ["rotate"]),
        (("me",), ["merge-reports"]),
        (("github",), []),
        (("rotate", "--no"), ["--now", "--no-progress", "--no-color"]),
        (("rotate", ""), ["alerts", "audit", "trial"]),
        (("rotate", "alerts", "a"), ["audit"]),
        (("rotate", "--organization", "acme-test", ""), ["alerts", "trial"]),
        (("rotate", "--organization", "acme-*", "t"), ["trial"]),
        (("history", "a"), ["alerts", "audit"]),
        (("test", "a"), ["alerts", "audit"]),
        (("receive", "tr"), ["trial"]),
        (("adopt", "au"), ["audit"]),
        (("plan", "--organization", ""), ["acme-prod", "acme-test", "beta"]),
        (("plan", "--organization", "acme"), ["acme-prod", "acme-test"]),
        (("plan", "--organization", "acme-test", "--organization", "b"), ["beta"]),
    ],
)
def test_names_are_offered(words: tuple[str, ...], expected: list[str]) -> None:
    """By what is on the command line so far."""
    assert completed(*words) == expected


def test_the_named_configuration_is_read(repository: Path) -> None:
    """`--config` of the same command line counts, and paths are relative to its folder."""
    folder = repository / "other"
    (folder / "manifests").mkdir(parents=True)
    (folder / "manifests/a.yaml").write_text(MANIFEST % ("elsewhere", "elsewhere"))
    (folder / "c.yaml").write_text(
        "apiVersion: webhooks.zof.ai/v1\nkind: Config\norganizations: [{name: other}]\n"
    )
    assert completed("rotate", "--config", "other/c.yaml", "") == ["elsewhere"]
    assert completed("plan", "--config", "other/c.yaml", "--organization", "") == ["other"]


def test_invalid_files_offer_nothing_and_say_nothing(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A message would be written into the line that somebody types."""
    (repository / "prod/alerts.yaml").write_text("kind: Webhook\nmetadata: {name: [}")
    assert completed("rotate", "") == ["alerts", "audit", "trial"]
    (repository / "reconciler.yaml").write_text("kind: Config\n")
    assert completed("rotate", "") == []
    assert completed("plan", "--organization", "") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    """The page names the variable that the script of each shell uses."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(reconciler, {}, "reconciler", "_RECONCILER_COMPLETE").source()
    assert f"_RECONCILER_COMPLETE={shell}_complete" in script
