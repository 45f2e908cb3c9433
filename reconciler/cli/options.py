"""The options that commands share, as one value."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from reconciler.cli.app import VERBOSE
from reconciler.cli.output import wants_color

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Function = Callable[..., Any]

PLAN_FORMATS = ("text", "json", "markdown", "github")
"""What a plan can be written as."""


class Settings(NamedTuple):
    """What the command line said, beside a command's own options. No Struct: help needs no such library."""

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
    no_progress: bool = False
    no_color: bool = False

    @property
    def color(self) -> bool:
        """Whether results are painted."""
        return self._to_stdout and wants_color(sys.stdout, os.environ, no_color=self.no_color)

    @property
    def columns(self) -> int | None:
        """The terminal's width; None where results do not go to one."""
        if not (self._to_stdout and sys.stdout.isatty()):
            return None
        import shutil  # noqa: PLC0415 (loads compression; only a terminal has a width)

        return shutil.get_terminal_size().columns

    @property
    def _to_stdout(self) -> bool:
        return self.output in {None, "-"}


def _remember_verbosity(ctx: click.Context, _: click.Parameter, value: int) -> int:
    ctx.meta[VERBOSE] = value
    return value


_VIEW = (
    click.option(
        "-v", "--verbose", count=True, callback=_remember_verbosity, help="Tell more; -vv for bug reports."
    ),
    click.option("--no-progress", is_flag=True, help="Show no progress."),
    click.option("--no-color", is_flag=True, help="Use no colours; so does NO_COLOR=1."),
)
_SCOPE = (
    click.option(
        "--config", metavar="FILE", help="The configuration; default: reconciler.yaml, if there is one."
    ),
    click.option(
        "--organization", multiple=True, metavar="NAME", help="Only this one; repeatable. Default: all."
    ),
)
_VAULT = (
    click.option("--vault-mount", metavar="MOUNT", help="The KV v2 mount; default: secret."),
    click.option(
        "--vault-prefix", metavar="PATH", help="The documents' folder; default: webhooks/ORGANIZATION."
    ),
)
_MANIFESTS = (
    click.option(
        "--allow-unknown-events", is_flag=True, help="Accept event types that this version does not know."
    ),
)
_ACTOR = (click.option("--actor", metavar="NAME", help="Who runs this, for the record."),)
_PATHS = (click.argument("paths", nargs=-1, metavar="[PATH]..."),)
_OUTPUT = (click.option("--output", metavar="FILE", help="Write the result to a file instead of stdout."),)


def settings(
    *,
    paths: bool = True,
    vault: bool = True,
    actor: bool = False,
    manifests: bool = True,
    output: bool = True,
    formats: Sequence[str] = ("text", "json"),
) -> Callable[[Function], Function]:
    """Give a command the shared options that fit it, handed over as one `Settings`."""
    chosen = click.option(
        "--format",
        type=click.Choice(formats),
        default="text",
        show_default=True,
        help="How to write the result.",
    )
    options = (
        *(_PATHS if paths else ()),
        *_SCOPE,
        *(_VAULT if vault else ()),
        *(_MANIFESTS if manifests else ()),
        *(_ACTOR if actor else ()),
        *((chosen,) if formats else ()),
        *(_OUTPUT if output else ()),
        *_VIEW,
    )

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def with_settings(**params: Any) -> Any:
            shared = {name: params.pop(name) for name in Settings._fields if name in params}
            return function(Settings(**shared), **params)

        for option in reversed(options):
            with_settings = option(with_settings)
        return with_settings

    return decorate


_CARRYING_OUT = (
    click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal."),
    click.option(
        "--approve", multiple=True, metavar="DIGEST", help="Let the plan with this digest pass its guards."
    ),
    click.option(
        "--jobs",
        type=click.IntRange(1, 8),
        default=1,
        show_default=True,
        help="How many changes go on at a time.",
    ),
    click.option(
        "--lock-timeout",
        type=click.FloatRange(0),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for another run to end.",
    ),
    click.option(
        "--journal",
        metavar="FILE",
        help="Where each step is written down as it happens; default: in the user's state folder.",
    ),
    click.option(
        "--audit",
        metavar="FILE",
        help="What is appended to for the record: who changed what; default: in the user's state folder.",
    ),
)


def carrying_out(function: Function) -> Function:
    """Give a command the options of everything that changes something."""
    for option in reversed(_CARRYING_OUT):
        function = option(function)
    return function
