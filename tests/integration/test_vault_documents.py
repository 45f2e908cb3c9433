"""Vault's document adapter on a real OpenBao: policies, faults on the way, strange mounts and names."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from reconciler.cli.system import SystemClock
from reconciler.errors import CasConflict, InvalidInput, ReconcilerError, StoreError
from reconciler.ledger.document import Document
from reconciler.ledger.ledger import Ledger
from reconciler.ledger.projection import Projection
from reconciler.model import Run, Secret
from reconciler.ports import VersionState
from reconciler.vault.auth import TokenLogin
from reconciler.vault.documents import VaultDocuments
from reconciler.vault.responses import Denied, NoAnswer
from reconciler.vault.session import VaultSession
from tests.fakes.clock import FakeClock
from tests.fixtures.openbao import create_token, write_policy
from tests.fixtures.proxy import Fate, Proxy, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.openbao import VaultSettings

CANARY = "whsec_canary"
PROJECTION = Projection(1, "acme", "https://api.zof.ai/v1", 1, "active", endpoint_id="we_1")
# A tab, a line end, NUL, DEL, a control, hidden and odd spaces, hidden signs, marks of order, private, none.
ODD_CHARACTERS = tuple(
    "\t\n\0\x7f\x80\xa0\xad\u1680\u2003\u200b\u200d\u2028\u202e\u2066\u3000\ufeff\ue000\uffff"
)
UNSUPPORTED = Reply(404, '{"errors":["1 error occurred:\\n\\t* unsupported path\\n\\n"]}')
NO_OPERATION = Reply(405, '{"errors":["unsupported operation"]}')
MISSING = Reply(404, '{"errors":[]}')
UPGRADE = (
    "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period."
)
NOT_EXECUTED = {
    "429": Reply(429, '{"errors":["request path: rate limit quota exceeded"]}'),
    "429 of a proxy": Reply(429, "<html>slow down</html>"),
    "412": Reply(412, '{"errors":["required index state not present"]}'),
    "503": Reply(503, '{"errors":["Vault is in standby"]}'),
    "an upgrade": Reply(400, json.dumps({"errors": [UPGRADE]})),
}


def document(nonce: str = "nonce") -> Document:
    return Document(Ledger("acme", "https://api.zof.ai/v1", nonce), signing_secret=Secret(CANARY))


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that waits for nothing."""
    return FakeClock()


@pytest.fixture
def proxy(vault_settings: VaultSettings) -> Iterator[Proxy]:
    """Give a proxy before the real server."""
    with Proxy(vault_settings.address) as running:
        yield running


@pytest.fixture
def connect(vault_settings: VaultSettings, clock: FakeClock) -> Iterator[Callable[..., VaultDocuments]]:
    """Give a function that opens the documents: with another address, token or mount where asked."""
    sessions: list[VaultSession] = []

    def open_documents(
        address: str = vault_settings.address,
        token: Secret = vault_settings.token,
        mount: str = vault_settings.mount,
    ) -> VaultDocuments:
        sessions.append(VaultSession(address, login=TokenLogin(token), clock=clock))
        return VaultDocuments(sessions[-1], mount=mount, prefix=vault_settings.prefix, clock=clock)

    yield open_documents
    for session in sessions:
        session.close()


@pytest.fixture
def documents(connect: Callable[..., VaultDocuments]) -> VaultDocuments:
    """Give the documents as root sees them."""
    return connect()


@pytest.fixture
def behind_proxy(connect: Callable[..., VaultDocuments], proxy: Proxy) -> VaultDocuments:
    """Give the documents through the proxy."""
    return connect(proxy.address)


def is_write(request: Request) -> bool:
    """Whether this is the write of a document's version."""
    return request.method == "POST" and "/data/" in request.path


def writes(proxy: Proxy) -> list[Request]:
    """Return the writes of versions that came."""
    return [request for request in proxy.requests if is_write(request)]


def befall(proxy: Proxy, fate: Fate | Reply, *, times: int = 1) -> None:
    """Let `fate` befall the next `times` writes of a version."""
    left = [times]

    def script(request: Request) -> Fate | Reply:
        if not is_write(request) or not left[0]:
            return Fate.FORWARD
        left[0] -= 1
        return fate

    proxy.script = script


def metadata_settings(openbao: OpenBaoServer, settings: VaultSettings, name: str) -> dict[str, Any]:
    """Return a path's metadata as root sees it."""
    data: dict[str, Any] = openbao.request("GET", f"{settings.mount}/metadata/{settings.prefix}/{name}")[
        "data"
    ]
    return data


