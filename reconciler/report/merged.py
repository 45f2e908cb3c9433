"""The JSON reports of many organizations as one report: the worst first, within a size limit."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from reconciler.errors import InvalidInput
from reconciler.report.format.escape import visible
from reconciler.report.format.markdown import COMMENT_LIMIT, cell, fenced, link, table
from reconciler.report.format.style import count
from reconciler.report.pages.templates import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.report.pages.templates import PageContext

_HEADER = ("ORGANIZATION", "STATE", "DETAILS")
_FOR_TABLE = 3
"""The part of a comment that the table may fill is 1 of so many."""
_RESERVE = 500
"""Characters for the last sentence."""
_SETTLED = {"in sync", "released", "unmanaged", "overlap"}
PAGE_LIMIT = 4_000_000
"""Characters of details on a page."""


class State(IntEnum):
    """What an organization needs. The worst comes first."""

    FAILED = 0
    REFUSED = 1
    BLOCKED = 2
    NOT_FINISHED = 3
    DRIFTED = 4
    PENDING = 5
    FINE = 6

    @property
    def words(self) -> str:
        """The state as a person reads it."""
        return "nothing to do" if self is State.FINE else self.name.lower().replace("_", " ")


class OrganizationReport(Struct, frozen=True):
    """What a report says about one organization."""

    organization: str
    state: State
    headline: str
    """One sentence, not escaped."""
    lines: tuple[str, ...] = ()
    """Details, escaped."""


class _Finding(Struct):
    state: str = ""


class _Change(Struct):
    name: str
    action: str
    reason: str = ""
    problem: str | None = None
    hint: str | None = None
    finding: _Finding | None = None

    def line(self) -> str:
        text = f"{self.action} {self.name}: {(self.problem and f'conflict: {self.problem}') or self.reason}"
        return visible(text)


class _Plan(Struct):
    organization: str
    changes: list[_Change]
    summary: dict[str, int]


class _Refusal(Struct):
    guard: str
    message: str


class _Result(Struct):
    name: str
    action: str
    result: str
    detail: str | None = None


class _Outcome(Struct):
    complete: bool
    changes: list[_Result]


class _Apply(Struct):
    plan: _Plan
    refused: list[_Refusal]
    outcome: _Outcome | None


class _Webhook(Struct):
    state: str
    endpoint_id: str | None = None
    name: str | None = None
    unmanaged: bool = False
    drift: bool = False
    reason: str | None = None


class _Status(Struct):
    organization: str
    webhooks: list[_Webhook]


class _Details(Struct):
    message: str
    exit_code: int
    hint: str | None = None


class _Failure(Struct):
    organization: str
    error: _Details


def read_report(value: Any) -> OrganizationReport:
    """Return what the JSON of `plan`, `drift`, `apply` or `status` says about one organization.

    Raises:
        InvalidInput: it is none of them.
    """
    keys = value.keys() if isinstance(value, dict) else set()
    try:
        if "error" in keys:
            return _failure(msgspec.convert(value, _Failure))
        if "outcome" in keys:
            return _applied(msgspec.convert(value, _Apply))
        if "webhooks" in keys:
            return _status(msgspec.convert(value, _Status))
        return _planned(msgspec.convert(value, _Plan))
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"not a report of plan, drift, apply or status: {error}",
            hint="merge what `--format json` wrote",
        ) from None


def _failure(failure: _Failure) -> OrganizationReport:
    hint = (f"hint: {visible(failure.error.hint)}",) if failure.error.hint else ()
    headline = f"{failure.error.message} (exit {failure.error.exit_code})"
    return OrganizationReport(failure.organization, State.FAILED, headline, hint)


def _planned(plan: _Plan) -> OrganizationReport:
    state = State.PENDING if plan.changes else State.FINE
    if plan.summary.get("drift", 0):
        state = State.DRIFTED
    if any(change.problem is not None for change in plan.changes):
        state = State.BLOCKED
    return OrganizationReport(
        plan.organization, state, _counts(plan), tuple(change.line() for change in plan.changes)
    )


def _counts(plan: _Plan) -> str:
    actions = Counter(change.action for change in plan.changes)
    blocked = sum(change.problem is not None for change in plan.changes)
    parts = [f"{number:,} to {action}" for action, number in sorted(actions.items()) if action != "none"]
    parts += [f"{actions['none']:,} to resolve by hand"] if actions["none"] else []
    parts += [f"{blocked:,} blocked"] if blocked else []
    return ", ".join([*parts, f"{plan.summary.get('unchanged', 0):,} unchanged"])


def _applied(applied: _Apply) -> OrganizationReport:
    name = applied.plan.organization
    if applied.refused:
        lines = tuple(visible(f"{each.guard}: {each.message}") for each in applied.refused)
        return OrganizationReport(name, State.REFUSED, f"refused: {_counts(applied.plan)}", lines)
    if applied.outcome is None:
        return _planned(applied.plan)
    results = Counter(each.result for each in applied.outcome.changes)
    headline = ", ".join(f"{number:,} {result}" for result, number in sorted(results.items()))
    lines = tuple(
        visible(f"{each.action} {each.name}: {each.result}" + (f": {each.detail}" if each.detail else ""))
        for each in applied.outcome.changes
    )
    state = State.FINE if applied.outcome.complete else State.NOT_FINISHED
    return OrganizationReport(name, state, headline or "no changes", lines)


def _status(status: _Status) -> OrganizationReport:
    states = Counter(each.state for each in status.webhooks)
    headline = ", ".join(f"{number:,} {state}" for state, number in sorted(states.items()))
    unsettled = [each for each in status.webhooks if each.drift or each.state not in _SETTLED]
    state = State.PENDING if unsettled else State.FINE
    if any(each.drift for each in unsettled):
        state = State.DRIFTED
    lines = tuple(
        visible(
            f"{each.name or each.endpoint_id}: {each.state}" + (f": {each.reason}" if each.reason else "")
        )
        for each in unsettled
    )
    return OrganizationReport(status.organization, state, headline or "no webhooks", lines)


def merged(values: Sequence[Any]) -> list[OrganizationReport]:
    """Return the reports, the worst first, then by name.

    Raises:
        InvalidInput: one is not a report, or two are of one organization.
    """
    reports = [read_report(value) for value in values]
    twice = [name for name, number in Counter(each.organization for each in reports).items() if number > 1]
    if twice:
        raise InvalidInput(
            f"two reports are of the organization {twice[0]}", hint="merge the reports of one command and run"
        )
    return sorted(reports, key=lambda each: (each.state, each.organization))


def totals(reports: Sequence[OrganizationReport]) -> str:
    """Return how many organizations are in each state: `500 organizations: 1 failed, 499 nothing to do`."""
    states = Counter(each.state for each in reports)
    parts = [f"{states[state]:,} {state.words}" for state in State if states[state]]
    return ": ".join([count(len(reports), "organization"), *([", ".join(parts)] if parts else [])])


def merged_text(reports: Sequence[OrganizationReport]) -> str:
    """Return the reports as text, ending in a newline. What is fine is only counted."""
    lines = []
    for each in _noteworthy(reports):
        lines.append(f"{visible(each.organization)}: {each.state.words}: {visible(each.headline)}")
        lines += [f"  {line}" for line in each.lines]
    return "\n".join([*lines, totals(reports)]) + "\n"


def merged_markdown(
    reports: Sequence[OrganizationReport], *, page: str | None = None, limit: int = COMMENT_LIMIT
) -> str:
    """Return one comment or issue text of at most about `limit` characters, ending in a newline.

    Args:
        reports: the organizations, the worst first.
        page: the URL of the run, which has what does not fit.
        limit: a table of organizations fills a third of it, their details the rest.
    """
    listed = list(_noteworthy(reports))
    parts = [f"### Webhooks of {count(len(reports), 'organization')}", f"**{totals(reports)}**"]
    if listed:
        rows = [[cell(each.organization), each.state.words, cell(each.headline)] for each in listed]
        parts.append(table(_HEADER, rows, limit // _FOR_TABLE, ("organization", "organizations")))
    room = limit - _RESERVE - sum(len(part) + 2 for part in parts)
    detailed = [each for each in listed if each.lines]
    for number, each in enumerate(detailed):
        # Within HTML, Markdown is not read.
        name = escape(visible(each.organization))
        block = f"<details><summary>{name}</summary>\n\n{fenced(each.lines)}\n\n</details>"
        room -= len(block) + 2
        if room < 0:
            left = count(len(detailed) - number, "organization")
            parts.append(f"The details of {left} are not shown here: {link('the run', page)} has them.")
            break
        parts.append(block)
    return "\n\n".join(parts) + "\n"


def merged_html(reports: Sequence[OrganizationReport], page: PageContext, *, limit: int = PAGE_LIMIT) -> str:
    """Return one self-contained HTML document without scripts; details beyond `limit` are only counted."""
    shown: list[OrganizationReport] = []
    for each in reports:
        limit -= sum(map(len, each.lines))
        shown.append(each if limit >= 0 else msgspec.structs.replace(each, lines=()))
    hidden = sum(bool(each.lines) for each in reports) - sum(bool(each.lines) for each in shown)
    template = environment().get_template("merged.html")
    return template.render(
        page=page,
        organizations=[count(len(reports), "organization")],
        unread=(),
        reports=shown,
        totals=totals(reports),
        hidden=hidden,
        fine=State.FINE,
    )


def _noteworthy(reports: Sequence[OrganizationReport]) -> Iterator[OrganizationReport]:
    return (each for each in reports if each.state is not State.FINE)
