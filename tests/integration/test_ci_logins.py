"""GitHub's identity tokens against OpenBao's JWT login, with the roles and policies that we ship."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import RSAKey

from reconciler.errors import StoreError
from reconciler.vault.auth import KubernetesLogin
from reconciler.vault.documents import VaultDocuments
from reconciler.vault.session import VaultSession
from tests.fakes.clock import FakeClock
from tests.fixtures.ci import ORGANIZATION, PREFIX, accessors, shipped
from tests.fixtures.oidc import AUDIENCE, REQUEST_TOKEN, Issuer
from tests.fixtures.openbao import create_role, enable_approle
from tests.fixtures.web import Answer, Request, Web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.command import CommandLine

PLAN, APPLY = "webhooks-plan", "webhooks-apply"


def _login(server: OpenBaoServer, issuer: Issuer, use: str) -> str:
    """Return a token of the role, as anybody who runs in such a job can have it."""
    issuer.job(f"webhooks-{use}", event="pull_request" if use == "plan" else "push")
    body = {"role": f"reconciler-{use}", "jwt": issuer.token()}
    return str(server.request("POST", "auth/jwt/login", body)["auth"]["client_token"])


def _status(server: OpenBaoServer, token: str, method: str, path: str, body: object = None) -> int:
    """Send one request with a token and return the answer's status."""
    connection = http.client.HTTPConnection(server.address.partition("://")[2])
    try:
        text = None if body is None else json.dumps(body)
        headers = {"X-Vault-Token": token, "Content-Type": "application/merge-patch+json"}
        connection.request(method, f"/v1/{path}", text, headers)
        # A server that closes the connection leaves it to whoever has the answer.
        with connection.getresponse() as answer:
            return answer.status
    finally:
        connection.close()


def _apply(ci: CommandLine, issuer: Issuer) -> None:
    """Let the organization have one webhook, `ci`, with the role for it."""
    ci.write("ci")
    result = ci("apply", "--yes", VAULT_ROLE="reconciler-apply", **issuer.job(APPLY))
    assert result.exit_code == 0, result.stderr


# --- who may log in -----------------------------------------------------------------------------------------


def test_a_pull_requests_job_plans(ci: CommandLine, issuer: Issuer) -> None:
    """The role for plans lets a pull request's job in, and the token is gone at the end."""
    ci.write("ci")
    before = accessors(ci.vault)
    result = ci("plan", "--exit-code", VAULT_ROLE="reconciler-plan", **issuer.job(PLAN, event="pull_request"))
    assert result.exit_code == 2, result.stderr
    assert accessors(ci.vault) == before
    assert REQUEST_TOKEN not in "".join(ci.outputs)


def test_the_main_branchs_job_applies(ci: CommandLine, issuer: Issuer) -> None:
    """The role for applies lets the protected environment on main in; the other role sees what it made."""
    before = accessors(ci.vault)
    _apply(ci, issuer)
    assert len(ci.live) == 1
    assert ci.document("ci")["url"] == "https://hooks.example.com/ci"
    for command in ("plan", "drift", "status"):
        result = ci(command, VAULT_ROLE="reconciler-plan", **issuer.job(PLAN, event="schedule"))
        assert result.exit_code == 0, result.stderr
    rotated = ci("rotate", "ci", "--yes", VAULT_ROLE="reconciler-apply", **issuer.job(APPLY))
    assert rotated.exit_code == 0, rotated.stderr
    (ci.folder / "manifests/ci.yaml").unlink()
    ci.write("other")
    removed = ci("apply", "--yes", VAULT_ROLE="reconciler-apply", **issuer.job(APPLY))
    assert removed.exit_code == 0, removed.stderr
    assert set(ci.live) == {"https://hooks.example.com/other"}
    assert accessors(ci.vault) == before


def test_the_doctor_finds_nothing_missing(ci: CommandLine, issuer: Issuer) -> None:
    """With the role for applies `doctor` is content."""
    result = ci("doctor", VAULT_ROLE="reconciler-apply", **issuer.job(APPLY))
    assert result.exit_code == 0, result.stdout + result.stderr


