"""What every document store does: one suite for the fake and for Vault's adapter on a real OpenBao."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from msgspec.structs import replace

from reconciler.errors import CasConflict, DocumentUnreadable
from reconciler.ledger.document import Document
from reconciler.ledger.ledger import Abandoned, Current, Ledger, Manifest, Pending, Previous
from reconciler.ledger.projection import Projection
from reconciler.model import DeletionPolicy, Run, Secret, SendingWindow, body_digest
from reconciler.ports import DocumentStore, LockStore, ProbeStore, VersionState
from reconciler.vault.auth import TokenLogin
from reconciler.vault.documents import VaultDocuments
from reconciler.vault.session import VaultSession
from tests.fakes.clock import START, FakeClock
from tests.fakes.store import FakeStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.openbao import VaultSettings

LONG = 600.0
"""Seconds that no two requests of a test are apart."""
URL = "https://hooks.example.com/ci"
EVENTS = ("run.completed", "run.failed")


class Store(DocumentStore, LockStore, ProbeStore, Protocol):
    """Both ports: they lie at one place."""


class Bench(Protocol):
    """A store under test, and what somebody else may do to it."""

    store: Store

    def put(self, name: str, fields: dict[str, Any]) -> None:
        """Write fields by hand."""
        ...

    def put_metadata(self, name: str, values: dict[str, str]) -> None:
        """Set `custom_metadata` by hand."""
        ...

    def metadata(self, name: str) -> dict[str, str] | None:
        """Return `custom_metadata`."""
        ...

    def fields(self, name: str) -> dict[str, Any]:
        """Return what a consumer reads."""
        ...

    def states(self, name: str) -> dict[int, VersionState]:
        """Return what is left of each version."""
        ...


class VaultBench:
    """Vault's adapter, and root's view of the same documents."""

    def __init__(self, server: OpenBaoServer, settings: VaultSettings, session: VaultSession) -> None:
        self.store: Store = VaultDocuments(
            session, mount=settings.mount, prefix=settings.prefix, clock=FakeClock()
        )
        self._server = server
        self._settings = settings

    def _path(self, area: str, name: str) -> str:
        return f"{self._settings.mount}/{area}/{self._settings.prefix}/{name}"

    def put(self, name: str, fields: dict[str, Any]) -> None:
        self._server.request("POST", self._path("data", name), {"data": fields})

    def put_metadata(self, name: str, values: dict[str, str]) -> None:
        self._server.request("POST", self._path("metadata", name), {"custom_metadata": values})

    def metadata(self, name: str) -> dict[str, str] | None:
        data = self._server.request("GET", self._path("metadata", name))["data"]
        custom: dict[str, str] | None = data["custom_metadata"]
        return custom

    def fields(self, name: str) -> dict[str, Any]:
        fields: dict[str, Any] = self._server.request("GET", self._path("data", name))["data"]["data"]
        return fields

    def states(self, name: str) -> dict[int, VersionState]:
        versions = self._server.request("GET", self._path("metadata", name))["data"]["versions"]
        return {int(number): _state(version) for number, version in versions.items()}


def _state(version: dict[str, Any]) -> VersionState:
    if version["destroyed"]:
        return VersionState.DESTROYED
    return VersionState.DELETED if version["deletion_time"] else VersionState.LIVE


class FakeBench(FakeStore):
    """The fake is its own bench."""

    @property
    def store(self) -> Store:
        return self


@pytest.fixture(params=["fake", "openbao"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Give an empty store of each kind."""
    if request.param == "fake":
        yield FakeBench(FakeClock())  # type: ignore[misc]  # its `store` can only be read, and only is
        return
    settings: VaultSettings = request.getfixturevalue("vault_settings")
    login = TokenLogin(settings.token)
    with VaultSession(settings.address, login=login, clock=FakeClock()) as session:
        yield VaultBench(request.getfixturevalue("openbao"), settings, session)


