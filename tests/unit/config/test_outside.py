"""Nothing outside the configuration's folder is read, and nothing from there is quoted."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from reconciler.config.file import ConfigInvalid
from reconciler.config.resolve import Overrides, load_config
from reconciler.errors import InvalidInput
from reconciler.report.diagnostics.text import diagnostics_text

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "apiVersion: webhooks.zof.ai/v1\nkind: Config\n"
CANARY = "canary-of-another-file"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository, beside which there are files that hold a canary."""
    for name in ("foreign.yaml", "foreign.json", "m/foreign.yaml"):
        file = tmp_path / "elsewhere" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{CANARY}: [\n", encoding="utf-8")
    folder = tmp_path / "repository"
    (folder / "inside").mkdir(parents=True)
    (folder / "manifests").mkdir()
    monkeypatch.chdir(folder)
    return folder


def _report(config: str | None = None) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        load_config(config, environ={})
    # What is checked anyway, although the configuration is invalid.
    assert caught.value.salvage.policy is None
    assert all("elsewhere" not in path for each in caught.value.salvage.manifests for path in each.paths)
    return diagnostics_text(caught.value.diagnostics)


@pytest.mark.parametrize(
    "path", ["../elsewhere/m", "{tmp}/elsewhere/m", "inside/../../elsewhere/m", "link", "link/deeper", "/"]
)
def test_manifests_stay_in_the_folder(repository: Path, tmp_path: Path, path: str) -> None:
    """A path that leads elsewhere, itself or by a link, is an error at its line; nothing is read there."""
    (repository / "link").symlink_to("../elsewhere/m")
    named = path.format(tmp=tmp_path)
    (repository / "reconciler.yaml").write_text(
        f"{HEAD}organizations:\n  - name: acme\n    manifests: [manifests, {named}]\n", encoding="utf-8"
    )
    text = _report()
    assert "reconciler.yaml:5:28: error[WH001]: this path of `manifests` leads out" in text
    assert CANARY not in text


@pytest.mark.parametrize("path", ["../elsewhere/foreign.json", "{tmp}/elsewhere/foreign.json", "link.json"])
def test_the_policy_stays_in_the_folder(repository: Path, tmp_path: Path, path: str) -> None:
    """So does the policy, whose problems would quote it."""
    (repository / "link.json").symlink_to(tmp_path / "elsewhere/foreign.json")
    (repository / "reconciler.yaml").write_text(
        f"{HEAD}organizations: [{{name: acme}}]\npolicy: {path.format(tmp=tmp_path)}\n", encoding="utf-8"
    )
    text = _report()
    assert "reconciler.yaml:4:9: error[WH001]: this path of `policy` leads out" in text
    assert CANARY not in text


@pytest.mark.parametrize("config", [None, "reconciler.yaml", "named"])
def test_the_configuration_is_in_its_folder(repository: Path, config: str | None) -> None:
    """A linked configuration would be quoted, too: it is not read, whether it is named or found."""
    for name in ("reconciler.yaml", "named"):
        (repository / name).symlink_to("../elsewhere/foreign.yaml")
    text = _report(config)
    assert (
        "error[WH001]: this path cannot be read: it is a symbolic link that leads out of its folder" in text
    )
    assert CANARY not in text


def test_links_inside_the_folder_are_followed(repository: Path) -> None:
    """As in a mounted ConfigMap; and the folder itself may be a link."""
    data = repository / "..2026"
    data.mkdir()
    (data / "reconciler.yaml").write_text(
        f"{HEAD}organizations: [{{name: acme, manifests: [hooks]}}]\npolicy: p.json\n", encoding="utf-8"
    )
    (repository / "..data").symlink_to("..2026")
    (repository / "reconciler.yaml").symlink_to("..data/reconciler.yaml")
    (repository / "hooks").symlink_to("inside")
    (repository.parent / "mount").symlink_to(repository)
    for config in (None, f"{repository.parent}/mount/reconciler.yaml"):
        assert load_config(config, environ={}).organizations[0].name == "acme"


def test_the_default_folder_is_in_the_current_one(repository: Path) -> None:
    """Without a configuration, a linked `manifests` is followed only if somebody names it."""
    shutil.rmtree(repository / "manifests")
    (repository / "manifests").symlink_to("../elsewhere/m")
    with pytest.raises(InvalidInput, match="manifests is a symbolic link that leads out of this folder"):
        load_config(None, environ={})
    assert load_config(None, environ={}, overrides=Overrides(paths=("manifests",))).organizations
