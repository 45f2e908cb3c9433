"""Seed protocol bugs, one at a time, and see that the simulation catches each.

The simulation runs with one seeded bug in a process of its own and must fail. A proof that cannot fail proves
nothing. The bugs are in `seeded_bugs.py`.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from tests.crash.rewriting import NoMatchError, Pattern
from tests.crash.seeded_bugs import BUGS, ROOT, VARIABLE, Bug, Edit, source_of


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.title)
def test_each_seeded_bug_fits_the_code(bug: Bug) -> None:
    """The pattern of each bug matches exactly one place, and what it becomes is valid Python."""
    for edit in bug.edits:
        compile(ast.unparse(edit.applied_to(source_of(edit.module))), edit.module, "exec")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.title)
def test_each_seeded_bug_is_caught(bug: Bug) -> None:
    """The simulation fails on a package with this bug."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "--noconftest", "-p", "no:cacheprovider",
        "-p", "tests.crash.seeded_bugs", f"tests/crash/{bug.tests}", "-k", bug.caught_by,
    ]  # fmt: skip
    # The coverage of a package with a bug is not measured, and loading pytest's plugins takes seconds.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environ |= {VARIABLE: bug.title, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 1, f"not caught: {(done.stdout + done.stderr)[-3000:]}"
    assert "AssertionError" in done.stdout, "it fails for another reason than what it does"
    assert "a seeded bug does not fit" not in done.stdout


@pytest.mark.parametrize(
    ("code", "right", "wrong", "expected"),
    [
        ("x = f(1,  # why\n 'a')", 'f(1, "a")', "g()", "x = g()"),
        ("f(a, b, k=1, j=2)", "f($*rest, j=$j)", "f($*rest, j=-$j)", "f(a, b, j=-2, k=1)"),
        ("f(a, b)", "f($x, $x)", "None", None),
        ("f(a.b, a.b)", "f($x, $x)", "g($x)", "g(a.b)"),
        ("f(a)\nf(b)", "f($x)", "None", None),
        ("if a.b:\n    c\n    d\ne", "if $x.b: $*body", "if $x: $*body", "if a:\n    c\n    d\ne"),
        ("a\nb\nc", "b\n$last", "pass\n$last", "a\npass\nc"),
        ("f(k=1)", "f()", "g()", None),
    ],
)  # fmt: skip
def test_patterns(code: str, right: str, wrong: str, expected: str | None) -> None:
    """A pattern matches what it describes, whatever its formatting, and only where it occurs once."""
    tree = ast.parse(code)
    if expected is None:
        with pytest.raises(NoMatchError):
            Pattern(right, wrong).replace_in(tree)
    else:
        Pattern(right, wrong).replace_in(tree)
        assert ast.unparse(tree) == expected


def test_a_pattern_that_no_longer_fits_says_what_to_update() -> None:
    """The message names the file to edit, shows the code as it is, and where else the pattern matches."""
    moved = Edit("plan.protocol.cleanup", "sweep_step", "REPLAY_WINDOW = $hours", "pass")
    with pytest.raises(AssertionError) as failed:
        moved.applied_to(source_of(moved.module))
    message = str(failed.value)
    assert "Update `module`, `function` or `right` of this bug in tests/crash/seeded_bugs.py" in message
    assert "def sweep_step" in message
    assert "reconciler/plan/protocol/create.py: 1 match(es)" in message
