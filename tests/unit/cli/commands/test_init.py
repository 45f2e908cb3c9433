"""`reconciler init`: a repository that is valid as it is, with workflows that are safe; nothing is lost."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from reconciler import __version__
from reconciler.cli.app import reconciler
from reconciler.cli.output import create_file
from reconciler.errors import ReconcilerError
from tests.fixtures.runner import template

SOURCE = f"git+https://git.example.com/acme/webhook-reconciler@{'0123456789' * 4}"
WRITTEN = {
    ".reconciler/reconciler.txt",
    ".reconciler/requirements.txt",
    ".reconciler/written.sha256",
    "reconciler.yaml",
    "manifests/example.yaml",
    ".pre-commit-config.yaml",
    ".github/workflows/webhooks-preview.yml",
    ".github/workflows/webhooks-apply.yml",
    ".github/workflows/webhooks-drift.yml",
    "schemas/webhook.schema.json",
    "schemas/config.schema.json",
}
ZIZMOR = Path(sys.executable).with_name("zizmor")


def files_below(folder: Path) -> set[str]:
    """Return every file below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def run(*args: str) -> Result:
    """Run a command; `init` pins a commit unless it is given another source."""
    if args[0] == "init" and "--from" not in args:
        args = (*args, "--from", SOURCE)
    return CliRunner().invoke(reconciler, args, env={"ZOF_ORGANIZATION": None})


