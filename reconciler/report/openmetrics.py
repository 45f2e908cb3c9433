"""The fleet as OpenMetrics, for Prometheus: a textfile that a scheduled job writes.

It is made from the JSON of `status`, so that the reports of several jobs make one file. Names follow
https://prometheus.io/docs/practices/naming/. A state or a finding that occurs nowhere is 0, so that an alert
can distinguish it from a job that does not run.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime  # noqa: TC003 (msgspec reads the annotations)
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest

from reconciler.errors import InvalidInput
from reconciler.plan.drift import DriftKind
from reconciler.plan.status import FleetState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.core import Metric

_STATES = [state for state in FleetState if state is not FleetState.UNMANAGED]


class _Webhook(Struct, frozen=True):
    name: str | None
    state: str
    unmanaged: bool
    findings: list[DriftKind]
    needs_action: bool
    secret_created_at: datetime | None
    secret_expires_at: datetime | None
    verified_at: datetime | None
    overlap_ends: datetime | None


class _Status(Struct, frozen=True):
    organization: str
    observed_at: datetime
    in_progress: dict[str, Any] | None
    refused: bool
    requests_per_minute: int | None
    webhooks: list[_Webhook]


def openmetrics(reports: Iterable[Any]) -> str:
    """Return the metrics of all organizations, ending in `# EOF` and a newline.

    Args:
        reports: for each organization the JSON of `status`, or its error.

    Raises:
        InvalidInput: one is neither.
    """
    seen: list[_Status] = []
    failed: list[str] = []
    registry = CollectorRegistry(auto_describe=False)
    try:
        for report in reports:
            if "error" in report:
                failed.append(msgspec.convert(report["organization"], str))
            else:
                seen.append(msgspec.convert(report, _Status))
        registry.register(_Fleets(seen, failed))
        text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    except (msgspec.ValidationError, TypeError, KeyError, UnicodeEncodeError) as error:
        why = "a name is not UTF-8 text" if isinstance(error, UnicodeEncodeError) else error
        raise InvalidInput(
            f"not a report of status: {why}", hint="merge what `reconciler status --format json` wrote"
        ) from None
    return text.decode()


class _Fleets:
    """A collector, as the library calls what it asks for metrics."""

    def __init__(self, seen: Sequence[_Status], failed: Sequence[str]) -> None:
        self._seen = seen
        self._failed = failed

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its samples of all organizations."""
        up = _gauge("up", "Whether the organization could be read.", "organization")
        for each in self._seen:
            up.add_metric([each.organization], 1)
        for name in self._failed:
            up.add_metric([name], 0)
        yield up
        yield from self._of_organizations()
        yield from self._of_webhooks()

    def _of_organizations(self) -> Iterator[Metric]:
        states = _gauge("webhooks", "Webhooks by state.", "organization", "state")
        findings = _gauge("findings", "What was found about webhooks, by kind.", "organization", "kind")
        unmanaged = _gauge("unmanaged_endpoints", "Live endpoints that no manifest made.", "organization")
        action = _gauge("needs_action", "Webhooks and endpoints that a person must look at.", "organization")
        progress = _gauge("run_in_progress", "Whether a run holds the lock.", "organization")
        refused = _gauge("guard_refusals", "Whether a guard refuses.", "organization")
        success = _gauge(
            "last_success_timestamp_seconds", "When the organization was last read.", "organization"
        )
        quota = _gauge("api_requests_per_minute", "The API's quota, as it announces it.", "organization")
        for each in self._seen:
            name, managed = each.organization, [row for row in each.webhooks if not row.unmanaged]
            by_state = Counter(FleetState.of(row.state) for row in managed)
            for state in _STATES:
                states.add_metric([name, state.value.replace(" ", "_")], by_state[state])
            by_kind = Counter(kind for row in each.webhooks for kind in row.findings)
            for kind in DriftKind:
                findings.add_metric([name, kind.value], by_kind[kind])
            unmanaged.add_metric([name], len(each.webhooks) - len(managed))
            action.add_metric([name], sum(row.needs_action for row in each.webhooks))
            progress.add_metric([name], each.in_progress is not None)
            refused.add_metric([name], each.refused)
            success.add_metric([name], each.observed_at.timestamp())
            if each.requests_per_minute is not None:
                quota.add_metric([name], each.requests_per_minute)
        yield from (states, findings, unmanaged, action, progress, refused, success, quota)

    def _of_webhooks(self) -> Iterator[Metric]:
        labels = ("organization", "webhook")
        created = _gauge("secret_created_timestamp_seconds", "When the signing secret was made.", *labels)
        expires = _gauge(
            "secret_expiry_timestamp_seconds", "When Vault will delete the secret by itself.", *labels
        )
        verified = _gauge("verified_timestamp_seconds", "When a test delivery was last accepted.", *labels)
        overlap = _gauge(
            "overlap_end_timestamp_seconds", "When the replaced endpoint may be deleted.", *labels
        )
        for each in self._seen:
            for row in each.webhooks:
                if row.name is None:
                    continue
                for metric, moment in (
                    (created, row.secret_created_at),
                    (expires, row.secret_expires_at),
                    (verified, row.verified_at),
                    (overlap, row.overlap_ends),
                ):
                    if moment is not None:
                        metric.add_metric([each.organization, row.name], moment.timestamp())
        yield from (created, expires, verified, overlap)


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"reconciler_{name}", documentation, labels=labels)
