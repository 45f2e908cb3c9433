"""What a release publishes: two builds of a commit are identical, and the archive is complete."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
URL = "https://git.example.com/acme/webhook-reconciler"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder with a build of this checkout as its only commit."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("not a git repository")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
            (source / name).chmod((ROOT / name).stat().st_mode)
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for line in (["init", "-q"], ["add", "--all", "--force"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *line], cwd=source, check=True)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON": sys.executable,
        "PROJECT_URL": URL,
        "PROJECT_REF": "v1",
    }
    done = subprocess.run(
        [source / "script/build", out], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    hashes = {f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" for file in out.iterdir()}
    assert hashes == set(done.stdout.splitlines())
    return out


def test_the_source_archive_has_what_the_readme_names(built: Path) -> None:
    """Every link and script of the README is in it, and so is what builds and tests it."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((?!https?:)([^)#]+)\)|\./(script/\w+)", readme):
        assert "".join(name) in names, name
    assert {
        "requirements.txt",
        "requirements-dev.txt",
        "hatch_build.py",
        "script/setup",
        "tests/conftest.py",
    } <= names
    assert not any("node_modules" in name for name in names)


def test_the_wheel_has_links_that_work_on_an_index(built: Path) -> None:
    """The project's URLs and the README lead to the repository at the tag."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        (name,) = (each for each in file.namelist() if each.endswith("dist-info/METADATA"))
        metadata = Parser().parsestr(file.read(name).decode())
    assert f"Source, {URL}" in metadata.get_all("Project-URL", [])
    text = str(metadata.get_payload())
    assert f"]({URL}/blob/v1/docs/howto/set-up-github.md)" in text
    assert not re.search(r"\]\((?!https://)", text)
