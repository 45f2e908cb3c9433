"""Whole outputs: each manifest (file or folder) in tests/cases beside what is expected of it.

A new case is a new file; UPDATE_GOLDEN=1 writes what comes out, for a person to review as a diff.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler.cli.app import reconciler
from reconciler.errors import ExitCode
from reconciler.manifest.load import load_manifests
from reconciler.manifest.rules import RULES
from reconciler.report.diagnostics.text import diagnostics_text
from tests.fixtures.values import as_json

CASES = Path(__file__).resolve().parents[2] / "cases"
INVALID = CASES / "invalid"
CANARIES = ("hunter2", "Zq8vT3nW5xY7aB2cD4eF6gH8")
"""One where only the name beside it tells that it is a secret, one that is made like a secret."""


def manifests_in(folder: str) -> list[Path]:
    return sorted(path for path in (CASES / folder).iterdir() if path.is_dir() or path.suffix == ".yaml")


def check_golden(path: Path, actual: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(actual, encoding="utf-8")
    assert actual == path.read_text(encoding="utf-8")


def shows(text: str, canary: str) -> bool:
    """Whether a canary can be read in a text, also with escapes or null characters between its letters."""
    bare = re.sub(r"\\x00|\\u0000|\0", "", text)
    return canary in text or canary in bare


@pytest.mark.parametrize("case", manifests_in("invalid"), ids=lambda path: path.name)
def test_invalid_manifests_give_exactly_these_diagnostics(case: Path) -> None:
    """An invalid case is reported as its golden file says: each problem at a file and line, no secret."""
    loaded = load_manifests([case])
    text = diagnostics_text(loaded.diagnostics).replace(f"{INVALID}/", "")
    check_golden(case.with_suffix(".txt"), text)
    assert not loaded.ok
    for diagnostic in loaded.diagnostics:
        assert diagnostic.location is not None
        assert diagnostic.location.path.startswith(str(case))
        assert min(diagnostic.location.line, diagnostic.location.column) >= 1
    assert not any(shows(text, canary) for canary in CANARIES)


@pytest.mark.parametrize("case", manifests_in("invalid"), ids=lambda path: path.name)
@pytest.mark.parametrize("form", ["json", "github"])
def test_validate_exits_with_3_and_shows_no_secret_in_any_format(
    case: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself calls each case invalid, without a traceback, and keeps secrets in every format."""
    monkeypatch.chdir(INVALID)
    result = CliRunner().invoke(reconciler, ["validate", case.name, "--format", form])
    assert result.exit_code == ExitCode.INVALID
    assert result.exc_info is not None
    assert result.exc_info[0] is SystemExit
    assert case.name in result.stdout
    assert not any(shows(result.output, canary) for canary in CANARIES)


def test_there_are_many_invalid_cases_and_many_hold_a_secret() -> None:
    """The corpus does not shrink, and the search for secrets has something to find."""
    cases = manifests_in("invalid")
    files = [path for case in cases for path in ([case] if case.is_file() else case.rglob("*.y*ml"))]
    content = [path.read_bytes().replace(b"\0", b"") for path in files]
    assert len(cases) >= 100
    assert sum(any(canary.encode() in text for canary in CANARIES) for text in content) >= 25


@pytest.mark.parametrize("case", manifests_in("warnings"), ids=lambda path: path.name)
def test_manifests_that_are_worth_a_word_give_exactly_these_warnings(case: Path) -> None:
    """A case with warnings is reported as its golden file says, and is valid."""
    loaded = load_manifests([case])
    text = diagnostics_text(loaded.diagnostics).replace(f"{CASES / 'warnings'}/", "")
    check_golden(case.with_suffix(".txt"), text)
    assert loaded.ok
    assert loaded.webhooks


@pytest.mark.parametrize("case", manifests_in("valid"), ids=lambda path: path.name)
def test_valid_manifests_give_exactly_these_webhooks(case: Path) -> None:
    """A valid case gives the webhooks of its golden file, and no diagnostics."""
    loaded = load_manifests([case])
    assert loaded.diagnostics == ()
    text = json.dumps(loaded.webhooks, indent=1, default=as_json)
    check_golden(case.with_suffix(".json"), text.replace(f"{CASES / 'valid'}/", "") + "\n")


def test_every_case_has_its_golden_file_and_no_golden_file_is_left_over() -> None:
    """A case that is renamed takes its golden file along."""
    for folder, suffix in (("invalid", ".txt"), ("warnings", ".txt"), ("valid", ".json")):
        wanted = {case.with_suffix(suffix).name for case in manifests_in(folder)}
        assert wanted == {path.name for path in (CASES / folder).glob(f"*{suffix}")}


def test_names_of_files_steer_no_terminal_and_no_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line breaks, ANSI sequences, commands, turned text and bad UTF-8 in a name are shown as what they are.

    Such names cannot be checked out everywhere, so these files are made here.
    """
    names = [
        b"new\nline",
        b"\x1b[31mred",
        b"::error file=x::",
        "\u202egpj".encode(),
        b"\xff",
        b"a\rb",
        b"%0A",
    ]
    folder = tmp_path / "m"
    folder.mkdir()
    for name in names:
        (folder / os.fsdecode(name + b".yaml")).write_text("kind: Webhook\n")
    monkeypatch.chdir(tmp_path)
    text, github = (
        CliRunner().invoke(reconciler, ["validate", "m", "--format", form]) for form in ("text", "github")
    )
    assert text.exit_code == github.exit_code == ExitCode.INVALID
    assert text.stdout.replace("\n", "").isprintable()
    for shown in (r"m/new\nline.yaml:1:1: ", r"m/\x1b[31mred.yaml:1:1: ", r"m/\u202egpj.yaml:1:1: "):
        assert shown in text.stdout
    commands = github.stdout.splitlines()
    assert len(commands) == 3 * len(names)
    assert all(command.startswith("::error file=m/") for command in commands)


def test_every_rule_has_a_case() -> None:
    """Whoever adds a rule adds a case that shows it, of a manifest, a configuration or a policy."""
    shown = {
        code
        for golden in CASES.rglob("*.txt")
        for code in re.findall(r"\[(WH[0-9]{3})\]", golden.read_text(encoding="utf-8"))
    }
    # What is off by default, and unusable policies: test_load, test_policy.
    elsewhere = {"WH034", "WH035", "WH041"}
    assert set(RULES) - shown == elsewhere
