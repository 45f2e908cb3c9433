"""Whole outputs: each manifest (file or folder) in tests/cases beside what is expected of it.

A new case is a new file; UPDATE_GOLDEN=1 writes what comes out, for a person to review as a diff.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from reconciler.manifest.load import load_manifests
from reconciler.report.diagnostics import diagnostics_text

CASES = Path(__file__).resolve().parents[1] / "cases"


def manifests_in(folder: str) -> list[Path]:
    return sorted(path for path in (CASES / folder).iterdir() if path.is_dir() or path.suffix == ".yaml")


def check_golden(path: Path, actual: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(actual, encoding="utf-8")
    assert actual == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", manifests_in("invalid"), ids=lambda path: path.name)
def test_invalid_manifests_give_exactly_these_diagnostics(case: Path) -> None:
    """An invalid case is reported as its golden file says, and shows no secret."""
    loaded = load_manifests([case])
    text = diagnostics_text(loaded.diagnostics).replace(f"{CASES / 'invalid'}/", "")
    check_golden(case.with_suffix(".txt"), text)
    assert not loaded.ok
    assert "hunter2" not in text


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
    text = json.dumps([asdict(webhook) for webhook in loaded.webhooks], indent=1, default=str)
    check_golden(case.with_suffix(".json"), text.replace(f"{CASES / 'valid'}/", "") + "\n")


def test_every_case_has_its_golden_file_and_no_golden_file_is_left_over() -> None:
    """A case that is renamed takes its golden file along."""
    for folder, suffix in (("invalid", ".txt"), ("warnings", ".txt"), ("valid", ".json")):
        wanted = {case.with_suffix(suffix).name for case in manifests_in(folder)}
        assert wanted == {path.name for path in (CASES / folder).glob(f"*{suffix}")}