class TestListing:
    """The one call, and the many where it is not to be had."""

    @pytest.fixture(autouse=True)
    def stored(self, documents: VaultDocuments) -> None:
        """Store two documents, one of them with a projection, a folder and a lock."""
        documents.write("a", document("a"), cas=0)
        documents.write_projection("a", PROJECTION)
        documents.write("b", document("b"), cas=0)
        documents.write_lock({"holder": "ada"}, cas=0)

    def test_openbao_needs_one_request(
        self, behind_proxy: VaultDocuments, proxy: Proxy, vault_settings: VaultSettings
    ) -> None:
        """All metadata comes in one request, and no secret is read."""
        listed = behind_proxy.list_metadata()
        assert [(m.name, m.version, m.projection) for m in listed.values()] == [
            ("a", 1, PROJECTION),
            ("b", 1, None),
        ]
        path = f"/v1/{vault_settings.mount}/detailed-metadata/{vault_settings.prefix}?list=true"
        assert [(r.method, r.path) for r in proxy.requests] == [("GET", path)]

    @pytest.mark.parametrize("refusal", [UNSUPPORTED, NO_OPERATION, Reply(200, '{"data":{"keys":[]}}')])
    def test_another_vault_is_listed_name_by_name(
        self,
        documents: VaultDocuments,
        behind_proxy: VaultDocuments,
        proxy: Proxy,
        refusal: Reply,
    ) -> None:
        """Where the detailed listing is unknown, the result is the same, and no secret is read."""
        proxy.script = lambda r: refusal if "detailed-metadata" in r.path else Fate.FORWARD
        assert behind_proxy.list_metadata() == documents.list_metadata()
        assert not [r.path for r in proxy.requests if "/data/" in r.path]
        # The detailed listing, the plain one, and the metadata of each name and of the lock.
        assert [r.method for r in proxy.requests if "/v1/sys/" not in r.path] == ["GET"] * 5

    @pytest.mark.parametrize("status", [403, 404, 405, 501])
    def test_a_proxys_refusal_is_not_vaults(
        self, behind_proxy: VaultDocuments, proxy: Proxy, status: int
    ) -> None:
        """A proxy's error page does not mean "no permission", "no documents" or "not initialized"."""
        proxy.script = lambda _request: Reply(status, "<html>not allowed here</html>")
        with pytest.raises(NoAnswer, match=f"a proxy or another server answered HTTP {status}"):
            behind_proxy.list_metadata()
        assert proxy.sent("GET") == 1

    def test_a_name_that_goes_meanwhile_is_left_out(self, behind_proxy: VaultDocuments, proxy: Proxy) -> None:
        """A document that is removed between the listing and its metadata read does not count."""

        def script(request: Request) -> Fate | Reply:
            if "detailed-metadata" in request.path:
                return UNSUPPORTED
            return MISSING if request.path.endswith("/a") else Fate.FORWARD

        proxy.script = script
        assert list(behind_proxy.list_metadata()) == ["b"]

    def test_folders_are_left_out(
        self, openbao: OpenBaoServer, vault_settings: VaultSettings, documents: VaultDocuments
    ) -> None:
        """What lies deeper is not ours, in either way of listing."""
        path = f"{vault_settings.mount}/data/{vault_settings.prefix}/folder/x"
        openbao.request("POST", path, {"data": {"x": "y"}})
        assert list(documents.list_metadata()) == ["a", "b"]

    @pytest.mark.parametrize("detailed", [True, False])
    def test_a_plan_only_token_lists_and_reads_no_secret(
        self,
        openbao: OpenBaoServer,
        vault_settings: VaultSettings,
        documents: VaultDocuments,
        connect: Callable[..., VaultDocuments],
        proxy: Proxy,
        detailed: bool,
    ) -> None:
        """`list` and `read` on metadata suffice for a plan; a secret, and every write, is refused."""
        mount, prefix = vault_settings.mount, vault_settings.prefix
        rules = f"""
            path "{mount}/metadata/{prefix}/*" {{ capabilities = ["list", "read"] }}
            path "{mount}/metadata/{prefix}" {{ capabilities = ["list"] }}
        """
        if detailed:
            rules += f'path "{mount}/detailed-metadata/{prefix}/*" {{ capabilities = ["list"] }}'
        write_policy(openbao, f"plan-{prefix}-{detailed}".replace("/", "-"), rules)
        token = create_token(openbao, f"plan-{prefix}-{detailed}".replace("/", "-"))
        planner = connect(proxy.address, token)
        documents.write_lock({"holder": "ada"}, cas=0)
        documents.note_lock({"holder": "ada"})
        assert planner.list_metadata() == documents.list_metadata()
        seen = planner.seen_lock()
        assert seen is not None
        assert seen.note == {"holder": "ada"}
        # Without the policy for the detailed listing: refused, then a listing and three metadata reads.
        assert sum("list=true" in r.path for r in proxy.requests) == (1 if detailed else 2)
        with pytest.raises(Denied, match=f"permission denied on {mount}/data/{prefix}/a") as refused:
            planner.read("a")
        assert refused.value.hint == f"the token's policy needs `read` on `{mount}/data/{prefix}/a`"
        with pytest.raises(Denied):
            planner.write("a", document(), cas=1)
        with pytest.raises(Denied):
            planner.write_projection("a", PROJECTION)

    @pytest.mark.parametrize(
        "body",
        [
            '{"data":{"key_info":{"a":{}}}}',
            '{"data":{"key_info":{"a":[]}}}',
            '{"data":{"key_info":{"a":{"current_version":true}}}}',
            '{"data":{"key_info":{"a":{"current_version":-1}}}}',
            '{"data":{"key_info":{"a":{"current_version":2,"versions":{"1":{}}}}}}',
            '{"data":{"key_info":{"a":{"current_version":1,"versions":{"1":{"deletion_time":"soon"}}}}}}',
        ],
    )
    def test_nonsense_is_refused(self, behind_proxy: VaultDocuments, proxy: Proxy, body: str) -> None:
        """Metadata of another shape is one clear sentence."""
        proxy.script = lambda _request: Reply(200, body)
        with pytest.raises(StoreError, match="is not from Vault"):
            behind_proxy.list_metadata()

    @pytest.mark.parametrize("body", ['{"data":{"keys":"a"}}', '{"data":{"keys":[1]}}', '{"data":{}}'])
    def test_a_nonsense_listing_is_refused(
        self, behind_proxy: VaultDocuments, proxy: Proxy, body: str
    ) -> None:
        """A listing of names that is none is refused."""

        def script(request: Request) -> Fate | Reply:
            if "/v1/sys/" in request.path:
                return Fate.FORWARD
            return UNSUPPORTED if "detailed-metadata" in request.path else Reply(200, body)

        proxy.script = script
        with pytest.raises(StoreError, match="is not from Vault"):
            behind_proxy.list_metadata()

    def test_a_deletion_that_is_to_come_is_none(
        self, openbao: OpenBaoServer, vault_settings: VaultSettings, documents: VaultDocuments
    ) -> None:
        """With `delete_version_after` set, a version is live until then."""
        path = f"{vault_settings.mount}/metadata/{vault_settings.prefix}/later"
        openbao.request("POST", path, {"delete_version_after": "1h"})
        documents.write("later", document(), cas=0)
        assert documents.list_metadata()["later"].state is VersionState.LIVE
        assert documents.read("later").state is VersionState.LIVE