STRANGERS: dict[str, dict[str, Any]] = {
    "another repository": {"repository": "acme/website"},
    "a fork": {"repository": "mallory/webhooks"},
    "a repository whose name begins alike": {"repository": "acme/webhooks-evil"},
    "a tag": {"ref": "refs/tags/main"},
    "another branch": {"ref": "refs/heads/feature"},
    "a branch whose name begins alike": {"ref": "refs/heads/main-2"},
    "another environment": {"environment": "production"},
    "no environment": {"environment": ""},
    "another audience": {"aud": "sts.amazonaws.com"},
    "another issuer": {"iss": "https://token.actions.example.com"},
    "an expired token": {"iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_000_300},
    "a token of tomorrow": {"nbf": int(time.time()) + 86_400, "exp": int(time.time()) + 90_000},
}


@pytest.mark.parametrize("claims", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("use", ["plan", "apply"])
def test_a_stranger_is_refused(ci: CommandLine, issuer: Issuer, use: str, claims: dict[str, Any]) -> None:
    """Whoever is not that repository, ref and environment gets one sentence and exit 1; nothing changes."""
    ci.write("ci")
    job = issuer.job(f"webhooks-{use}", **claims)
    before = accessors(ci.vault)
    result = ci(*_command(use), VAULT_ROLE=f"reconciler-{use}", **job)
    _assert_refused(result.stderr, result.exit_code, use)
    assert result.stdout == ""
    assert accessors(ci.vault) == before
    assert ci.live == {}


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target", "schedule"])
def test_a_pull_request_cannot_apply(ci: CommandLine, issuer: Issuer, event: str) -> None:
    """A pull request's ref or the environment of plans is none that the role for applies knows."""
    ci.write("ci")
    claims: dict[str, Any] = {"environment": APPLY} if event == "pull_request" else {}
    job = issuer.job(PLAN, event=event, **claims)
    result = ci("apply", "--yes", VAULT_ROLE="reconciler-apply", **job)
    _assert_refused(result.stderr, result.exit_code, "apply")
    assert ci.live == {}


def test_a_forged_token_is_refused(ci: CommandLine, issuer: Issuer) -> None:
    """The right claims under another key open nothing."""
    ci.write("ci")
    own, issuer.key = issuer.key, RSAKey.generate_key(2048, {"kid": "test"}, private=True)
    try:
        result = ci("apply", "--yes", VAULT_ROLE="reconciler-apply", **issuer.job(APPLY))
    finally:
        issuer.key = own
    _assert_refused(result.stderr, result.exit_code, "apply")


def test_a_job_without_the_permission_is_told(ci: CommandLine, issuer: Issuer) -> None:
    """A request token that GitHub does not know: its status, and the permission that is missing."""
    ci.write("ci")
    job = {**issuer.job(PLAN), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "wrong-canary"}
    result = ci("plan", VAULT_ROLE="reconciler-plan", **job)
    assert result.exit_code == 1
    message = "GitHub refused to issue an identity token: HTTP 401"
    assert result.stderr.startswith(f"error: {message}\nhint: give the job")
    assert "canary" not in result.stderr


def test_one_configuration_serves_both_roles(ci: CommandLine, issuer: Issuer) -> None:
    """VAULT_ROLE counts more than the configured role, so a plan needs no second configuration."""
    ci.write("ci")
    vault = {"auth": {"method": "jwt", "role": "reconciler-apply"}}
    config = {
        "apiVersion": "webhooks.zof.ai/v1",
        "kind": "Config",
        "organizations": [{"name": ORGANIZATION, "vault": vault}],
    }
    (ci.folder / "reconciler.yaml").write_text(json.dumps(config), encoding="utf-8")
    job = issuer.job(PLAN, event="pull_request")
    assert ci("plan", **job).exit_code == 1
    assert ci("plan", VAULT_ROLE="reconciler-plan", **job).exit_code == 0
    assert ci("plan", VAULT_ROLE=" ", **issuer.job(APPLY)).exit_code == 0


def _command(use: str) -> list[str]:
    return ["plan"] if use == "plan" else ["apply", "--yes"]


def _assert_refused(stderr: str, code: int, use: str) -> None:
    assert code == 1
    assert stderr == (
        f"error: Vault refused the JWT login with role reconciler-{use} at auth/jwt\n"
        "hint: check the credentials, the role and the mount\n"
    )


# --- what they may do then ----------------------------------------------------------------------------------

OURS, OTHERS = PREFIX, "webhooks/acme-trial"
VERSIONS = {"versions": [1]}
DATA = {"data": {"signing_secret": "mine"}}
EVERYWHERE: dict[str, tuple[str, str, object]] = {
    "read another organization's secret": ("GET", f"secret/data/{OTHERS}/ci", None),
    "read another organization's metadata": ("GET", f"secret/metadata/{OTHERS}/ci", None),
    "list another organization": ("LIST", f"secret/metadata/{OTHERS}", None),
    "write another organization's secret": ("POST", f"secret/data/{OTHERS}/ci", DATA),
    "destroy another organization's secret": ("POST", f"secret/destroy/{OTHERS}/ci", VERSIONS),
    "read a prefix that begins alike": ("GET", f"secret/data/{OURS}-2/ci", None),
    "list the whole mount": ("LIST", "secret/metadata", None),
    "read a secret beside ours": ("GET", "secret/data/database", None),
    "remove a document for good": ("DELETE", f"secret/metadata/{OURS}/ci", None),
    "patch a document": ("PATCH", f"secret/data/{OURS}/ci", DATA),
    "change the mount's settings": ("POST", "secret/config", {"max_versions": 1}),
    "list policies": ("LIST", "sys/policies/acl", None),
    "write a policy": ("POST", "sys/policies/acl/reconciler-plan", {"policy": 'path "*" {}'}),
    "mount an engine": ("POST", "sys/mounts/mine", {"type": "kv"}),
    "list mounts": ("GET", "sys/mounts", None),
    "enable a login": ("POST", "sys/auth/userpass", {"type": "userpass"}),
    "read its role": ("GET", "auth/jwt/role/reconciler-apply", None),
    "widen its role": ("POST", "auth/jwt/role/reconciler-plan", {"token_policies": ["root"]}),
    "create a token": ("POST", "auth/token/create", {}),
    "list tokens": ("LIST", "auth/token/accessors", None),
    "seal the server": ("POST", "sys/seal", None),
}
"""What neither role needs."""
PLAN_ONLY: dict[str, tuple[str, str, object]] = {
    "read a secret": ("GET", f"secret/data/{OURS}/ci", None),
    "read an old version of a secret": ("GET", f"secret/data/{OURS}/ci?version=1", None),
    "write a secret": ("POST", f"secret/data/{OURS}/ci", DATA),
    "create a document": ("POST", f"secret/data/{OURS}/new", DATA),
    "write metadata": ("POST", f"secret/metadata/{OURS}/ci", {"custom_metadata": {"a": "b"}}),
    "patch metadata": ("PATCH", f"secret/metadata/{OURS}/ci", {"custom_metadata": {"a": "b"}}),
    "delete the current version": ("DELETE", f"secret/data/{OURS}/ci", None),
    "delete versions": ("POST", f"secret/delete/{OURS}/ci", VERSIONS),
    "undelete versions": ("POST", f"secret/undelete/{OURS}/ci", VERSIONS),
    "destroy versions": ("POST", f"secret/destroy/{OURS}/ci", VERSIONS),
}
"""What a plan does not need beside: everything but metadata."""


@pytest.mark.parametrize(
    ("method", "path", "body"), (EVERYWHERE | PLAN_ONLY).values(), ids=EVERYWHERE | PLAN_ONLY
)
def test_a_preview_cannot(ci: CommandLine, issuer: Issuer, method: str, path: str, body: object) -> None:
    """With the real token of a pull request's job, code that tries is denied by Vault."""
    _apply(ci, issuer)
    document = ci.document("ci")
    token = _login(ci.vault, issuer, "plan")
    assert _status(ci.vault, token, method, path, body) == 403
    assert ci.document("ci") == document


@pytest.mark.parametrize(("method", "path", "body"), EVERYWHERE.values(), ids=EVERYWHERE)
def test_an_apply_cannot(ci: CommandLine, issuer: Issuer, method: str, path: str, body: object) -> None:
    """The role for applies has nothing that it does not need either."""
    _apply(ci, issuer)
    token = _login(ci.vault, issuer, "apply")
    assert _status(ci.vault, token, method, path, body) == 403


def test_what_is_denied_is_there(ci: CommandLine, issuer: Issuer) -> None:
    """Root may do what the roles may not: it is the policies that deny, and no misspelt path."""
    _apply(ci, issuer)
    root = ci.vault.root_token.reveal()
    for method, path in (("GET", f"secret/data/{OURS}/ci"), ("LIST", f"secret/metadata/{OURS}")):
        assert _status(ci.vault, root, method, path) == 200
    plan = _login(ci.vault, issuer, "plan")
    assert _status(ci.vault, plan, "GET", f"secret/metadata/{OURS}/ci") == 200
    apply = _login(ci.vault, issuer, "apply")
    assert _status(ci.vault, apply, "GET", f"secret/data/{OURS}/ci") == 200


def test_metadata_holds_no_secret(ci: CommandLine, issuer: Issuer) -> None:
    """All that a preview's token can read of a document has no byte of its secrets."""
    _apply(ci, issuer)
    token = _login(ci.vault, issuer, "plan")
    metadata = json.dumps(ci.vault.request("GET", f"secret/metadata/{OURS}/ci"))
    assert _status(ci.vault, token, "GET", f"secret/metadata/{OURS}/ci") == 200
    secret = ci.document("ci")["signing_secret"]
    assert secret.removeprefix("whsec_") not in metadata


@pytest.mark.parametrize(("use", "minutes"), [("plan", 5), ("apply", 15)])
def test_tokens_live_for_minutes(ci_vault: OpenBaoServer, issuer: Issuer, use: str, minutes: int) -> None:
    """A token that a killed run could not revoke ends by itself, soon."""
    token = _login(ci_vault, issuer, use)
    data = ci_vault.request("POST", "auth/token/lookup", {"token": token})["data"]
    assert data["creation_ttl"] == minutes * 60
    assert sorted(data["policies"]) == ["default", f"reconciler-{use}"]


# --- the other logins ---------------------------------------------------------------------------------------


def test_an_approle_applies(ci: CommandLine) -> None:
    """GitLab, Jenkins or a laptop: the AppRole that we ship suffices."""
    enable_approle(ci.vault)
    try:
        role_id, secret_id = create_role(ci.vault, "reconciler-apply", "ignored", **shipped("approle-apply"))
        ci.write("ci")
        before = accessors(ci.vault)
        result = ci("apply", "--yes", VAULT_ROLE_ID=role_id, VAULT_SECRET_ID=secret_id.reveal())
        assert result.exit_code == 0, result.stderr
        assert accessors(ci.vault) == before
    finally:
        ci.vault.request("DELETE", "sys/auth/approle")


class Kubernetes(Web):
    """The one call of Kubernetes' API that the login makes: whose token is this?"""

    def answer(self, request: Request) -> Answer:
        """As the TokenReview API, which knows the service account `webhooks:webhook-reconciler`."""
        token = request.body["spec"]["token"]
        known = token == self.known
        user = {"username": f"system:serviceaccount:webhooks:{self.account}", "uid": "1"}
        status = {"authenticated": known, "user": user if known else {}, "audiences": ["vault"]}
        return Answer(201, {**request.body, "status": status})

    known = ""
    account = "webhook-reconciler"


@pytest.fixture
def kubernetes(ci_vault: OpenBaoServer) -> Iterator[Kubernetes]:
    """Give a cluster that Vault asks, with the role that we ship."""
    with Kubernetes() as server:
        ci_vault.request("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
        # The fake speaks plain http, so no certificate is looked at; the settings want one all the same.
        settings = {"kubernetes_host": server.url, "kubernetes_ca_cert": "-", "disable_local_ca_jwt": True}
        ci_vault.request("POST", "auth/kubernetes/config", settings)
        role = shipped("kubernetes-plan")
        ci_vault.request("POST", "auth/kubernetes/role/reconciler-plan", role)
        yield server
        ci_vault.request("DELETE", "sys/auth/kubernetes")


def _pod(kubernetes: Kubernetes, issuer: Issuer, folder: Path, account: str) -> Path:
    """Become a pod of this service account; return the file with its projected token."""
    pod = {"namespace": "webhooks", "serviceaccount": {"name": account, "uid": "1"}, "pod": {"name": "p"}}
    claims: dict[str, Any] = {
        "iss": "https://kubernetes.default.svc",
        "aud": ["vault"],
        "sub": f"system:serviceaccount:webhooks:{account}",
        "kubernetes.io": pod,
    }
    issuer.job("", **claims)
    kubernetes.known, kubernetes.account = issuer.token(), account
    file = folder / "token"
    file.write_text(kubernetes.known)
    return file


def test_a_pod_logs_in_with_its_service_account(
    ci: CommandLine, kubernetes: Kubernetes, issuer: Issuer
) -> None:
    """A pod of the right service account gets the role's token, which reads metadata and no secret."""
    _apply(ci, issuer)
    file = _pod(kubernetes, issuer, ci.folder, "webhook-reconciler")
    before = accessors(ci.vault)
    login = KubernetesLogin("reconciler-plan", token_path=file)
    with VaultSession(ci.vault.address, login=login, clock=FakeClock()) as session:
        store = VaultDocuments(session, mount="secret", prefix=PREFIX, clock=FakeClock())
        assert "ci" in store.list_metadata()
    assert accessors(ci.vault) == before


def test_another_service_account_is_refused(ci: CommandLine, kubernetes: Kubernetes, issuer: Issuer) -> None:
    """A pod of another service account gets none."""
    login = KubernetesLogin("reconciler-plan", token_path=_pod(kubernetes, issuer, ci.folder, "default"))
    with (
        VaultSession(ci.vault.address, login=login, clock=FakeClock()) as session,
        pytest.raises(StoreError, match="Vault refused the Kubernetes login with role reconciler-plan"),
    ):
        VaultDocuments(session, mount="secret", prefix=PREFIX, clock=FakeClock()).list_metadata()


def test_the_audience_is_the_repositorys_owner() -> None:
    """What GitHub puts into a token when nobody asks for another is what the roles want."""
    for use in ("plan", "apply"):
        role = shipped(f"jwt-{use}")
        owner = role["bound_claims"]["repository"].partition("/")[0]
        assert role["bound_audiences"] == [f"https://github.com/{owner}"] == [AUDIENCE]
