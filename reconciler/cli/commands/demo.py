"""`reconciler demo`: the tour."""

from __future__ import annotations

import click


@click.command("demo")
@click.option(
    "--manifests", metavar="FOLDER", help="Tour on these; default: examples/manifests, else a built-in set."
)
@click.option("--no-color", is_flag=True, help="Use no colours; so does NO_COLOR=1.")
def command(manifests: str | None, *, no_color: bool) -> int:
    """Tour the main job on a sandbox of its own: apply, delivery, edit, drift, healing, removal.

    Everything is real but throw-away: nothing is left behind. Exit code 0 only if each step did what it
    was expected to do.

    \b
    Examples:
      reconciler demo
      reconciler demo --manifests manifests/
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    from reconciler.cli import tour  # noqa: PLC0415 (loads the servers)

    return tour.demo(manifests, no_color=no_color)