@pytest.fixture
def store(bench: Bench) -> Store:
    """Give the store alone."""
    return bench.store


WINDOW = SendingWindow(START, START + timedelta(seconds=1))


def document(nonce: str = "nonce-1") -> Document:
    """Return a document that uses everything that a document can hold."""
    body = Secret(json.dumps({"url": URL, "events": list(EVENTS), "secret": "whsec_pending"}))
    digest = body_digest(URL, EVENTS)
    ledger = Ledger(
        organization="acme",
        api_url="https://api.zof.ai/v1",
        nonce=nonce,
        generation=3,
        pending=Pending(
            4, 1, "key", body, digest, frozenset({"we_1", "we_2"}), START, stuck=True, windows=(WINDOW,)
        ),
        current=Current("we_2", 3, digest, URL, "client", START, START),
        previous=(Previous("we_1", 2, START, START, START + timedelta(days=1)),),
        abandoned=(Abandoned("old", URL, EVENTS, frozenset(), START, START, (WINDOW,)),),
        deletion_policy=DeletionPolicy.PROTECT,
        manifest=Manifest("manifests/ci.yaml"),
        run=Run("ada", "c0ffee", "https://ci.example.com/1"),
    )
    return Document(
        ledger,
        signing_secret=Secret("whsec_one"),
        previous_secrets={"we_1": Secret("whsec_zero")},
        extra={"note": Secret('"kept"')},
    )


def projection(version: int) -> Projection:
    """Return a projection as a change's end writes it."""
    return Projection(
        version=version,
        organization="acme",
        api_url="https://api.zof.ai/v1",
        generation=3,
        state="active",
        endpoint_id="we_2",
        url=URL,
        digest=body_digest(URL, EVENTS),
        previous_ids=("we_1",),
        next_due=START,
        secret_created_at=START,
        verified_at=START,
        run=Run("ada", "c0ffee", None),
    )


class TestDocuments:
    """Reading and writing one document."""

    def test_a_free_path_is_absent(self, store: Store) -> None:
        """A name that nobody has written reads as absent, at version 0."""
        stored = store.read("ci")
        assert (stored.version, stored.state, stored.document) == (0, VersionState.ABSENT, None)

    def test_what_is_written_is_read(self, store: Store) -> None:
        """A document comes back exactly as it was written, young, without a projection."""
        assert store.write("ci", document(), cas=0) == 1
        stored = store.read("ci")
        assert (stored.name, stored.version, stored.state) == ("ci", 1, VersionState.LIVE)
        assert stored.document == document()
        assert stored.projection is None
        assert 0 <= stored.age < 60

    def test_consumers_find_flat_keys(self, store: Store, bench: Bench) -> None:
        """The signing secret and the endpoint's id are keys of their own."""
        store.write("ci", document(), cas=0)
        fields = bench.fields("ci")
        assert fields["signing_secret"] == "whsec_one"
        assert fields["endpoint_id"] == "we_2"
        assert fields["note"] == "kept"

    def test_versions_count_up(self, store: Store) -> None:
        """Each write makes the next version."""
        versions = [store.write("ci", document(f"n{cas}"), cas=cas) for cas in range(3)]
        assert versions == [1, 2, 3]
        assert store.read("ci").document == document("n2")

    @pytest.mark.parametrize("cas", [0, 2, 7])
    def test_a_wrong_version_is_refused(self, store: Store, cas: int) -> None:
        """A check-and-set on any other version than the newest changes nothing."""
        store.write("ci", document("first"), cas=0)
        with pytest.raises(CasConflict):
            store.write("ci", document("second"), cas=cas)
        stored = store.read("ci")
        assert (stored.version, stored.document) == (1, document("first"))

    def test_a_version_of_a_free_path_is_refused(self, store: Store) -> None:
        """A check-and-set on a version of a path without versions is a conflict."""
        with pytest.raises(CasConflict):
            store.write("ci", document(), cas=1)

    def test_the_same_write_twice_is_one(self, store: Store) -> None:
        """A write that is repeated with its nonce, as after a lost answer, makes no second version."""
        assert store.write("ci", document("same"), cas=0) == 1
        assert store.write("ci", document("same"), cas=0) == 1
        assert store.read("ci").version == 1

    def test_an_empty_nonce_proves_nothing(self, store: Store) -> None:
        """Two documents without a nonce are not taken for the same write."""
        store.write("ci", document(""), cas=0)
        with pytest.raises(CasConflict):
            store.write("ci", document(""), cas=0)

    @pytest.mark.parametrize(
        "fields", [{"password": "x"}, {"ledger": "{}"}, {"ledger": "no json"}, {"ledger": {"nonce": "n"}}]
    )
    def test_a_foreign_document_is_unreadable(self, bench: Bench, fields: dict[str, Any]) -> None:
        """A document without a ledger of ours is refused on reading, and writing over it is a conflict."""
        bench.put("ci", fields)
        with pytest.raises(DocumentUnreadable):
            bench.store.read("ci")
        with pytest.raises(CasConflict):
            bench.store.write("ci", document(), cas=0)


