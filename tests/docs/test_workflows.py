"""Our workflows as files: one source for those that are copied and those that are called."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.runner import template

ROOT = Path(__file__).resolve().parents[2]
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
NAMES = ("preview", "apply", "drift")
JOBS = {
    ("preview", "validate"): {"contents": "read"},
    ("preview", "plan"): {"contents": "read", "id-token": "write", "pull-requests": "write"},
    ("apply", "apply"): {
        "actions": "read", "contents": "read", "id-token": "write", "pull-requests": "read",
    },
    ("drift", "drift"): {"contents": "read", "id-token": "write", "issues": "write"},
    ("drift", "cleanup"): {"contents": "read", "id-token": "write"},
    ("drift", "heal"): {"contents": "read", "id-token": "write", "issues": "write"},
}  # fmt: skip
ENVIRONMENTS = {
    ("preview", "plan"): ("webhooks-plan", "reconciler-plan"),
    ("apply", "apply"): ("webhooks-apply", "reconciler-apply"),
    ("drift", "drift"): ("webhooks-plan", "reconciler-plan"),
    ("drift", "cleanup"): ("webhooks-apply", "reconciler-apply"),
    ("drift", "heal"): ("webhooks-apply", "reconciler-apply"),
}
_OWN_TRIGGERS = re.compile(r"(?<=\non:\n).*?(?=  workflow_call:)", re.DOTALL)
_INSTALL = """      # As pinned: docs/howto/pin-the-installation.md of webhook-reconciler.
      - name: Install
        run: |
          pip install --no-deps --only-binary :all: --require-hashes -r .reconciler/requirements.txt
          pip install --no-deps --no-build-isolation -r .reconciler/reconciler.txt
"""
_INSTALL_COMMIT = """      # The code and its locked dependencies, both of the commit.
      - name: Install
        run: |
          [[ $COMMIT =~ ^[0-9a-f]{40}$ ]] || { echo "::error::commit is not a full commit"; exit 1; }
          git init --quiet "$RUNNER_TEMP/reconciler"
          cd "$RUNNER_TEMP/reconciler"
          git fetch --quiet --depth 1 "$GITHUB_SERVER_URL/$REPOSITORY" "$COMMIT"
          git checkout --quiet FETCH_HEAD
          pip install --no-deps --only-binary :all: --require-hashes -r requirements.txt
          pip install --no-deps --only-binary :all: --require-hashes -r requirements-build.txt
          pip install --no-deps --no-build-isolation .
        env:
          REPOSITORY: ${{ inputs.repository }}
          COMMIT: ${{ inputs.commit }}
"""
_COMMIT_INPUTS = """  workflow_call:
    inputs:
      repository:
        description: The repository of this workflow, OWNER/webhook-reconciler.
        type: string
        required: true
      commit:
        description: The commit that the workflow is pinned to.
        type: string
        required: true
"""
_MADE = "# Made from reconciler/_templates/workflows, which `reconciler init` writes: change it there.\n"


def _job(name: str, job: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(template(name))["jobs"][job]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_called_is_what_is_copied(name: str) -> None:
    """The reusable workflow is `init`'s without triggers; it installs a commit. UPDATE_GOLDEN=1 writes."""
    made = _MADE + _OWN_TRIGGERS.sub("", template(name)).replace(_INSTALL, _INSTALL_COMMIT)
    made = made.replace("  workflow_call:\n    inputs:\n", _COMMIT_INPUTS)
    file = ROOT / f".github/workflows/{name}.yml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(made, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == made
    # YAML's `on` is a truth value.
    assert list(yaml.safe_load(made)[True]) == ["workflow_call"]


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_has_the_permissions_that_it_needs(name: str, job: str) -> None:
    """Nothing for the workflow, the least for each job; each action is pinned, no credentials are left."""
    assert yaml.safe_load(template(name))["permissions"] == {}
    given = _job(name, job)
    assert given["permissions"] == JOBS[name, job]
    assert given["timeout-minutes"] <= 60
    for step in given["steps"]:
        assert "uses" not in step or re.search(r"@[0-9a-f]{40}$", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_no_expression_is_run(name: str, job: str) -> None:
    """A command takes what comes from outside as variables: an expression in it would be run as code."""
    for step in _job(name, job)["steps"]:
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_shellcheck_finds_nothing(name: str, job: str, tmp_path: Path) -> None:
    """Each command is sound bash."""
    for number, step in enumerate(_job(name, job)["steps"]):
        if "run" in step:
            script = tmp_path / f"{number}.sh"
            script.write_text("set -eo pipefail\n" + step["run"])
            checked = [str(SHELLCHECK), "--shell=bash", str(script)]
            done = subprocess.run(checked, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_keys_come_from_an_environment_to_one_step(name: str, job: str) -> None:
    """The API's key and Vault's role are in the one step that needs them, without GitHub's token."""
    given = _job(name, job)
    having = [step["env"] for step in given["steps"] if "ZOF_API_KEY" in step.get("env", {})]
    if (name, job) not in ENVIRONMENTS:
        assert ("environment" in given, having) == (False, [])
        return
    environment, role = ENVIRONMENTS[name, job]
    assert given["environment"] == environment
    assert [(env["VAULT_ROLE"], "GITHUB_TOKEN" in env) for env in having] == [(role, False)]


def test_only_what_reads_is_cut_off() -> None:
    """A newer commit cancels a preview; an apply is waited for, also by what heals."""
    cancels = {name: yaml.safe_load(template(name))["concurrency"]["cancel-in-progress"] for name in NAMES}
    assert cancels == {"preview": True, "apply": False, "drift": False}
    heal = _job("drift", "heal")["concurrency"]
    assert heal == yaml.safe_load(template("apply"))["concurrency"]


def test_each_job_installs_what_is_pinned() -> None:
    """Dependencies by their hashes, our own code from the pinned source, and nothing by a name alone."""
    for name, job in JOBS:
        assert _job(name, job)["steps"][2] == yaml.safe_load(_INSTALL)[0]
        called = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text(encoding="utf-8"))
        assert called["jobs"][job]["steps"][2] == yaml.safe_load(_INSTALL_COMMIT)[0]


INSTALLING = [
    "action.yml", "Dockerfile", "script/hook", "examples/gitlab-ci.yml",
    *(f"reconciler/_templates/workflows/{name}.yml" for name in NAMES),
    *(f".github/workflows/{name}.yml" for name in NAMES),
]  # fmt: skip


@pytest.mark.parametrize("file", INSTALLING)
def test_nothing_is_installed_without_hashes(file: str) -> None:
    """Every dependency comes from a lock file; our own code is built with locked tools."""
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r'^.*(?:\binstall\b.* -|"\$\{pip\[@\]\}").*$', text, re.MULTILINE)
    assert any("--require-hashes" in line for line in commands)
    for line in commands:
        if "pip=(" in line or line.lstrip().startswith("#"):
            continue
        assert "--no-deps" in line or "${pip[@]}" in line, line
        assert re.search(r"--require-hashes|--no-build-isolation|dist/\*\.whl", line), line
    assert "webhook-reconciler==" not in text
    assert "webhook-reconciler[" not in text
