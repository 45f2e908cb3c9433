"""What the shell offers for a name: the names of the configuration and the manifests, read offline."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from reconciler.config.settings import OrganizationSettings


def complete_webhook(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of webhooks that begin with `incomplete` and are not on the command line yet."""
    from reconciler.manifest.exclusion import Exclusion  # noqa: PLC0415 (only for completion)
    from reconciler.manifest.load import load_manifests  # noqa: PLC0415 (only for completion)

    names: set[str] = set()
    for each in _organizations(ctx, ctx.params.get("organization") or ()):
        exclusion = Exclusion(each.exclude, each.manifests) if each.exclude else None
        loaded = load_manifests(each.manifests, exclusion=exclusion)
        names |= {webhook.name for webhook in loaded.webhooks}
    return _matching(names - set(ctx.params.get("names") or ()), incomplete)


def complete_organization(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of organizations that begin with `incomplete`."""
    return _matching((each.name for each in _organizations(ctx)), incomplete)


def _organizations(ctx: click.Context, named: Iterable[str] = ()) -> tuple[OrganizationSettings, ...]:
    """Return the organizations; none if the configuration is invalid, because nobody could see a message."""
    from reconciler.config.resolve import Overrides, load_config  # noqa: PLC0415 (only for completion)

    try:
        overrides = Overrides(organizations=tuple(named))
        return load_config(ctx.params.get("config"), environ=os.environ, overrides=overrides).organizations
    except (ReconcilerError, OSError):
        return ()


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
