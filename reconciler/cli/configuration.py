"""Read the configuration and the manifests of a command, and write their problems to stderr."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from reconciler.cli.output import wants_color, write_problems, write_warning
from reconciler.config.resolve import DEFAULT_FILE, Overrides, load_config
from reconciler.config.settings import DEFAULT_MANIFESTS
from reconciler.errors import InvalidInput
from reconciler.manifest.exclusion import Exclusion
from reconciler.manifest.load import load_manifests
from reconciler.manifest.recorded import RecordedPaths
from reconciler.plan.scope import PathScope
from reconciler.report.diagnostics.text import diagnostics_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.cli.options import Options
    from reconciler.config.settings import Config, OrganizationSettings
    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.load import Loaded


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
    overrides = Overrides(
        options.organization, options.paths, options.vault_mount, options.vault_prefix, options.shard
    )
    return load_config(options.config, environ=environ, overrides=overrides)


def load_desired(config: Config, options: Options) -> dict[str, Loaded]:
    """Return the manifests, by organization.

    Raises:
        InvalidInput: there are errors; each has been written to stderr. Warnings are written, too.
    """
    loaded = {each.name: load_organization(config, each, options) for each in config.organizations}
    _write_problems([found for each in loaded.values() for found in each.diagnostics], options)
    if not all(each.ok for each in loaded.values()):
        raise InvalidInput("the manifests are invalid; nothing was sent", hint="fix them, then run again")
    for each in loaded.values():
        if each.outside is not None and each.outside.errors:
            first = each.outside.errors[0]
            write_warning(
                f"manifests outside the PATHs have errors, such as {first.location}: a webhook without a "
                "manifest in the PATHs is out of scope, since they may declare it",
                "check them with `reconciler validate`",
            )
    return loaded


def load_organization(config: Config, settings: OrganizationSettings, options: Options) -> Loaded:
    """Return the manifests of one organization and their problems."""
    return load_manifests(
        settings.paths or settings.manifests,
        policy=config.policy,
        allow_unknown_events=options.allow_unknown_events,
        selection=config.rules,
        exclusion=Exclusion(settings.exclude, settings.manifests) if settings.exclude else None,
        outside=_all_manifests(settings, options) or () if settings.paths else (),
        recorded=_recorded_paths(settings, options).of,
    )


def path_scope(settings: OrganizationSettings, loaded: Loaded, options: Options) -> PathScope | None:
    """Return the scope that the PATHs of the command line limit; None without PATHs."""
    if not settings.paths:
        return None
    recorded = _recorded_paths(settings, options)
    outside = loaded.outside
    return PathScope(
        tuple(spelling for path in settings.paths for spelling in recorded.spellings(path)),
        outside.names if outside is not None else None,
        outside is None or not outside.errors,
    )


def _recorded_paths(settings: OrganizationSettings, options: Options) -> RecordedPaths:
    """Return how the ledger records the paths of manifests: outside a repository, from the configuration."""
    return RecordedPaths((*settings.paths, *settings.manifests), os.path.dirname(options.config or ""))  # noqa: PTH120 (a string)


def _all_manifests(settings: OrganizationSettings, options: Options) -> tuple[str, ...] | None:
    """Return the paths of all manifests of an organization; None if that is not known.

    Without a configuration, PATHs take the place of the default folder, unless they are in it. It is in the
    working directory, or at the root of the repository.
    """
    if options.config is not None or os.path.lexists(DEFAULT_FILE):
        exist = all("\0" in each or os.path.lexists(each) for each in settings.manifests)
        return settings.manifests if exist else None
    default = os.path.realpath(DEFAULT_MANIFESTS)
    if any(
        f"{os.path.realpath(each)}/".startswith(f"{default}/") for each in settings.paths if "\0" not in each
    ):
        return settings.manifests
    return _recorded_paths(settings, options).folders_of(settings.paths, DEFAULT_MANIFESTS)


def _write_problems(diagnostics: Sequence[Diagnostic], options: Options) -> None:
    """Write the problems to stderr, each once: organizations may share manifests."""
    found = tuple(dict.fromkeys(diagnostics))
    if found:
        color = wants_color(sys.stderr, os.environ, no_color=options.no_color)
        write_problems(diagnostics_text(found, color=color))