class TestDeletion:
    """Soft-deleting, bringing back, destroying."""

    def test_a_deleted_document_can_be_brought_back(self, store: Store) -> None:
        """A soft-deleted version hides its content and keeps its number; undeleted it is as it was."""
        store.write("ci", document(), cas=0)
        store.soft_delete("ci", 1)
        stored = store.read("ci")
        assert (stored.version, stored.state, stored.document) == (1, VersionState.DELETED, None)
        store.undelete("ci", 1)
        assert store.read("ci").document == document()

    def test_a_deleted_document_is_written_over_at_its_version(self, store: Store) -> None:
        """After a soft-delete the check-and-set is on the deleted version, not on 0."""
        store.write("ci", document("a"), cas=0)
        store.soft_delete("ci", 1)
        with pytest.raises(CasConflict):
            store.write("ci", document("b"), cas=0)
        assert store.write("ci", document("b"), cas=1) == 2

    def test_earlier_versions_are_destroyed(self, store: Store, bench: Bench) -> None:
        """Every version before the given one is destroyed, that one and later ones are not."""
        for cas in range(4):
            store.write("ci", document(f"n{cas}"), cas=cas)
        store.soft_delete("ci", 2)
        store.destroy_before("ci", 3)
        store.destroy_before("ci", 3)
        destroyed, live = VersionState.DESTROYED, VersionState.LIVE
        assert bench.states("ci") == {1: destroyed, 2: destroyed, 3: live, 4: live}
        assert store.read("ci").document == document("n3")

    def test_a_destroyed_newest_version_is_told_from_a_deleted_one(self, store: Store) -> None:
        """When the newest version is destroyed, its state says so, and undeleting brings nothing back."""
        store.write("ci", document(), cas=0)
        store.destroy_before("ci", 2)
        assert store.read("ci").state is VersionState.DESTROYED
        assert store.list_metadata()["ci"].state is VersionState.DESTROYED
        store.undelete("ci", 1)
        assert store.read("ci").state is VersionState.DESTROYED

    def test_destroying_nothing_is_no_error(self, store: Store) -> None:
        """A path without versions has none to destroy."""
        store.destroy_before("ci", 3)
        assert store.read("ci").state is VersionState.ABSENT


