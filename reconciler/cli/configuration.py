"""The configuration and the manifests that a command works on, with every problem told."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from reconciler.cli.output import wants_color, write_problems
from reconciler.config.resolve import Overrides, load_config
from reconciler.errors import InvalidInput
from reconciler.manifest.load import load_manifests
from reconciler.report.diagnostics.text import diagnostics_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.cli.options import Settings
    from reconciler.config.settings import Config, OrganizationSettings
    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.load import Loaded
    from reconciler.model import Webhook


def load_configuration(settings: Settings) -> Config:
    """Return the configuration; flags win over the environment, that over the file.

    Raises:
        InvalidInput: it is invalid; each problem of the file has been written to stderr.
        UsageError: the flags ask for something impossible.
    """
    from reconciler.config.file import ConfigInvalid  # noqa: PLC0415 (most runs have no file)

    try:
        return read_configuration(settings)
    except ConfigInvalid as invalid:
        _tell(invalid.diagnostics, settings)
        raise


def read_configuration(settings: Settings, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration.

    Args:
        settings: the flags.
        environ: the environment, or as much of it as counts.

    Raises:
        ConfigInvalid: the file is invalid; nothing has been written.
        InvalidInput: the file, the environment or a flag is invalid.
        UsageError: the flags ask for something impossible.
    """
    overrides = Overrides(settings.organization, settings.paths, settings.vault_mount, settings.vault_prefix)
    return load_config(settings.config, environ=environ, overrides=overrides)


def load_desired(config: Config, settings: Settings) -> tuple[tuple[Webhook, ...], ...]:
    """Return what manifests want, for each organization.

    Raises:
        InvalidInput: there are errors; each has been written to stderr. Warnings are written, too.
    """
    loaded = [load_organization(config, each, settings) for each in config.organizations]
    _tell([found for each in loaded for found in each.diagnostics], settings)
    if not all(each.ok for each in loaded):
        raise InvalidInput("the manifests are invalid; nothing was sent", hint="fix them, then run again")
    return tuple(each.webhooks for each in loaded)


def load_organization(config: Config, organization: OrganizationSettings, settings: Settings) -> Loaded:
    """Return what the manifests of one organization say."""
    return load_manifests(
        organization.manifests,
        policy=config.policy,
        allow_unknown_events=settings.allow_unknown_events,
        selection=config.rules,
    )


def _tell(diagnostics: Sequence[Diagnostic], settings: Settings) -> None:
    """Write the problems to stderr, each once: organizations may share manifests."""
    found = tuple(dict.fromkeys(diagnostics))
    if found:
        color = wants_color(sys.stderr, os.environ, no_color=settings.no_color)
        write_problems(diagnostics_text(found, color=color))
