"""Logging in at a real OpenBao, keeping the token, and where the token never goes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import InvalidInput, ReconcilerError, StoreError, TokenRefused
from reconciler.model import Secret
from reconciler.sandbox.openbao import OpenBaoServer
from reconciler.vault.auth import AppRoleLogin, JwtLogin, KubernetesLogin, Login, TokenLogin
from reconciler.vault.checks import TokenDescription, capabilities, describe_token, mount_version
from reconciler.vault.responses import Denied, NoAnswer
from reconciler.vault.session import VaultSession
from tests.fakes.clock import FakeClock
from tests.fixtures.openbao import create_role, create_token, enable_approle, write_policy
from tests.fixtures.patience import PATIENCE
from tests.fixtures.proxy import Fate, Proxy, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.openbao import VaultSettings

CANARY = "s.canary"
LOGIN = '{"auth":{"client_token":"%s"}}'


@pytest.fixture
def connect(vault_settings: VaultSettings) -> Iterator[Callable[..., VaultSession]]:
    """Give a function that opens a session: with another address or login where asked."""
    sessions: list[VaultSession] = []

    def open_session(login: Login | None = None, address: str = vault_settings.address) -> VaultSession:
        login = login or TokenLogin(vault_settings.token)
        sessions.append(VaultSession(address, login=login, clock=FakeClock()))
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.close()


@pytest.fixture
def proxy(vault_settings: VaultSettings) -> Iterator[Proxy]:
    """Give a proxy before the real server."""
    with Proxy(vault_settings.address) as running:
        yield running


@pytest.fixture
def role(openbao: OpenBaoServer, vault_settings: VaultSettings) -> AppRoleLogin:
    """Give the login of a role that may read our prefix."""
    name = vault_settings.prefix.replace("/", "-")
    mount = f"approle-{name}"
    write_policy(openbao, name, f'path "secret/data/{vault_settings.prefix}/*" {{ capabilities = ["read"] }}')
    enable_approle(openbao, mount)
    role_id, secret_id = create_role(openbao, name, name, mount=mount)
    return AppRoleLogin(Secret(role_id), secret_id, mount)


def used_tokens(proxy: Proxy) -> list[str | None]:
    """Return the token of each request that came."""
    return [request.headers.get("X-Vault-Token") for request in proxy.requests]


class TestAppRole:
    """A login of our own."""

    def test_the_token_is_fetched_once_and_revoked_at_the_end(
        self,
        openbao: OpenBaoServer,
        connect: Callable[..., VaultSession],
        proxy: Proxy,
        role: AppRoleLogin,
    ) -> None:
        """Threads share one login; closing the session makes its token worthless."""
        session = connect(role, proxy.address)
        with ThreadPoolExecutor(4) as pool:
            described = list(pool.map(lambda _: describe_token(session), range(8)))
        assert len(set(described)) <= 2  # the ttl may tick over
        assert [r.path for r in proxy.requests].count(f"/v1/auth/{role.mount}/login") == 1
        token = used_tokens(proxy)[-1]
        session.close()
        with pytest.raises(ReconcilerError, match="403"):
            openbao.request("POST", "auth/token/lookup", {"token": token})

    def test_an_expired_token_is_replaced_in_mid_run(
        self,
        openbao: OpenBaoServer,
        connect: Callable[..., VaultSession],
        proxy: Proxy,
        role: AppRoleLogin,
    ) -> None:
        """When Vault no longer knows the token, the session logs in again and repeats the request."""
        session = connect(role, proxy.address)
        describe_token(session)
        first = used_tokens(proxy)[-1]
        openbao.request("POST", "auth/token/revoke", {"token": first})
        describe_token(session)
        assert used_tokens(proxy)[-1] not in {first, None}
        assert [r.path for r in proxy.requests].count(f"/v1/auth/{role.mount}/login") == 2

    def test_threads_that_meet_an_expired_token_log_in_once(
        self,
        openbao: OpenBaoServer,
        connect: Callable[..., VaultSession],
        proxy: Proxy,
        role: AppRoleLogin,
    ) -> None:
        """Several requests that are refused together lead to one new login."""
        session = connect(role, proxy.address)
        describe_token(session)
        openbao.request("POST", "auth/token/revoke", {"token": used_tokens(proxy)[-1]})
        together = threading.Barrier(4)

        def meet(request: Request) -> Fate:
            if request.path.endswith("/ui/mounts/secret"):
                together.wait(PATIENCE)
            return Fate.FORWARD

        def ask(_number: int) -> int | None:
            return mount_version(session, "secret")

        proxy.script = meet
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(ask, range(4))) == [2, 2, 2, 2]
        assert [r.path for r in proxy.requests].count(f"/v1/auth/{role.mount}/login") == 2

    def test_a_denial_by_policy_is_no_reason_to_log_in_again(
        self, connect: Callable[..., VaultSession], proxy: Proxy, role: AppRoleLogin
    ) -> None:
        """A good token that may not do something stays, and the answer says what is missing."""
        session = connect(role, proxy.address)
        with pytest.raises(StoreError, match="no secrets engine at mount 'nowhere'"):
            mount_version(session, "nowhere")
        assert [r.path for r in proxy.requests].count(f"/v1/auth/{role.mount}/login") == 1

    @pytest.mark.parametrize("mount", ["same", "no-such-mount"])
    def test_a_refused_login_says_which(
        self, connect: Callable[..., VaultSession], role: AppRoleLogin, mount: str
    ) -> None:
        """A wrong secret id or a wrong mount is one sentence that names the method."""
        wrong = AppRoleLogin(role.role_id, Secret(CANARY), role.mount if mount == "same" else mount)
        with pytest.raises(StoreError, match="Vault refused the AppRole login at auth/") as refused:
            describe_token(connect(wrong))
        assert CANARY not in repr(wrong) + refused.value.message

    @pytest.mark.parametrize(
        "body", ['{"auth":null,"data":{"a":1}}', LOGIN % "two\\nlines", '{"auth":{"client_token":7}}']
    )
    def test_a_login_without_a_token_is_refused(
        self, connect: Callable[..., VaultSession], proxy: Proxy, role: AppRoleLogin, body: str
    ) -> None:
        """An answer that holds no usable token, as with a second factor, is told."""
        proxy.script = lambda _request: Reply(200, body)
        with pytest.raises(StoreError, match="returned no token"):
            describe_token(connect(role, proxy.address))

    def test_a_token_that_cannot_be_revoked_is_left(
        self, connect: Callable[..., VaultSession], proxy: Proxy, role: AppRoleLogin
    ) -> None:
        """Closing never fails: the token expires by itself."""
        session = connect(role, proxy.address)
        describe_token(session)
        proxy.script = lambda _request: Fate.DROP
        session.close()
        assert proxy.requests[-1].path == "/v1/auth/token/revoke-self"

    def test_a_closed_session_does_not_log_in_again(
        self, connect: Callable[..., VaultSession], role: AppRoleLogin
    ) -> None:
        """Whoever comes late is told so."""
        session = connect(role)
        session.close()
        with pytest.raises(StoreError, match="closed"):
            describe_token(session)


class TestOtherLogins:
    """JWT and Kubernetes: the same request to another mount."""

    def test_jwt_sends_a_fresh_token_and_the_role(
        self, connect: Callable[..., VaultSession], proxy: Proxy
    ) -> None:
        """The token is asked for at the login, and goes to the login path alone."""
        proxy.script = lambda r: Reply(200, LOGIN % "made") if "login" in r.path else Fate.DROP
        session = connect(JwtLogin("apply", lambda: Secret("jwt-text"), "github"), proxy.address)
        with pytest.raises(NoAnswer):
            describe_token(session)
        login, *others = proxy.requests
        assert (login.method, login.path) == ("POST", "/v1/auth/github/login")
        assert login.body == b'{"role": "apply", "jwt": "jwt-text"}'
        assert {request.headers["X-Vault-Token"] for request in others} == {"made"}
        assert not any(b"jwt-text" in request.body for request in others)

    def test_kubernetes_reads_the_service_account_token(
        self, connect: Callable[..., VaultSession], proxy: Proxy, tmp_path: Path
    ) -> None:
        """The file's content is sent with the role."""
        (tmp_path / "token").write_text("jwt-text\n")
        proxy.script = lambda r: Reply(200, LOGIN % "made") if "login" in r.path else Fate.DROP
        session = connect(KubernetesLogin("apply", tmp_path / "token"), proxy.address)
        with pytest.raises(NoAnswer):
            describe_token(session)
        assert proxy.requests[0].path == "/v1/auth/kubernetes/login"
        assert proxy.requests[0].body == b'{"role": "apply", "jwt": "jwt-text"}'

    @pytest.mark.parametrize("content", [None, b"caf\xe9-canary"])
    def test_a_service_account_token_that_cannot_be_read_is_told(
        self, connect: Callable[..., VaultSession], tmp_path: Path, content: bytes | None
    ) -> None:
        """A missing or strange file is named, its content is not."""
        path = tmp_path / "token"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InvalidInput, match="service account token") as refused:
            describe_token(connect(KubernetesLogin("apply", path)))
        assert str(path) in refused.value.message
        assert refused.value.__cause__ is None

    def test_logins_describe_themselves_without_secrets(self) -> None:
        """Messages name method, role and mount."""
        assert str(JwtLogin("apply", lambda: Secret("x"))) == "JWT login with role apply at auth/jwt"
        assert str(KubernetesLogin("r")) == "Kubernetes login with role r at auth/kubernetes"
        assert CANARY not in repr(TokenLogin(Secret(CANARY)))