class TestMetadata:
    """What a plan reads."""

    def test_nothing_stored_is_an_empty_listing(self, store: Store) -> None:
        """An unused prefix lists nothing."""
        assert store.list_metadata() == {}

    def test_a_projection_is_listed_and_read(self, store: Store) -> None:
        """A projection that was written comes back in the listing and beside the document."""
        store.write("ci", document(), cas=0)
        store.write_projection("ci", projection(1))
        listed = store.list_metadata()["ci"]
        assert (listed.name, listed.version, listed.state) == ("ci", 1, VersionState.LIVE)
        assert listed.projection == projection(1)
        assert store.read("ci").projection == projection(1)

    def test_the_newest_version_says_when_it_was_written(self, store: Store) -> None:
        """Each version has its time, a deleted one that of its deletion; metadata changes neither."""
        store.write("ci", document(), cas=0)
        first = store.list_metadata()["ci"].changed_at
        store.write("ci", document(), cas=1)
        second = store.list_metadata()["ci"].changed_at
        assert first is not None
        assert second is not None
        assert second >= first
        assert second.utcoffset() == timedelta(0)
        store.write_projection("ci", projection(2))
        assert store.list_metadata()["ci"].changed_at == second
        store.soft_delete("ci", 2)
        deleted = store.list_metadata()["ci"].changed_at
        assert deleted is not None
        assert deleted >= second

    def test_a_projection_is_replaced_whole(self, store: Store) -> None:
        """A value that the new projection lacks does not survive from the old one."""
        store.write("ci", document(), cas=0)
        store.write_projection("ci", projection(1))
        bare = Projection(1, "acme", "https://api.zof.ai/v1", 3, "empty")
        store.write_projection("ci", bare)
        assert store.list_metadata()["ci"].projection == bare

    @pytest.mark.parametrize("known_by", ["a read", "a listing", "nothing"])
    def test_the_keys_of_others_are_kept(self, bench: Bench, known_by: str) -> None:
        """A projection replaces our own keys only, however little the store has seen before."""
        store = bench.store
        bench.put_metadata("new", {"team": "payments"})
        bench.put("old", {"a": "b"})
        bench.put_metadata("old", {"cost-center": "7", "state": "active", "pull_request": "#1"})
        if known_by == "a listing":
            store.list_metadata()
        for name in ("new", "old") if known_by == "a read" else ():
            with contextlib.suppress(DocumentUnreadable):
                store.read(name)
        for name, others in (("new", {"team": "payments"}), ("old", {"cost-center": "7"})):
            if name == "old" and known_by == "a listing":
                with contextlib.suppress(DocumentUnreadable):
                    store.read(name)
            store.write_projection(name, projection(1))
            assert bench.metadata(name) == {**others, **projection(1).to_metadata()}

    def test_the_keys_of_others_survive_a_removal(self, bench: Bench) -> None:
        """What somebody noted beside a document stays there when its webhook goes."""
        bench.store.write("ci", document(), cas=0)
        bench.put_metadata("ci", {"team": "payments"})
        assert bench.store.read("ci").projection is None
        bench.store.write_projection("ci", replace(projection(1), state="deleted"))
        bench.store.soft_delete("ci", 1)
        assert bench.store.read("ci").is_removed
        assert (bench.metadata("ci") or {})["team"] == "payments"

    def test_a_projection_survives_the_deletion(self, store: Store) -> None:
        """The metadata of a soft-deleted document still tells what it was."""
        gone = replace(projection(1), state="deleted")
        store.write("ci", document(), cas=0)
        store.write_projection("ci", gone)
        store.soft_delete("ci", 1)
        listed = store.list_metadata()["ci"]
        assert (listed.state, listed.version, listed.projection) == (VersionState.DELETED, 1, gone)
        assert store.read("ci").projection == gone

    @pytest.mark.parametrize("values", [{"team": "platform"}, {"v": "x", "organization": "acme"}])
    def test_foreign_metadata_is_no_projection(self, bench: Bench, values: dict[str, str]) -> None:
        """Metadata that is not ours, or damaged, counts as none."""
        bench.store.write("ci", document(), cas=0)
        bench.put_metadata("ci", values)
        assert bench.store.list_metadata()["ci"].projection is None
        assert bench.store.read("ci").projection is None

    @pytest.mark.parametrize("values", [{"team": "platform"}, projection(1).to_metadata()])
    def test_metadata_without_a_version_is_absent(self, bench: Bench, values: dict[str, str]) -> None:
        """A path that has metadata only is absent, whatever it says, and free for a first version."""
        bench.put_metadata("ci", values)
        listed, stored = bench.store.list_metadata()["ci"], bench.store.read("ci")
        assert (listed.version, listed.state, listed.projection) == (0, VersionState.ABSENT, None)
        assert (stored.version, stored.state, stored.projection) == (0, VersionState.ABSENT, None)
        bench.store.destroy_before("ci", 1)
        with pytest.raises(CasConflict):
            bench.store.write("ci", document(), cas=1)
        assert bench.store.list_metadata()["ci"].state is VersionState.ABSENT
        assert bench.store.write("ci", document(), cas=0) == 1
        assert bench.store.list_metadata()["ci"].state is VersionState.LIVE

    def test_the_lock_is_no_document(self, store: Store) -> None:
        """Names that begin with an underscore are not listed."""
        store.write_lock({"holder": "ada"}, cas=0)
        store.write("ci", document(), cas=0)
        assert list(store.list_metadata()) == ["ci"]

    def test_names_are_listed_in_order(self, store: Store) -> None:
        """The listing is sorted by name, whatever the order of writing."""
        for name in ("b", "c", "a"):
            store.write(name, document(name), cas=0)
        assert list(store.list_metadata()) == ["a", "b", "c"]


