"""What a command loads: libraries cost more time than most commands, so each may load only what it needs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.command import CommandLine

PLAIN = """\
apiVersion: webhooks.zof.ai/v1
kind: Webhook
metadata:
  name: plain
  labels:
    team: platform
spec:
  url: https://hooks.example.com/plain
  events:
    - run.completed
"""
VALIDATE = {"click", "jsonschema_rs", "idna", "msgspec", "typing_extensions"}
HTTPX = {"httpx", "httpcore", "h11", "anyio", "certifi", "sniffio", "typing_extensions"}
HVAC = {"hvac", "requests", "urllib3", "charset_normalizer", "certifi"}
NOT_FOR_A_PREVIEW = {
    f"reconciler.{name}"
    for name in (
        "apply.runner",
        "apply.executor",
        "apply.lock",
        "plan.protocol.next_step",
        "plan.changes",
        "plan.protocol.create",
    )
}


def _loaded_by(*args: str, folder: Path | None = None, environ: dict[str, str] | None = None) -> set[str]:
    """Return the modules that the program has loaded at its end, without those that Python begins with."""
    program = (
        "import sys; before = set(sys.modules)\n"
        "from reconciler.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "loaded = {name for name, module in sys.modules.items() if module} - before\n"
        "print('\\n'.join(loaded), file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environ)
    return set(done.stderr.split())


def _libraries(modules: set[str]) -> set[str]:
    """Return the libraries among modules: neither Python's nor ours, nor what measures the tests."""
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    tops -= {"reconciler", "cython_runtime"}
    return {name for name in tops if not name.startswith("_") and "coverage" not in name}


@pytest.mark.parametrize(
    "args",
    [
        ("--help",),
        ("schema", "--help"),
        ("plan", "--help"),
        ("apply", "--help"),
        ("receive", "--help"),
        ("inbox", "list", "--help"),
    ],
)
def test_help_loads_click_alone(args: tuple[str, ...]) -> None:
    """`--help` imports none of the libraries that do the work, so that it answers at once."""
    assert _libraries(_loaded_by(*args)) == {"click"}


def test_completion_loads_what_validation_does(tmp_path: Path) -> None:
    """Names come from files: whoever presses the tab key waits for no client and no server."""
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/plain.yaml").write_text(PLAIN)
    for words, libraries in (("reconciler ro", {"click"}), ("reconciler rotate ", VALIDATE)):
        environ = {
            "_RECONCILER_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        assert _libraries(_loaded_by(folder=tmp_path, environ=environ)) <= libraries | {"click", "yaml"}


def test_the_end_is_without_a_search_for_cycles() -> None:
    """Python looks at every object once more when it ends: nothing is left for it to look at."""
    program = (
        "import gc, sys\n"
        "from reconciler.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(gc.get_freeze_count(), gc.get_count()[0], file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    frozen, left = map(int, done.stderr.split())
    assert frozen > 10_000
    assert left < 1_000


def test_the_version_loads_no_library() -> None:
    """`--version` is answered before even click is imported."""
    assert _libraries(_loaded_by("--version")) == set()


def test_plain_manifests_are_validated_without_libyaml(tmp_path: Path) -> None:
    """For what most manifests are, neither libyaml nor the engine that explains problems is loaded."""
    (tmp_path / "plain.yaml").write_text(PLAIN, encoding="utf-8")
    assert _libraries(_loaded_by("validate", "plain.yaml", folder=tmp_path)) == VALIDATE


def test_other_manifests_are_left_to_libyaml(tmp_path: Path) -> None:
    """What is spared for plain manifests is what others need."""
    (tmp_path / "folded.yaml").write_text(PLAIN + "  description: >-\n    folded\n", encoding="utf-8")
    assert _libraries(_loaded_by("validate", "folded.yaml", folder=tmp_path)) == VALIDATE | {"yaml"}


def test_a_preview_without_changes_loads_nothing_that_applies(command: CommandLine) -> None:
    """`plan` loads the clients of API and Vault; the protocol only where there is a change to explain."""
    (command.folder / "plain.yaml").write_text(PLAIN, encoding="utf-8")
    assert command("apply", "plain.yaml", "--yes").exit_code == 0
    loaded = _loaded_by("plan", "plain.yaml", folder=command.folder, environ=command.environment)
    assert _libraries(loaded) - HTTPX == (VALIDATE | HVAC) - HTTPX
    assert not loaded & NOT_FOR_A_PREVIEW


def test_a_preview_with_changes_explains_them(command: CommandLine) -> None:
    """The protocol is loaded where the steps of a change are shown."""
    command.write("one")
    loaded = _loaded_by("plan", folder=command.folder, environ=command.environment)
    assert "reconciler.plan.changes" in loaded
    assert "reconciler.apply.runner" not in loaded
