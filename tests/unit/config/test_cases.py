"""Whole outputs: each configuration in tests/cases/config beside what is expected of it.

A new case is a new file; UPDATE_GOLDEN=1 writes what comes out, for a person to review as a diff.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from reconciler.config.file import ConfigInvalid
from reconciler.config.resolve import load_config
from reconciler.errors import ExitCode
from reconciler.report.diagnostics.text import diagnostics_text
from tests.fixtures.values import as_json

CASES = Path(__file__).resolve().parents[2] / "cases" / "config"
SUFFIXES = {"invalid": ".txt", "valid": ".json"}


def cases_in(folder: str) -> list[Path]:
    return sorted((CASES / folder).glob("*.yaml"))


def check_golden(path: Path, actual: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(actual, encoding="utf-8")
    assert actual == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", cases_in("invalid"), ids=lambda path: path.name)
def test_invalid_configurations_give_exactly_these_diagnostics(case: Path) -> None:
    """An invalid configuration is reported as its golden file says, exits 3, and shows no secret."""
    with pytest.raises(ConfigInvalid) as caught:
        load_config(case, environ={})
    text = diagnostics_text(caught.value.diagnostics).replace(f"{CASES / 'invalid'}/", "")
    check_golden(case.with_suffix(".txt"), text)
    assert caught.value.exit_code is ExitCode.INVALID
    assert "hunter2" not in text


@pytest.mark.parametrize("case", cases_in("valid"), ids=lambda path: path.name)
def test_valid_configurations_mean_exactly_this(case: Path) -> None:
    """A valid configuration gives the settings of its golden file."""
    text = json.dumps(load_config(case, environ={}), indent=1, default=as_json)
    check_golden(case.with_suffix(".json"), text.replace(f"{CASES / 'valid'}/", "") + "\n")


@pytest.mark.parametrize("folder", SUFFIXES)
def test_every_case_has_its_golden_file_and_no_golden_file_is_left_over(folder: str) -> None:
    """A case that is renamed takes its golden file along."""
    suffix = SUFFIXES[folder]
    wanted = {case.with_suffix(suffix).name for case in cases_in(folder)}
    assert wanted == {path.name for path in (CASES / folder).glob(f"*{suffix}")}