@pytest.fixture
def scaffold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a new repository; it is the current folder."""
    monkeypatch.chdir(tmp_path)
    result = run("init", "--organization", "acme-prod")
    assert (result.exit_code, result.stderr) == (0, "")
    return tmp_path


def test_what_is_written_is_told_with_the_next_steps(tmp_path: Path) -> None:
    """A folder that is not there is made; each file is named, and so is what comes next."""
    folder = tmp_path / "new/webhooks"
    result = run("init", str(folder))
    assert result.exit_code == 0
    assert files_below(folder) == WRITTEN
    assert {line.split()[1] for line in result.stdout.splitlines() if line.startswith("wrote ")} == {
        str(folder / name) for name in WRITTEN - {".reconciler/written.sha256"}
    }
    assert f"`cd {folder}`" in result.stdout
    assert "reconciler doctor" in result.stdout


def test_it_is_valid_as_it_is(scaffold: Path) -> None:
    """`validate` has nothing to say, and the organization is the one that was named."""
    assert run("validate").stdout == "No problems. 1 webhook in 1 file.\n"
    config = yaml.safe_load((scaffold / "reconciler.yaml").read_text(encoding="utf-8"))
    assert config["organizations"] == [{"name": "acme-prod", "manifests": ["manifests"]}]


def test_its_commented_settings_are_the_defaults(scaffold: Path) -> None:
    """Each commented line of the configuration, taken in, is a valid setting."""
    file = scaffold / "reconciler.yaml"
    text = re.sub(r"^    # (?!The settings)", "    ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file.write_text(text, encoding="utf-8")
    assert "mount: secret" in text
    assert run("validate").stdout == "No problems. 1 webhook in 1 file.\n"


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_editors_find_the_schemas(scaffold: Path, name: str) -> None:
    """The first line of a YAML file of ours names a schema that is there; no placeholder is left anywhere."""
    text = (scaffold / name).read_text(encoding="utf-8")
    assert "@ORGANIZATION@" not in text
    if named := re.match(r"# yaml-language-server: \$schema=(\S+)\n", text):
        assert ((scaffold / name).parent / named[1]).is_file()
    else:
        assert name.startswith((".", "schemas/"))


# --- what the workflows install -----------------------------------------------------------------------------


def test_it_pins_the_source_and_the_dependencies(scaffold: Path) -> None:
    """The workflows name neither a version nor an index; the files that they install from do."""
    assert SOURCE in (scaffold / ".reconciler/reconciler.txt").read_text()
    assert "--hash=sha256:" in (scaffold / ".reconciler/requirements.txt").read_text()
    for name in WRITTEN:
        assert "webhook-reconciler==" not in (scaffold / name).read_text(), name


@pytest.mark.parametrize("named", ["webhook-reconciler==0.1.0", "git+https://example.com/x@main", "nothing"])
def test_a_source_that_is_not_pinned_is_a_usage_error(tmp_path: Path, named: str) -> None:
    """Nothing is written for it."""
    result = run("init", str(tmp_path / "new"), "--from", named)
    assert (result.exit_code, result.stdout) == (64, "")
    assert "hint: " in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_wheel_is_copied_into_the_repository(tmp_path: Path) -> None:
    """It is installed from there, by its hash, and no index or server has a say in it."""
    wheel = tmp_path / f"webhook_reconciler-{__version__}-py3-none-any.whl"
    wheel.write_bytes(b"\0\r\n\xff")
    assert run("init", str(tmp_path / "new"), "--from", str(wheel)).exit_code == 0
    assert (tmp_path / "new/.reconciler" / wheel.name).read_bytes() == wheel.read_bytes()
    assert f"./.reconciler/{wheel.name} --hash=" in (tmp_path / "new/.reconciler/reconciler.txt").read_text()


def test_an_upgrade_renews_what_nobody_edited(scaffold: Path) -> None:
    """Another commit is pinned; a workflow that was edited is kept, and its difference is shown."""
    preview, drift = (scaffold / f".github/workflows/webhooks-{name}.yml" for name in ("preview", "drift"))
    preview.write_text(preview.read_text().replace("timeout-minutes: 15", "timeout-minutes: 16"))
    drift.unlink()
    (scaffold / "reconciler.yaml").write_text("mine")
    newer = SOURCE.replace("0123456789", "abcdef0123")
    result = run("init", "--upgrade", "--from", newer)
    assert (result.exit_code, result.stderr) == (0, "")
    assert newer in (scaffold / ".reconciler/reconciler.txt").read_text()
    assert "renewed  .reconciler/reconciler.txt\n" in result.stdout
    assert "kept     .github/workflows/webhooks-apply.yml (up to date)\n" in result.stdout
    assert "left out .github/workflows/webhooks-drift.yml (it was deleted)\n" in result.stdout
    assert "-    timeout-minutes: 16\n+    timeout-minutes: 15\n" in result.stdout
    assert "timeout-minutes: 16" in preview.read_text()
    assert "reconciler.yaml" not in result.stdout
    assert not drift.exists()
    (scaffold / "schemas/config.schema.json").write_text("")
    assert run("init", "--upgrade").stdout.count("renewed") == 1


def test_an_upgrade_keeps_the_extra(scaffold: Path) -> None:
    """`--extra notify` locks Apprise, and so does every later upgrade."""
    lock = scaffold / ".reconciler/requirements.txt"
    assert "apprise==" not in lock.read_text()
    assert run("init", "--upgrade", "--extra", "notify").exit_code == 0
    with_extra = lock.read_text()
    assert "apprise==" in with_extra
    assert run("init", "--upgrade").exit_code == 0
    assert lock.read_text() == with_extra


def test_an_upgrade_of_an_older_repository_shows_the_differences(tmp_path: Path) -> None:
    """Nothing is known of files that no record names, so they are kept."""
    assert run("init", str(tmp_path)).exit_code == 0
    (tmp_path / ".reconciler/written.sha256").unlink()
    (tmp_path / ".pre-commit-config.yaml").write_text("repos: []\n")
    result = run("init", str(tmp_path), "--upgrade")
    assert f"kept     {tmp_path}/.pre-commit-config.yaml (edited" in result.stdout
    assert "\n-repos: []\n" in result.stdout
    assert (tmp_path / ".pre-commit-config.yaml").read_text() == "repos: []\n"


def test_an_upgrade_writes_through_no_link(scaffold: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A link in a repository could lead to any file of the person who runs it."""
    outside = tmp_path_factory.mktemp("outside") / "file"
    pin = scaffold / ".reconciler/reconciler.txt"
    pin.rename(outside)
    pin.symlink_to(outside)
    before = outside.read_text()
    result = run("init", "--upgrade", "--from", SOURCE.replace("0", "f"))
    assert result.exit_code == 1
    assert "is behind a symbolic link" in result.stderr
    assert outside.read_text() == before


