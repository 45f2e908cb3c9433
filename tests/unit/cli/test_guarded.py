"""Whatever the program writes: no secret of the run leaves it, and no text becomes a runner's command."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.guarded import GuardedStream, guarded_output
from reconciler.cli.output import write_error, write_file, write_result
from reconciler.credentials.known import KNOWN
from reconciler.credentials.outgoing import outgoing
from reconciler.model import Secret
from reconciler.report.format.github import command

if TYPE_CHECKING:
    from pathlib import Path

KEY = "zof_live_aB3dE7hI1kLm9nOp5qRs8tUv"
HOSTILE = (
    "::stop-commands::x",
    "  ::error::x",
    "\u2003::x::",
    "a\r::x::",
    "a ##[group]",
    "##vso[task.x]",
    "a\n::x::",
)


def runs(text: str) -> bool:
    """Whether GitHub's runner, Azure Pipelines or TeamCity would take a line for a command."""
    lines = text.replace("\r", "\n").split("\n")
    return any(line.lstrip().startswith("::") or "##[" in line or "##vso[" in line for line in lines)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_line_is_a_command(text: str) -> None:
    """Commands at the beginning of a line, after any space, and those anywhere are neutralised."""
    assert runs(text)
    assert not runs(outgoing(text))


@pytest.mark.parametrize("text", ["a::b", "Foo::Bar", "std:: x", "a ##", "[##]", "# [x]", ""])
def test_other_texts_stay_as_they_are(text: str) -> None:
    """Two colons within a line are ordinary."""
    assert outgoing(text) == text


def test_json_keeps_its_values() -> None:
    """What replaces a command within JSON reads as the same text."""
    text = json.dumps({"a": "##[x]::y"}, indent=2)
    assert json.loads(outgoing(text)) == json.loads(text)


def test_both_streams_are_guarded_and_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Inside, each text is guarded, whoever writes it; a run begins without the secrets of another."""
    KNOWN.add(Secret("secret-of-an-earlier-run"))
    before = sys.stdout, sys.stderr
    with guarded_output():
        KNOWN.add(Secret(KEY))
        write_result(f"::x:: {KEY} secret-of-an-earlier-run\n")
        write_error(f"::x:: {KEY}\n::y::")
        sys.stderr.writelines([f"{KEY}\n", "::z::\n"])
        sys.stdout.write("a")
        sys.stdout.write("::b\n")
    assert (sys.stdout, sys.stderr) == before
    shown = capsys.readouterr()
    assert shown.out == "\\x3a:x:: *** secret-of-an-earlier-run\na::b\n"
    assert shown.err == "error: ::x:: ***\n\\x3a:y::\n***\n\\x3a:z::\n"


def test_our_own_commands_are_written_and_masked() -> None:
    """An annotation is a command on purpose; its contents are escaped, and no secret is among them."""
    KNOWN.add(Secret(KEY))
    output = io.StringIO()
    GuardedStream(output).write_commands(command("error", "a", f"{KEY}\n::x::"))
    assert output.getvalue() == "::error title=a::***%0A::x::\n"


def test_files_are_guarded(tmp_path: Path) -> None:
    """A file may be printed later, or uploaded."""
    KNOWN.add(Secret(KEY))
    file = tmp_path / "report.txt"
    write_file(str(file), f"::x:: {KEY}\n")
    assert file.read_text() == "\\x3a:x:: ***\n"