class TestMetadata:
    """Writing the projection."""

    def test_other_settings_of_the_path_are_kept(
        self, openbao: OpenBaoServer, vault_settings: VaultSettings, documents: VaultDocuments
    ) -> None:
        """The projection comes with `cas_required` and resets neither expiry nor the number of versions."""
        documents.write("ci", document(), cas=0)
        path = f"{vault_settings.mount}/metadata/{vault_settings.prefix}/ci"
        openbao.request("POST", path, {"delete_version_after": "768h", "max_versions": 5})
        documents.write_projection("ci", PROJECTION)
        settings = metadata_settings(openbao, vault_settings, "ci")
        assert (settings["delete_version_after"], settings["max_versions"]) == ("768h0m0s", 5)
        assert settings["cas_required"] is True
        assert settings["custom_metadata"] == PROJECTION.to_metadata()

    @pytest.mark.parametrize("detailed", [True, False])
    def test_keeping_the_keys_of_others_costs_no_request(
        self,
        behind_proxy: VaultDocuments,
        proxy: Proxy,
        openbao: OpenBaoServer,
        vault_settings: VaultSettings,
        documents: VaultDocuments,
        detailed: bool,
    ) -> None:
        """What the listing and the read before a change show is enough, also for a path without versions."""
        documents.write("old", document(), cas=0)
        for name in ("old", "new"):
            path = f"{vault_settings.mount}/metadata/{vault_settings.prefix}/{name}"
            openbao.request("POST", path, {"custom_metadata": {"team": "payments"}})
        if not detailed:
            proxy.script = lambda r: UNSUPPORTED if "detailed-metadata" in r.path else Fate.FORWARD
        behind_proxy.list_metadata()
        for name in ("old", "new", "newest"):
            behind_proxy.read(name)
            before = len(proxy.requests)
            behind_proxy.write_projection(name, PROJECTION)
            assert len(proxy.requests) == before + 1
        for name in ("old", "new"):
            custom = metadata_settings(openbao, vault_settings, name)["custom_metadata"]
            assert custom == {"team": "payments", **PROJECTION.to_metadata()}

    def test_a_new_path_requires_check_and_set_from_the_start(
        self,
        openbao: OpenBaoServer,
        vault_settings: VaultSettings,
        behind_proxy: VaultDocuments,
        proxy: Proxy,
    ) -> None:
        """A first version lies where nobody can write over it unawares; later ones cost no request more."""
        behind_proxy.write("ci", document("a"), cas=0)
        assert metadata_settings(openbao, vault_settings, "ci")["cas_required"] is True
        path = f"{vault_settings.mount}/data/{vault_settings.prefix}/ci"
        with pytest.raises(ReconcilerError, match="400"):
            openbao.request("POST", path, {"data": {"by": "hand"}})
        before = proxy.sent("POST")
        behind_proxy.write("ci", document("b"), cas=1)
        assert proxy.sent("POST") == before + 1

    def test_cut_off_before_the_first_version(
        self, behind_proxy: VaultDocuments, proxy: Proxy, documents: VaultDocuments
    ) -> None:
        """A path that was made ready and got no version is absent everywhere, and free."""
        befall(proxy, Fate.DROP, times=99)
        with pytest.raises(NoAnswer):
            behind_proxy.write("ci", document(), cas=0)
        listed, stored = documents.list_metadata()["ci"], documents.read("ci")
        assert (listed.version, listed.state, listed.projection) == (0, VersionState.ABSENT, None)
        assert (stored.version, stored.state) == (0, VersionState.ABSENT)
        proxy.script = lambda r: UNSUPPORTED if "detailed-metadata" in r.path else Fate.FORWARD
        assert behind_proxy.list_metadata() == documents.list_metadata()
        documents.destroy_before("ci", 1)
        assert documents.write("ci", document(), cas=0) == 1

    @pytest.mark.parametrize("fate", [Fate.DROP, Fate.LOSE, Reply(503)])
    def test_making_ready_is_repeated(
        self, behind_proxy: VaultDocuments, proxy: Proxy, fate: Fate | Reply
    ) -> None:
        """Requiring check-and-set twice is the same as once, so a lost answer is no failure."""
        proxy.once("POST", fate, times=2)
        assert behind_proxy.write("ci", document(), cas=0) == 1
        assert (proxy.sent("POST"), len(writes(proxy))) == (4, 1)

    def test_a_token_that_may_not_make_ready_writes_nothing(
        self,
        openbao: OpenBaoServer,
        vault_settings: VaultSettings,
        documents: VaultDocuments,
        connect: Callable[..., VaultDocuments],
    ) -> None:
        """Where the policy does not allow metadata, it is named before anything is written."""
        mount, prefix = vault_settings.mount, vault_settings.prefix
        policy = f"data-{prefix}".replace("/", "-")
        rules = f'path "{mount}/data/{prefix}/*" {{ capabilities = ["create", "read", "update"] }}'
        write_policy(openbao, policy, rules)
        with pytest.raises(Denied) as refused:
            connect(token=create_token(openbao, policy)).write("ci", document(), cas=0)
        assert refused.value.hint == f"the token's policy needs `create` on `{mount}/metadata/{prefix}/ci`"
        assert documents.list_metadata() == {}

    def test_every_printable_text_is_taken(
        self, documents: VaultDocuments, openbao: OpenBaoServer, vault_settings: VaultSettings
    ) -> None:
        """Whatever printable characters an owner, a path or an actor has, the metadata is written."""
        printable = [c for c in map(chr, range(1, sys.maxunicode, 7)) if c.isprintable()]
        values = ["".join(printable[i : i + 100]) for i in range(0, len(printable), 100)]
        documents.write("ci", document(), cas=0)
        for owner, manifest, *run in zip(*[iter(values)] * 5, strict=False):
            written = replace(PROJECTION, owner=owner, manifest=manifest, run=Run(*run))
            documents.write_projection("ci", written)
            custom = metadata_settings(openbao, vault_settings, "ci")["custom_metadata"]
            assert custom["endpoint_id"] == "we_1"
            # What is printable to us is so to this server, or left out.
            assert custom.items() <= written.to_metadata().items()

    @pytest.mark.parametrize("odd", ODD_CHARACTERS)
    def test_what_the_server_refuses_is_left_out(
        self, documents: VaultDocuments, openbao: OpenBaoServer, vault_settings: VaultSettings, odd: str
    ) -> None:
        """A value that the server would refuse, and all metadata with it, is not sent."""
        documents.write("ci", document(), cas=0)
        path = f"{vault_settings.mount}/metadata/{vault_settings.prefix}/ci"
        with pytest.raises(ReconcilerError, match="400"):
            openbao.request("POST", path, {"custom_metadata": {"owner": f"a{odd}b"}})
        run = Run(f"a{odd}b", odd, odd)
        documents.write_projection("ci", replace(PROJECTION, owner=f"a{odd}b", manifest=odd, run=run))
        assert documents.read("ci").projection == PROJECTION

    def test_a_server_that_knows_fewer_characters(
        self, behind_proxy: VaultDocuments, proxy: Proxy, documents: VaultDocuments
    ) -> None:
        """Where the server refuses values, those in ASCII are written all the same."""
        documents.write("ci", document(), cas=0)
        # "Équipe", as JSON writes it.
        proxy.script = lambda r: Reply(400, '{"errors":["no"]}') if b"quipe" in r.body else Fate.FORWARD
        behind_proxy.write_projection("ci", replace(PROJECTION, owner="\u00c9quipe", manifest="a.yaml"))
        assert documents.read("ci").projection == replace(PROJECTION, manifest="a.yaml")
        proxy.script = lambda r: Reply(400, '{"errors":["no"]}') if r.method == "POST" else Fate.FORWARD
        before = proxy.sent("POST")
        with pytest.raises(StoreError, match="HTTP 400"):
            behind_proxy.write_projection("ci", PROJECTION)
        assert proxy.sent("POST") == before + 1


