"""What deserves somebody's attention, and why."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.credentials.redaction import mask_url
from reconciler.plan.unmanaged import is_new
from reconciler.report.format.style import age, count
from reconciler.report.receivers import Trouble

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from reconciler.report.receivers import Receiver
    from reconciler.report.status.text import StatusLine

OLD_SECRET = timedelta(days=90)
"""From this age on a secret counts as old: what audits commonly ask of long-lived keys."""
_BROAD_SHARE = 0.75
_FEW_EVENTS = 4
"""With fewer event types than this, to want most of them says nothing."""


class Kind(Enum):
    """A kind of risk: its title, and what is to be done about it. The most urgent comes first."""

    CONFLICT = "Cannot be applied", "Settle these by hand; `reconciler plan` says how."
    DRIFTED = "Drifted", "Somebody changed these without a manifest; `reconciler apply` puts them back."
    INTERRUPTED = "Interrupted", "A run ended in the middle of these; `reconciler apply` goes on with them."
    UNREACHABLE = (
        "Cannot take deliveries",
        "Seen from where this page was made; `reconciler doctor --endpoints` says what to do.",
    )
    UNVERIFIED = (
        "Unverified",
        "No test was accepted. Repair the receiver, try `reconciler test NAME`, then `reconciler apply`.",
    )
    ROTATION_DUE = (
        "Rotation due",
        "Older than `createdAfter` in the manifest; `reconciler apply` replaces it.",
    )
    EXPIRING = (
        "Certificate expires",
        "Renew it: the API delivers to receivers with a valid certificate only.",
    )
    OLD_SECRET = "Old secret", "Raise `secret.createdAfter`, or run `reconciler rotate NAME`."
    OVERLAP = "Overlap still open", "Two endpoints and two secrets are valid until it ends."
    BROAD = "Broad subscription", "Ask for the events that the receiver uses: the others leak, and cost."
    UNTESTED = "Never tested", "Their manifests say `test: false`: nothing shows that they receive anything."
    UNOWNED = "No owner", "Add the label `owner` or `team`: somebody must answer at 3 a.m."
    APPEARED = (
        "Appeared outside",
        "New, and not ours. Ask who made them, or take them over: `reconciler adopt NAME --id ID`.",
    )

    @property
    def title(self) -> str:
        """What it is called."""
        return self.value[0]

    @property
    def advice(self) -> str:
        """What it means and what to do; commands stand between backticks."""
        return self.value[1]


TOLD_BY_DRIFT = frozenset({Kind.DRIFTED, Kind.INTERRUPTED, Kind.UNVERIFIED, Kind.ROTATION_DUE})
"""What a list of drift tells by itself."""


class Risk(Struct, frozen=True):
    """One risk of one webhook."""

    kind: Kind
    detail: str
    """What is known about it, in a few words; may hold foreign text."""


def risks_of(
    line: StatusLine, *, now: datetime, known_events: Collection[str], receiver: Receiver | None = None
) -> tuple[Risk, ...]:
    """Return the risks of one webhook in the order of `Kind`; an unmanaged endpoint has none but to be new.

    Args:
        line: the webhook.
        now: what ages are counted to (aware).
        known_events: the event types that the API has.
        receiver: what was seen where its deliveries go, if anybody looked.
    """
    if line.unmanaged:
        return tuple(_of_appearance(line, now))
    if line.state == "released":
        return ()
    risks = [
        *_of_change(line),
        *_of_receiver(receiver, now),
        *_of_secret(line, now),
        *_of_subscription(line, known_events),
        *_of_care(line),
    ]
    return tuple(sorted(risks, key=lambda risk: list(Kind).index(risk.kind)))


def _of_appearance(line: StatusLine, now: datetime) -> Iterator[Risk]:
    endpoint = line.endpoint
    if endpoint is not None and endpoint.created is not None and is_new(endpoint, now):
        shown = mask_url(endpoint.url)
        yield Risk(Kind.APPEARED, f"made {age(endpoint.created, now)} ago, {shown}")


def _of_change(line: StatusLine) -> Iterator[Risk]:
    change = line.change
    if change is not None and change.problem is not None:
        yield Risk(Kind.CONFLICT, change.problem)
    reason = change.reason if change else ""
    if line.state == "drifted":
        yield Risk(Kind.DRIFTED, reason)
    elif line.state == "interrupted":
        yield Risk(Kind.INTERRUPTED, reason)
    elif line.state == "unverified":
        yield Risk(Kind.UNVERIFIED, reason)


def _of_receiver(receiver: Receiver | None, now: datetime) -> Iterator[Risk]:
    if receiver is None:
        return
    if isinstance(receiver.seen, Trouble):
        yield Risk(Kind.UNREACHABLE, f"{receiver.address}: {receiver.seen.message}")
    elif days := receiver.expires_in(now):
        yield Risk(Kind.EXPIRING, f"{receiver.address}: in {days}")


def _of_secret(line: StatusLine, now: datetime) -> Iterator[Risk]:
    created, webhook, projection = line.secret_created_at, line.webhook, line.projection
    wanted = webhook.created_after if webhook else None
    if created is not None and wanted is not None and created < wanted <= now:
        yield Risk(Kind.ROTATION_DUE, f"made {_day(created)}, to be newer than {_day(wanted)}")
    elif created is not None and now - created >= OLD_SECRET:
        yield Risk(Kind.OLD_SECRET, f"{count((now - created).days, 'day')} old")
    if projection is not None and projection.previous_ids:
        yield Risk(Kind.OVERLAP, ", ".join(projection.previous_ids) + _until(projection.next_due, now))


def _of_subscription(line: StatusLine, known_events: Collection[str]) -> Iterator[Risk]:
    known = set(known_events)
    wanted = (
        set(line.endpoint.events if line.endpoint else line.webhook.events if line.webhook else ()) & known
    )
    if len(known) >= _FEW_EVENTS and len(wanted) >= _BROAD_SHARE * len(known):
        every = wanted == known
        yield Risk(Kind.BROAD, "every event type" if every else f"{len(wanted)} of {len(known)} event types")


def _of_care(line: StatusLine) -> Iterator[Risk]:
    if line.webhook is not None and not line.webhook.test and line.verified_at is None:
        yield Risk(Kind.UNTESTED, "")
    if not line.owner:
        yield Risk(Kind.UNOWNED, "")


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _until(due: datetime | None, now: datetime) -> str:
    """Return until when an overlap lasts; another run is late when that has passed."""
    if due is None:
        return ""
    return f" until {due:%Y-%m-%d %H:%M} UTC" if due > now else f", overdue since {due:%Y-%m-%d %H:%M} UTC"