def test_its_workflows_are_safe(scaffold: Path) -> None:
    """zizmor finds nothing, even where it is strict."""
    done = subprocess.run(
        [ZIZMOR, "--offline", "--quiet", "--persona", "pedantic", scaffold],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["preview", "apply", "drift"])
def test_its_workflows_are_those_that_are_tested(scaffold: Path, name: str) -> None:
    """What is written is what other tests run."""
    assert (scaffold / f".github/workflows/webhooks-{name}.yml").read_text() == template(name)


def test_nothing_is_overwritten(scaffold: Path) -> None:
    """What is there is kept and named, and the rest is written."""
    (scaffold / "reconciler.yaml").write_text("mine", encoding="utf-8")
    (scaffold / "manifests/example.yaml").unlink()
    result = run("init")
    assert result.exit_code == 0
    assert "kept  reconciler.yaml (it exists)\n" in result.stdout
    assert "wrote manifests/example.yaml\n" in result.stdout
    assert (scaffold / "reconciler.yaml").read_text(encoding="utf-8") == "mine"
    assert files_below(scaffold) == WRITTEN


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 64, 'a"\n- b'])
def test_a_name_that_no_organization_has_is_a_usage_error(tmp_path: Path, name: str) -> None:
    """Nothing is written for it."""
    result = run("init", str(tmp_path / "new"), "--organization", name)
    assert (result.exit_code, result.stdout) == (64, "")
    assert not (tmp_path / "new").exists()


# --- new files ----------------------------------------------------------------------------------------------


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    """It is written in one piece, with the folders that it needs, and leaves nothing beside it."""
    (tmp_path / "plain").touch()
    assert create_file(tmp_path, "a/b/c.yaml", "ü\n")
    assert (tmp_path / "a/b/c.yaml").read_bytes() == "ü\n".encode()
    assert (tmp_path / "a/b/c.yaml").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert files_below(tmp_path) == {"plain", "a/b/c.yaml"}


def test_of_many_who_write_one_file_one_has_written_it(tmp_path: Path) -> None:
    """What somebody else has made meanwhile is never replaced."""
    with ThreadPoolExecutor(8) as pool:
        for number in range(30):
            name = f"{number}.yaml"
            wrote = list(pool.map(lambda text, name=name: create_file(tmp_path, name, text), "abcdefgh"))
            assert wrote.count(True) == 1
            assert (tmp_path / name).read_text() == "abcdefgh"[wrote.index(True)]
    assert len(list(tmp_path.iterdir())) == 30


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Neither one in the file's place, wherever it leads, nor one that is outside of the folder."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "file").symlink_to(outside / "file")
    (root / "loop").symlink_to(root / "loop")
    (root / "folder").symlink_to(outside)
    assert not create_file(root, "file", "x")
    assert not create_file(root, "loop", "x")
    for name in ("folder/file", "folder/new/file"):
        with pytest.raises(ReconcilerError, match="is outside of"):
            create_file(root, name, "x")
    with pytest.raises(ReconcilerError, match="cannot write"):
        create_file(root, "loop/file", "x")
    assert list(outside.iterdir()) == []
    assert {path.name for path in root.iterdir()} == {"file", "loop", "folder"}
    (tmp_path / "named").symlink_to(root)
    assert create_file(tmp_path / "named", "inside", "x"), "a link that is named itself is followed"


def test_a_file_in_a_folders_place_is_an_error(tmp_path: Path) -> None:
    """The message names what cannot be written, and nothing is left behind."""
    (tmp_path / "a").touch()
    for name in ("a/b", "a/b/c"):
        with pytest.raises(ReconcilerError, match=f"cannot write .*/{name}: "):
            create_file(tmp_path, name, "x")
    with pytest.raises(ReconcilerError, match="not a path"):
        create_file(tmp_path, "a\0b", "x")
    assert files_below(tmp_path) == {"a"}


