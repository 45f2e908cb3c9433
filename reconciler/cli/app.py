"""The group of commands, which are loaded when used; errors become a message and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from reconciler import __version__
from reconciler.cli.guarded import guarded_output
from reconciler.cli.output import give_up_stdout, internal_error, write_error
from reconciler.cli.signals import terminate_as_interrupt
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.texts import did_you_mean

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VERBOSE = "reconciler.verbose"
"""The key of the context's `meta` that counts `-v`."""
_TRACEBACK_AT = 2
# The shell's exit code for a program that SIGINT ended.
_INTERRUPTED = 130

_COMMANDS = {
    "init": "Start a repository of webhooks.",
    "validate": "Check manifests and configuration, offline.",
    "plan": "Show the pending changes; change nothing.",
    "apply": "Apply the plan.",
    "drift": "Show what was changed outside of reconciler; change nothing.",
    "status": "Show the fleet.",
    "history": "Show who changed what.",
    "organizations": "List the organizations of the configuration.",
    "merge-reports": "Merge the reports of several shards into one.",
    "export": "Write manifests for the live endpoints.",
    "adopt": "Take over an unmanaged endpoint.",
    "rotate": "Replace signing secrets.",
    "test": "Send test deliveries.",
    "receive": "Run a receiver: verify, store and hand on deliveries.",
    "inbox": "Show, retry and purge the events of a receiver.",
    "move": "Take the ledgers over to a moved API or a renamed organization.",
    "doctor": "Check key, permissions, Vault and clock.",
    "schema": "Print a JSON Schema.",
    "sandbox": "Run a Zof API and an OpenBao server on this machine.",
    "demo": "Demonstrate the main use on the sandbox.",
}
_UNLISTED = frozenset({"github"})
"""Commands for our own workflows, hidden from the list."""


class LazyGroup(click.Group):
    """A group that lists its commands and their short help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the commands in the order in which a new user needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's)
        """Import the command's module and return its command; None for an unknown name."""
        if cmd_name not in _COMMANDS and cmd_name not in _UNLISTED:
            return None
        command: click.Command = importlib.import_module(
            f"reconciler.cli.commands.{cmd_name.replace('-', '_')}"
        ).command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin with `incomplete`, without importing a command."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 (only for completion)

        found = [(name, text) for name, text in _COMMANDS.items() if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=text) for name, text in found]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; an error names a similar one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            hint = did_you_mean(args[:1], _COMMANDS, "").capitalize()
            raise click.UsageError(f"{error.message} {hint}".rstrip(), ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's)
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error becomes a message on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except ReconcilerError as error:
            write_error(error.message, error.hint)
            return error.exit_code
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except OSError as error:
            if _is_from_click(error):
                raise
            return _internal(error, show=_shows_trace(ctx))
        except Exception as error:  # noqa: BLE001 (the outermost frame: users never see a traceback)
            return _internal(error, show=_shows_trace(ctx))

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run and exit: usage errors with 64, an interrupt with 130. The arguments are click's.

        SIGTERM ends a command as Ctrl-C does, so that it logs out of Vault.
        """
        extra["standalone_mode"] = False
        with guarded_output():
            try:
                with terminate_as_interrupt():
                    code = super().main(*args, **extra)
            except click.ClickException as error:
                with contextlib.suppress(OSError):
                    error.show()
                code = ExitCode.USAGE
            except click.Abort:
                write_error("interrupted")
                code = _INTERRUPTED
            except OSError as error:
                code = _help_unwritten(error)
        sys.exit(int(code or 0))


def _shows_trace(ctx: click.Context) -> bool:
    return bool(ctx.meta.get(VERBOSE, 0) >= _TRACEBACK_AT)


def _is_from_click(error: OSError) -> bool:
    """Whether click could not write, such as the help of a command."""
    trace = error.__traceback__
    while trace is not None:
        # Our own stream may be below click.
        if trace.tb_frame.f_globals.get("__name__") == "click.utils":
            return True
        trace = trace.tb_next
    return False


def _help_unwritten(error: OSError) -> ExitCode:
    """Report that click could not write to stdout, unless its reader has left."""
    try:
        give_up_stdout(error)
    except ReconcilerError as unwritable:
        write_error(unwritable.message, unwritable.hint)
        return unwritable.exit_code
    return ExitCode.OK


def _internal(error: Exception, *, show: bool) -> ExitCode:
    bug = internal_error(error, trace=show)
    write_error(bug.message, bug.hint)
    return bug.exit_code


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 done, 1 failed, 2 changes pending or drift, 3 invalid input, 4 refused by a guard, "
    "5 partly done, 6 locked by another run, 64 usage error, 130 interrupted.",
)
@click.version_option(__version__, prog_name="reconciler", message="%(prog)s %(version)s")
def reconciler() -> None:
    """Turn webhook manifests into live Zof webhooks, and store their signing secrets in Vault.

    \b
    Examples:
      reconciler validate manifests/
      reconciler plan
      reconciler apply --yes
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
