"""The history: entries of an audit log, and what Vault adds to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from reconciler.model import Run
from reconciler.plan.history import HistoryEntry, by_change, last_changes, merged
from tests.fakes.world import Org, webhook

RUN = Run(
    "ada", "c0ffee" + "0" * 34, "https://ci.example.com/7", "https://git.example.com/acme/hooks/pull/12"
)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
CREATED = HistoryEntry(
    "ci", "create", NOON, RUN.actor, RUN.commit, RUN.url, RUN.pull_request, "we_1", request_id="req_1"
)


def test_vault_adds_what_the_log_does_not_know() -> None:
    """The last change by another machine is there; what the log has is not told twice."""
    org = Org()
    org.apply(webhook("a"), webhook("b"))
    recorded = last_changes(org.store.list_metadata())
    own = HistoryEntry("a", "create", org.clock.now(), "ada")
    names = sorted((e.name, e.action) for e in merged([own], recorded))
    assert names == [("a", "create"), ("b", "applied")]
    org.clock.advance(hours=1)
    org.apply(webhook("a", events=("run.started",)), webhook("b"))
    later = merged([own], last_changes(org.store.list_metadata()))
    assert [e.action for e in later if e.name == "a"] == ["applied", "create"]
    unknown = merged([replace(own, at=None)], [HistoryEntry("a", "applied")])
    assert len(unknown) == 2


def test_the_ledger_and_its_metadata_name_the_pull_request() -> None:
    """Vault alone tells who changed a webhook last, by which pull request."""
    org = Org()
    org.session = replace(org.session, run=RUN)
    org.apply(webhook("a"))
    (entry,) = last_changes(org.store.list_metadata())
    assert (entry.actor, entry.commit, entry.url, entry.pull_request) == (
        RUN.actor,
        RUN.commit,
        RUN.url,
        RUN.pull_request,
    )
    stored = org.store.read("a").document
    assert stored is not None
    assert stored.ledger.run == RUN


def test_time_between_two_clocks_is_no_second_change() -> None:
    """Vault's clock and this machine's may differ by a little."""
    recorded = HistoryEntry("ci", "applied", NOON + timedelta(minutes=2))
    assert merged([CREATED], [recorded]) == (CREATED,)
    assert len(merged([CREATED], [replace(recorded, at=NOON + timedelta(minutes=6))])) == 2


def test_a_change_is_one_entry_with_its_requests() -> None:
    """The change has the new endpoint and the request that made it; what was cut off stays by itself."""
    made = HistoryEntry(
        "ci", "create endpoint", NOON, endpoint_id="we_2", is_request=True, request_id="req_2"
    )
    gone = HistoryEntry(
        "ci", "delete endpoint", NOON, endpoint_id="we_1", is_request=True, request_id="req_3"
    )
    cut_off = replace(made, name="web")
    ended = HistoryEntry("ci", "replace", NOON)
    removed = HistoryEntry("ci", "delete", NOON)
    first, second, other = by_change([made, cut_off, gone, ended, gone, removed])
    assert (first.action, first.endpoint_id, first.request_id) == ("replace", "we_2", "req_2")
    assert first.requests == (made, gone)
    assert (second.action, second.endpoint_id, second.request_id) == ("delete", "we_1", "req_3")
    assert other == cut_off
