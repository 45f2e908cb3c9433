"""Risks of webhooks that the fleet's page lists, and what to do about them."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.credentials.redaction import mask_unreviewed
from reconciler.plan.live import is_new
from reconciler.report.checks import ReceiverProblem
from reconciler.report.format.style import age, count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from reconciler.plan.status import StatusRow
    from reconciler.report.checks import ReceiverCheck

OLD_SECRET = timedelta(days=90)
"""A secret of this age is old: audits commonly ask for long-lived keys to be replaced by then."""
_BROAD_SHARE = 0.75
_FEW_EVENTS = 4
"""With fewer event types than this, a subscription to most of them is normal."""


class RiskKind(Enum):
    """A kind of risk: its title and what to do about it. The most urgent comes first."""

    CONFLICT = "Blocked by a conflict", "Resolve these by hand; `reconciler plan` shows how."
    DRIFTED = "Drifted", "Changed without a manifest change; `reconciler apply` restores the declared state."
    DISABLED = (
        "Disabled",
        "Check the receiver, then enable it in Admin Center, or replace it with `reconciler rotate NAME`.",
    )
    INTERRUPTED = "Interrupted", "A run ended before these were done; `reconciler apply` resumes them."
    UNREACHABLE = (
        "Cannot take deliveries",
        "Checked from where this page was made; `reconciler doctor --endpoints` explains the fix.",
    )
    UNVERIFIED = (
        "Unverified",
        "No test was accepted. Repair the receiver, try `reconciler test NAME`, then `reconciler apply`.",
    )
    ROTATION_DUE = (
        "Rotation due",
        "Older than `createdAfter` in the manifest; `reconciler apply` replaces it.",
    )
    EXPIRING = "Certificate expires", "Renew it: the API delivers only to receivers with a valid certificate."
    OLD_SECRET = "Old secret", "Raise `secret.createdAfter`, or run `reconciler rotate NAME`."
    OVERLAP = "Open overlap", "Two endpoints and two secrets are valid until it ends."
    BROAD = "Broad subscription", "Subscribe only to the events that the receiver uses."
    UNTESTED = "Never tested", "Their manifests say `test: false`, so nothing shows that deliveries arrive."
    UNOWNED = "No owner", "Add the label `owner` or `team`, so that on-call knows who to ask."
    APPEARED = (
        "New unmanaged endpoint",
        "Find out who created it, or adopt it: `reconciler adopt NAME --id ID`.",
    )

    @property
    def title(self) -> str:
        """The heading."""
        return self.value[0]

    @property
    def is_problem(self) -> bool:
        """Whether somebody should look at it now; the others can wait."""
        return self in _PROBLEMS

    @property
    def advice(self) -> str:
        """What it means and what to do, with commands in backticks."""
        return self.value[1]


_PROBLEMS = {
    RiskKind.CONFLICT,
    RiskKind.DRIFTED,
    RiskKind.DISABLED,
    RiskKind.INTERRUPTED,
    RiskKind.UNREACHABLE,
    RiskKind.UNVERIFIED,
}
_BY_STATE = {
    "drifted": RiskKind.DRIFTED,
    "disabled": RiskKind.DISABLED,
    "interrupted": RiskKind.INTERRUPTED,
    "unverified": RiskKind.UNVERIFIED,
}
SHOWN_AS_DRIFT = frozenset({*_BY_STATE.values(), RiskKind.ROTATION_DUE})
"""The kinds that the drift page shows as drift."""


class Risk(Struct, frozen=True):
    """One risk of one webhook."""

    kind: RiskKind
    detail: str
    """A few words about it, which may contain foreign text."""


def risks_of(
    row: StatusRow, *, now: datetime, known_events: Collection[str], receiver: ReceiverCheck | None = None
) -> tuple[Risk, ...]:
    """Return the risks of one webhook in the order of `RiskKind`; an unmanaged endpoint can only be new.

    Args:
        row: the webhook or unmanaged endpoint.
        now: the time (aware) that ages are relative to.
        known_events: the event types that the API has.
        receiver: the result of checking its receiver, if it was checked.
    """
    if row.unmanaged:
        return tuple(_appearance_risks(row, now))
    if row.state == "released":
        return ()
    risks = [
        *_change_risks(row),
        *_receiver_risks(receiver, now),
        *_secret_risks(row, now),
        *_subscription_risks(row, known_events),
        *_ownership_risks(row),
    ]
    return tuple(sorted(risks, key=lambda risk: list(RiskKind).index(risk.kind)))


def _appearance_risks(row: StatusRow, now: datetime) -> Iterator[Risk]:
    endpoint = row.endpoint
    if endpoint is not None and endpoint.created is not None and is_new(endpoint, now):
        shown = mask_unreviewed(endpoint.url)
        yield Risk(RiskKind.APPEARED, f"created {age(endpoint.created, now)} ago, {shown}")


def _change_risks(row: StatusRow) -> Iterator[Risk]:
    change = row.change
    if change is not None and change.problem is not None:
        yield Risk(RiskKind.CONFLICT, change.problem)
    if row.state in _BY_STATE:
        yield Risk(_BY_STATE[row.state], change.reason if change else "")


def _receiver_risks(receiver: ReceiverCheck | None, now: datetime) -> Iterator[Risk]:
    if receiver is None:
        return
    if isinstance(receiver.result, ReceiverProblem):
        yield Risk(RiskKind.UNREACHABLE, f"{receiver.address}: {receiver.result.message}")
    elif days := receiver.expires_in(now):
        yield Risk(RiskKind.EXPIRING, f"{receiver.address}: in {days}")


def _secret_risks(row: StatusRow, now: datetime) -> Iterator[Risk]:
    created, webhook, projection = row.secret_created_at, row.webhook, row.projection
    wanted = webhook.created_after if webhook else None
    if created is not None and wanted is not None and created < wanted <= now:
        yield Risk(RiskKind.ROTATION_DUE, f"created {_day(created)}, must be newer than {_day(wanted)}")
    elif created is not None and now - created >= OLD_SECRET:
        yield Risk(RiskKind.OLD_SECRET, f"{count((now - created).days, 'day')} old")
    if projection is not None and projection.previous_ids:
        due, until = projection.next_due, ""
        if due is not None:
            until = f"{' until' if due > now else ', overdue since'} {due:%Y-%m-%d %H:%M} UTC"
        yield Risk(RiskKind.OVERLAP, ", ".join(projection.previous_ids) + until)


def _subscription_risks(row: StatusRow, known_events: Collection[str]) -> Iterator[Risk]:
    known = set(known_events)
    wanted = set(row.events) & known
    if len(known) >= _FEW_EVENTS and len(wanted) >= _BROAD_SHARE * len(known):
        every = wanted == known
        yield Risk(
            RiskKind.BROAD, "every event type" if every else f"{len(wanted)} of {len(known)} event types"
        )


def _ownership_risks(row: StatusRow) -> Iterator[Risk]:
    if row.webhook is not None and not row.webhook.test and row.verified_at is None:
        yield Risk(RiskKind.UNTESTED, "")
    if not row.owner:
        yield Risk(RiskKind.UNOWNED, "")


def _day(moment: datetime) -> str:
    return moment.date().isoformat()