class TestLostAnswers:
    """A write whose answer never comes is settled by reading back."""

    def test_a_write_that_was_carried_out_counts(self, behind_proxy: VaultDocuments, proxy: Proxy) -> None:
        """The version is found by its nonce; nothing is written twice."""
        befall(proxy, Fate.LOSE)
        assert behind_proxy.write("ci", document(), cas=0) == 1
        assert len(writes(proxy)) == 1

    @pytest.mark.parametrize("fate", [Fate.DROP, Reply(500), Reply(429), Reply(200, "<html>")])
    def test_a_write_that_was_not_carried_out_is_repeated(
        self, behind_proxy: VaultDocuments, proxy: Proxy, fate: Fate | Reply
    ) -> None:
        """When the version is still the expected one, the same write is sent again."""
        befall(proxy, fate, times=2)
        assert behind_proxy.write("ci", document(), cas=0) == 1
        assert len(writes(proxy)) == 3

    def test_repeating_ends(self, behind_proxy: VaultDocuments, proxy: Proxy) -> None:
        """After three tries the failure is told, and nothing was written."""
        befall(proxy, Fate.DROP, times=99)
        with pytest.raises(NoAnswer, match="not reachable"):
            behind_proxy.write("ci", document(), cas=0)
        assert len(writes(proxy)) == 3
        assert behind_proxy.read("ci").state is VersionState.ABSENT

    def test_another_writer_in_between_is_a_conflict(
        self, behind_proxy: VaultDocuments, proxy: Proxy, documents: VaultDocuments
    ) -> None:
        """A lost answer does not hide that somebody else wrote."""

        def script(request: Request) -> Fate:
            if not is_write(request):
                return Fate.FORWARD
            documents.write("ci", document("theirs"), cas=0)
            return Fate.DROP

        proxy.script = script
        with pytest.raises(CasConflict, match="version 1 instead of 0"):
            behind_proxy.write("ci", document("ours"), cas=0)

    def test_a_late_duplicate_is_recognised(self, behind_proxy: VaultDocuments, proxy: Proxy) -> None:
        """A write that arrives twice, as by a proxy that retries, makes one version."""
        befall(proxy, Fate.LOSE)
        assert behind_proxy.write("ci", document("x"), cas=0) == 1
        assert behind_proxy.write("ci", document("x"), cas=0) == 1

    def test_a_conflict_that_reading_back_denies_stays_one(
        self, behind_proxy: VaultDocuments, proxy: Proxy
    ) -> None:
        """A check-and-set miss is never repeated, even when the version looks right."""
        miss = Reply(400, '{"errors":["check-and-set parameter did not match the current version"]}')
        befall(proxy, miss, times=99)
        with pytest.raises(CasConflict):
            behind_proxy.write("ci", document(), cas=0)
        assert len(writes(proxy)) == 1

    def test_a_malformed_request_is_no_conflict(self, behind_proxy: VaultDocuments, proxy: Proxy) -> None:
        """The other kind of HTTP 400 is told as a refusal, at once, without quoting what was sent."""
        befall(proxy, Reply(400, json.dumps({"errors": [f"bad value {CANARY}"]})))
        with pytest.raises(StoreError, match="HTTP 400") as refused:
            behind_proxy.write("ci", document(), cas=0)
        assert not isinstance(refused.value, CasConflict)
        assert CANARY not in refused.value.message
        assert len(writes(proxy)) == 1

    def test_a_lock_is_settled_too(self, behind_proxy: VaultDocuments, proxy: Proxy) -> None:
        """Taking and freeing the lock survive a lost answer."""
        befall(proxy, Fate.LOSE)
        assert behind_proxy.write_lock({"id": "1"}, cas=0) == 1
        befall(proxy, Fate.LOSE)
        assert behind_proxy.write_lock(None, cas=1) == 2

    @pytest.mark.parametrize("version", [0, 7])
    def test_another_version_than_the_next_is_nonsense(
        self, behind_proxy: VaultDocuments, proxy: Proxy, version: int
    ) -> None:
        """An answer with a version that the write cannot have made does not count as a write."""
        befall(proxy, Reply(200, json.dumps({"data": {"version": version}})), times=99)
        with pytest.raises(StoreError, match="is not from Vault"):
            behind_proxy.write("ci", document(), cas=0)

    def test_reads_are_repeated(
        self, behind_proxy: VaultDocuments, proxy: Proxy, documents: VaultDocuments, clock: FakeClock
    ) -> None:
        """A read survives a few failures of the way, with pauses."""
        documents.write("ci", document(), cas=0)
        before = clock.monotonic()
        proxy.once("GET", Fate.DROP, times=3)
        assert behind_proxy.read("ci").document == document()
        assert clock.monotonic() - before == 0.25 + 0.5 + 1.0

    @pytest.mark.parametrize("reply", NOT_EXECUTED.values(), ids=NOT_EXECUTED)
    @pytest.mark.parametrize("operation", ["write", "projection", "soft_delete", "undelete", "destroy"])
    def test_what_vault_did_not_execute_is_repeated(
        self,
        behind_proxy: VaultDocuments,
        proxy: Proxy,
        documents: VaultDocuments,
        operation: str,
        reply: Reply,
    ) -> None:
        """Every kind of write is sent again until Vault executes it."""
        documents.write("ci", document("a"), cas=0)
        documents.write("ci", document("b"), cas=1)
        behind_proxy.read("ci")
        proxy.once("POST", reply, times=6)
        before = proxy.sent("POST")
        operations: dict[str, Callable[[], object]] = {
            "write": lambda: behind_proxy.write("ci", document("c"), cas=2),
            "projection": lambda: behind_proxy.write_projection("ci", PROJECTION),
            "soft_delete": lambda: behind_proxy.soft_delete("ci", 2),
            "undelete": lambda: behind_proxy.undelete("ci", 2),
            "destroy": lambda: behind_proxy.destroy_before("ci", 2),
        }
        operations[operation]()
        assert proxy.sent("POST") == before + 7

    def test_vaults_own_rate_limit_is_waited_for(
        self, openbao: OpenBaoServer, connect: Callable[..., VaultDocuments]
    ) -> None:
        """A real quota of OpenBao: it answers 429 until its interval ends."""
        openbao.enable_kv("limited")
        documents = connect(mount="limited")
        documents.write("ci", document(), cas=0)
        limit = {"path": "limited/", "rate": 1, "interval": "1s"}
        openbao.request("POST", "sys/quotas/rate-limit/limited", limit)
        session = VaultSession(openbao.address, login=TokenLogin(openbao.root_token), clock=SystemClock())
        with session:
            limited = VaultDocuments(session, mount="limited", prefix="x", clock=SystemClock())
            for name in ("a", "b"):
                limited.write(name, document(), cas=0)

    def test_other_changes_are_not_repeated(
        self, behind_proxy: VaultDocuments, proxy: Proxy, documents: VaultDocuments
    ) -> None:
        """A soft-delete without an answer is told, and left to the next run."""
        documents.write("ci", document(), cas=0)
        behind_proxy.read("other")  # the mount is checked
        proxy.once("POST", Fate.DROP)
        with pytest.raises(NoAnswer):
            behind_proxy.soft_delete("ci", 1)
        assert proxy.sent("POST") == 1


