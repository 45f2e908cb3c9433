"""A probe reports how an API behaves, and leaves nothing: whatever fails, and wherever it is killed."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from reconciler.apply.holder import Holder
from reconciler.apply.lock import Lock
from reconciler.errors import ApiError, DocumentUnreadable, GuardRefused, LockHeld, StoreError
from reconciler.model import SendingWindow
from reconciler.ports import Exchange, Refused, Unanswered
from reconciler.usecases.probe import EVENTS, probe
from tests.fakes.api import ApiBehavior, NotCarriedOut
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from reconciler.plan.probe import Finding, ProbeReport

URL = "https://hooks.example.com/probe?b=2&a=1"
LIMITS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
AS_ASSUMED = {
    "creation", "client secret", "listing lag", "spelling of URL", "spelling of events", "creation time",
    "idempotency key", "test delivery", "duplicate URL", "answer to DELETE", "listing after DELETE",
    "rate-limit headers",
}  # fmt: skip


class _Died(BaseException):
    """The process was killed."""


def _probe(org: Org, url: str = URL, **options: threading.Event | Lock) -> ProbeReport:
    exchanges = [Exchange("GET", 200, LIMITS, None, ("created", "events", "id", "url"))]
    return probe(org.session, org.store, url, exchanges=exchanges, **options)  # type: ignore[arg-type]


def _findings(report: ProbeReport) -> dict[str, Finding]:
    return {each.aspect: each for each in report.findings}


def _differences(report: ProbeReport) -> set[str]:
    return {each.aspect for each in report.findings if each.as_assumed is False}


def _record(org: Org) -> object:
    return org.store.read_probe()[1]


def test_an_api_as_assumed() -> None:
    """Every aspect is observed, nothing differs, and nothing is left: neither an endpoint nor a record."""
    org = Org()
    person = org.api.console_create("https://hooks.example.com/other", ["run.failed"])
    report = _probe(org)
    assert report.complete
    assert {each.aspect for each in report.findings if each.as_assumed} == AS_ASSUMED
    assert _findings(report)["fields of the listing"].observed == "created, events, id, url"
    assert list(org.api.endpoints) == [person.id]
    assert _record(org) is None
    assert org.api.requests == [
        "list", "create", "list", "create", "test", "create", "list", "delete", "list", "delete",
    ]  # fmt: skip
    assert _probe(org).complete, "it can be repeated"


@pytest.mark.parametrize(
    ("behavior", "aspect", "observed"),
    [
        (ApiBehavior(honours_client_secret=False), "client secret", "not honoured"),
        (ApiBehavior(hides_secret=True), "client secret", "shows no signing secret"),
        (ApiBehavior(replay_shows_secret=False), "idempotency key", "hides the secret"),
        (ApiBehavior(key_lifetime=0), "idempotency key", "created another endpoint (we_0002)"),
        (ApiBehavior(unique_urls=True), "duplicate URL", "refused: HTTP 409"),
        (ApiBehavior(max_endpoints=1), "duplicate URL", "refused: HTTP 403"),
        (ApiBehavior(adds_slash=True), "spelling of URL", f"listed as {URL}/"),
        (ApiBehavior(listing_spelling="query_order"), "spelling of URL", "listed as"),
        (ApiBehavior(listing_spelling="implicit_event"), "spelling of events", "integration.error"),
        (ApiBehavior(listing_lag=5), "listing lag", "listed after 5 s"),
        (ApiBehavior(listing_lag=500), "listing lag", "not listed within 60 s"),
        (ApiBehavior(deletion_lag=7), "listing after DELETE", "omitted after 7 s"),
        (ApiBehavior(deletion_lag=700), "listing after DELETE", "still listed after 60 s"),
        (ApiBehavior(shows_created=False), "creation time", "no usable `created`"),
        (ApiBehavior(test_lag=1000), "test delivery", "refused: HTTP 404"),
    ],
)
def test_a_difference_has_its_consequence(behavior: ApiBehavior, aspect: str, observed: str) -> None:
    """What differs from the assumptions is named with what follows; nothing is left."""
    org = Org(behavior)
    report = _probe(org)
    finding = _findings(report)[aspect]
    assert finding.as_assumed is False
    assert observed in finding.observed
    assert finding.consequence
    assert report.complete
    assert not org.api.endpoints
    assert _record(org) is None
    assert "whsec_" not in str([(each.observed, each.consequence) for each in report.findings])


def test_a_receiver_that_refuses_the_test_is_not_the_apis_fault() -> None:
    """It is reported, without a verdict."""
    org = Org(ApiBehavior(accepts_tests=False))
    assert _findings(_probe(org))["test delivery"].as_assumed is None


def test_an_api_without_headers_and_fields() -> None:
    """What a response lacks is a finding."""
    org = Org()
    report = probe(org.session, org.store, URL, exchanges=[])
    assert _differences(report) == {"rate-limit headers"}
    assert _findings(report)["fields of the listing"].observed == "unknown"


def test_an_api_that_cannot_delete() -> None:
    """The endpoint is named, and the next probe is refused until a person has removed it."""
    org = Org(ApiBehavior(can_delete=False))
    report = _probe(org)
    assert not report.complete
    assert {each.endpoint_id for each in report.left} == {"we_0001", "we_0002"}
    assert "answer to DELETE" in _differences(report)
    with pytest.raises(GuardRefused, match="we_0001 of an interrupted probe may still be live"):
        _probe(org, "https://hooks.example.com/elsewhere")
    org.clock.advance(minutes=6)
    for endpoint_id in list(org.api.endpoints):
        org.api.console_delete(endpoint_id)
    org.api.behavior = ApiBehavior()
    assert _probe(org).complete


def test_endpoints_that_a_person_removed_are_forgotten_where_the_api_cannot_delete() -> None:
    """A 405 for an endpoint that is not listed any more blocks no probe."""
    org = Org(ApiBehavior(can_delete=False))
    _probe(org)
    org.clock.advance(minutes=6)
    for endpoint_id in list(org.api.endpoints):
        org.api.console_delete(endpoint_id)
    report = _probe(org)
    assert {each.endpoint_id for each in report.left} == {"we_0003", "we_0004"}


def test_a_taken_url_is_refused() -> None:
    """A person's endpoint, however its URL is spelled, or a webhook's: nothing is created."""
    org = Org()
    org.api.console_create("https://HOOKS.example.com:443/probe?b=2&a=1", ["run.failed"])
    with pytest.raises(GuardRefused, match="at this URL already: we_0001"):
        _probe(org)
    org.apply(webhook("a"))
    org.api.console_delete("we_0002")
    with pytest.raises(GuardRefused, match="belongs to the webhook a"):
        _probe(org, "https://hooks.example.com/a")
    assert org.api.posts == 1


def _killed(operation: str | None, number: int, when: str, behavior: ApiBehavior) -> tuple[Org, bool]:
    """Return the servers after a probe that died at an operation; whether it got that far.

    `operation` None counts every request to either server.
    """
    org = Org(behavior)
    left, dead = number, False

    def die(what: str, *_: object) -> None:
        nonlocal left, dead
        if dead:
            raise _Died
        if what in {"create", "delete", "test", "list", "write_probe"} and operation in {None, what}:
            left -= 1
            if left < 0:
                dead = True
                raise _Died

    def stay_dead(*_: object) -> None:
        if dead:
            raise _Died

    hooks: list[Any] = [die, stay_dead]
    if when == "after":
        hooks.reverse()
    org.api.before = org.store.before = hooks[0]
    org.api.after = org.store.after = hooks[1]
    with contextlib.suppress(_Died):
        _probe(org)
    org.api.before = lambda *_: None
    org.api.after = lambda *_: None
    org.store.before = org.store.after = lambda *_: None
    return org, dead


@pytest.mark.parametrize(
    "behavior",
    [ApiBehavior(), ApiBehavior(honours_client_secret=False), ApiBehavior(replay_shows_secret=False),
     ApiBehavior(unique_urls=True), ApiBehavior(listing_lag=3), ApiBehavior(key_lifetime=0),
     ApiBehavior(listing_spelling="masked_query"), ApiBehavior(shows_created=False)],
    ids=["usual", "own secret", "hidden replay", "unique URLs", "lag", "no keys", "spelling", "no dates"],
)  # fmt: skip
def test_a_killed_probe_leaves_nothing_after_the_next(behavior: ApiBehavior) -> None:
    """Killed before or after each request to either server, the next run removes everything."""
    cases = 0
    for when in ("before", "after"):
        for number in range(60):
            org, died = _killed(None, number, when, behavior)
            if not died:
                break
            cases += 1
            org.clock.advance(seconds=20)
            report = _probe(org)
            assert not org.api.endpoints, f"killed {when} request {number}"
            assert report.complete, report
            org.clock.advance(minutes=6)
            assert _probe(org).complete
            assert _record(org) is None
    assert cases > 20


def test_a_persons_look_alike_is_never_deleted() -> None:
    """Same URL and events, created while no request was under way: it is named, and stays."""
    org, _ = _killed("create", 0, "before", ApiBehavior(key_lifetime=0))
    org.clock.advance(hours=1)
    person = org.api.console_create(URL, list(EVENTS))
    with pytest.raises(GuardRefused, match="nothing proves that the probe created it"):
        _probe(org)
    assert person.id in org.api.endpoints
    assert len(org.api.endpoints) == 1, "what the repeated request created is gone"
    org.clock.advance(hours=25)
    with pytest.raises(GuardRefused):
        _probe(org)
    with pytest.raises(GuardRefused, match="at this URL already"):
        _probe(org)
    assert list(org.api.endpoints) == [person.id]


def test_what_the_listing_spells_differently_is_named_and_not_deleted() -> None:
    """Without a key that is honoured, nothing proves that such an endpoint is the probe's."""
    org, _ = _killed("create", 0, "after", ApiBehavior(key_lifetime=0, listing_spelling="masked_query"))
    older = org.api.console_create("https://hooks.example.com/probe/other", ["run.failed"])
    with pytest.raises(GuardRefused, match=r"we_0001 .* may still be live: it looks like"):
        _probe(org)
    assert sorted(org.api.endpoints) == ["we_0001", older.id]


