"""The vendor's cap on endpoints: it is named, and `allowEventGap` replaces an endpoint in spite of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.plan.outcome import Result
from reconciler.ports import Refused
from tests.fakes.api import ApiBehavior
from tests.fakes.world import Org, webhook

A = webhook("a")
CAPS = (
    Refused(402, "payment_required", "Your plan allows at most 5 webhook endpoints."),
    Refused(403, "endpoint_limit_reached", "Not possible."),
    Refused(403, "forbidden", "The maximum number of webhooks (10) has been reached for this organization."),
    Refused(409, "conflict", "Too many webhooks."),
    Refused(409, "quota_exceeded", "Not possible."),
    Refused(422, "unprocessable", "This organization has reached its limit of 10 endpoints."),
    Refused(422, "unprocessable", "Endpoint quota exceeded"),
)
OTHERS = (
    Refused(401, "unauthorized", "The endpoint limit is not for you."),
    Refused(403, "forbidden", "The API key lacks the permission webhooks:manage."),
    Refused(403, "forbidden", "This key is limited to reading webhooks."),
    Refused(403, "rate_limited", "You have exceeded a secondary rate limit for webhooks."),
    Refused(409, "url_conflict", "At most one endpoint can have this URL.", "url"),
    Refused(409, "idempotency_key_reuse", "Another request has this key.", "Idempotency-Key"),
    Refused(422, "invalid", "The URL exceeds the maximum length of an endpoint."),
    Refused(422, "invalid", "An endpoint can have at most 10 events."),
    Refused(422, "invalid", "Too many.", "events"),
    Refused(400, "invalid", "Too many endpoints."),
)


@pytest.mark.parametrize("refused", CAPS, ids=str)
def test_a_cap_is_recognised(refused: Refused) -> None:
    """By the code or by the words, whatever the status."""
    assert refused.is_cap


@pytest.mark.parametrize("refused", OTHERS, ids=str)
def test_other_refusals_are_not_taken_for_a_cap(refused: Refused) -> None:
    """A key, a rate limit, a URL conflict, and limits of one endpoint are something else."""
    assert not refused.is_cap


@pytest.mark.parametrize("cap", CAPS, ids=str)
def test_a_cap_that_blocks_a_replacement_is_named(cap: Refused) -> None:
    """The old endpoint stays, the other changes go on, and the hint says what to do."""
    org = Org(ApiBehavior(max_endpoints=2, cap=cap))
    old = webhook("old")
    assert org.apply(A, old).complete
    edited = replace(A, events=("run.started",))
    outcome = org.apply(edited)
    failed, deleted = outcome.changes
    assert (failed.result, deleted.result) == (Result.FAILED, Result.DONE)
    assert "cap on endpoints" in str(failed.detail)
    assert "allowEventGap: true" in str(failed.hint)
    assert "API key" not in str(failed.hint)
    assert org.api.endpoints["we_0001"].events == A.events
    assert org.apply(edited).complete
    org.check([edited])


@pytest.mark.parametrize("cap", CAPS, ids=str)
@pytest.mark.parametrize("url", [A.url, "https://hooks.example.com/elsewhere"])
def test_allow_event_gap_replaces_in_spite_of_a_cap(cap: Refused, url: str) -> None:
    """The old endpoint is deleted first, whatever URL the new one has."""
    org = Org(ApiBehavior(max_endpoints=1, cap=cap))
    assert org.apply(A).complete
    edited = replace(A, url=url, events=("run.started",), allow_event_gap=True)
    assert org.apply(edited).complete
    org.check([edited])


def test_a_first_creation_has_nothing_to_delete() -> None:
    """Its hint does not offer a gap, and a later run creates the endpoint."""
    org = Org(ApiBehavior(max_endpoints=1))
    endpoint = org.api.console_create("https://theirs.example.com/", ["run.failed"])
    (failed,) = org.apply(replace(A, allow_event_gap=True)).changes
    assert failed.result is Result.FAILED
    assert "cap on endpoints" in str(failed.detail)
    assert "allowEventGap" not in str(failed.hint)
    assert endpoint.id in org.api.endpoints
    org.api.console_delete(endpoint.id)
    assert org.apply(A).complete
    org.check([A])


def test_a_place_that_somebody_took_in_the_gap() -> None:
    """The creation after the deletion fails, the run ends, and a later run creates the endpoint."""
    org = Org(ApiBehavior(max_endpoints=1))
    assert org.apply(A).complete
    edited = replace(A, events=("run.started",), allow_event_gap=True)

    def take(request: str, _: object) -> None:
        if request == "delete":
            org.api.console_create("https://theirs.example.com/", ["run.failed"])

    org.api.after = take
    (failed,) = org.apply(edited).changes
    assert "cap on endpoints" in str(failed.detail)
    org.api.after = lambda *_: None
    org.api.console_delete("we_0002")
    assert org.apply(edited).complete
    org.check([edited])