class TestNonsense:
    """Answers to a read that Vault does not give."""

    @pytest.mark.parametrize(
        "body",
        [
            "{}",
            '{"data":{"data":null,"metadata":{"version":1}}}',
            '{"data":{"data":{},"metadata":{"version":"1"}}}',
            '{"data":{"data":{},"metadata":{"version":1,"created_time":"now"}}}',
            '{"data":{"data":{},"metadata":[]}}',
        ],
    )
    def test_a_document_of_another_shape_is_refused(
        self, behind_proxy: VaultDocuments, proxy: Proxy, body: str
    ) -> None:
        """A read that makes no sense is one clear sentence, never an absent document."""
        proxy.script = lambda _request: Reply(200, body)
        with pytest.raises(StoreError, match="is not from Vault"):
            behind_proxy.read("ci")

    def test_strange_version_numbers_are_refused(self, behind_proxy: VaultDocuments, proxy: Proxy) -> None:
        """Nothing is destroyed on the word of metadata that makes no sense."""
        proxy.once("GET", Reply(200, '{"data":{"versions":{"one":{}}}}'))
        with pytest.raises(StoreError, match="is not from Vault"):
            behind_proxy.destroy_before("ci", 3)
        assert proxy.sent("POST") == 0

    def test_a_name_that_cannot_be_written_is_refused(
        self, behind_proxy: VaultDocuments, proxy: Proxy
    ) -> None:
        """A listing with half a character in a name makes no sense."""
        proxy.script = lambda _request: Reply(200, '{"data":{"key_info":{"\\ud800":{"current_version":0}}}}')
        with pytest.raises(StoreError, match="is not from Vault"):
            behind_proxy.list_metadata()

    def test_a_foreign_lock_is_read_as_far_as_it_goes(
        self, openbao: OpenBaoServer, vault_settings: VaultSettings, documents: VaultDocuments
    ) -> None:
        """Fields of the lock that are no texts are ignored."""
        path = f"{vault_settings.mount}/data/{vault_settings.prefix}/_lock"
        openbao.request("POST", path, {"data": {"holder": "ada", "pid": 7, "more": {"a": 1}}})
        assert documents.read_lock() == (1, {"holder": "ada"})

    def test_age_is_told_by_vaults_clock(
        self, behind_proxy: VaultDocuments, proxy: Proxy, documents: VaultDocuments
    ) -> None:
        """The age is the answer's own date less the version's time; our clock does not count."""
        version = {"version": 1, "created_time": "2020-01-01T00:00:00.123456789Z"}
        body = {"data": {"data": document().to_fields(), "metadata": version}}
        date = {"Date": "Wed, 01 Jan 2020 01:00:00 GMT"}
        proxy.once("GET", Reply(200, json.dumps(body), date))
        assert behind_proxy.read("ci").age == pytest.approx(3600, abs=1)


