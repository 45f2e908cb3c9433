"""Plans as one HTML page: refusals and conflicts first, then the most dangerous changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.plan.live import newest_first
from reconciler.plan.plan import Action
from reconciler.report.pages.templates import environment, key_of
from reconciler.report.plan import summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.plan.guards import Refusal
    from reconciler.plan.plan import Change, Plan
    from reconciler.report.pages.templates import PageContext
    from reconciler.report.plan.summary import View

_OPEN = 20
"""How many changes are expanded; the others are collapsed."""
_CONFLICT = "blocked by a conflict", "These cannot be applied. The other changes can."
_MEANING = {
    Action.DELETE: "The endpoint is deleted and its deliveries end.",
    Action.REPLACE: "A new endpoint is live, tested and its secret stored before the old one is deleted.",
    Action.ROTATE: "A new endpoint with a new signing secret replaces the old one.",
    Action.RELEASE: "The endpoint stays live and is no longer managed.",
    Action.RESUME: "An interrupted change continues from where it stopped.",
    Action.UPDATE: "Only the record in Vault changes: no API request.",
    Action.NONE: "Only a person can resolve these: `reconciler apply` leaves them alone.",
    Action.CREATE: "A new endpoint; its signing secret is stored in Vault.",
}


class Row(Struct, frozen=True):
    """One change on the page."""

    change: Change
    key: str
    is_open: bool


class Group(Struct, frozen=True):
    """The changes with one action, or those that a conflict blocks."""

    title: str
    meaning: str
    slug: str
    """The CSS class."""
    key: str
    rows: Sequence[Row]


class PlanSection(Struct, frozen=True):
    """One organization's plan and its refusals."""

    plan: Plan
    refusals: Sequence[Refusal] = ()
    view: View = summary.DEFAULT_VIEW

    @property
    def headline(self) -> str:
        """The sentence to read first."""
        if not self.plan.changes:
            return f"No changes: {summary.matching(self.plan)}"
        return f"{summary.counts(self.plan)}; {summary.untouched(self.plan)}."


def plan_html(sections: Sequence[PlanSection], page: PageContext, *, unread: Sequence[str] = ()) -> str:
    """Return one self-contained HTML document without scripts.

    Args:
        sections: the organizations' plans.
        page: when and by whom the page is made.
        unread: organizations that could not be read; the page names them.
    """
    several = len(sections) + len(unread) > 1
    template = environment().get_template("plan.html")
    return template.render(
        page=page,
        organizations=[section.plan.organization for section in sections],
        unread=unread,
        several=several,
        parts=[(section, list(_groups(section.plan, several=several))) for section in sections],
        guard_refuses=summary.GUARD_REFUSES,
        approvable=summary.approvable,
        cost=summary.cost,
        servers=summary.servers,
        in_progress=summary.in_progress,
        newest_first=newest_first,
    )


def _groups(plan: Plan, *, several: bool) -> Iterator[Group]:
    """Yield the changes by kind: conflicts, then the most dangerous first."""
    left = _OPEN
    kinds = [(*_CONFLICT, "conflict", plan.problems)]
    for action in summary.BY_DANGER:
        found = tuple(c for c in plan.changes if c.problem is None and c.action is action)
        kinds.append((action.value, _MEANING[action], f"to-{action}", found))
    for title, meaning, slug, changes in kinds:
        if not changes:
            continue
        rows = [
            Row(change, key_of(plan.organization, change.name, several=several), number < left)
            for number, change in enumerate(changes)
        ]
        left -= len(rows)
        yield Group(title, meaning, slug, key_of(plan.organization, slug, several=several), rows)