class TestLifetime:
    """Renewing a token while a run needs it, by a clock that the test moves."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def begin(
        self, openbao: OpenBaoServer, proxy: Proxy, clock: FakeClock
    ) -> Iterator[Callable[..., VaultSession]]:
        """Give a function that opens a session with a new token."""
        sessions: list[VaultSession] = []

        def open_session(*policies: str, **options: Any) -> VaultSession:
            token = create_token(openbao, *(policies or ("root",)), **options)
            sessions.append(VaultSession(proxy.address, login=TokenLogin(token), clock=clock))
            return sessions[-1]

        yield open_session
        for session in sessions:
            session.close()

    def test_it_is_renewed_in_the_middle_of_its_lease(
        self, begin: Callable[..., VaultSession], proxy: Proxy, clock: FakeClock
    ) -> None:
        """One renewal for each half of the lease, before the request that comes then."""
        session = begin(ttl="1h")
        assert session.seconds_left(60) is None
        for minutes, renewals in ((29, 0), (2, 1), (20, 1), (11, 2)):
            clock.advance(minutes=minutes)
            mount_version(session, "secret")
            assert renewed(proxy) == renewals

    def test_one_that_cannot_be_renewed_is_left_alone(
        self, begin: Callable[..., VaultSession], proxy: Proxy, clock: FakeClock
    ) -> None:
        """Its remaining lifetime is known, and nothing is asked for in vain."""
        session = begin(ttl="1h", renewable=False)
        assert session.seconds_left(3000) is None
        left = session.seconds_left(7200)
        assert left is not None
        assert 3500 < left <= 3600
        clock.advance(minutes=50)
        assert session.seconds_left(3000) == pytest.approx(left - 3000)
        mount_version(session, "secret")
        assert renewed(proxy) == 0

    def test_a_renewable_one_lasts_until_its_longest_lifetime(
        self, begin: Callable[..., VaultSession], proxy: Proxy
    ) -> None:
        """What renewals can add counts, and no more."""
        session = begin(ttl="1h", explicit_max_ttl="2h")
        assert session.seconds_left(7000) is None
        left = session.seconds_left(9000)
        assert left is not None
        assert 7100 < left <= 7200
        assert renewed(proxy) == 2

    def test_a_lost_renewal_is_tried_again(
        self, begin: Callable[..., VaultSession], proxy: Proxy, clock: FakeClock
    ) -> None:
        """A renewal without an answer does not stop the request."""
        session = begin(ttl="1h")
        assert session.seconds_left(60) is None
        clock.advance(minutes=31)
        proxy.script = lambda r: Fate.DROP if r.path.endswith("renew-self") else Fate.FORWARD
        assert mount_version(session, "secret") == 2
        proxy.script = lambda _request: Fate.FORWARD
        assert mount_version(session, "secret") == 2
        assert mount_version(session, "secret") == 2
        assert renewed(proxy) == 2

    def test_a_login_is_renewed_too(self, openbao: OpenBaoServer, proxy: Proxy, clock: FakeClock) -> None:
        """The answer to a login says how long its token is valid: nothing else is asked."""
        enable_approle(openbao, "approle-lifetime")
        role_id, secret_id = create_role(openbao, "r", "default", mount="approle-lifetime", token_ttl="1h")
        login = AppRoleLogin(Secret(role_id), secret_id, "approle-lifetime")
        with VaultSession(proxy.address, login=login, clock=clock) as session:
            assert session.seconds_left(9e9) is None
            assert proxy.requests == []
            describe_token(session)
            clock.advance(minutes=31)
            describe_token(session)
        assert renewed(proxy) == 1

    def test_roots_never_expires(self, connect: Callable[..., VaultSession]) -> None:
        """A token without an end lasts as long as needed."""
        assert connect().seconds_left(9e9) is None

    def test_one_that_may_not_describe_itself_is_taken_as_it_is(
        self, begin: Callable[..., VaultSession], openbao: OpenBaoServer
    ) -> None:
        """Without `lookup-self` the lifetime is unknown; a refusal elsewhere is then the policy's."""
        write_policy(openbao, "silent", 'path "secret/metadata/silent/*" { capabilities = ["list"] }')
        session = begin("silent", no_default_policy=True, ttl="1m")
        assert session.seconds_left(9e9) is None
        assert mount_version(session, "secret") == 2
        with pytest.raises(Denied):
            capabilities(session, ["secret/data/x"])

    def test_one_that_expires_in_mid_run_is_reported_as_such(
        self, begin: Callable[..., VaultSession], openbao: OpenBaoServer, proxy: Proxy
    ) -> None:
        """After it was accepted, it is not "invalid": it expired, and the next run continues."""
        session = begin()
        mount_version(session, "secret")
        openbao.request("POST", "auth/token/revoke", {"token": used_tokens(proxy)[-1]})
        with pytest.raises(TokenRefused, match="expired or was revoked during this run") as refused:
            mount_version(session, "secret")
        assert "run the same command again" in str(refused.value.hint)