class TestMounts:
    """Mounts that will not do."""

    @pytest.fixture(params=["list", "read", "write", "lock", "projection"])
    def use(self, request: pytest.FixtureRequest) -> Callable[[VaultDocuments], object]:
        """Give each way of using the documents."""
        ways: dict[str, Callable[[VaultDocuments], object]] = {
            "list": lambda documents: documents.list_metadata(),
            "read": lambda documents: documents.read("ci"),
            "write": lambda documents: documents.write("ci", document(), cas=0),
            "lock": lambda documents: documents.read_lock(),
            "projection": lambda documents: documents.write_projection("ci", PROJECTION),
        }
        return ways[request.param]

    def test_version_1_is_refused(
        self,
        openbao: OpenBaoServer,
        vault_settings: VaultSettings,
        connect: Callable[..., VaultDocuments],
        use: Callable[[VaultDocuments], object],
    ) -> None:
        """A version 1 mount, on which everything would look absent, is named, and nothing is written."""
        mount = f"old-{vault_settings.prefix[-12:]}"
        openbao.enable_kv(mount, version=1)
        with pytest.raises(StoreError, match=f"mount '{mount}' is version 1, which has no check-and-set"):
            use(connect(mount=mount))
        with pytest.raises(ReconcilerError, match="404"):
            openbao.request("LIST", f"{mount}/")

    def test_a_missing_mount_is_refused(
        self, connect: Callable[..., VaultDocuments], use: Callable[[VaultDocuments], object]
    ) -> None:
        """A mount that does not exist is named."""
        with pytest.raises(StoreError, match="there is no secrets engine"):
            use(connect(mount="nowhere"))

    @pytest.mark.parametrize("kind", [["kv"], {"kv": 2}, 2, None])
    def test_a_mount_of_no_kind_is_refused(
        self, behind_proxy: VaultDocuments, proxy: Proxy, kind: object
    ) -> None:
        """A kind of engine that is no text is not a KV secrets engine."""
        proxy.script = lambda _request: Reply(200, json.dumps({"data": {"type": kind}}))
        with pytest.raises(StoreError, match="not a KV secrets engine"):
            behind_proxy.write("ci", document(), cas=0)

    def test_another_engine_is_refused(
        self, connect: Callable[..., VaultDocuments], use: Callable[[VaultDocuments], object]
    ) -> None:
        """A mount of another kind is named."""
        with pytest.raises(StoreError, match="mount 'cubbyhole' is not a KV secrets engine"):
            use(connect(mount="cubbyhole"))

    def test_a_mount_may_have_several_parts(
        self, openbao: OpenBaoServer, connect: Callable[..., VaultDocuments]
    ) -> None:
        """A mount like `team/kv` works like any other."""
        openbao.enable_kv("team/kv")
        documents = connect(mount="/team/kv/")
        assert documents.list_metadata() == {}
        assert documents.write("ci", document(), cas=0) == 1
        assert list(documents.list_metadata()) == ["ci"]


