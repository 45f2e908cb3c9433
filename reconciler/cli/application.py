"""Plan, show, confirm, apply and report: what `apply`, `rotate` and `adopt` have in common."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from reconciler.apply.holder import Holder
from reconciler.apply.lock import Lock
from reconciler.apply.run_log import RunLog
from reconciler.cli.notifications import notify
from reconciler.cli.output import write_problems, write_result
from reconciler.cli.plan_output import rendered_plan
from reconciler.cli.progress import shown
from reconciler.cli.results import Results, for_each
from reconciler.cli.session import open_session
from reconciler.cli.signals import stop_on_signal
from reconciler.cli.state import audit_path, journal_path, report_cut_off
from reconciler.cli.token_check import check_token
from reconciler.cli.turns import begin_writing
from reconciler.errors import ExitCode, ReconcilerError, UsageError
from reconciler.report.format.escape import visible
from reconciler.report.outcome import outcome_markdown, outcome_text, outcome_value
from reconciler.report.plan.text import plan_text
from reconciler.usecases.apply import apply
from reconciler.vault.documents import VaultDocuments

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.cli.options import ApplyOptions
    from reconciler.cli.session import Scope
    from reconciler.config.settings import OrganizationSettings
    from reconciler.plan.outcome import Outcome
    from reconciler.session import Session
    from reconciler.usecases.plan import Planned

    MakePlan = Callable[[Session], Planned]

_STOPPING = "stopping: the current step is finished first; a second signal ends the process immediately"


def require_confirmation(options: ApplyOptions) -> None:
    """Make sure that the plan is confirmed by `--yes`, or that there is a terminal to ask on.

    Raises:
        UsageError: neither is the case.
    """
    if not (options.yes or (sys.stdin.isatty() and sys.stderr.isatty())):
        raise UsageError(
            "cannot ask for confirmation: not a terminal", hint="check `reconciler plan`, then use --yes"
        )


def apply_plans(scope: Scope, options: ApplyOptions, make_plan: MakePlan) -> ExitCode:
    """Make and apply each organization's plan."""
    if not options.yes:
        # A person is asked about one plan after another.
        scope = replace(scope, options=scope.options._replace(parallel=1))
    application = _Application(scope, options, make_plan)
    code = for_each(
        scope,
        application.run,
        stop=application.stop,
        stopping=_STOPPING,
        on_error=application.results.add_error,
    )
    return application.results.write_rest(code)


class _NotConfirmed(ReconcilerError):
    """A person did not confirm the plan: exit 1, but nobody is notified."""


class _Application:
    """One run for all organizations of a scope."""

    def __init__(self, scope: Scope, options: ApplyOptions, make_plan: MakePlan) -> None:
        self._scope = scope
        self._options = options
        self._make_plan = make_plan
        self._format = scope.options.format
        self.stop = threading.Event()
        """Set by the first signal: no further step begins."""
        self.results = Results(scope.options, several=scope.several)
        """The JSON of each organization; other formats are written as the run goes on."""

    def run(self, settings: OrganizationSettings) -> ExitCode:
        """Plan, show, confirm, apply and report for one organization; notify people of a failure."""
        try:
            return self._run(settings)
        except _NotConfirmed:
            raise
        except ReconcilerError as error:
            hint = f"\nhint: {visible(error.hint)}" if error.hint else ""
            self._notify(f"Apply to {settings.name} failed", f"{visible(error.message)}{hint}")
            raise

    def _run(self, settings: OrganizationSettings) -> ExitCode:
        options, name = self._options, settings.name
        journal = self._journal(settings)
        report_cut_off(journal)
        guards = replace(settings.guards, approve=(*settings.guards.approve, *options.approve))
        with open_session(self._scope, replace(settings, guards=guards)) as session:
            with shown(session.reporter):
                planned = self._make_plan(session)
            self._show(planned)
            if planned.refusals:
                self._report(planned, None)
                self._notify(f"Apply to {name} was refused", plan_text(planned.plan, planned.refusals))
                return ExitCode.REFUSED
            if not planned.plan.changes:
                self._report(planned, None)
                return ExitCode.OK
            try:
                if planned.plan.pending:
                    check_token(planned)
                    self._confirm()
                outcome = self._apply(planned, journal)
            except ReconcilerError:
                # Of several, the error takes its place.
                if not self._scope.several:
                    self._report(planned, None)
                raise
        self._report(planned, outcome)
        if self._format == "text":
            write_result("\n" + outcome_text(outcome, color=self._scope.options.color), is_prose=True)
        elif self._format == "markdown":
            text = outcome_markdown(
                name, outcome, on_cut=lambda: write_problems("\n" + outcome_text(outcome))
            )
            write_result("\n" + text)
        if outcome.complete:
            return ExitCode.OK
        self._notify(f"Apply to {name} is not finished", outcome_text(outcome))
        return ExitCode.PARTIAL

    def _confirm(self) -> None:
        """Ask for confirmation, unless it was given.

        Raises:
            _NotConfirmed: the answer is no.
        """
        if not self._options.yes and not click.confirm("\nApply this plan?", err=True):
            raise _NotConfirmed("not confirmed: nothing was changed")

    def _show(self, planned: Planned) -> None:
        """Show the plan to the person who confirms it."""
        text = rendered_plan(planned, self._scope.options)
        if self._format != "json":
            write_result(text, is_prose=self._format == "text")
        elif not self._options.yes:
            # A plan is shown before it is confirmed, and stdout is for the JSON.
            write_problems(text)

    def _report(self, planned: Planned, outcome: Outcome | None) -> None:
        """Add the organization's JSON object; without an outcome, nothing was applied."""
        if self._format != "json":
            return
        refused = [
            {"guard": refusal.guard, "message": refusal.message, "hint": refusal.hint}
            for refusal in planned.refusals
        ]
        plan = planned.plan
        ended = None if outcome is None else outcome_value(plan.organization, plan.digest, outcome)
        self.results.add_value({"plan": plan.to_json(), "refused": refused, "outcome": ended})

    def _journal(self, settings: OrganizationSettings) -> Path:
        """Return the journal: each of several organizations has its own."""
        if self._options.journal is None:
            return journal_path(settings.organization)
        named = Path(self._options.journal)
        return (
            named.with_name(f"{named.stem}-{settings.name}{named.suffix}") if self._scope.several else named
        )

    def _apply(self, planned: Planned, journal: Path) -> Outcome:
        session, options = planned.session, self._options
        warn = session.reporter.warn
        store = session.store
        assert isinstance(store, VaultDocuments)  # noqa: S101 (from `open_session`)
        log = RunLog(
            session.organization.name,
            session.run,
            session.clock,
            journal=journal,
            audit=Path(options.audit) if options.audit else audit_path(session.organization),
            warn=warn,
        )
        holder = Holder.here(session.run)
        waiting = session.reporter.waiting
        lock = Lock(store, session.clock, holder, timeout=options.lock_timeout, warn=warn, waiting=waiting)
        begin_writing()
        with stop_on_signal(self.stop, _STOPPING), shown(session.reporter):
            return apply(planned, jobs=options.jobs, lock=lock, stop=self.stop, log=log)

    def _notify(self, title: str, text: str) -> None:
        notify(self._scope.notifications, self._scope.run, "failure", title, text)