def renewed(proxy: Proxy) -> int:
    """Return how often a token was to be renewed."""
    return sum(request.path.endswith("renew-self") for request in proxy.requests)


class TestGivenToken:
    """A token that somebody gave us."""

    def test_it_is_not_revoked(self, openbao: OpenBaoServer, connect: Callable[..., VaultSession]) -> None:
        """Closing the session leaves a given token as it is."""
        token = create_token(openbao, "default")
        connect(TokenLogin(token)).close()
        assert describe_token(connect(TokenLogin(token))).policies == ("default",)

    def test_an_invalid_token_is_told_from_a_missing_policy(
        self, connect: Callable[..., VaultSession]
    ) -> None:
        """A token that Vault does not know leads to another advice than one that may not do something."""
        with pytest.raises(TokenRefused, match="is invalid or expired") as refused:
            describe_token(connect(TokenLogin(Secret(CANARY))))
        assert CANARY not in f"{refused.value.message}{refused.value.hint}"

    @pytest.mark.parametrize("text", ["", "two\nlines", "with space", "ünicode", "tab\t"])
    def test_a_token_that_fits_no_header_is_refused(
        self, connect: Callable[..., VaultSession], text: str
    ) -> None:
        """Stray characters are found before anything is sent, and are not quoted."""
        with pytest.raises(InvalidInput, match="the Vault token") as refused:
            connect(TokenLogin(Secret(text)))
        assert not text or text not in refused.value.message