class TestNames:
    """Names that could lead elsewhere."""

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../other", "a\nb", "a\x7f", "\ud800"])
    def test_a_name_cannot_leave_the_prefix(self, documents: VaultDocuments, name: str) -> None:
        """A name that would address another path is refused before anything is sent."""
        with pytest.raises(StoreError, match="cannot be the name of a document"):
            documents.read(name)

    @pytest.mark.parametrize("name", ["a b", "a?b", "a#b", "a%2Fb", "ünïcode", "a+b&c=d", "..a", "a{b}"])
    def test_strange_names_are_quoted(self, documents: VaultDocuments, name: str) -> None:
        """A name with characters that mean something in a URL is still one name."""
        documents.write(name, document(), cas=0)
        assert list(documents.list_metadata()) == [name]
        assert documents.read(name).document == document()

    @pytest.mark.parametrize("path", ["", "/", "a//b", "a/../b", "./a", "a\nb"])
    def test_a_strange_prefix_or_mount_is_refused(self, vault_settings: VaultSettings, path: str) -> None:
        """A prefix or a mount that is no plain path is an invalid configuration."""
        clock = FakeClock()
        with VaultSession(vault_settings.address, login=TokenLogin(Secret("t")), clock=clock) as session:
            with pytest.raises(InvalidInput, match="the Vault prefix"):
                VaultDocuments(session, mount="secret", prefix=path, clock=clock)
            with pytest.raises(InvalidInput, match="the Vault mount"):
                VaultDocuments(session, mount=path, prefix="webhooks", clock=clock)


def test_ten_thousand_names_in_one_listing(behind_proxy: VaultDocuments, proxy: Proxy) -> None:
    """A detailed listing of megabytes is read as a whole."""
    moment = "2026-11-02T12:00:00.123456789Z"
    entry = {
        "current_version": 3,
        "custom_metadata": PROJECTION.to_metadata(),
        "versions": {
            str(n): {"created_time": moment, "deletion_time": "", "destroyed": False} for n in (1, 2, 3)
        },
    }
    names = {f"webhook-{n:05}": entry for n in range(10_000)}
    body = json.dumps({"data": {"keys": list(names), "key_info": names}})
    proxy.script = lambda _request: Reply(200, body)
    assert set(behind_proxy.list_metadata()) == set(names)
