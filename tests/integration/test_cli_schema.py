"""`reconciler schema`: the JSON Schemas, from a checkout and from the wheel that users install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from click.testing import CliRunner

from reconciler.cli.app import reconciler
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
FILES = {"manifest": "webhook.schema.json", "config": "config.schema.json", "plan": "plan.schema.json"}


@pytest.mark.parametrize("name", FILES)
def test_a_schema_is_printed(name: str) -> None:
    """Each name prints the file of this repository, which is a valid JSON Schema of draft 2020-12."""
    result = CliRunner().invoke(reconciler, ["schema", name])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (ROOT / "schemas" / FILES[name]).read_text(encoding="utf-8")
    schema = json.loads(result.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_manifests_schema_is_the_default() -> None:
    """Without a name it is the schema that editors need most."""
    plain, named = (CliRunner().invoke(reconciler, ["schema", *args]) for args in ((), ("manifest",)))
    assert plain.exit_code == 0
    assert plain.stdout == named.stdout != ""


@pytest.mark.parametrize("name", FILES)
def test_the_schemas_examples_satisfy_it(name: str) -> None:
    """Whatever a schema gives as an example of itself is valid by it."""
    schema = json.loads(CliRunner().invoke(reconciler, ["schema", name]).stdout)
    for example in schema.get("examples", []):
        jsonschema.validate(example, schema, jsonschema.Draft202012Validator)


def test_a_schema_goes_to_a_file_where_asked(tmp_path: Path) -> None:
    """With --output the file has the schema and stdout nothing; `-` is stdout."""
    target = tmp_path / "config.schema.json"
    result = CliRunner().invoke(reconciler, ["schema", "config", "--output", str(target)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert target.read_bytes() == (ROOT / "schemas" / FILES["config"]).read_bytes()
    assert CliRunner().invoke(reconciler, ["schema", "config", "--output", "-"]).stdout == target.read_text(
        encoding="utf-8"
    )


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """A folder that does not exist: exit 1 and what could not be written."""
    result = CliRunner().invoke(reconciler, ["schema", "--output", str(tmp_path / "no" / "x.json")])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: cannot write ")


def test_an_unknown_schema_is_a_usage_error() -> None:
    """A name that is none: exit 64, with the names there are."""
    result = CliRunner().invoke(reconciler, ["schema", "webhook"])
    assert (result.exit_code, result.stdout) == (64, "")
    for name in FILES:
        assert name in result.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with what the wheel installs, built as a release is, apart from this checkout."""
    made, unpacked = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(made), str(ROOT)]
    _run(build, made, {})
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Return a program's stdout; nothing of our environment reaches it, so no coverage of other files."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_every_schema_as_it_is_here(installed: Path) -> None:
    """The files below `reconciler/_schemas` of the wheel are those of `schemas/`, all of them."""
    here = {path.name: path.read_bytes() for path in (ROOT / "schemas").glob("*.json")}
    there = {path.name: path.read_bytes() for path in (installed / "reconciler/_schemas").glob("*.json")}
    assert here.keys() >= set(FILES.values())
    assert there == here


def test_the_wheel_holds_what_a_repository_begins_with(installed: Path, tmp_path: Path) -> None:
    """Installed from the wheel, `reconciler init` writes every file, and they are valid as they are."""
    environment = {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    program = [sys.executable, "-m", "reconciler"]
    wrote = _run([*program, "init"], tmp_path, environment)
    assert wrote.count("wrote ") == 8
    assert "No problems. 1 webhook" in _run([*program, "validate"], tmp_path, environment)


def test_the_wheel_makes_its_own_pages(installed: Path, tmp_path: Path) -> None:
    """Installed from the wheel, away from any checkout, both pages find their templates."""
    program = (
        "from datetime import UTC, datetime\n"
        "from reconciler.model import Run, VaultPlace\n"
        "from reconciler.plan.plan import Plan, Servers\n"
        "from reconciler.report.pages.fleet import Fleet, fleet_html\n"
        "from reconciler.report.pages.plan import PlanSection, plan_html\n"
        "from reconciler.report.pages.templates import PageContext\n"
        "made = PageContext(datetime.now(UTC), Run())\n"
        "servers = Servers('https://api', VaultPlace('https://vault', 'secret', 'webhooks'))\n"
        "print(fleet_html([Fleet('acme', ())], made, known_events=['run.failed']))\n"
        "print(plan_html([PlanSection(Plan('acme', servers, (), 3, 3))], made))\n"
    )
    environment = {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    pages = _run([sys.executable, "-c", program], tmp_path, environment)
    assert "No endpoint receives <code>run.failed</code>." in pages
    assert "No changes: 3 webhooks match their manifests." in pages


def test_the_wheel_finds_its_own_schemas(installed: Path, tmp_path: Path) -> None:
    """Installed from the wheel, away from any checkout, `reconciler schema` prints each schema."""
    environment = {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    where = _run(
        [sys.executable, "-c", "import reconciler; print(reconciler.__file__)"], tmp_path, environment
    )
    assert Path(where.strip()) == installed / "reconciler" / "__init__.py"
    for name, file in FILES.items():
        printed = _run([sys.executable, "-m", "reconciler", "schema", name], tmp_path, environment)
        assert printed == (ROOT / "schemas" / file).read_text(encoding="utf-8")
