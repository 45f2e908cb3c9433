"""`reconciler organizations`: what a pipeline's matrix is made of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from reconciler.cli.app import reconciler

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("acme-prod", "acme-staging", "globex")


@pytest.fixture(autouse=True)
def _configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOF_ORGANIZATION", raising=False)
    organizations = [{"name": name} for name in NAMES]
    config = {"apiVersion": "webhooks.zof.ai/v1", "kind": "Config", "organizations": organizations}
    (tmp_path / "reconciler.yaml").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    ("args", "listed"),
    [
        ([], [*NAMES]),
        (["--organization", "acme-*"], ["acme-prod", "acme-staging"]),
        (["--organization", "globex", "--organization", "*-prod"], ["acme-prod", "globex"]),
        (["--shard", "3/8"], ["acme-prod", "acme-staging"]),
        (["--shard", "1/8"], []),
        (["--shards", "8"], ["3/8", "8/8"]),
    ],
)
def test_the_array_is_one_line(args: list[str], listed: list[str]) -> None:
    """GITHUB_OUTPUT takes it as it is; text has a line for each."""
    result = CliRunner().invoke(reconciler, ["organizations", "--format", "json", *args])
    assert (result.exit_code, result.stdout) == (0, json.dumps(listed) + "\n")
    assert CliRunner().invoke(reconciler, ["organizations", *args]).stdout == "".join(
        f"{x}\n" for x in listed
    )


def test_a_glob_that_matches_nothing_is_refused() -> None:
    """Exit 3, with what there is."""
    result = CliRunner().invoke(reconciler, ["organizations", "--organization", "zeta-*"])
    assert (result.exit_code, result.stdout) == (3, "")
    assert "has no organization 'zeta-*'" in result.stderr


def test_an_invalid_shard_is_a_usage_error() -> None:
    """Exit 64, with an example."""
    result = CliRunner().invoke(reconciler, ["organizations", "--shard", "0/8"])
    assert result.exit_code == 64
    assert "'0/8' is not I/N, such as 1/4 to 4/4" in result.stderr


@pytest.mark.parametrize("what", ["plan", "status", "drift", "doctor"])
def test_a_shard_without_organizations_is_an_empty_array(what: str) -> None:
    """A pipeline can merge it like the others: exit 0, and nothing is sent."""
    result = CliRunner().invoke(reconciler, [what, "--shard", "1/8", "--format", "json"])
    assert (result.exit_code, result.stdout) == (0, "[]\n")
    assert result.stderr == "No organization is in shard 1/8.\n"