class TestChecks:
    """What `doctor` asks."""

    def test_a_token_is_described(self, openbao: OpenBaoServer, connect: Callable[..., VaultSession]) -> None:
        """Policies, seconds left and whether it can be renewed; never the token."""
        token = create_token(openbao, "default", ttl="10m", renewable=False)
        described = describe_token(connect(TokenLogin(token)))
        assert described.policies == ("default",)
        assert 0 < described.ttl <= 600
        assert not described.renewable
        assert token.reveal() not in repr(described)

    def test_root_never_expires(self, connect: Callable[..., VaultSession]) -> None:
        """A ttl of 0 means never."""
        assert describe_token(connect()) == TokenDescription(("root",), 0, renewable=False)

    def test_capabilities_are_told_by_path(
        self, connect: Callable[..., VaultSession], vault_settings: VaultSettings, role: AppRoleLogin
    ) -> None:
        """Each path has its own list; a path alone works like several."""
        ours, other = f"secret/data/{vault_settings.prefix}/x", "secret/data/other"
        session = connect(role)
        assert capabilities(session, [ours, other]) == {ours: ["read"], other: ["deny"]}
        assert capabilities(session, [ours]) == {ours: ["read"]}

    def test_mount_versions_are_told(
        self, openbao: OpenBaoServer, connect: Callable[..., VaultSession], vault_settings: VaultSettings
    ) -> None:
        """1, 2, or None for another engine."""
        old = f"v1-{vault_settings.prefix[-12:]}"
        openbao.enable_kv(old, version=1)
        session = connect()
        assert [mount_version(session, mount) for mount in (old, "secret", "cubbyhole")] == [1, 2, None]

    @pytest.mark.parametrize("body", ["{}", '{"data":{"policies":"root","ttl":1}}'])
    def test_nonsense_is_refused(self, connect: Callable[..., VaultSession], proxy: Proxy, body: str) -> None:
        """Answers of another shape are one clear sentence."""
        proxy.script = lambda _request: Reply(200, body)
        session = connect(address=proxy.address)
        with pytest.raises(StoreError, match="is not from Vault"):
            describe_token(session)
        with pytest.raises(StoreError, match="is not from Vault"):
            capabilities(session, ["secret/data/x"])


