"""A plan as one HTML page for people: what stands in its way comes first, then what is dangerous."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.plan.plan import Action
from reconciler.plan.unmanaged import newest_first
from reconciler.report.format.style import count
from reconciler.report.pages.links import key_of
from reconciler.report.pages.templates import environment
from reconciler.report.plan.text import BY_DANGER, DEFAULT_VIEW, counts, wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.model import Endpoint
    from reconciler.plan.guards import Verdict
    from reconciler.plan.plan import Change, Plan
    from reconciler.report.pages.occasion import Occasion
    from reconciler.report.plan.text import View

_OPEN = 20
"""How many changes are open to view; the others open on demand."""
_LISTED = 100
"""How many changes of a group are laid out at once; the others are folded away."""
_CONFLICT = "cannot be done", "As things are. The other changes can be done all the same."
_MEANING = {
    Action.DELETE: "The endpoint goes, and its deliveries end.",
    Action.REPLACE: "A new endpoint is live, its secret stored and a test accepted before the old one goes.",
    Action.ROTATE: "A new endpoint with a new signing secret takes over.",
    Action.RELEASE: "The endpoint stays live and is no longer managed.",
    Action.RESUME: "An interrupted change goes on from where it stopped.",
    Action.UPDATE: "The record in Vault alone: no request to the API.",
    Action.CREATE: "A new endpoint; its signing secret goes to Vault.",
    Action.NONE: "Nothing is done.",
}


class Sheet(Struct, frozen=True):
    """One organization's plan, and what the guards say of it."""

    plan: Plan
    verdicts: Sequence[Verdict] = ()
    view: View = DEFAULT_VIEW


class Row(Struct, frozen=True):
    """One change, and how it stands on the page."""

    change: Change
    key: str
    is_open: bool


class Group(Struct, frozen=True):
    """Changes of one kind."""

    title: str
    meaning: str
    slug: str
    """The kind as a class name."""
    key: str
    rows: Sequence[Row]

    @property
    def listed(self) -> Sequence[Row]:
        """What is laid out at once."""
        return self.rows[:_LISTED]

    @property
    def folded(self) -> Sequence[Row]:
        """What is folded away."""
        return self.rows[_LISTED:]


class Part(Struct, frozen=True):
    """One organization's part of the page."""

    plan: Plan
    verdicts: Sequence[Verdict]
    key: str
    headline: str
    cost: str
    groups: Sequence[Group]
    unmanaged: Sequence[Endpoint]
    """Newest first."""
    verbose: bool

    @property
    def approvable(self) -> bool:
        """Whether somebody may let this one plan through."""
        return bool(self.verdicts) and all(verdict.approvable for verdict in self.verdicts)


def plan_html(sheets: Sequence[Sheet], occasion: Occasion, *, unread: Sequence[str] = ()) -> str:
    """Return one HTML document that needs nothing else, not even a script.

    Args:
        sheets: the organizations' plans.
        occasion: when and by whom it is made.
        unread: organizations that could not be read; the page says so.
    """
    several = len(sheets) + len(unread) > 1
    return (
        environment()
        .get_template("plan.html")
        .render(
            occasion=occasion,
            organizations=[sheet.plan.organization for sheet in sheets],
            unread=unread,
            several=several,
            parts=[_part(sheet, several=several) for sheet in sheets],
        )
    )


def _part(sheet: Sheet, *, several: bool) -> Part:
    plan = sheet.plan
    return Part(
        plan,
        sheet.verdicts,
        key_of("", plan.organization, several=False),
        _headline(plan),
        _cost(plan, sheet.view.requests_per_minute),
        list(_groups(plan, several=several)),
        newest_first(plan.unmanaged),
        sheet.view.verbose,
    )


def _headline(plan: Plan) -> str:
    """Return the sentence that a person reads first."""
    if not plan.changes:
        return f"No changes: {count(plan.unchanged, 'webhook')} as declared."
    return f"{', '.join(counts(plan))}; {plan.unchanged:,} unchanged."


def _cost(plan: Plan, requests_per_minute: int) -> str:
    requests = plan.cost.api_requests
    return f"{count(requests, 'API request')}, {wait(plan, requests_per_minute)}" if requests else "nothing"


def _groups(plan: Plan, *, several: bool) -> Iterator[Group]:
    """Yield the changes by kind: what cannot be done, then the most dangerous first."""
    left = _OPEN
    kinds = [
        (*_CONFLICT, "conflict", plan.problems),
        *(
            (action.value, _MEANING[action], f"to-{action}", [c for c in plan.changes if _does(c, action)])
            for action in BY_DANGER
        ),
    ]
    for title, meaning, slug, changes in kinds:
        if not changes:
            continue
        rows = [
            Row(change, key_of(plan.organization, change.name, several=several), number < left)
            for number, change in enumerate(changes)
        ]
        left -= len(rows)
        yield Group(title, meaning, slug, key_of(plan.organization, slug, several=several), rows)


def _does(change: Change, action: Action) -> bool:
    return change.problem is None and change.action is action