def test_an_endpoint_that_the_api_returns_instead_is_left_as_it_is() -> None:
    """An API that answers a creation with an existing endpoint: it is not the probe's, so it stays."""
    org = Org()
    person = org.api.console_create("https://hooks.example.com/other", ["run.failed"])

    def existing(request: str, answer: object) -> object:
        return replace(answer, endpoint=person) if request == "create" else None  # type: ignore[type-var]

    org.api.after = existing
    report = _probe(org)
    assert report.failure == "the API returned endpoint we_0001, which existed before; it was left as it is"
    assert person.id in org.api.endpoints


def test_a_creation_that_is_refused_is_the_report() -> None:
    """Nothing was created, and nothing is left."""
    org = Org()
    org.api.before = lambda request: Refused(402, "plan", "upgrade") if request == "create" else None
    report = _probe(org)
    assert _differences(report) == {"creation"}
    assert "HTTP 402 plan: upgrade" in _findings(report)["creation"].observed
    assert report.complete
    assert _record(org) is None


def test_a_creation_without_a_response_is_settled_or_reported() -> None:
    """The same key is asked once more; if that has no response, either, the record stays for the next run."""
    org = Org()

    def lose(request: str, _: object) -> object:
        now = org.clock.now()
        window = SendingWindow(now, now)
        return Unanswered("no response", windows=(window,)) if request == "create" else None

    org.api.after = lose
    report = _probe(org)
    assert not report.complete
    assert [each.endpoint_id for each in report.left] == [None]
    assert not org.api.endpoints, "it was created while the request was under way"
    org.api.after = lambda *_: None
    assert _probe(org).complete
    assert not org.api.endpoints


