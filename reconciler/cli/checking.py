"""`reconciler validate`: every problem of manifests and configuration, offline."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.cli.configuration import load_organization, read_configuration
from reconciler.cli.output import write_result
from reconciler.cli.repository import from_repository_root
from reconciler.config.file import ConfigInvalid, Salvage
from reconciler.diagnostics import Severity
from reconciler.errors import ExitCode, InvalidInput, UsageError
from reconciler.manifest.lint.rules import RULES
from reconciler.manifest.lint.selection import unknown_code_hint
from reconciler.manifest.load import load_manifests
from reconciler.report.diagnostics.github import diagnostics_github
from reconciler.report.diagnostics.json import diagnostics_json
from reconciler.report.diagnostics.text import diagnostics_text
from reconciler.report.format.style import Ink, Style, count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.cli.options import Settings
    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.load import Loaded

# Which manifests are meant is all that the environment has to say: nothing is sent anywhere.
_VARIABLES = frozenset({"ZOF_ORGANIZATION"})


def validate(settings: Settings) -> ExitCode:
    """Report every problem; 3 where there is an error, 0 with warnings alone.

    Raises:
        InvalidInput: a flag or the environment names no organization; what was found in manifests that were
            named is written all the same.
    """
    found: list[Diagnostic] = []
    loaded: list[Loaded] = []
    unusable: InvalidInput | None = None
    try:
        environ = {name: value for name, value in os.environ.items() if name in _VARIABLES}
        config = read_configuration(settings, environ)
        loaded = [load_organization(config, each, settings) for each in config.organizations]
    except InvalidInput as invalid:
        salvage = Salvage()
        if isinstance(invalid, ConfigInvalid):
            found += invalid.diagnostics
            salvage = invalid.salvage
        else:
            unusable = invalid
        # What is meant can be checked all the same: one run is to report everything.
        loaded = [
            load_manifests(
                paths,
                policy=salvage.policy,
                allow_unknown_events=settings.allow_unknown_events,
                selection=salvage.rules,
            )
            for paths in ([settings.paths] if settings.paths else salvage.manifests)
        ]
    # Organizations may share manifests: each problem counts once.
    found = list(dict.fromkeys([*found, *(each for one in loaded for each in one.diagnostics)]))
    if loaded or not unusable:
        write_result(_render(found, loaded, settings), settings.output)
    if unusable:
        raise unusable
    return verdict(found)


def explain(codes: Sequence[str], settings: Settings) -> ExitCode:
    """Write the pages of rules.

    Raises:
        UsageError: no rule has such a code.
    """
    from reconciler.manifest.lint.examples import EXAMPLES  # noqa: PLC0415 (only this asks for them)
    from reconciler.report.diagnostics.markdown import rule_page  # noqa: PLC0415 (only this asks for it)

    pages = []
    for code in codes:
        if (rule := RULES.get(code.upper())) is None:
            raise UsageError(f"no rule has the code {code!r}", hint=unknown_code_hint(code))
        pages.append(rule_page(rule, *EXAMPLES.get(rule.code, ())))
    write_result("\n".join(pages), settings.output)
    return ExitCode.OK


def verdict(found: Iterable[Diagnostic]) -> ExitCode:
    """Return 3 where there is an error; warnings alone are no reason to fail."""
    bad = any(diagnostic.severity is Severity.ERROR for diagnostic in found)
    return ExitCode.INVALID if bad else ExitCode.OK


def _render(found: list[Diagnostic], loaded: list[Loaded], settings: Settings) -> str:
    match settings.format:
        case "json":
            return diagnostics_json(found)
        case "github":
            return diagnostics_github(from_repository_root(found))
        case "sarif":
            from reconciler.report.diagnostics.sarif import diagnostics_sarif  # noqa: PLC0415 (for code scanning)

            return diagnostics_sarif(from_repository_root(found), RULES)
        case _:
            return diagnostics_text(found, color=settings.color) if found else _all_well(loaded, settings)


def _all_well(loaded: list[Loaded], settings: Settings) -> str:
    # Organizations may share manifests: each file counts once.
    places = {webhook.location for each in loaded for webhook in each.webhooks}
    files = {path for each in loaded for path in each.paths}
    words = f"{count(len(places), 'webhook')} in {count(len(files), 'file')}"
    return f"{Style(settings.color).paint('No problems.', Ink.BOLD, Ink.GREEN)} {words}.\n"
