"""The files for other places than GitHub's workflows: the composite action, GitLab, Kubernetes, the image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from reconciler import __version__
from reconciler.vault.auth import KUBERNETES_TOKEN
from tests.fixtures.ci import accessors, shipped
from tests.fixtures.openbao import create_role, enable_approle
from tests.fixtures.page import read_page

if TYPE_CHECKING:
    from tests.fixtures.command import CommandLine

ROOT = Path(__file__).resolve().parents[2]


def _read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def _bash(script: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder, env={"PATH": path, "HOME": str(folder), **coverage, **environ},
        check=False, capture_output=True, text=True,
    )  # fmt: skip


# --- the composite action -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("validate manifests", 0, "No problems. 1 webhook in 1 file."),
        ("validate nowhere --format github", 3, "nowhere"),
        ("validate\n  manifests\n  --explain WH020\n", 0, "# WH020"),
        ("validate $(touch${IFS}evil) `touch evil2` ; touch evil3", 3, "evil"),
    ],
)
def test_the_action_runs_one_command(tmp_path: Path, command: str, code: int, words: str) -> None:
    """Its arguments are words, never code; its exit code is the step's and an output."""
    manifest = {
        "apiVersion": "webhooks.zof.ai/v1", "kind": "Webhook", "metadata": {"name": "a"},
        "spec": {"url": "https://hooks.example.com/a", "events": ["run.completed"]},
    }  # fmt: skip
    manifest["metadata"] = {"name": "a", "labels": {"team": "a"}}
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/a.yaml").write_text(json.dumps(manifest))
    (tmp_path / "reconciler/bin").mkdir(parents=True)
    (tmp_path / "reconciler/bin/reconciler").symlink_to(Path(sys.executable).with_name("reconciler"))
    *_, run = _read("action.yml")["runs"]["steps"]
    output = tmp_path / "output"
    done = _bash(run["run"], tmp_path, COMMAND=command, RUNNER_TEMP=str(tmp_path), GITHUB_OUTPUT=str(output))
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert output.read_text() == f"exit-code={code}\n"
    assert not list(tmp_path.glob("evil*"))


def test_the_action_installs_the_commit_that_it_is_pinned_to() -> None:
    """It installs its own checkout, into an environment of its own, and pins what it uses."""
    setup, install, run = _read("action.yml")["runs"]["steps"]
    assert re.search(r"@[0-9a-f]{40}$", setup["uses"])
    assert '"$GITHUB_ACTION_PATH"' in install["run"]
    assert "${{" not in install["run"] + run["run"]


