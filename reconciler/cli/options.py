"""The options that commands share, each group as one value."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from reconciler.cli.app import VERBOSE
from reconciler.cli.completion import complete_organization
from reconciler.cli.output import wants_color
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reconciler.config.shards import Shard
    from reconciler.plan.drift import DriftState

    Function = Callable[..., Any]

PLAN_FORMATS = ("text", "json", "markdown", "github")
"""The formats of a plan."""


class Options(NamedTuple):
    """The shared options of a command line. A NamedTuple, since `--help` must not load msgspec."""

    paths: tuple[str, ...] = ()
    config: str | None = None
    organization: tuple[str, ...] = ()
    vault_mount: str | None = None
    vault_prefix: str | None = None
    actor: str | None = None
    format: str = "text"
    output: str | None = None
    allow_unknown_events: bool = False
    verbose: int = 0
    parallel: int = 1
    shard: Shard | None = None
    no_progress: bool = False
    no_color: bool = False

    @property
    def color(self) -> bool:
        """Whether results are coloured."""
        return self._to_stdout and wants_color(sys.stdout, os.environ, no_color=self.no_color)

    @property
    def columns(self) -> int | None:
        """The terminal's width; None if results do not go to a terminal."""
        if not (self._to_stdout and sys.stdout.isatty()):
            return None
        import shutil  # noqa: PLC0415 (loads compression; only a terminal has a width)

        return shutil.get_terminal_size().columns

    @property
    def _to_stdout(self) -> bool:
        return self.output in {None, "-"}


class ApplyOptions(NamedTuple):
    """The options of every command that changes something."""

    yes: bool
    approve: tuple[str, ...]
    jobs: int
    lock_timeout: float
    journal: str | None
    audit: str | None


def _store_verbosity(ctx: click.Context, _: click.Parameter, value: int) -> int:
    ctx.meta[VERBOSE] = value
    return value


def _read_shard(_ctx: click.Context, _: click.Parameter, value: str | None) -> Shard | None:
    if value is None:
        return None
    from reconciler.config.shards import Shard  # noqa: PLC0415 (most runs have no shards)

    try:
        return Shard.parse(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not I/N, such as 1/4 to 4/4") from None


_SCOPE = (
    click.option(
        "--config", metavar="FILE", help="The configuration file; default: reconciler.yaml, if it exists."
    ),
    click.option(
        "--organization",
        multiple=True,
        shell_complete=complete_organization,
        metavar="NAME",
        help="Only this organization; a glob such as 'acme-*'; repeatable. Default: all.",
    ),
    click.option(
        "--shard",
        callback=_read_shard,
        metavar="I/N",
        help="Only the I-th of N stable parts of the organizations, for parallel jobs.",
    ),
)
_VAULT = (
    click.option("--vault-mount", metavar="MOUNT", help="The KV v2 mount; default: secret."),
    click.option(
        "--vault-prefix", metavar="PATH", help="The folder of the documents; default: webhooks/ORGANIZATION."
    ),
)
_VIEW = (
    click.option(
        "-v",
        "--verbose",
        count=True,
        callback=_store_verbosity,
        help="Show more details; -vv for bug reports.",
    ),
    click.option("--no-progress", is_flag=True, help="Show no progress, only warnings."),
    click.option("--no-color", is_flag=True, help="Use no colours; so does NO_COLOR=1."),
)
_PARALLEL = click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    metavar="N",
    help="How many organizations are processed at a time; each has its own quota.",
)
_PATHS = click.argument("paths", nargs=-1, metavar="[PATH]...")
_EVENTS = click.option(
    "--allow-unknown-events", is_flag=True, help="Accept event types that this version does not know."
)
_ACTOR = click.option("--actor", metavar="NAME", help="Who runs this, for the record.")
_OUTPUT = click.option("--output", metavar="FILE", help="Write the result to a file instead of stdout.")
yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask for confirmation; required without a terminal."
)
lock_timeout_option = click.option(
    "--lock-timeout",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another run to end.",
)
_APPLY = (
    yes_option,
    click.option(
        "--approve", multiple=True, metavar="DIGEST", help="Let the plan with this digest pass its guards."
    ),
    click.option(
        "--jobs",
        type=click.IntRange(1, 8),
        default=1,
        show_default=True,
        help="How many changes run in parallel.",
    ),
    lock_timeout_option,
    click.option(
        "--journal",
        metavar="FILE",
        help="The file that records each step before it is taken; default: in the user's state folder. "
        "Of several organizations, each adds its name.",
    ),
    click.option(
        "--audit",
        metavar="FILE",
        help="The log to append to: who changed what; default: in the user's state folder.",
    ),
)


def shared_options(
    *,
    paths: bool = True,
    vault: bool = True,
    actor: bool = False,
    manifests: bool = True,
    output: bool = True,
    parallel: bool = False,
    formats: Sequence[str] = ("text", "json"),
) -> Callable[[Function], Function]:
    """Give a command the shared options that it supports, passed as one `Options`."""
    choice = click.option(
        "--format", type=click.Choice(formats), default="text", show_default=True, help="The result's format."
    )
    return _passed_as(
        Options,
        (
            *((_PATHS,) if paths else ()),
            *_SCOPE,
            *(_VAULT if vault else ()),
            *((_EVENTS,) if manifests else ()),
            *((_ACTOR,) if actor else ()),
            *((choice,) if formats else ()),
            *((_OUTPUT,) if output else ()),
            *((_PARALLEL,) if parallel else ()),
            *_VIEW,
        ),
    )


def apply_options(function: Function) -> Function:
    """Give a command the options of every command that changes something, passed as one `ApplyOptions`."""
    return _passed_as(ApplyOptions, _APPLY)(function)


def cleanup_options(function: Function) -> Function:
    """Give a command the options that limit it to what is due."""
    cleanup = click.option(
        "--cleanup-only",
        is_flag=True,
        help="Only what is due: ended overlaps, expired secrets, leftovers. For scheduled jobs.",
    )
    rotations = click.option(
        "--rotate-due",
        is_flag=True,
        help="With --cleanup-only: also replace secrets whose date in createdAfter has come.",
    )
    return cleanup(rotations(function))


def due_states(*, cleanup_only: bool, rotate_due: bool) -> frozenset[DriftState] | None:
    """Return what `cleanup_options` limit a plan to; None: they do not.

    Raises:
        UsageError: `--rotate-due` stands alone.
    """
    from reconciler.plan.drift import DriftState  # noqa: PLC0415 (`--help` must not load msgspec)

    if rotate_due and not cleanup_only:
        raise UsageError("--rotate-due needs --cleanup-only", hint="`reconciler apply` alone rotates, too")
    if not cleanup_only:
        return None
    rotations = {DriftState.ROTATION_DUE} if rotate_due else set()
    return frozenset({DriftState.CLEANUP_DUE, *rotations})


def _passed_as(
    kind: type[Options | ApplyOptions], options: Iterable[Callable[[Function], Function]]
) -> Callable[[Function], Function]:
    """Give a function options, passed as one value of `kind` before its other arguments."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def with_options(*args: Any, **params: Any) -> Any:
            given = {name: params.pop(name) for name in kind._fields if name in params}
            return function(kind(**given), *args, **params)

        decorated: Function = with_options
        for option in reversed(tuple(options)):
            decorated = option(decorated)
        return decorated

    return decorate
