"""What scripts rely on: the flags and the formats of each command, and where exit codes are documented."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from reconciler.cli.app import reconciler
from reconciler.errors import ExitCode

COMMON = {
    "--config",
    "--organization",
    "--shard",
    "--format",
    "--output",
    "-v",
    "--no-progress",
    "--no-color",
    "--help",
}
EVENTS = {"--allow-unknown-events"}
VAULT = {"--vault-mount", "--vault-prefix"}
CARRYING_OUT = {"--yes", "--approve", "--jobs", "--lock-timeout", "--audit"}
FLAGS = {
    "validate": COMMON | EVENTS | {"--explain"},
    "plan": COMMON | VAULT | EVENTS | {"--out", "--exit-code"},
    "apply": COMMON - {"--output"} | VAULT | EVENTS | CARRYING_OUT | {"--plan"},
    "rotate": COMMON - {"--output"} | VAULT | EVENTS | CARRYING_OUT | {"--now"},
    "test": COMMON | VAULT,
    "move": COMMON - {"--output"}
    | VAULT
    | {"--from-api-url", "--from-organization", "--allow-missing", "--yes", "--lock-timeout"},
    "history": COMMON | VAULT | {"--audit"},
    "organizations": COMMON | {"--shards"},
    "merge-reports": {"--format", "--output", "--help"},
    "init": {"--organization", "--from", "--extra", "--upgrade", "--help"},
    "export": COMMON - {"--output", "--format"} | VAULT | {"--out", "--unmanaged"},
    "adopt": COMMON - {"--output"} | VAULT | EVENTS | CARRYING_OUT | {"--id", "--secret-stdin", "--rotate"},
    "drift": COMMON | VAULT | EVENTS,
    "status": COMMON | VAULT | EVENTS | {"--endpoints"},
    "receive": COMMON - {"--output", "--format"}
    | VAULT
    | {"--listen", "--inbox", "--forward", "--exec", "--print", "--workers", "--attempts"},
    "doctor": COMMON | VAULT | EVENTS | {"--endpoints", "--probe"},
    "schema": {"--output", "--help"},
    "sandbox": {"--path", "--help"},
    "demo": {"--manifests", "--no-color", "--help"},
}
PARALLEL = ("plan", "apply", "drift", "status", "history", "export", "test", "doctor")
FORMATS = {"validate": {"text", "json", "github", "sarif"}} | {
    name: {"text", "json"}
    for name in ("plan", "apply", "drift", "status", "adopt", "rotate", "doctor", "move")
}
WITH_PATHS = {"validate", "plan", "apply", "drift", "status", "adopt"}


def _command(name: str) -> tuple[click.Context, click.Command]:
    context = click.Context(reconciler)
    command = reconciler.get_command(context, name)
    assert command is not None
    return click.Context(command, context, name), command


@pytest.mark.parametrize("name", FLAGS)
def test_a_command_has_the_flags_of_the_contract(name: str) -> None:
    """Each flag that the contract names is there, and explained in the help."""
    context, command = _command(name)
    # What `--help` shows comes from the context: click's own flag is no parameter of the command.
    params = command.get_params(context)
    flags = {flag for param in params for flag in param.opts}
    assert flags >= FLAGS[name]
    assert ("--parallel" in flags) is (name in PARALLEL)
    for param in params:
        if isinstance(param, click.Option):
            assert param.help, param.opts


@pytest.mark.parametrize("name", FORMATS)
def test_a_command_has_the_formats_of_the_contract(name: str) -> None:
    """A reading command writes text unless told otherwise, and knows what the contract lists for it."""
    _, command = _command(name)
    (option,) = (param for param in command.params if "--format" in param.opts)
    assert isinstance(option.type, click.Choice)
    assert set(option.type.choices) >= FORMATS[name]
    assert option.default == "text"


@pytest.mark.parametrize("name", sorted(WITH_PATHS))
def test_a_command_takes_paths(name: str) -> None:
    """Commands that read manifests take any number of paths."""
    _, command = _command(name)
    *_, paths = (param for param in command.params if isinstance(param, click.Argument))
    assert (paths.nargs, paths.required) == (-1, False)


@pytest.mark.parametrize("name", sorted(set(FLAGS) - {"init", "schema", "sandbox", "demo", "merge-reports"}))
def test_flags_that_repeat_do(name: str) -> None:
    """`--organization` is repeatable, and `-v` counts."""
    context, command = _command(name)
    args = ["--organization", "a", "--organization", "b", "-vv"]
    parsed = dict.fromkeys(("organization", "verbose"))
    # click's own parser, so that nothing is carried out.
    values, _, _ = command.make_parser(context).parse_args(args)
    parsed.update({key: values[key] for key in parsed})
    assert parsed["organization"] == ["a", "b"]
    (verbose,) = (param for param in command.params if "-v" in param.opts)
    assert isinstance(verbose, click.Option)
    assert verbose.count


@pytest.mark.parametrize("name", FLAGS)
def test_an_unknown_flag_is_a_usage_error(name: str) -> None:
    """A flag that a command does not have: exit 64 before anything is done."""
    result = CliRunner().invoke(reconciler, [name, "--nope"])
    assert (result.exit_code, result.stdout) == (64, "")
    assert "--nope" in result.stderr


@pytest.mark.parametrize("name", ["schema", "sandbox", "demo", "doctor", "export"])
def test_a_stray_argument_is_a_usage_error(name: str) -> None:
    """What takes no path refuses one: exit 64."""
    result = CliRunner().invoke(reconciler, [name, "manifests/"])
    assert (result.exit_code, result.stdout) == (64, "")
    assert "manifests/" in result.stderr


def test_every_exit_code_is_documented() -> None:
    """`--help` of the program lists every exit code that there is, and the shell's for an interrupt."""
    text = " ".join(CliRunner().invoke(reconciler, ["--help"]).stdout.split())
    listed = text.partition("Exit codes: ")[2].rstrip(".").split(", ")
    assert {int(each.partition(" ")[0]) for each in listed} == {*ExitCode, 130}
    assert all(each.partition(" ")[2] for each in listed)


def test_the_exit_codes_are_those_of_the_contract() -> None:
    """The numbers never change: scripts depend on them."""
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "PENDING": 2,
        "INVALID": 3,
        "REFUSED": 4,
        "PARTIAL": 5,
        "LOCKED": 6,
        "USAGE": 64,
    }


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("plan", "0 2 4"),
        ("drift", "0 2"),
        ("doctor", "0 1 3 4 6"),
        ("validate", "0 3"),
        ("demo", "0"),
        ("move", "0 3 4 5 6 64"),
    ],
)
def test_a_commands_own_exit_codes_are_in_its_help(name: str, codes: str) -> None:
    """A command whose exit code carries its result says so in its help."""
    text = " ".join(CliRunner().invoke(reconciler, [name, "--help"]).stdout.split())
    said = text.partition("Exit code")[2].partition("Examples:")[0]
    for code in codes.split():
        assert f" {code} " in said
