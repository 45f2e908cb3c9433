"""Vault and what stands before it interfere: nothing is overlooked, and what is reported is true.

Virtual time, the fake API, and `tests.fakes.kv` behind the adapter of `reconciler.vault`. Every request to
Vault meets each trouble once.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.errors import ReconcilerError
from reconciler.vault.documents import VaultDocuments
from tests.fakes.kv import FakeVault
from tests.fakes.world import Org, webhook

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model import Webhook
    from reconciler.plan.outcome import Outcome
    from tests.fakes.kv import Answer

    Record = Callable[[str, object], None]

A, B = webhook("a"), webhook("b")
A2 = replace(A, events=("run.started",))
PAGE = "<!doctype html><title>Blocked</title>"
NOT_DONE: dict[str, Answer] = {
    "429": (429, {"errors": ['request path "secret": rate limit quota exceeded']}),
    "412": (412, {"errors": ["required index state not present"]}),
    "an upgrade": (400, {"errors": ["Upgrading from non-versioned to versioned data. This backend will be"]}),
    "a standby": (503, {"errors": ["Vault is in standby mode"]}),
}
"""What Vault answers to requests that it did not carry out."""


class Site:
    """An organization whose documents are in a Vault behind HTTP."""

    def __init__(self) -> None:
        """Begin with `b` applied, and one endpoint that nobody manages."""
        self.org = Org()
        self.vault = FakeVault(self.org.clock)
        self.org.session = replace(self.org.session, store=self.vault.documents())
        self.org.unmanaged.add(
            self.org.api.console_create("https://unmanaged.example.com/", ["run.failed"]).id
        )
        self.apply(B)
        self.org.clock.advance(hours=1)

    def apply(self, *desired: Webhook) -> Outcome:
        """Plan and apply."""
        return self.org.apply(*desired)

    def succeed(self, *desired: Webhook) -> Outcome:
        """Plan and apply; that Vault refuses is not expected."""
        try:
            return self.apply(*desired)
        except ReconcilerError as error:
            message = f"the run gave up: {error.message}"
            raise AssertionError(message) from error

    def check(self, *desired: Webhook) -> None:
        """Exactly these webhooks are live, with the secrets that are stored, and nothing is left to do."""
        api = self.org.api
        expected = set(self.org.unmanaged)
        for wanted in desired:
            fields = self.vault.fields(wanted.name)
            endpoint = api.endpoints[fields["endpoint_id"]]
            assert endpoint.serves(wanted)
            assert fields["signing_secret"] == api.secrets[endpoint.id]
            expected.add(endpoint.id)
        assert set(api.endpoints) == expected
        assert not self.org.plan(*desired).plan.changes


@pytest.mark.parametrize("title", NOT_DONE)
def test_what_vault_did_not_do_is_tried_again(title: str, record_property: Record) -> None:
    """Any request that Vault answers so once succeeds in the same run, and nothing is reported as failed."""
    cases = 0
    while True:
        site = Site()
        first = len(site.vault.requests) + cases

        def strike(_method: str, _path: str, site: Site = site, first: int = first) -> Answer | None:
            return NOT_DONE[title] if len(site.vault.requests) == first + 1 else None

        site.vault.strike = strike
        outcome = site.succeed(A, B)
        if len(site.vault.requests) <= first:
            break
        assert outcome.complete, f"request {cases}, {site.vault.requests[first]}: {outcome}"
        assert site.org.api.ever_made == 3
        site.check(A, B)
        cases += 1
    record_property("cases", cases)
    assert cases > 8


@pytest.mark.parametrize("title", NOT_DONE)
def test_a_vault_that_keeps_refusing_leaves_a_true_report(title: str, record_property: Record) -> None:
    """From any request on Vault does nothing: what exists is named, and never listed as unmanaged."""
    cases = 0
    while True:
        site = Site()
        first = len(site.vault.requests) + cases

        def strike(_method: str, _path: str, site: Site = site, first: int = first) -> Answer | None:
            return NOT_DONE[title] if len(site.vault.requests) > first else None

        site.vault.strike = strike
        with contextlib.suppress(ReconcilerError):
            outcome = site.apply(A, B)
            made = {i for i, e in site.org.api.endpoints.items() if e.serves(A)}
            for each in outcome.changes:
                is_named = each.endpoint_id in made or any(i in (each.detail or "") for i in made)
                assert is_named or not made, f"the endpoint exists, and is not named: {each}"
        if len(site.vault.requests) <= first:
            break
        site.vault.strike = FakeVault(site.org.clock).strike
        planned = site.org.plan(A, B)
        unmanaged = {endpoint.id for endpoint in planned.plan.unmanaged}
        recorded = {site.vault.fields("a").get("endpoint_id")}
        assert not recorded & unmanaged, "our endpoint is listed as unmanaged"
        site.apply(A, B)
        site.apply(A, B)
        assert site.org.api.ever_made == 3
        site.check(A, B)
        cases += 1
    record_property("cases", cases)


def test_a_proxy_that_refuses_the_verb_list_changes_nothing() -> None:
    """Where only LIST is refused, a plan is the same; its page is never taken for Vault's answer."""
    site = Site()
    site.vault.strike = lambda method, _path: (501, PAGE) if method == "LIST" else None
    assert site.succeed(A, B).complete
    site.check(A, B)