def test_installing_the_action_runs_no_code_of_the_checkout(tmp_path: Path) -> None:
    """A `venv.py` in the current folder is not what makes the environment."""
    _, install, _ = _read("action.yml")["runs"]["steps"]
    assert install["working-directory"] == "${{ runner.temp }}"
    (tmp_path / "venv.py").write_text("open('executed', 'w')")
    make = install["run"].partition("\n")[0] + " --without-pip"
    done = _bash(make, tmp_path, RUNNER_TEMP=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reconciler/bin/python").exists()
    assert not (tmp_path / "executed").exists()


# --- GitLab -------------------------------------------------------------------------------------------------


def test_gitlabs_jobs_do_what_they_should(ci: CommandLine) -> None:
    """Each job's commands, in order: a plan is saved, an apply makes it live, drift exits with 2."""
    jobs = _read("examples/gitlab-ci.yml")
    locked, pinned = jobs["default"]["before_script"]
    assert "--require-hashes -r .reconciler/requirements.txt" in locked
    assert pinned.endswith("--no-build-isolation -r .reconciler/reconciler.txt")
    assert jobs["apply"]["resource_group"] == "webhooks-apply"
    assert jobs["apply"]["interruptible"] is False
    ci.write("ci")
    enable_approle(ci.vault)
    try:
        before = accessors(ci.vault)

        def run(job: str, use: str) -> subprocess.CompletedProcess[str]:
            role_id, secret_id = roles[use]
            login = {"VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id, "GITLAB_USER_LOGIN": "ada"}
            script = "\n".join(jobs[job]["script"])
            return _bash(script, ci.folder, **ci.environment, **login)

        roles = {}
        for use in ("plan", "apply"):
            role_id, secret = create_role(ci.vault, f"gitlab-{use}", **shipped(f"approle-{use}"))
            roles[use] = (role_id, secret.reveal())
        assert run("validate", "plan").returncode == 0
        planned = run("plan", "plan")
        assert planned.returncode == 0, planned.stderr
        assert json.loads((ci.folder / "plan.json").read_text())["summary"]["create"] == 1
        assert "1 to create" in read_page((ci.folder / "plan.html").read_text()).words
        applied = run("apply", "apply")
        assert applied.returncode == 0, applied.stderr
        assert json.loads(ci.document("ci")["ledger"])
        assert run("drift", "plan").returncode == 0
        assert run("cleanup", "apply").returncode == 0
        (live,) = ci.zof.console.list()
        ci.zof.console.delete(live.id)
        assert run("drift", "plan").returncode == 2
        assert "ci" in read_page((ci.folder / "fleet.html").read_text()).words
        healed = run("heal", "apply")
        assert (healed.returncode, healed.stdout.splitlines()[-2]) == (
            0,
            "No drift. 1 webhook in acme-prod matches its manifest.",
        )
        assert len((ci.folder / "audit.jsonl").read_text().splitlines()) > 1
        for job in ("plan", "apply", "drift", "heal"):
            assert all((ci.folder / path).is_file() for path in jobs[job]["artifacts"]["paths"]), job
        assert run("drift", "plan").returncode == 0
        assert accessors(ci.vault) == before
    finally:
        ci.vault.request("DELETE", "sys/auth/approle")


# --- Kubernetes ---------------------------------------------------------------------------------------------


def _pod(name: str = "cronjob") -> Any:
    _, job = yaml.safe_load_all((ROOT / f"examples/kubernetes/{name}.yaml").read_text(encoding="utf-8"))
    return job["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize(("name", "use"), [("cronjob", "plan"), ("cleanup", "apply")])
def test_the_pod_has_little_power(name: str, use: str) -> None:
    """No root, nothing writable but what must be, and a token for Vault alone, where it is read."""
    pod = _pod(name)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["image"].endswith(f":{__version__}")
    volumes = {each["name"]: each for each in pod["volumes"]}
    (source,) = volumes["token"]["projected"]["sources"]
    mounts = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
    token = Path(mounts["token"]["mountPath"]) / source["serviceAccountToken"]["path"]
    assert token == KUBERNETES_TOKEN
    role = shipped(f"kubernetes-{use}")
    assert role["token_policies"] == [f"reconciler-{use}"]
    assert source["serviceAccountToken"]["audience"] == role["audience"]
    assert role["bound_service_account_names"] == [pod["serviceAccountName"]]
    assert {mounts[name].get("readOnly", False) for name in ("work", "token")} == {True}


def test_a_config_maps_links_become_files(ci: CommandLine) -> None:
    """A ConfigMap's links are read, and so is the copy that the first container makes."""
    source, work = ci.folder / "source", ci.folder / "work"
    config = {
        "apiVersion": "webhooks.zof.ai/v1",
        "kind": "Config",
        "organizations": [{"name": "acme-prod", "manifests": ["manifests"]}],
    }
    manifest = ci.write("ci").read_text()
    for folder, name, text in (
        ("config", "reconciler.yaml", json.dumps(config)),
        ("manifests", "ci.yaml", manifest),
    ):
        (source / folder / "..2026").mkdir(parents=True)
        (source / folder / "..2026" / name).write_text(text)
        (source / folder / "..data").symlink_to("..2026")
        (source / folder / name).symlink_to(f"..data/{name}")
    work.mkdir()
    (script,) = _pod()["initContainers"][0]["args"]
    done = _bash(script.replace("/source/", f"{source}/").replace("/hooks/", f"{work}/"), ci.folder)
    assert done.returncode == 0, done.stderr
    linked = _bash("reconciler validate manifests", source)
    copied = _bash("reconciler validate", work)
    assert linked.stdout == "No problems. 1 webhook in 1 file.\n"
    assert copied.stdout == "No problems. 1 webhook in 1 file.\n"


# --- the image ----------------------------------------------------------------------------------------------


def test_the_image_is_not_roots() -> None:
    """It runs as a number that is not 0, and copies nothing that is not there."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER (\d+):\1$", text, re.MULTILINE)
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for name in sources:
            assert (ROOT / name).exists(), name
            assert f"!{name}" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