def test_a_look_alike_made_after_the_last_try_is_never_deleted() -> None:
    """Once the request has ended, whatever appears is somebody else's."""
    org = Org()
    org.api.before = lambda request: Unanswered("no response") if request == "create" else None
    assert not _probe(org).complete
    org.api.before = lambda *_: None
    org.clock.advance(minutes=1)
    person = org.api.console_create(URL, list(EVENTS))
    with pytest.raises(GuardRefused, match="nothing proves"):
        _probe(org)
    assert list(org.api.endpoints) == [person.id]


def test_a_creation_that_certainly_failed_leaves_no_record() -> None:
    """Without a connection nothing can have been created: a person's look-alike is then left alone."""
    org = Org()
    org.api.before = lambda request: NotCarriedOut("no connection") if request == "create" else None
    assert _probe(org).complete
    assert _record(org) is None


@pytest.mark.parametrize("request_name", ["list", "test", "delete"])
def test_an_error_in_the_middle_cleans_up(request_name: str) -> None:
    """The report says why it ended early, with what was observed so far."""
    org = Org()
    failures = 0

    def fail(request: str) -> None:
        nonlocal failures
        if request == request_name and org.api.posts and not failures:
            failures += 1
            raise ApiError("no answer", hint="try again")

    org.api.before = fail
    report = _probe(org)
    assert (report.failure, report.hint) == ("no answer", "try again")
    assert report.left == ()
    assert not org.api.endpoints