class TestTheWay:
    """Where requests go, and what becomes of failures."""

    def test_a_redirect_is_not_followed(
        self, connect: Callable[..., VaultSession], proxy: Proxy, vault_settings: VaultSettings
    ) -> None:
        """Neither the token nor anything else is sent where a redirect points."""
        with Proxy(vault_settings.address) as elsewhere:
            target = {"Location": f"{elsewhere.address}/v1/auth/token/lookup-self"}
            proxy.script = lambda _request: Reply(307, headers=target)
            with pytest.raises(StoreError, match="redirect"):
                describe_token(connect(address=proxy.address))
            assert elsewhere.requests == []
        assert len(proxy.requests) == 1

    def test_a_netrc_changes_no_header(
        self,
        connect: Callable[..., VaultSession],
        proxy: Proxy,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """Credentials that a netrc file has for Vault's host are not sent, in any environment."""
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password canary\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        describe_token(connect(address=proxy.address))
        assert "Authorization" not in proxy.requests[0].headers

    def test_a_proxy_of_the_environment_never_sees_loopback(
        self, connect: Callable[..., VaultSession], proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A request to this machine goes there directly, or a proxy would see the token."""
        monkeypatch.setenv("http_proxy", proxy.address)
        monkeypatch.delenv("no_proxy", raising=False)
        describe_token(connect())
        assert proxy.requests == []

    def test_the_environment_gives_no_token(
        self, connect: Callable[..., VaultSession], proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """hvac's own look into VAULT_TOKEN does not happen."""
        monkeypatch.setenv("VAULT_TOKEN", CANARY)
        monkeypatch.setenv("VAULT_NAMESPACE", "elsewhere")
        describe_token(connect(address=proxy.address))
        assert CANARY not in used_tokens(proxy)
        assert "X-Vault-Namespace" not in proxy.requests[0].headers

    def test_a_namespace_is_sent(self, proxy: Proxy, vault_settings: VaultSettings) -> None:
        """The namespace goes with every request."""
        login = TokenLogin(vault_settings.token)
        with VaultSession(proxy.address, login=login, clock=FakeClock(), namespace="team/a") as session:
            proxy.script = lambda _request: Reply(200, '{"data":{"policies":[],"ttl":1}}')
            describe_token(session)
        assert proxy.requests[0].headers["X-Vault-Namespace"] == "team/a"

    def test_a_strange_namespace_is_refused(self) -> None:
        """A namespace that fits no header is an invalid configuration."""
        with pytest.raises(InvalidInput, match="namespace"):
            VaultSession(
                "https://vault.example.com",
                login=TokenLogin(Secret("x")),
                clock=FakeClock(),
                namespace="a\nb",
            )

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "vault.example.com:8200",
            "ftp://vault.example.com",
            "https://",
            "https://[::1",
            "https://host:port",
            "https://user:canary@vault.example.com",
            "https://vault.example.com?x=canary",
            "https://vault.example.com/#canary",
            "https://vault example.com/canary",
            "http://vault.example.com",
            "http://10.0.0.1:8200",
            "http://127.0.0.1.example.com",
        ],
    )
    def test_an_unsafe_address_is_refused(self, connect: Callable[..., VaultSession], address: str) -> None:
        """An address that is none, holds credentials, or is plain http elsewhere, never gets a token."""
        with pytest.raises(InvalidInput) as refused:
            connect(address=address)
        assert "canary" not in refused.value.message

    @pytest.mark.parametrize(
        "address", ["http://localhost:8200", "http://[::1]:8200", "https://vault.example.com/base/"]
    )
    def test_a_safe_address_is_taken(self, connect: Callable[..., VaultSession], address: str) -> None:
        """Plain http is good enough for loopback; a path below which Vault lies is kept."""
        assert connect(address=address).address == address.rstrip("/")

    def test_nobody_there_is_told(self, connect: Callable[..., VaultSession]) -> None:
        """A refused connection names the address."""
        with pytest.raises(NoAnswer, match=r"Vault is not reachable at http://127\.0\.0\.1:1"):
            describe_token(connect(address="http://127.0.0.1:1"))

    def test_a_missing_certificate_file_is_told(self, vault_settings: VaultSettings, tmp_path: Path) -> None:
        """A `ca_cert` that does not exist is one clear sentence."""
        with pytest.raises(InvalidInput, match="cannot read the certificates that VAULT_CACERT names"):
            VaultSession(
                "https://127.0.0.1:1",
                login=TokenLogin(vault_settings.token),
                clock=FakeClock(),
                ca_cert=str(tmp_path / "no.pem"),
            )

    def test_plain_http_where_tls_is_expected_is_told(
        self, connect: Callable[..., VaultSession], proxy: Proxy
    ) -> None:
        """A server that speaks no TLS is a TLS failure, not a traceback."""
        with pytest.raises(StoreError, match="TLS"):
            describe_token(connect(address=proxy.address.replace("http:", "https:")))

    @pytest.mark.parametrize("times", [1, 4])
    def test_reads_survive_failures_of_the_way(
        self, connect: Callable[..., VaultSession], proxy: Proxy, times: int
    ) -> None:
        """Up to four failures in a row are waited out."""
        proxy.once("GET", Reply(503, headers={"Retry-After": "1"}), times=times)
        assert describe_token(connect(address=proxy.address)).policies == ("root",)
        assert len(proxy.requests) == times + 1

    def test_reads_give_up(self, connect: Callable[..., VaultSession], proxy: Proxy) -> None:
        """The fifth failure is told, with its status."""
        proxy.once("GET", Reply(503), times=99)
        with pytest.raises(NoAnswer, match="HTTP 503"):
            describe_token(connect(address=proxy.address))
        assert len(proxy.requests) == 5


def test_a_sealed_server_is_told(tmp_path: Path) -> None:
    """A sealed Vault is one sentence, and is not asked again and again."""
    with OpenBaoServer() as server, Proxy(server.address) as proxy:
        server.seal()
        login = TokenLogin(server.root_token)
        with (
            VaultSession(proxy.address, login=login, clock=FakeClock()) as session,
            pytest.raises(StoreError, match=r"^Vault is sealed$") as refused,
        ):
            describe_token(session)
        assert len(proxy.requests) == 1
    assert refused.value.hint == "unseal it, then run again"
