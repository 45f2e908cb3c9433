"""Which endpoints are exported, under which names; no secret is read for it."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from reconciler.model import DeletionPolicy
from reconciler.usecases.apply import apply
from reconciler.usecases.fleet import export
from reconciler.usecases.plan import plan, rotation
from tests.fakes.world import Org, webhook

A, B, C = webhook("a", labels={"owner": "ada"}), webhook("b"), webhook("c")
RETAINED = replace(B, deletion_policy=DeletionPolicy.RETAIN)


def exported(org: Org) -> list[tuple[str, str, bool]]:
    """Return the name, the URL, and whether it was released, of each export."""
    return [(each.name, each.endpoint.url, each.released) for each in export(org.session)]


def test_owned_released_and_unmanaged_endpoints() -> None:
    """The ledger's name, owner and policy come along; metadata is enough, and nothing is written."""
    org = Org()
    org.apply(A, RETAINED, C)
    org.apply(A, C)
    org.apply(A)
    unmanaged = org.api.console_create("https://hooks.example.com/z", ["run.failed"])
    before, calls = org.store.writes, len(org.store.calls)
    assert exported(org) == [
        ("a", A.url, False),
        ("b", B.url, True),
        ("hooks-example-com-z", unmanaged.url, False),
    ]
    assert org.store.writes == before
    assert {operation for operation, _ in org.store.calls[calls:]} == {"list_metadata"}
    first, second, third = export(org.session)
    assert (first.owner, first.deletion_policy) == ("ada", DeletionPolicy.DELETE)
    assert second.deletion_policy is DeletionPolicy.RETAIN
    assert [each.managed for each in (first, second, third)] == [True, False, False]
    assert export(org.session, unmanaged=True) == [third]


def test_what_only_waits_for_the_end_of_an_overlap_is_left_out() -> None:
    """It goes by itself: a manifest for it would stand beside that of its successor."""
    org = Org()
    a = replace(A, overlap=timedelta(hours=24))
    org.apply(a)
    org.clock.advance(hours=1)
    wanted = rotation([a], ["a"], org.clock.now(), revoke=False)
    apply(plan(org.wanting(wanted)))
    assert len(org.api.endpoints) == 2
    (row,) = export(org.session)
    assert row.endpoint.id == org.store.fields("a")["endpoint_id"]


def test_an_endpoint_that_is_gone_is_not_live() -> None:
    """Only what the API lists is written down."""
    org = Org()
    org.apply(A)
    org.api.console_delete(org.store.fields("a")["endpoint_id"])
    assert exported(org) == []


def test_names_and_twins() -> None:
    """An unmanaged endpoint takes no webhook's name; of two with one URL the second names the first."""
    org = Org()
    org.apply(replace(A, name="hooks-example-com-x"))
    org.api.console_create("https://hooks.example.com/x", ["run.failed"])
    org.api.console_create(A.url, ["run.failed"])
    everything = export(org.session)
    assert [each.name for each in everything][:2] == ["hooks-example-com-a", "hooks-example-com-x"]
    assert everything[2].name.startswith("hooks-example-com-x-")
    assert [each.twin for each in everything] == ["hooks-example-com-x", None, None]
    unmanaged = export(org.session, unmanaged=True)
    assert [each.name for each in unmanaged] == [each.name for each in everything if not each.managed]
    assert [each.twin for each in unmanaged] == ["hooks-example-com-x", None]
