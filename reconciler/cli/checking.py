"""`reconciler validate`: every problem of manifests and configuration, offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli.configuration import load_organization, read_configuration
from reconciler.cli.output import write_result
from reconciler.diagnostics import Severity
from reconciler.errors import ExitCode
from reconciler.manifest.config_file import ConfigInvalid
from reconciler.manifest.load import load_manifests
from reconciler.report.diagnostics import diagnostics_github, diagnostics_json, diagnostics_text
from reconciler.report.style import Ink, Style, count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.cli.options import Settings
    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.load import Loaded


def validate(settings: Settings) -> ExitCode:
    """Report every problem; 3 where there is an error, 0 with warnings alone."""
    found: list[Diagnostic] = []
    loaded: list[Loaded] = []
    try:
        config = read_configuration(settings)
        loaded = [load_organization(config, organization) for organization in config.organizations]
    except ConfigInvalid as invalid:
        found += invalid.diagnostics
        # What was named can be checked all the same: one run is to report everything.
        loaded = [load_manifests(settings.paths)] if settings.paths else []
    # Organizations may share manifests: each problem counts once.
    found = list(dict.fromkeys([*found, *(each for one in loaded for each in one.diagnostics)]))
    write_result(_render(found, loaded, settings), settings.output)
    return verdict(found)


def verdict(found: Iterable[Diagnostic]) -> ExitCode:
    """Return 3 where there is an error; warnings alone are no reason to fail."""
    bad = any(diagnostic.severity is Severity.ERROR for diagnostic in found)
    return ExitCode.INVALID if bad else ExitCode.OK


def _render(found: list[Diagnostic], loaded: list[Loaded], settings: Settings) -> str:
    match settings.format:
        case "json":
            return diagnostics_json(found)
        case "github":
            return diagnostics_github(found)
        case _:
            return diagnostics_text(found, color=settings.color) if found else _all_well(loaded, settings)


def _all_well(loaded: list[Loaded], settings: Settings) -> str:
    webhooks = count(sum(len(each.webhooks) for each in loaded), "webhook")
    files = count(sum(each.files for each in loaded), "file")
    return f"{Style(settings.color).paint('No problems.', Ink.BOLD, Ink.GREEN)} {webhooks} in {files}.\n"
