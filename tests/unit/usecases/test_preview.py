"""Previews may ask the API while Vault takes its time, and still say what the one after the other would."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from reconciler.errors import ApiError, ForeignDocument, StoreError
from reconciler.ledger.ledger import CLOCK_TOLERANCE
from reconciler.model import Organization
from reconciler.usecases.preview import preview
from tests.fakes.api import FakeApi
from tests.fakes.world import Org, webhook
from tests.fixtures.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.model import Endpoint, OddEntry, Webhook
    from reconciler.usecases.plan import Planned

A, B = webhook("a"), webhook("b")


class _Overtaken(FakeApi):
    """An API on which something happens between its listing's last page and Vault's answer."""

    meanwhile: Callable[[], object] | None = None

    def list_pages(self) -> Iterator[Sequence[Endpoint | OddEntry]]:
        yield from super().list_pages()
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            act()


def _overtaken(org: Org, act: Callable[[], object]) -> None:
    """Let `act` happen after the listing and before Vault is read."""
    answered = threading.Event()

    def wait(operation: str, _name: str) -> None:
        if operation == "list_metadata" and threading.current_thread().name == "metadata":
            assert answered.wait(PATIENCE)

    def go_on() -> None:
        act()
        answered.set()

    api = _Overtaken(org.clock)
    vars(api).update(vars(org.api))
    api.meanwhile = go_on
    org.store.before = wait
    org.api = api
    org.session = replace(org.session, api=api)


def _preview(org: Org, *desired: Webhook) -> Planned:
    return preview(org.wanting(desired))


def test_another_runs_work_is_no_drift() -> None:
    """An endpoint that another run made after the listing is no endpoint that is gone."""
    org = Org()
    org.apply(A)
    org.clock.sleep(CLOCK_TOLERANCE.total_seconds() * 2)
    _overtaken(org, lambda: org.rival().apply(A, B))
    planned = _preview(org, A, B)
    assert planned.plan.changes == ()
    assert planned.plan.unmanaged == ()


@pytest.mark.parametrize("slow", [False, True], ids=["Vault at once", "Vault later"])
def test_what_was_deleted_is_drift_with_one_listing(slow: bool) -> None:
    """The API is asked once, be it just after an apply, or long after it where Vault takes its time."""
    org = Org()
    org.apply(A, B)
    org.api.console_delete(min(org.api.endpoints))
    if slow:
        org.clock.sleep(CLOCK_TOLERANCE.total_seconds() * 2)
        _overtaken(org, lambda: None)
    before = org.api.requests_sent
    planned = _preview(org, A, B)
    assert [(change.name, change.action) for change in planned.plan.changes] == [("a", "replace")]
    assert org.api.requests_sent - before == 1


def test_a_preview_is_the_plan() -> None:
    """Where nothing else happens, the preview is the plan to the last field."""
    org = Org()
    org.apply(A, B)
    org.clock.sleep(1000)
    org.api.console_delete(max(org.api.endpoints))
    changed = webhook("a", events=("run.completed",))
    assert _preview(org, changed, B).plan == org.plan(changed, B).plan


def test_of_two_troubles_vaults_is_told() -> None:
    """Where neither answers, the message is the one that `apply` gives, which asks Vault first."""
    org = Org()

    def no_vault(_operation: str, _name: str) -> None:
        raise StoreError("no answer from Vault")

    def no_api(_request: str) -> None:
        raise ApiError("no answer from the API")

    org.api.before = no_api
    with pytest.raises(ApiError):
        _preview(org, A)
    org.store.before = no_vault
    with pytest.raises(StoreError):
        _preview(org, A)


def test_an_api_at_another_url_is_asked_after_vault() -> None:
    """However long Vault takes: the API gets no key before its URL is found in Vault's record."""
    org = Org()
    org.apply(A)
    elsewhere = replace(org.session, organization=Organization("acme", "https://elsewhere.example.com/v1"))
    before = org.api.requests_sent

    def take_long(_operation: str, _name: str) -> None:
        threading.Event().wait(0.15)

    org.store.before = take_long
    with pytest.raises(ForeignDocument):
        preview(replace(elsewhere, desired=(A,)))
    assert org.api.requests_sent == before
