"""Seed protocol bugs, one at a time, and see that the simulation catches each.

A mutant is one replacement in a copy of the package; the simulation runs on the copy in a process of
its own and must fail. A proof that cannot fail proves nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTENT, RUNNER, NEED = "plan/intent.py", "apply/runner.py", "plan/need.py"


@dataclass(frozen=True)
class Mutant:
    """One bug: `right` becomes `wrong` in `file`."""

    title: str
    file: str
    right: str
    wrong: str


MUTANTS = (
    Mutant(
        "no write-ahead",
        RUNNER,
        "version = self._world.store.write(hand.name, step.document, cas=step.cas)",
        "version = step.cas if step.begins_attempt else "
        "self._world.store.write(hand.name, step.document, cas=step.cas)",
    ),
    Mutant(
        "a key without its generation",
        INTENT,
        'idempotency_key=f"{s.name}-g{generation}-a{attempt}-{s.fresh.key_suffix}"',
        "idempotency_key=s.name",
    ),
    Mutant("a replay past the window", INTENT, "REPLAY_WINDOW = 20 * 3600.0", "REPLAY_WINDOW = 1e9"),
    Mutant("deletion before creation", INTENT, "    if pending.gap and", "    if"),
    Mutant(
        "the client's secret is assumed to be honoured",
        INTENT,
        "signing_secret=secret, previous_secrets",
        "signing_secret=pending.client_secret, previous_secrets",
    ),
    Mutant(
        "a new key on each retry",
        RUNNER,
        "created = api.create(key, body)",
        "created = api.create(key + self._world.fresh().key_suffix, body)",
    ),
    Mutant(
        "a hidden secret is kept",
        INTENT,
        "case Created(endpoint=endpoint, secret=None):",
        "case Created(endpoint=endpoint, secret=None) if pending.generation > 99:",
    ),
    Mutant(
        "no sweep of abandoned attempts",
        RUNNER,
        "        for name in abandoning:",
        "        return ()\n        for name in abandoning:",
    ),
    Mutant(
        "a sweep without the baseline",
        NEED,
        "known = endpoint.id in attempt.baseline_ids or live.is_owned(endpoint.id)",
        "known = live.is_owned(endpoint.id)",
    ),
    Mutant(
        "the previous endpoint is forgotten",
        INTENT,
        "    if old is not None and old.endpoint_id != made.endpoint.id:",
        "    if old is None:",
    ),
    Mutant(
        "a promotion without check-and-set",
        RUNNER,
        "version = self._world.store.write(hand.name, step.document, cas=step.cas)",
        "cas = self._world.store.read(hand.name).version\n"
        "            version = self._world.store.write(hand.name, step.document, cas=cas)",
    ),
    Mutant(
        "acting on a listing older than the document",
        RUNNER,
        "            listing_current=stored.version == change.version,",
        "            listing_current=True,",
    ),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.title)
def test_each_seeded_bug_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    """The simulation fails on a package with this bug."""
    package = tmp_path / "reconciler"
    shutil.copytree(ROOT / "reconciler", package, ignore=shutil.ignore_patterns("__pycache__", "sandbox"))
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests" / "conftest.py").unlink()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    source = package / mutant.file
    text = source.read_text("utf-8")
    assert mutant.right in text, "the mutant does not fit the code any more"
    source.write_text(text.replace(mutant.right, mutant.wrong), "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "tests/crash/test_simulation.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1, f"not caught: {done.stdout[-500:]}"
    assert "failed" in done.stdout
