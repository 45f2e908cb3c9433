"""`reconciler validate`: check manifests and configuration, offline."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import Options, shared_options
from reconciler.errors import ExitCode, InvalidInput, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.diagnostics import Diagnostic
    from reconciler.manifest.load import Loaded

# The environment only selects the organization: nothing is sent anywhere.
_VARIABLES = frozenset({"ZOF_ORGANIZATION"})


@click.command("validate")
@click.option(
    "--explain", multiple=True, metavar="CODE", help="Explain a rule, such as WH020, and check nothing."
)
@shared_options(vault=False, formats=("text", "json", "github", "sarif"))
def command(options: Options, *, explain: tuple[str, ...]) -> ExitCode:
    """Check every manifest and the configuration, offline, and report all problems in one run.

    With --format github the problems become annotations of the pull request's lines; --format sarif is for
    code scanning. Addresses, keys and tokens in the environment are ignored.
    Exit codes: 0 no errors (there may be warnings), 3 errors.

    \b
    Examples:
      reconciler validate
      reconciler validate manifests/ more.yaml
      reconciler validate --format sarif --output reconciler.sarif
      reconciler validate --explain WH020
    """  # noqa: D301 (\b is click's mark for a paragraph that is not to be wrapped)
    return _explain(explain, options) if explain else _validate(options)


def _validate(options: Options) -> ExitCode:
    """Report every problem; 3 if there is an error, 0 with warnings only.

    Raises:
        InvalidInput: a flag or the environment names an unknown organization; problems of manifests that
            were named are written anyway.
    """
    from reconciler.cli.configuration import load_organization, read_configuration
    from reconciler.cli.output import write_result
    from reconciler.config.file import ConfigInvalid, Salvage, SalvagedManifests
    from reconciler.manifest.exclusion import Exclusion
    from reconciler.manifest.load import load_manifests

    found: list[Diagnostic] = []
    loaded: list[Loaded] = []
    unusable: InvalidInput | None = None
    try:
        environ = {name: value for name, value in os.environ.items() if name in _VARIABLES}
        config = read_configuration(options, environ)
        loaded = [load_organization(config, each, options) for each in config.organizations]
    except InvalidInput as invalid:
        salvage = Salvage()
        if isinstance(invalid, ConfigInvalid):
            found += invalid.diagnostics
            salvage = invalid.salvage
        else:
            unusable = invalid
        # Manifests are checked anyway: one run reports everything.
        named = SalvagedManifests(
            options.paths, tuple({glob for each in salvage.manifests for glob in each.exclude})
        )
        loaded = [
            load_manifests(
                each.paths,
                policy=salvage.policy,
                allow_unknown_events=options.allow_unknown_events,
                selection=salvage.rules,
                exclusion=Exclusion(each.exclude, each.paths),
            )
            for each in ([named] if options.paths else salvage.manifests)
        ]
    # Organizations may share manifests: each problem counts once.
    found = list(dict.fromkeys([*found, *(each for one in loaded for each in one.diagnostics)]))
    if loaded or not unusable:
        write_result(_render(found, loaded, options), options.output, commands=options.format == "github")
    if unusable:
        raise unusable
    return exit_code_of(found)


def _explain(codes: Sequence[str], options: Options) -> ExitCode:
    """Write the pages of rules.

    Raises:
        UsageError: no rule has such a code.
    """
    from reconciler.cli.output import write_result
    from reconciler.manifest.lint.selection import unknown_code_hint
    from reconciler.manifest.rules import EXAMPLES, RULES
    from reconciler.report.diagnostics.markdown import rule_page

    pages = []
    for code in codes:
        if (rule := RULES.get(code.upper())) is None:
            raise UsageError(f"no rule has the code {code!r}", hint=unknown_code_hint(code))
        pages.append(rule_page(rule, *EXAMPLES.get(rule.code, ())))
    write_result("\n".join(pages), options.output)
    return ExitCode.OK


def exit_code_of(found: Iterable[Diagnostic]) -> ExitCode:
    """Return 3 if there is an error; warnings are not a failure."""
    from reconciler.diagnostics import Severity

    bad = any(diagnostic.severity is Severity.ERROR for diagnostic in found)
    return ExitCode.INVALID if bad else ExitCode.OK


def _render(found: list[Diagnostic], loaded: list[Loaded], options: Options) -> str:
    match options.format:
        case "json":
            from reconciler.report.diagnostics.json import diagnostics_json

            return diagnostics_json(found)
        case "github":
            from reconciler.report.diagnostics.github import diagnostics_github

            return diagnostics_github(from_repository_root(found))
        case "sarif":
            from reconciler.manifest.rules import RULES
            from reconciler.report.diagnostics.sarif import diagnostics_sarif

            return diagnostics_sarif(from_repository_root(found), RULES)
        case _:
            from reconciler.report.diagnostics.text import diagnostics_text

            return diagnostics_text(found, color=options.color) if found else _no_problems(loaded, options)


def _no_problems(loaded: list[Loaded], options: Options) -> str:
    from reconciler.report.format.style import Ink, Style, count

    # Organizations may share manifests: each file counts once.
    places = {webhook.location for each in loaded for webhook in each.webhooks}
    files = {path for each in loaded for path in each.paths}
    counts = f"{count(len(places), 'webhook')} in {count(len(files), 'file')}"
    if options.verbose:
        excluded = {path for each in loaded for path in each.excluded}
        counts += f"; {count(len(excluded), 'file')} excluded"
    return f"{Style(options.color).paint('No problems.', Ink.BOLD, Ink.GREEN)} {counts}.\n"


def from_repository_root(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics with paths from the root of the repository, as code hosts take them."""
    from msgspec.structs import replace

    from reconciler.cli.repository import place_in_repository

    moved = place_in_repository()
    return [
        replace(
            each,
            location=each.location and moved(each.location),
            also=tuple(replace(other, location=moved(other.location)) for other in each.also),
        )
        for each in diagnostics
    ]