def test_a_cleanup_that_fails_is_reported_and_left_to_the_next_run() -> None:
    """With Vault gone the record stays as it was."""
    org = Org()

    def fail(operation: str, _name: str) -> None:
        if operation == "write_probe" and org.api.posts:
            raise StoreError("Vault is gone")

    org.store.before = fail
    report = _probe(org)
    assert report.failure == "Vault is gone"
    assert "the cleanup failed: Vault is gone" in report.left[0].reason
    org.store.before = lambda *_: None
    assert _probe(org).complete
    assert not org.api.endpoints


def test_nothing_is_created_without_a_record() -> None:
    """If Vault refuses the record, no request is sent."""
    org = Org()

    def fail(operation: str, _name: str) -> None:
        if operation == "write_probe":
            raise StoreError("denied")

    org.store.before = fail
    report = _probe(org)
    assert (report.failure, org.api.posts) == ("denied", 0)


def test_a_signal_ends_the_probe_in_order() -> None:
    """No further step begins, and the endpoints are removed."""
    org = Org()
    stop = threading.Event()
    org.api.after = lambda request, _: stop.set() if request == "test" else None
    report = _probe(org, stop=stop)
    assert report.failure == "the probe was interrupted"
    assert report.left == ()
    assert not org.api.endpoints


def test_a_probe_holds_the_lock() -> None:
    """Two probes, or a probe and an apply, do not run at the same time."""
    org = Org()
    holder = Holder("one", "ada", "host", "boot", 1, "1")
    second = Lock(org.store, org.clock, replace(holder, id="two"), timeout=0.0, alive=lambda *_: True)
    with Lock(org.store, org.clock, holder), pytest.raises(LockHeld):
        _probe(org, lock=second)
    assert _probe(org, lock=second).complete


def test_a_record_that_somebody_else_wrote_is_refused() -> None:
    """The message quotes nothing of it."""
    org = Org()
    org.store.put("_probe", {"requests": '[{"key": "hunter2"}]'})
    with pytest.raises(DocumentUnreadable) as error:
        _probe(org)
    assert "hunter2" not in str(error.value)


def test_a_probe_is_no_webhook() -> None:
    """A plan does not see its record, and a person's endpoint is the only unmanaged one."""
    org, _ = _killed("test", 0, "before", ApiBehavior())
    assert org.store.names == []
    assert [each.id for each in org.plan().plan.unmanaged] == ["we_0001"]