@pytest.mark.parametrize("name", ["manifests/a.yaml", "webhooks/prod/b.YML"])
def test_no_example_where_manifests_exist(tmp_path: Path, name: str) -> None:
    """The next merge would create it."""
    manifest = tmp_path / name
    manifest.parent.mkdir(parents=True)
    manifest.write_text("apiVersion: webhooks.zof.ai/v1\nkind: Webhook\n", encoding="utf-8")
    result = run("init", str(tmp_path))
    assert result.exit_code == 0
    assert files_below(tmp_path) == WRITTEN - {"manifests/example.yaml"} | {name}
    assert "example.yaml" not in result.stdout


AT_ROOT = {name for name in WRITTEN if name.startswith((".github", ".pre-commit"))}


@pytest.fixture
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a repository with webhooks in the folder `team/hooks`; its root is the current folder."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    result = run("init", "team/hooks")
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(str(tmp_path / name) in result.stdout for name in AT_ROOT)
    return tmp_path


def test_below_the_root_of_a_repository_workflows_are_written_to_the_root(below: Path) -> None:
    """GitHub and pre-commit read them only there; everything else is in the folder."""
    assert files_below(below / "team/hooks") == WRITTEN - AT_ROOT
    assert files_below(below) - {f"team/hooks/{name}" for name in WRITTEN} == AT_ROOT | {
        ".reconciler/written.sha256"
    }


@pytest.mark.parametrize("name", ["preview", "apply", "drift"])
def test_workflows_at_the_root_run_in_the_folder(below: Path, name: str) -> None:
    """Each job that runs commands does so in the configuration's folder, unless a caller names another."""
    path = f".github/workflows/webhooks-{name}.yml"
    workflow = yaml.safe_load((below / path).read_text(encoding="utf-8"))
    folders = {job["defaults"]["run"]["working-directory"] for job in workflow["jobs"].values()}
    assert folders == {"${{ inputs.working-directory || 'team/hooks' }}"}
    # YAML 1.1 reads the key `on` as true.
    assert workflow[True]["workflow_call"]["inputs"]["working-directory"]["default"] == "team/hooks"


def test_the_hook_at_the_root_checks_the_folder(below: Path) -> None:
    """Its command works as it is, where pre-commit runs it."""
    hooks = yaml.safe_load((below / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    program, *args = shlex.split(hooks["repos"][0]["hooks"][0]["entry"])
    assert program == "reconciler"
    assert run(*args).stdout == "No problems. 1 webhook in 1 file.\n"


def test_an_upgrade_renews_workflows_at_the_root(below: Path) -> None:
    """They are up to date, and one that nobody edited is renewed."""
    result = run("init", "team/hooks", "--upgrade")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("(up to date)") == len(WRITTEN - {".reconciler/written.sha256"}) - 2
    assert files_below(below / "team/hooks") == WRITTEN - AT_ROOT


def test_at_the_root_of_a_repository_everything_is_in_it(tmp_path: Path) -> None:
    """Nothing is moved."""
    (tmp_path / ".git").mkdir()
    assert run("init", str(tmp_path)).stderr == ""
    assert files_below(tmp_path) == WRITTEN


def test_workflows_of_another_folder_are_kept(below: Path) -> None:
    """They do not run in the second folder; a warning says how to run them there."""
    result = run("init", "other")
    assert result.exit_code == 0
    assert f"kept  {below / '.github/workflows/webhooks-apply.yml'} (it exists)" in result.stdout
    assert "existed before and does not mention other" in result.stderr
    assert "`working-directory: other`" in result.stderr
    assert "team/hooks" in (below / ".github/workflows/webhooks-apply.yml").read_text(encoding="utf-8")


def test_a_folder_that_a_workflow_cannot_name_gets_none(tmp_path: Path) -> None:
    """Quotes and braces would change the workflow."""
    (tmp_path / ".git").mkdir()
    result = run("init", str(tmp_path / "it's ${{ 1 }}"))
    assert result.exit_code == 0
    assert "no workflows were written: GitHub reads them only in" in result.stderr
    assert not (tmp_path / ".github").exists()
    assert not (tmp_path / "it's ${{ 1 }}/.github").exists()