class TestLock:
    """The lock document."""

    def test_an_unwritten_lock_is_free(self, store: Store) -> None:
        """Where nobody ever held the lock, it is free at version 0."""
        assert store.read_lock() == (0, None)

    def test_a_lock_is_taken_and_freed(self, store: Store) -> None:
        """Fields come back as written; writing none frees the lock and still counts up."""
        assert store.write_lock({"holder": "ada", "pid": "7"}, cas=0) == 1
        assert store.read_lock() == (1, {"holder": "ada", "pid": "7"})
        assert store.write_lock(None, cas=1) == 2
        assert store.read_lock() == (2, None)

    def test_only_one_can_take_it(self, store: Store) -> None:
        """The second of two who saw the lock free gets a conflict."""
        store.write_lock({"holder": "ada"}, cas=0)
        with pytest.raises(CasConflict):
            store.write_lock({"holder": "grace"}, cas=0)
        assert store.read_lock() == (1, {"holder": "ada"})

    def test_whoever_lists_sees_the_lock(self, store: Store) -> None:
        """The last listing has the holder's note and the lock's age; no document has to be read for it."""
        store.list_metadata()
        assert store.seen_lock() is None
        version = store.write_lock({"holder": "ada"}, cas=0)
        store.note_lock({"holder": "ada", "host": "build-1"})
        assert store.seen_lock() is None
        store.list_metadata()
        seen = store.seen_lock()
        assert seen is not None
        assert seen.note == {"holder": "ada", "host": "build-1"}
        assert 0 <= seen.age < LONG
        assert store.read_lock() == (version, {"holder": "ada"})
        store.note_lock({})
        store.list_metadata()
        seen = store.seen_lock()
        assert seen is not None
        assert seen.note == {}


class TestProbe:
    """The record of a probe."""

    def test_a_record_is_written_and_cleared(self, store: Store) -> None:
        """Without one there are no fields; fields come back as written, and writing none clears them."""
        assert store.read_probe() == (0, None)
        assert store.write_probe({"requests": "[]"}, cas=0) == 1
        assert store.read_probe() == (1, {"requests": "[]"})
        with pytest.raises(CasConflict):
            store.write_probe(None, cas=0)
        assert store.write_probe(None, cas=1) == 2
        assert store.read_probe() == (2, None)

    def test_a_record_is_no_document(self, store: Store) -> None:
        """A plan does not see it, and it is not the lock."""
        store.write_probe({"requests": "[]"}, cas=0)
        assert store.list_metadata() == {}
        assert store.read_lock() == (0, None)