@pytest.mark.parametrize("status", [200, 403, 404, 405, 501, 503])
def test_a_proxys_page_is_not_vaults_answer(status: int, record_property: Record) -> None:
    """Whatever its status, a web page instead of any answer is neither an absence nor a refusal of Vault."""
    cases = 0
    while True:
        site = Site()
        first = len(site.vault.requests) + cases

        def strike(_method: str, _path: str, site: Site = site, first: int = first) -> Answer | None:
            return (status, PAGE) if len(site.vault.requests) > first else None

        site.vault.strike = strike
        said = ""
        try:
            outcome = site.apply(A, B)
            said = str([(each.detail, each.hint) for each in outcome.changes])
        except ReconcilerError as error:
            said = f"{error.message} {error.hint}"
        if len(site.vault.requests) <= first:
            break
        assert "not initialized" not in said
        assert "needs `list`" not in said
        site.vault.strike = FakeVault(site.org.clock).strike
        for _ in range(2):
            site.apply(A, B)
        assert site.org.api.ever_made == 3
        site.check(A, B)
        cases += 1
    record_property("cases", cases)


@pytest.mark.parametrize("wanted", [(A2, B), (B,), (A, B)], ids=["replaced", "removed", "unchanged"])
def test_other_peoples_keys_stay(wanted: tuple[Webhook, ...]) -> None:
    """Keys that somebody else has put into `custom_metadata` survive every change."""
    site = Site()
    site.apply(A, B)
    metadata = site.vault.path("a").custom_metadata
    assert metadata is not None
    metadata["team-tag"] = "theirs"
    site.apply(*wanted)
    assert (site.vault.path("a").custom_metadata or {}).get("team-tag") == "theirs"
    site.check(*wanted)


def test_delete_version_after_stays_and_is_not_a_loss_in_silence() -> None:
    """A version that is going to delete itself is announced before it does."""
    site = Site()
    site.apply(A, B)
    site.vault.path("a").delete_version_after = "86400s"
    site.apply(A2, B)
    assert site.vault.path("a").delete_version_after == "86400s"
    planned = site.org.plan(A2, B)
    words = str(planned.plan.to_json()) + str(site.org.reporter.warnings)
    assert "delete_version_after" in words or "2026-11-02" in words, words


def test_a_token_is_renewed_while_a_run_lasts() -> None:
    """A run that takes longer than its token lives renews it, and nothing is cut off in the middle."""
    site = Site()
    documents = site.org.session.store
    assert isinstance(documents, VaultDocuments)
    site.vault.lease, site.vault.expires_at = 600.0, site.org.clock.now() + timedelta(seconds=600)
    assert documents.seconds_left(7200) is None
    site.org.api.before = lambda _request: site.org.clock.sleep(120)
    many = [webhook(f"w{number}") for number in range(8)]
    assert site.succeed(*many, B).complete
    site.org.api.before = lambda _request: None
    site.check(*many, B)
