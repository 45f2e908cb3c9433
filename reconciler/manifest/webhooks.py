"""Build a `Webhook` from a manifest that satisfies the schema."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from reconciler.credentials.redaction import shown
from reconciler.manifest import rules
from reconciler.manifest.problems import Problem, foreign
from reconciler.model import NO_OVERLAP, POLICIES, DeletionPolicy, Webhook
from reconciler.texts import suggestion

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from reconciler.model import Location

KNOWN_EVENTS = (
    "agent.offline",
    "integration.error",
    "release.gate_blocked",
    "remediation.approved",
    "remediation.plan_pending",
    "run.completed",
    "run.failed",
    "run.started",
)
"""The event types that the API's documentation lists."""
OLDER_EVENTS = ("agent.completed", "issue.detected")
"""Named on an older page of the documentation only: accepted, not suggested."""
MAX_OVERLAP = timedelta(days=90)

_MOST_EVENTS = 100
_ACCEPTED = frozenset(KNOWN_EVENTS + OLDER_EVENTS)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION_PART = re.compile(r"([0-9]+)([smhd])")
_NO_TEXTS: Mapping[str, str] = {}


class BadValue(Exception):
    """A value has the right form and no meaning, such as the 30th of February."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Builder:
    """Builds webhooks. Those with the same events or labels share them, which saves half the memory."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._labels: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def __call__(self, manifest: Mapping[str, Any], place: Location, source: str | None = None) -> Webhook:
        """Return the webhook that a manifest declares.

        Args:
            manifest: satisfies `schemas/webhook.schema.json`.
            place: its location.
            source: its path from the root of its repository, if that is known.

        Raises:
            BadValue: a time or duration is out of range.
        """
        metadata = manifest["metadata"]
        spec = manifest["spec"]
        secret = spec.get("secret", _NO_TEXTS)
        labels = metadata.get("labels")
        return Webhook(
            metadata["name"],
            spec["url"],
            self._shared_events(spec["events"]),
            place,
            spec.get("description"),
            self._labels.setdefault(tuple(labels.items()), labels) if labels else _NO_TEXTS,
            metadata.get("annotations", _NO_TEXTS).get("runbook"),
            POLICIES[spec.get("deletionPolicy", DeletionPolicy.DELETE)],
            parse_time(secret["createdAfter"]) if "createdAfter" in secret else None,
            parse_overlap(secret["overlap"]) if "overlap" in secret else NO_OVERLAP,
            spec.get("allowEventGap", False),
            spec.get("test", True),
            source=source,
        )

    def _shared_events(self, events: Sequence[str]) -> tuple[str, ...]:
        """Return the events sorted, the same object for the same list."""
        given = tuple(events)
        found = self._events.get(given)
        if found is None:
            ordered = tuple(sorted(given))
            found = self._events[given] = self._events.setdefault(ordered, ordered)
        return found


def unknown_events(events: Sequence[Any]) -> list[Problem]:
    """Return the problems of event types that do not exist.

    Only as many as the schema allows are checked: the comparisons would take seconds.
    """
    try:
        if _ACCEPTED.issuperset(events):
            return []
    except TypeError:  # a list or a mapping among them
        pass
    return [
        _unknown(index, event)
        for index, event in enumerate(events[:_MOST_EVENTS])
        if isinstance(event, str) and event not in _ACCEPTED
    ]


def _unknown(index: int, event: str) -> Problem:
    """Return the problem of an unknown event type."""
    similar = suggestion(event, KNOWN_EVENTS)
    hint = f"did you mean `{similar}`?" if similar else "event types: " + ", ".join(KNOWN_EVENTS)
    name = f"{quoted}{foreign(event)}" if (quoted := shown(event)) else "this"
    message = f"{name} is not an event type of the API"
    return Problem(rules.UNKNOWN_EVENT, message, ("spec", "events", index), hint)


def find_bad_values(
    manifest: Mapping[str, Any], reported: Collection[tuple[str | int, ...]] = ()
) -> list[Problem]:
    """Return the problem of every value for which a `Builder` refuses a manifest.

    Args:
        manifest: a mapping; it may break its schema.
        reported: paths that are left out because they break the schema.
    """
    found = []
    spec = manifest.get("spec")
    secret = spec.get("secret") if isinstance(spec, dict) else None
    for key, parse in (("createdAfter", parse_time), ("overlap", parse_overlap)):
        text = secret.get(key) if isinstance(secret, dict) else None
        try:
            if isinstance(text, str) and ("spec", "secret", key) not in reported:
                parse(text)
        except BadValue as bad:
            found.append(bad.problem)
    return found


def parse_time(text: str) -> datetime:
    """Return an RFC 3339 date and time in UTC.

    Raises:
        BadValue: the time does not exist.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        path = ("spec", "secret", "createdAfter")
        message = "`spec.secret.createdAfter` is not a valid time"
        hint = "write a date and time with its offset, such as `2026-11-01T00:00:00Z`"
        raise BadValue(Problem(rules.BAD_TIME, message, path, hint)) from None


def parse_overlap(text: str) -> timedelta:
    """Return a duration such as `1h30m`.

    Raises:
        BadValue: it is longer than 90 days.
    """
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    if seconds > MAX_OVERLAP.total_seconds():
        path = ("spec", "secret", "overlap")
        message = "`spec.secret.overlap` is longer than 90 days"
        hint = "until the overlap ends, the replaced secret still signs deliveries"
        raise BadValue(Problem(rules.OVERLAP_TOO_LONG, message, path, hint))
    return timedelta(seconds=seconds)
