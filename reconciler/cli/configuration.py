"""Read the configuration and the manifests of a command, and write their problems to stderr."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from reconciler.cli.output import wants_color, write_problems
from reconciler.config.resolve import Overrides, load_config
from reconciler.errors import InvalidInput
from reconciler.manifest.exclusion import Exclusion
from reconciler.manifest.load import load_manifests
from reconciler.report.diagnostics.text import diagnostics_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.cli.options import Options
    from reconciler.config.settings import Config, OrganizationSettings
    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.load import Loaded
    from reconciler.model import Webhook


def load_configuration(options: Options) -> Config:
    """Return the configuration of a command.

    Raises:
        InvalidInput: it is invalid; each problem of the file has been written to stderr.
        UsageError: a flag needs one organization, and there are several.
    """
    from reconciler.config.file import ConfigInvalid  # noqa: PLC0415 (most runs have no file)

    try:
        return read_configuration(options)
    except ConfigInvalid as invalid:
        _write_problems(invalid.diagnostics, options)
        raise


def read_configuration(options: Options, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration; unlike `load_configuration`, write nothing.

    Raises:
        ConfigInvalid: the file is invalid.
        InvalidInput: the environment or a flag is invalid.
        UsageError: a flag needs one organization, and there are several.
    """
    overrides = Overrides(options.organization, options.paths, options.vault_mount, options.vault_prefix)
    return load_config(options.config, environ=environ, overrides=overrides)


def load_desired(config: Config, options: Options) -> dict[str, tuple[Webhook, ...]]:
    """Return the webhooks that manifests declare, by organization.

    Raises:
        InvalidInput: there are errors; each has been written to stderr. Warnings are written, too.
    """
    loaded = {each.name: load_organization(config, each, options) for each in config.organizations}
    _write_problems([found for each in loaded.values() for found in each.diagnostics], options)
    if not all(each.ok for each in loaded.values()):
        raise InvalidInput("the manifests are invalid; nothing was sent", hint="fix them, then run again")
    return {name: each.webhooks for name, each in loaded.items()}


def load_organization(config: Config, settings: OrganizationSettings, options: Options) -> Loaded:
    """Return the manifests of one organization and their problems."""
    return load_manifests(
        settings.paths or settings.manifests,
        policy=config.policy,
        allow_unknown_events=options.allow_unknown_events,
        selection=config.rules,
        exclusion=Exclusion(settings.exclude, settings.manifests) if settings.exclude else None,
    )


def _write_problems(diagnostics: Sequence[Diagnostic], options: Options) -> None:
    """Write the problems to stderr, each once: organizations may share manifests."""
    found = tuple(dict.fromkeys(diagnostics))
    if found:
        color = wants_color(sys.stderr, os.environ, no_color=options.no_color)
        write_problems(diagnostics_text(found, color=color))
