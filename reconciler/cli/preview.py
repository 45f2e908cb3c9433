"""The commands that read: plan, drift and status, for each organization in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.cli.cut_off import tell_what_was_cut_off
from reconciler.cli.occasion import current_occasion
from reconciler.cli.output import write_file, write_problems, write_result
from reconciler.cli.wiring import for_each, load_sites
from reconciler.errors import ExitCode, UsageError
from reconciler.report.format.markdown import COMMENT_LIMIT
from reconciler.report.format.style import count
from reconciler.report.plan.json import plan_json, to_json_text
from reconciler.report.plan.summary import DRIFT, PLAN, View
from reconciler.report.plan.text import plan_text
from reconciler.report.status import status_markdown, status_text, status_value
from reconciler.usecases import inventory
from reconciler.usecases import preview as usecase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.cli.options import Settings
    from reconciler.cli.wiring import Site
    from reconciler.report.plan.summary import Title
    from reconciler.usecases.plan import Planned


def plan(settings: Settings, *, out: str | None, pending_is_2: bool) -> ExitCode:
    """Show each organization's plan; save it where asked for."""
    sites = load_sites(settings)
    if out is not None and len(sites) != 1:
        raise UsageError(
            "a plan file holds one organization's plan", hint="choose one with --organization NAME"
        )
    results = Results(settings, several=len(sites) > 1)
    shown: list[tuple[Site, Planned]] = []

    def show(site: Site) -> ExitCode:
        with site.session() as session, site.reporter:
            planned = usecase.preview(session)
        if out is not None:
            write_file(out, plan_json(planned.plan))
        shown.append((site, planned))
        if settings.format != "html":
            results.add(planned.plan.to_json(), rendered_plan(planned, site, settings, share=len(sites)))
        if planned.verdicts:
            return ExitCode.REFUSED
        return ExitCode.PENDING if pending_is_2 and planned.plan.pending else ExitCode.OK

    code = for_each(sites, show)
    if settings.format == "html" and shown:
        write_result(_plan_page(shown, sites, settings), settings.output)
    return results.write_after(code)


def _plan_page(shown: Sequence[tuple[Site, Planned]], sites: Sequence[Site], settings: Settings) -> str:
    """Return one page of the plans that could be made; it names the organizations without one."""
    from reconciler.report.pages.plan import PlanSection, plan_html  # noqa: PLC0415 (most runs want text)

    sheets = [
        PlanSection(planned.plan, planned.verdicts, _view(planned, settings)) for site, planned in shown
    ]
    planned_names = {site.name for site, _ in shown}
    unread = [site.name for site in sites if site.name not in planned_names]
    return plan_html(sheets, current_occasion(settings.actor), unread=unread)


def drift(settings: Settings) -> ExitCode:
    """Show what changed without us."""
    sites = load_sites(settings)
    results = Results(settings, several=len(sites) > 1)

    def show(site: Site) -> ExitCode:
        with site.session() as session, site.reporter:
            found = usecase.drift(session)
        results.add(found.plan.to_json(), rendered_plan(found, site, settings, title=DRIFT, share=len(sites)))
        tell_drift(site, found)
        return ExitCode.PENDING if found.plan.pending else ExitCode.OK

    return results.write_after(for_each(sites, show))


def status(settings: Settings) -> ExitCode:
    """Show the fleet."""
    sites = load_sites(settings)
    results = Results(settings, several=len(sites) > 1)

    def show(site: Site) -> ExitCode:
        tell_what_was_cut_off(site.place.journal)
        with site.session() as session, site.reporter:
            rows = inventory.status(session)
        now = site.place.clock.now()
        if settings.format == "markdown":
            text = status_markdown(site.name, rows, now=now, limit=COMMENT_LIMIT // len(sites))
        else:
            text = status_text(site.name, rows, now=now, columns=settings.columns, color=settings.color)
        results.add(status_value(site.name, rows), text)
        return ExitCode.OK

    return results.write_after(for_each(sites, show))


def tell_drift(site: Site, found: Planned) -> None:
    """Tell people elsewhere of drift, if there is some and they want to know."""
    if found.plan.pending:
        title = f"Drift in {site.name}: {count(len(found.plan.changes), 'webhook')}"
        view = View(now=found.listing_began)
        site.notifier.tell("drift", title, plan_text(found.plan, title=DRIFT, view=view))


def rendered_plan(
    planned: Planned, site: Site, settings: Settings, *, title: Title = PLAN, share: int = 1
) -> str:
    """Return a plan as it was asked for; `share` plans share the length of one comment."""
    view = _view(planned, settings, title)
    match settings.format:
        case "markdown":
            from reconciler.report.plan.markdown import plan_markdown  # noqa: PLC0415 (most runs want text)

            return plan_markdown(
                planned.plan,
                planned.verdicts,
                title=title,
                view=view,
                page=site.run.url,
                limit=COMMENT_LIMIT // share,
                on_cut=lambda: write_problems(
                    plan_text(planned.plan, planned.verdicts, title=title, view=view)
                ),
            )
        case "github":
            from reconciler.report.plan.github import plan_github  # noqa: PLC0415 (most runs want text)

            return plan_github(planned.plan, planned.verdicts)
        case _:
            return plan_text(planned.plan, planned.verdicts, title=title, view=view)


def _view(planned: Planned, settings: Settings, title: Title = PLAN) -> View:
    return View(
        verbose=settings.verbose > 0,
        color=settings.color,
        now=planned.listing_began if title is DRIFT else None,
    )


class Results:
    """What the organizations' results become: texts one after another, or one JSON document.

    Text to stdout is written as it comes, for a person who waits; everything else at the end, in one piece.
    """

    def __init__(self, settings: Settings, *, several: bool) -> None:
        self._settings = settings
        self._several = several
        self._values: list[Any] = []
        self._texts: list[str] = []

    def add(self, value: Any, text: str) -> None:
        """Take one organization's result."""
        if self._settings.format == "json":
            self._values.append(value)
            return
        between = "\n" if self._texts else ""
        self._texts.append(between + text)
        if self._settings.output is None:
            write_result(self._texts[-1])

    def write_after(self, code: ExitCode) -> ExitCode:
        """Write what is not written yet, and return `code`: one JSON object, or an array for several."""
        output = self._settings.output
        if self._settings.format == "json":
            if self._values:
                write_result(_document(self._values, several=self._several), output)
        elif output is not None and self._texts:
            write_result("".join(self._texts), output)
        return code


def _document(values: Sequence[Any], *, several: bool) -> str:
    return to_json_text(list(values) if several else values[0])
