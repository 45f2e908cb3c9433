"""Test deliveries: each is told honestly, nothing is recorded, and a silent API ends it."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace

from reconciler.errors import ApiError, InvalidInput
from reconciler.ports import NotDelivered, Refused, Unanswered
from reconciler.usecases.deliver import deliver_tests
from tests.fakes.world import Org, webhook

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture
def org() -> Org:
    """Give five webhooks that are as declared."""
    org = Org()
    assert org.apply(*(webhook(name) for name in NAMES)).complete
    return org


def deliver(org: Org, *names: str, stop: threading.Event | None = None) -> dict[str, tuple[str, str | None]]:
    """Return what became of each delivery, and why."""
    results = deliver_tests(org.session, names, stop or threading.Event())
    return {each.name: (each.result.value, each.detail) for each in results}


def test_each_webhook_is_tested_and_nothing_is_written(org: Org) -> None:
    """Without names all are tested; Vault is only read, and no secret of it."""
    before, reads = list(org.store.writes), org.store.calls.count(("read", "a"))
    endpoint_id = org.store.fields("b")["endpoint_id"]
    org.api.behavior = replace(org.api.behavior, failing_tests=frozenset({endpoint_id}))
    results = deliver(org)
    assert results == {
        **dict.fromkeys(NAMES, ("delivered", None)),
        "b": ("failed", "HTTP 500 from the receiver"),
    }
    assert org.store.writes == before
    assert org.store.calls.count(("read", "a")) == reads


def test_a_receiver_of_ours_with_another_secret_is_named(org: Org) -> None:
    """A 401 is a wrong secret, whoever answers it; only then the receiver is asked who it is."""
    asked: list[str] = []

    def is_ours(url: str) -> bool:
        asked.append(url)
        return url.endswith("/a")

    answers = iter(
        [NotDelivered("answered 401", "req_1", 401), NotDelivered("answered 401", None, 401), None]
    )
    org.api.before = lambda request: next(answers) if request == "test" else None
    results = deliver_tests(org.session, ("a", "b", "c"), threading.Event(), is_ours)
    assert [each.detail for each in results] == [
        "answered 401: `reconciler receive` has another signing secret than the API",
        "answered 401: the receiver has another signing secret than the API",
        None,
    ]
    assert "`reconciler test a`" in (results[0].hint or "")
    assert asked == ["https://hooks.example.com/a", "https://hooks.example.com/b"]


def test_names_choose(org: Org) -> None:
    """Only those that are named are tested."""
    before = org.api.requests_sent
    assert list(deliver(org, "c", "a")) == ["a", "c"]
    assert org.api.requests[before:] == ["test", "test"]


def test_a_name_without_an_endpoint_is_refused_before_anything_is_sent(org: Org) -> None:
    """Unknown, removed and released webhooks have nothing to test."""
    org.apply(*(webhook(name) for name in NAMES[1:]))
    before = org.api.requests_sent
    with pytest.raises(InvalidInput, match="no endpoint to test for a, x"):
        deliver(org, "x", "a", "b")
    assert org.api.requests_sent == before


def test_an_endpoint_that_is_gone_is_told(org: Org) -> None:
    """A 404 names the commands that find out and heal."""
    org.api.console_delete(org.store.fields("a")["endpoint_id"])
    assert deliver(org, "a")["a"] == ("failed", "endpoint we_0001 is not live")


def test_a_refused_key_ends_it(org: Org) -> None:
    """Nothing else would be accepted from that key either."""
    org.api.before = lambda request: Refused(403, "forbidden", "no") if request == "test" else None
    with pytest.raises(ApiError, match="refused the key"):
        deliver(org)


def test_another_refusal_fails_that_one(org: Org) -> None:
    """The others are tested all the same."""
    org.api.before = lambda request: Refused(409, "conflict", "later") if request == "test" else None
    assert set(deliver(org).values()) == {("failed", "HTTP 409 conflict: later")}


def test_a_silent_api_ends_it(org: Org) -> None:
    """After three in a row without an answer the rest is not attempted."""
    org.api.before = lambda request: Unanswered("no answer") if request == "test" else None
    assert [arrival for arrival, _ in deliver(org).values()] == ["failed"] * 3 + ["not attempted"] * 2


def test_a_stop_ends_it(org: Org) -> None:
    """An interrupt lets nothing more begin."""
    stop = threading.Event()
    stop.set()
    assert set(deliver(org, stop=stop).values()) == {("not attempted", None)}
