"""The receiver's metrics, in OpenMetrics. Labels are names of our own webhooks: no stranger can add one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from reconciler.errors import ReconcilerError
from reconciler.receiver.inbox.entry import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client.core import Metric

    from reconciler.receiver.inbox.entry import Count

    Counts = Callable[[], list[Count]]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_PREFIX = "webhook_receiver"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts what happens; each receiver has its own."""

    def __init__(self, webhooks: Sequence[str], counts: Counts) -> None:
        """Begin at zero. `counts` asks the inbox what it holds, each time the metrics are read."""
        self.registry = CollectorRegistry()
        self._answers = Counter(
            f"{_PREFIX}_deliveries",
            "Deliveries, by webhook and answer. Those for unknown webhooks have no name.",
            ["webhook", "status"],
            registry=self.registry,
        )
        self._answers_by: dict[tuple[str, int], Counter] = {}
        self.seconds = Histogram(
            f"{_PREFIX}_delivery_seconds",
            "Seconds from a delivery's headers to its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.stored = Counter(
            f"{_PREFIX}_events_stored", "Events stored for the first time.", registry=self.registry
        )
        self.duplicates = Counter(
            f"{_PREFIX}_duplicates", "Deliveries of events that were stored before.", registry=self.registry
        )
        self.store_failures = Counter(
            f"{_PREFIX}_store_failures", "Attempts to use the inbox that failed.", registry=self.registry
        )
        self._attempts = Counter(
            f"{_PREFIX}_attempts",
            "Attempts to hand an event on, by result: delivered, failed, dead.",
            ["webhook", "result"],
            registry=self.registry,
        )
        self._handler_seconds = Histogram(
            f"{_PREFIX}_handler_seconds",
            "Seconds that the handler took.",
            ["webhook"],
            registry=self.registry,
        )
        self._secret_reads = Counter(
            f"{_PREFIX}_secret_reads",
            "Reads of signing secrets, by result: ok, failed.",
            ["webhook", "result"],
            registry=self.registry,
        )
        self._secrets_stale = Gauge(
            f"{_PREFIX}_secrets_stale",
            "1 if the last read of the signing secrets failed: those read before stay in use.",
            ["webhook"],
            registry=self.registry,
        )
        self._secrets_read_at = Gauge(
            f"{_PREFIX}_secrets_read_timestamp_seconds",
            "When the signing secrets were last read.",
            ["webhook"],
            registry=self.registry,
        )
        for webhook in webhooks:
            self._secrets_stale.labels(webhook).set(1)
            for result in ("delivered", "failed", "dead"):
                self._attempts.labels(webhook, result)
        self.registry.register(_Backlog(webhooks, counts))

    def answered(self, webhook: str, status: int, seconds: float) -> None:
        """A delivery was answered."""
        counter = self._answers_by.get((webhook, status))
        if counter is None:
            counter = self._answers_by[webhook, status] = self._answers.labels(webhook, str(status))
        counter.inc()
        self.seconds.observe(seconds)

    def handed_on(self, webhook: str, result: str, seconds: float) -> None:
        """A handler returned."""
        self._attempts.labels(webhook, result).inc()
        self._handler_seconds.labels(webhook).observe(seconds)

    def secrets_read(self, webhook: str, *, ok: bool) -> None:
        """The signing secrets were read, or could not be."""
        self._secret_reads.labels(webhook, "ok" if ok else "failed").inc()
        self._secrets_stale.labels(webhook).set(0 if ok else 1)
        if ok:
            self._secrets_read_at.labels(webhook).set_to_current_time()

    def text(self) -> bytes:
        """Return all metrics."""
        generate: Callable[[CollectorRegistry], bytes] = generate_latest
        return generate(self.registry)


class _Backlog:
    """What the inbox holds, asked for when the metrics are read."""

    def __init__(self, webhooks: Sequence[str], counts: Counts) -> None:
        self._webhooks = webhooks
        self._counts = counts

    def describe(self) -> list[Metric]:
        """Return nothing: registering must not ask the inbox."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the numbers; none if the inbox does not answer."""
        events = GaugeMetricFamily(
            f"{_PREFIX}_inbox_events", "Events in the inbox, by state.", labels=["webhook", "state"]
        )
        oldest = GaugeMetricFamily(
            f"{_PREFIX}_oldest_pending_seconds",
            "Seconds since the oldest event that is not handed on yet arrived.",
            labels=["webhook"],
        )
        try:
            found = {(count.webhook, count.state): count for count in self._counts()}
        except ReconcilerError:
            return
        now = time.time()
        for webhook in self._webhooks:
            for state in (State.PENDING, State.DEAD):
                count = found.get((webhook, state))
                events.add_metric([webhook, state.value], count.events if count else 0)
            pending = found.get((webhook, State.PENDING))
            oldest.add_metric([webhook], max(0.0, now - pending.oldest) if pending else 0.0)
        yield events
        yield oldest
