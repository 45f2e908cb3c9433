"""The command group: lazy commands, and every error as a sentence and an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner, Result

from reconciler import __version__
from reconciler.cli.app import VERBOSE, LazyGroup, reconciler
from reconciler.errors import (
    ApiError,
    GuardRefused,
    InvalidInput,
    LockHeld,
    ReconcilerError,
    StoreError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Raising(LazyGroup):
    """A group whose only command raises."""

    error: BaseException

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        @click.command(cmd_name)
        @click.option("-v", "--verbose", count=True)
        def command(verbose: int) -> None:
            click.get_current_context().meta[VERBOSE] = verbose
            secret = "hunter2"  # noqa: F841 (a local that must not be shown)
            raise self.error

        return command


def _raise(error: BaseException, *args: str) -> Result:
    group = _Raising("test")
    group.error = error
    return CliRunner().invoke(group, ["go", *args])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ReconcilerError("m"), 1),
        (ApiError("m"), 1),
        (StoreError("m"), 1),
        (InvalidInput("m"), 3),
        (GuardRefused("m"), 4),
        (LockHeld("m"), 6),
        (UsageError("m"), 64),
        (click.UsageError("m"), 64),
        (click.FileError("m"), 64),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    """Every kind of error ends with the contract's exit code, on stderr only and without a traceback."""
    result = _raise(error)
    assert result.exit_code == code
    assert result.stdout == ""
    assert "error" in result.stderr.lower()
    assert "Traceback" not in result.stderr


def test_an_error_is_a_sentence_and_a_hint() -> None:
    """The message and the hint take a line each, escaped."""
    result = _raise(InvalidInput("no \x1b[31mkey", hint="set ZOF_API_KEY"))
    assert result.stderr == "error: no \\x1b[31mkey\nhint: set ZOF_API_KEY\n"


def test_a_bug_is_told_by_its_type_alone() -> None:
    """An unexpected exception shows neither its text, which may quote anything, nor a traceback."""
    result = _raise(ValueError("the key is hunter2"))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: internal error: ValueError\nhint: ")
    assert "hunter2" not in result.stderr
    assert "File" not in result.stderr


def test_a_bug_shows_its_frames_on_demand() -> None:
    """With -vv the frames are shown, and still neither the exception's text nor a local."""
    result = _raise(ValueError("the key is hunter2"), "-vv")
    assert result.exit_code == 1
    assert "in command" in result.stderr
    assert "error: internal error: ValueError\n" in result.stderr
    assert "the key is" not in result.stderr


def test_the_version_is_what_click_would_say() -> None:
    """`--version`, which is answered without click, says the same with it."""
    assert CliRunner().invoke(reconciler, ["--version"]).stdout == f"reconciler {__version__}\n"


def test_the_list_of_commands_is_complete_and_lazy() -> None:
    """Every command is listed, loads, and has the short help that the list shows in its own words."""
    listing = CliRunner().invoke(reconciler, ["--help"]).stdout
    context = click.Context(reconciler)
    names = reconciler.list_commands(context)
    assert names == [
        "init",
        "validate",
        "plan",
        "apply",
        "drift",
        "status",
        "history",
        "organizations",
        "merge-reports",
        "export",
        "adopt",
        "rotate",
        "test",
        "receive",
        "inbox",
        "move",
        "doctor",
        "schema",
        "sandbox",
        "demo",
    ]
    for name in names:
        command = reconciler.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert f"\n  {name} " in listing


@pytest.mark.parametrize("name", reconciler.list_commands(click.Context(reconciler)))
def test_every_command_shows_examples(name: str) -> None:
    """`--help` of every command has an Examples section with the command in it."""
    result = CliRunner().invoke(reconciler, [name, "--help"])
    assert result.exit_code == 0
    examples = result.stdout.partition("Examples:\n")[2]
    assert f"reconciler {name}" in examples.partition("\n\n")[0]


@pytest.mark.parametrize(
    "args", [["nope"], ["plan", "--nope"], ["plan", "--format", "xml"], [], ["apply", "--jobs", "0"]]
)
def test_usage_errors_are_64(args: list[str]) -> None:
    """What the command line does not know is a usage error: 64, since 2 would read as pending changes."""
    result = CliRunner().invoke(reconciler, args)
    assert result.exit_code == 64
    assert result.stdout == ""
    assert "Usage:" in result.stderr


def test_a_misspelt_command_has_a_suggestion() -> None:
    """A command that is nearly right is named; one that is not like any is only refused."""
    result = CliRunner().invoke(reconciler, ["plann"])
    assert (result.exit_code, "No such command 'plann'. Did you mean `plan`?" in result.stderr) == (64, True)
    assert "you mean" not in CliRunner().invoke(reconciler, ["xyzzy"]).stderr


def _with_subcommands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the arguments that lead to each command."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _with_subcommands(found, (*path, name))


@pytest.mark.parametrize("path", list(_with_subcommands(reconciler)), ids=" ".join)
def test_help_fits_into_80_columns(path: tuple[str, ...]) -> None:
    """Also on a wider terminal, because it is pasted into pages and issues."""
    result = CliRunner().invoke(reconciler, [*path, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []
