"""`reconciler apply`: plan, show, ask, carry out, tell."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct
from msgspec.structs import replace

from reconciler.apply.run_log import RunLog
from reconciler.cli.cut_off import tell_what_was_cut_off
from reconciler.cli.interrupt import stop_on_signal
from reconciler.cli.output import write_problems, write_result
from reconciler.cli.planfile import read_plan_file
from reconciler.cli.preview import rendered_plan
from reconciler.cli.wiring import for_each, load_sites
from reconciler.errors import ExitCode, InvalidInput, ReconcilerError, UsageError
from reconciler.report.format.escape import visible
from reconciler.report.outcome import outcome_markdown, outcome_text, outcome_value
from reconciler.report.plan.json import to_json_text
from reconciler.report.plan.text import plan_text
from reconciler.usecases import apply as usecase
from reconciler.usecases.adopt import plan_adoption
from reconciler.usecases.plan import held_to_review, only, plan, rotation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.cli.options import Settings
    from reconciler.cli.wiring import Site
    from reconciler.plan.outcome import Outcome
    from reconciler.plan.protocol.state import Adoption
    from reconciler.session import Session
    from reconciler.usecases.plan import Planned

_STOPPING = "stopping: the step in hand is finished first; a second signal stops at once"


class Options(Struct, frozen=True):
    """What `apply` alone is told."""

    plan_file: str | None
    yes: bool
    approve: tuple[str, ...]
    jobs: int
    lock_timeout: float
    journal: str | None
    audit: str | None
    rotate: tuple[str, ...] = ()
    """Replace the secrets of these webhooks, and do nothing else."""
    revoke: bool = False
    """The secrets that are replaced are known to others."""
    adoption: Adoption | None = None
    """Take this endpoint over, and do nothing else."""


def apply(settings: Settings, options: Options) -> ExitCode:
    """Carry each organization's plan out, one after another.

    Raises:
        UsageError: there is no terminal to ask on, and no `--yes`; nothing was read or sent.
        InvalidInput: manifests, configuration or plan file are invalid.
    """
    if not options.yes:
        require_terminal()
    reviewed = read_plan_file(options.plan_file) if options.plan_file is not None else None
    sites = _chosen(load_sites(settings), reviewed)
    if options.rotate and len(sites) > 1:
        raise UsageError(
            "names go with one organization, and there are several", hint="choose one with --organization"
        )
    if options.adoption is not None:
        sites = (_site_of(options.adoption.name, sites),)
    application = _Application(settings, options, reviewed)
    code = for_each(sites, application.run, stop=application.stop)
    if settings.format == "json" and application.reports:
        reports = application.reports
        write_result(to_json_text(reports if len(sites) > 1 else reports[0]))
    return code


def require_terminal() -> None:
    """See that there is somebody who can be asked.

    Raises:
        UsageError: there is not.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "there is no terminal to ask on", hint="look at `reconciler plan` first, then run it with --yes"
        )


def _site_of(name: str, sites: tuple[Site, ...]) -> Site:
    """Return the one organization whose manifests have `name`.

    Raises:
        UsageError: several have, or none of several.
    """
    having = [site for site in sites if any(webhook.name == name for webhook in site.desired)]
    if len(having) == 1 or len(sites) == 1:
        return (having or sites)[0]
    raise UsageError(
        f"{'several organizations have' if having else 'no organization has'} a manifest for {name}",
        hint="choose one with --organization",
    )


def _chosen(sites: tuple[Site, ...], reviewed: Mapping[str, Any] | None) -> tuple[Site, ...]:
    """Return the sites that a reviewed plan is for: all where there is none."""
    if reviewed is None:
        return sites
    chosen = tuple(site for site in sites if site.name == reviewed["organization"])
    if not chosen:
        raise InvalidInput(
            f"the plan file is for organization {reviewed['organization']}, which is not among the chosen",
            hint="check --organization and the configuration",
        )
    return chosen


class _NotConfirmed(ReconcilerError):
    """Somebody said no: a failure to the shell, and no news to anybody."""


class _Application:
    """One run of `apply`: what it was told, and what it has to tell."""

    def __init__(self, settings: Settings, options: Options, reviewed: Mapping[str, Any] | None) -> None:
        self._settings = settings
        self._options = options
        self._reviewed = reviewed
        self.stop = threading.Event()
        """Set by the first signal: nothing new begins."""
        self.reports: list[dict[str, Any]] = []
        """One JSON object for each organization that was planned."""

    def run(self, site: Site) -> ExitCode:
        """Plan, show, ask, carry out and tell, for one organization; of failures tell people elsewhere."""
        try:
            return self._run(site)
        except _NotConfirmed:
            raise
        except ReconcilerError as error:
            hint = f"\nhint: {visible(error.hint)}" if error.hint else ""
            title = f"Apply to {site.name} failed"
            site.notifier.tell("failure", title, f"{visible(error.message)}{hint}")
            raise

    def _run(self, site: Site) -> ExitCode:
        tell_what_was_cut_off(self._journal_of(site))
        with site.session() as session:
            with site.reporter:
                planned = self._plan(session)
            if self._reviewed is not None:
                planned = held_to_review(planned, self._reviewed)
            report = self._show(site, planned)
            if planned.verdicts:
                text = plan_text(planned.plan, planned.verdicts)
                site.notifier.tell("failure", f"Apply to {site.name} was refused", text)
                return ExitCode.REFUSED
            if not planned.plan.pending:
                return ExitCode.OK
            self._ask()
            outcome = self._carry_out(site, planned)
        report["outcome"] = outcome_value(site.name, planned.plan.digest, outcome)
        if self._settings.format == "text":
            write_result("\n" + outcome_text(outcome, color=self._settings.color))
        elif self._settings.format == "markdown":
            text = outcome_markdown(
                site.name, outcome, on_cut=lambda: write_problems("\n" + outcome_text(outcome))
            )
            write_result("\n" + text)
        if outcome.complete:
            return ExitCode.OK
        site.notifier.tell("failure", f"Apply to {site.name} is not finished", outcome_text(outcome))
        return ExitCode.PARTIAL

    def _plan(self, session: Session) -> Planned:
        options, limits = self._options, session.limits
        session = replace(session, limits=replace(limits, approve=(*limits.approve, *self._options.approve)))
        if options.adoption is not None:
            return plan_adoption(session, options.adoption)
        if not options.rotate:
            return plan(session)
        desired = rotation(session.desired, options.rotate, session.clock.now(), revoke=options.revoke)
        return only(plan(replace(session, desired=desired)), options.rotate)

    def _journal_of(self, site: Site) -> Path:
        return Path(self._options.journal) if self._options.journal else site.place.journal

    def _show(self, site: Site, planned: Planned) -> dict[str, Any]:
        """Show the plan to whoever decides; begin the report."""
        text = rendered_plan(planned, site, self._settings)
        if self._settings.format != "json":
            write_result(text)
        elif not self._options.yes:
            # Nobody says yes to what they have not seen, and stdout is for the JSON.
            write_problems(text)
        refused = [
            {"guard": verdict.guard, "message": verdict.message, "hint": verdict.hint}
            for verdict in planned.verdicts
        ]
        report = {"plan": planned.plan.to_json(), "refused": refused, "outcome": None}
        self.reports.append(report)
        return report

    def _ask(self) -> None:
        if not self._options.yes and not click.confirm("\nCarry this plan out?", err=True):
            raise _NotConfirmed("not confirmed: nothing was changed")

    def _carry_out(self, site: Site, planned: Planned) -> Outcome:
        log = RunLog(
            site.name,
            planned.session.run,
            site.place.clock,
            journal=self._journal_of(site),
            audit=Path(self._options.audit) if self._options.audit else site.place.audit,
            warn=site.reporter.warn,
        )
        with stop_on_signal(self.stop, _STOPPING), site.reporter:
            return usecase.apply(
                planned,
                jobs=self._options.jobs,
                lock=site.lock(planned.session, self._options.lock_timeout),
                stop=self.stop,
                log=log,
            )
