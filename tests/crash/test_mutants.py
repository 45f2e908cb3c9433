"""Seed protocol bugs, one at a time, and see that the simulation catches each.

A mutant is one replacement in a copy of the package; the simulation runs on the copy in a process of
its own and must fail. A proof that cannot fail proves nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTENT, NEED, SITUATION = "plan/protocol/create.py", "plan/protocol/need.py", "plan/protocol/state.py"
ADOPTION = "plan/protocol/adopt.py"
RUNNER, TAKER = "apply/runner.py", "apply/executor.py"
CRASHES, RIVALS, FAULTS = "every_crash_point", "rival", "fault_at_every"


@dataclass(frozen=True)
class Mutant:
    """One bug: `right` becomes `wrong` in `file`, and of `tests` those `caught_by` (pytest's -k) fail."""

    title: str
    file: str
    right: str
    wrong: str
    caught_by: str = CRASHES
    tests: str = "test_simulation.py"
    without: tuple[str, str, str] | None = None
    """A second guard that would hide the bug, and is taken out with it: file, right and wrong."""


SECOND_LOOK = (TAKER, "            self._learn_owners()\n", "            pass\n")
"""Before a leftover goes, a run looks once more whether another has recorded it."""
MUTANTS = (
    Mutant(
        "no write-ahead",
        TAKER,
        "version = self._world.store.write(hand.name, step.document, cas=step.cas)",
        "version = step.cas if step.begins_attempt else "
        "self._world.store.write(hand.name, step.document, cas=step.cas)",
    ),
    Mutant(
        "a key without its generation",
        INTENT,
        'idempotency_key=f"{s.name}-g{generation}-a{attempt}-{s.fresh.key_suffix}"',
        "idempotency_key=s.name",
        caught_by=f"{CRASHES} and gap and one",
    ),
    Mutant(
        "a replay past the window",
        INTENT,
        "REPLAY_WINDOW = timedelta(hours=20)",
        "REPLAY_WINDOW = timedelta(9999)",
    ),
    Mutant("deletion before creation", INTENT, "    if pending.gap:", "    if pending:"),
    Mutant(
        "the client's secret is assumed to be honoured",
        INTENT,
        "signing_secret=secret, previous_secrets",
        "signing_secret=pending.client_secret, previous_secrets",
    ),
    Mutant(
        "a new key on each retry",
        TAKER,
        "created = api.create(key, body)",
        "created = api.create(key + self._world.fresh().key_suffix, body)",
    ),
    Mutant(
        "a hidden secret is kept",
        INTENT,
        "            return _abandon(s, document, pending, s.now)\n        case",
        "            return _promote(s, document, pending, answer, pending.client_secret)\n        case",
    ),
    Mutant(
        "a hidden secret's endpoint goes before the intent is given up",
        INTENT,
        "            # It is never assumed that",
        "            if step := delete(s, endpoint.id, ''):\n                return step\n            #",
        caught_by=f"{RIVALS} and hides and stranger",
    ),
    Mutant(
        "no sweep of abandoned attempts",
        RUNNER,
        "            failure = self._sweep_all(swept)",
        "            failure = None",
    ),
    Mutant(
        "a sweep without the baseline",
        NEED,
        "known = endpoint.id in attempt.baseline_ids or",
        "known =",
        caught_by=f"{CRASHES} and stranger",
    ),
    Mutant(
        "a sweep before pendings are resolved",
        RUNNER,
        "if any(s.document and s.document.ledger.pending for s in self._stored.values()):",
        "if False:",
        caught_by="leftover",
    ),
    Mutant(
        "a sweep that takes what its own ledger records",
        NEED,
        "or endpoint.id in spared or live.is_recorded(endpoint.id)",
        "",
    ),
    Mutant(
        "a sweep without an end in time",
        NEED,
        "earliest <= endpoint.created <= latest",
        "earliest <= endpoint.created",
        caught_by="operator",
    ),
    Mutant(
        "the previous endpoint is forgotten",
        INTENT,
        "    if old is not None and old.endpoint_id != made.endpoint.id:",
        "    if old is not None and old.generation > 99:",
    ),
    Mutant(
        "a promotion without check-and-set",
        TAKER,
        "version = self._world.store.write(hand.name, step.document, cas=step.cas)",
        "cas = self._world.store.read(hand.name).version\n"
        "            version = self._world.store.write(hand.name, step.document, cas=cas)",
        caught_by=RIVALS,
    ),
    Mutant(
        "acting on a listing older than the document",
        RUNNER,
        "            listing_current=stored.version == (known.version if known else change.version),",
        "            listing_current=True,",
        caught_by=RIVALS,
    ),
    Mutant(
        "an endpoint goes before its URL is taken over",
        SITUATION,
        "Hold(taker, url) if taker != s.name and",
        "Hold(taker, url) if not taker and",
        caught_by=FAULTS,
    ),
    Mutant(
        "what an attempt made goes before the attempt is given up",
        INTENT,
        "    # Nobody sends it once it is stuck",
        "    if not s.listing_current:\n        return ListAgain()\n"
        "    left = replace(document.ledger, abandoned=(pending.abandon(s.now),))\n"
        "    if step := clear_abandoned(s, left):\n        return step\n    #",
        caught_by="only_after_it_has_won",
        tests="test_histories.py",
        without=SECOND_LOOK,
    ),
    Mutant(
        "what an attempt made goes before the next intent is written",
        INTENT,
        "    if stranger := conflicting(",
        "    if step := clear_abandoned(s, ledger):\n        return step\n    if stranger := conflicting(",
        caught_by="only_after_it_has_won",
        tests="test_histories.py",
        without=SECOND_LOOK,
    ),
    Mutant(
        "another run's intent is sent without a word",
        INTENT,
        "    if not _is_ours(s, pending) and not pending.resent:",
        "    if False:",
        caught_by="says_that_it_sends",
        tests="test_histories.py",
    ),
    Mutant(
        "a leftover goes by what was known when the listing began",
        *SECOND_LOOK,
        caught_by="another_run_has_recorded",
        tests="test_histories.py",
    ),
    Mutant(
        "no sweep for a webhook that waits to go",
        "plan/protocol/sweep.py",
        "    if document is None or document.ledger.pending is not None:",
        "    if document is None or document.ledger.pending is not None or document.ledger.removing:",
        caught_by="waits_to_go",
        tests="test_histories.py",
    ),
    Mutant(
        "a secret is made up for an endpoint that has its own",
        ADOPTION,
        "signing_secret=adoption.secret, prev",
        "signing_secret=adoption.secret or s.fresh.secret, prev",
        tests="test_adoption_crashes.py",
    ),
    Mutant(
        "an adoption forgets what it has replaced",
        ADOPTION,
        "return is_as_asked or _is_replaced(ledger, adoption.endpoint_id)",
        "return is_as_asked",
        tests="test_adoption_crashes.py",
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
    seeds = [(mutant.file, mutant.right, mutant.wrong), *([mutant.without] if mutant.without else [])]
    for file, right, wrong in seeds:
        text = (package / file).read_text("utf-8")
        assert text.count(right) == 1, "the mutant does not fit the code any more"
        (package / file).write_text(text.replace(right, wrong), "utf-8")
    proof = [f"tests/crash/{mutant.tests}", "-k", mutant.caught_by]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *proof]
    # Coverage, if it is measured here, is not this copy's.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 1, f"not caught: {done.stdout[-500:]}"
    assert "AssertionError" in done.stdout, "it fails for another reason than what it does"
