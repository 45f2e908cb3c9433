"""What is exported: every live endpoint under the name of whoever has it, and no secret is read for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace

from reconciler.cli.exporting import _exports, _schema_from
from reconciler.model import DeletionPolicy
from reconciler.usecases.apply import apply
from reconciler.usecases.inventory import export
from reconciler.usecases.plan import plan, rotation
from tests.fakes.world import Org, webhook

A, B, C = webhook("a", labels={"owner": "ada"}), webhook("b"), webhook("c")
RETAINED = replace(B, deletion_policy=DeletionPolicy.RETAIN)


def exported(org: Org) -> list[tuple[str | None, str, bool]]:
    """Return the name, the URL and whether it was released, of each row."""
    return [(row.name, row.endpoint.url, row.released) for row in export(org.session)]


def test_owned_released_and_unmanaged_endpoints() -> None:
    """The ledger's name, owner and policy come along; metadata is enough, and nothing is written."""
    org = Org()
    org.apply(A, RETAINED, C)
    org.apply(A, C)
    org.apply(A)
    stranger = org.api.console_create("https://hooks.example.com/z", ["run.failed"])
    before, calls = org.store.writes, len(org.store.calls)
    assert exported(org) == [("a", A.url, False), ("b", B.url, True), (None, stranger.url, False)]
    assert org.store.writes == before
    assert {operation for operation, _ in org.store.calls[calls:]} == {"list_metadata"}
    first, second, _ = export(org.session)
    assert (first.owner, first.deletion_policy) == ("ada", DeletionPolicy.DELETE)
    assert second.deletion_policy is DeletionPolicy.RETAIN


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
    """A stranger takes nobody's name, and of two at one URL the second says whom it repeats."""
    org = Org()
    org.apply(replace(A, name="hooks-example-com-x"))
    org.api.console_create("https://hooks.example.com/x", ["run.failed"])
    org.api.console_create(A.url, ["run.failed"])
    rows = export(org.session)
    everything = _exports("acme", rows, unmanaged=False)
    assert [each.name for each in everything][:2] == ["hooks-example-com-a", "hooks-example-com-x"]
    assert everything[2].name.startswith("hooks-example-com-x-")
    assert [each.twin for each in everything] == ["hooks-example-com-x", None, None]
    assert _exports("acme", tuple(reversed(rows)), unmanaged=False) == everything
    strangers = _exports("acme", rows, unmanaged=True)
    assert [each.name for each in strangers] == [each.name for each in everything if not each.managed]
    assert [each.twin for each in strangers] == ["hooks-example-com-x", None]


def test_the_schema_is_found_from_the_folder() -> None:
    """The path leads to where `init` puts it, or, elsewhere, to where it would be."""
    assert _schema_from(Path("manifests")) == "../schemas/webhook.schema.json"
    assert _schema_from(Path("manifests/prod")) == "../../schemas/webhook.schema.json"
    assert _schema_from(Path("/elsewhere")) == "../schemas/webhook.schema.json"
    assert _schema_from(Path("../other")) == "../schemas/webhook.schema.json"
