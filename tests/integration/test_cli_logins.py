"""How the command line comes to its Vault token: by AppRole on a real OpenBao, and what else there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.logins import choose_login
from reconciler.config.settings import AuthSettings
from reconciler.errors import InvalidInput
from reconciler.vault.auth import KUBERNETES_TOKEN, AppRoleLogin, JwtLogin, KubernetesLogin, TokenLogin
from tests.fixtures.openbao import create_role, enable_approle, write_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

    from reconciler.sandbox.openbao import OpenBaoServer
    from tests.fixtures.command import CommandLine

BOTH = {"VAULT_ROLE_ID": "role-canary", "VAULT_SECRET_ID": "secret-canary"}


@pytest.fixture(scope="module")
def _approle(openbao: OpenBaoServer) -> Iterator[None]:
    """Let the server have the AppRole method at its usual mount."""
    enable_approle(openbao)
    yield
    openbao.request("DELETE", "sys/auth/approle")


@pytest.fixture
def role(command: CommandLine, _approle: None) -> dict[str, str | None]:
    """Give the environment of a role that may do everything below our prefix, and of no token."""
    return {"VAULT_TOKEN": None, **_create_role(command)}


def _create_role(command: CommandLine, mount: str = "approle") -> dict[str, str]:
    name = command.prefix.replace("/", "-")
    rules = f'path "secret/+/{command.prefix}/*" {{ capabilities = ["create", "read", "update", "list"] }}'
    write_policy(command.vault, name, rules)
    role_id, secret_id = create_role(command.vault, name, name, mount=mount)
    return {"VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id.reveal()}


def _tokens(command: CommandLine) -> set[str]:
    """Return the accessors of all tokens that are valid now."""
    return set(command.vault.request("LIST", "auth/token/accessors")["data"]["keys"])


def _configure(command: CommandLine, **auth: str) -> None:
    """Write a configuration with one organization that logs in like this."""
    organization = {
        "name": command.environment["ZOF_ORGANIZATION"],
        "vault": {"prefix": command.prefix, "auth": auth},
    }
    config = {"apiVersion": "webhooks.zof.ai/v1", "kind": "Config", "organizations": [organization]}
    (command.folder / "reconciler.yaml").write_text(json.dumps(config), encoding="utf-8")


def _assert_one_sentence(result: Result, code: int, words: str) -> None:
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(f"error: {words}"), result.stderr
    assert "\nhint: " in result.stderr
    assert "Traceback" not in result.stderr


# --- AppRole --------------------------------------------------------------------------------------------


def test_a_role_is_enough(command: CommandLine, role: dict[str, str | None]) -> None:
    """Without a token, role id and secret id log in: webhooks go live, and the token is gone at the end."""
    command.write("ci")
    before = _tokens(command)
    applied = command("apply", "--yes", **role)
    assert applied.exit_code == 0, applied.stderr
    assert len(command.live) == 1
    assert command.document("ci")["url"] == "https://hooks.example.com/ci"
    assert command("plan", "--exit-code", **role).exit_code == 0
    assert command("doctor", **role).exit_code == 0
    assert _tokens(command) <= before
    assert (role["VAULT_SECRET_ID"] or "") not in "".join(command.outputs)


def test_a_token_counts_more_than_a_role(command: CommandLine, role: dict[str, str | None]) -> None:
    """With VAULT_TOKEN set nobody logs in, however right or wrong or half-set the role's variables are."""
    command.write("ci")
    token = command.environment["VAULT_TOKEN"]
    for environment in ({**role, "VAULT_SECRET_ID": "wrong"}, {**role, "VAULT_SECRET_ID": None}):
        environment["VAULT_TOKEN"] = token
        assert command("plan", **environment).exit_code == 0
    environment = {**role, "VAULT_TOKEN": "hvs.wrong"}
    assert command("plan", **environment).exit_code == 1


def test_the_configured_method_counts_more_than_a_token(
    command: CommandLine, role: dict[str, str | None]
) -> None:
    """With `auth: {method: approle}` the role logs in although there is a token, here a wrong one."""
    command.write("ci")
    _configure(command, method="approle")
    assert command("plan", **{**role, "VAULT_TOKEN": "hvs.wrong"}).exit_code == 0
    _configure(command, method="token")
    _assert_one_sentence(command("plan", **role), 3, "VAULT_TOKEN is not set")


def test_the_method_may_be_mounted_elsewhere(command: CommandLine) -> None:
    """`auth.mount` says where the role logs in."""
    mount = command.prefix.replace("/", "-")
    enable_approle(command.vault, mount)
    role = _create_role(command, mount)
    command.write("ci")
    _configure(command, method="approle", mount=mount)
    assert command("plan", VAULT_TOKEN=None, **role).exit_code == 0
    _configure(command, method="approle", mount="nowhere")
    refused = command("plan", VAULT_TOKEN=None, **role)
    _assert_one_sentence(refused, 1, "Vault refused the AppRole login at auth/nowhere")


@pytest.mark.parametrize("missing", BOTH)
@pytest.mark.parametrize("value", [None, "", " "])
def test_half_a_role_names_the_other_half(command: CommandLine, missing: str, value: str | None) -> None:
    """A role id without a secret id, or the reverse: exit 3, the missing variable's name, nothing sent."""
    command.write("ci")
    result = command("plan", **{"VAULT_TOKEN": None, **BOTH, missing: value})
    _assert_one_sentence(result, 3, f"{missing} is not set")
    assert "canary" not in result.stderr
    assert command.zof.requests == ()


def test_a_refused_role_is_one_sentence(command: CommandLine, role: dict[str, str | None]) -> None:
    """A wrong secret id: exit 1, the method and its mount, and not the secret id; no endpoint is touched."""
    command.write("ci")
    result = command("apply", "--yes", **{**role, "VAULT_SECRET_ID": "wrong-canary"})
    _assert_one_sentence(result, 1, "Vault refused the AppRole login at auth/approle")
    assert "wrong-canary" not in result.stderr
    assert command.live == {}


# --- the other methods ----------------------------------------------------------------------------------


def test_jwt_needs_a_github_job(command: CommandLine) -> None:
    """Outside GitHub Actions a JWT login names the variables and the permission: exit 3."""
    command.write("ci")
    _configure(command, method="jwt", role="reconciler")
    result = command("plan")
    _assert_one_sentence(result, 3, "Vault's JWT login needs GitHub Actions: ACTIONS_ID_TOKEN_REQUEST_URL")
    assert "id-token: write" in result.stderr


@pytest.mark.skipif(KUBERNETES_TOKEN.exists(), reason="this is a pod with a service account")
def test_kubernetes_needs_a_pod(command: CommandLine) -> None:
    """Outside a pod a Kubernetes login names the file that is missing: exit 3."""
    command.write("ci")
    _configure(command, method="kubernetes", role="reconciler")
    _assert_one_sentence(command("plan"), 3, f"cannot read the service account token {KUBERNETES_TOKEN}")


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        (AuthSettings("jwt", role="r"), "JWT login with role r at auth/jwt"),
        (AuthSettings("jwt", "github", "r"), "JWT login with role r at auth/github"),
        (AuthSettings("kubernetes", role="r"), "Kubernetes login with role r at auth/kubernetes"),
        (AuthSettings("kubernetes", "eks", "r"), "Kubernetes login with role r at auth/eks"),
        (AuthSettings("approle"), "AppRole login at auth/approle"),
        (AuthSettings("approle", "ci"), "AppRole login at auth/ci"),
    ],
)
def test_the_configuration_says_role_and_mount(auth: AuthSettings, words: str) -> None:
    """Each method logs in with the role and at the mount that are configured, else at its usual one."""
    login = choose_login(BOTH, auth)
    assert isinstance(login, AppRoleLogin | JwtLogin | KubernetesLogin)
    assert str(login) == words


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({"VAULT_TOKEN": "t"}, TokenLogin),
        ({"VAULT_TOKEN": "t", **BOTH}, TokenLogin),
        ({"VAULT_TOKEN": "", **BOTH}, AppRoleLogin),
        (BOTH, AppRoleLogin),
        ({"VAULT_ROLE": "r", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://x"}, JwtLogin),
        ({"VAULT_TOKEN": "t", "VAULT_ROLE": "r", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://x"}, TokenLogin),
        ({**BOTH, "VAULT_ROLE": "r", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://x"}, AppRoleLogin),
    ],
)
def test_without_a_configured_method_the_environment_decides(environ: dict[str, str], kind: type) -> None:
    """A token if there is one, else an AppRole, else a GitHub job that is told its role."""
    assert isinstance(choose_login(environ, AuthSettings()), kind)


@pytest.mark.parametrize("method", ["jwt", "kubernetes"])
@pytest.mark.parametrize(("said", "role"), [("plan", "plan"), (" ", "apply"), ("", "apply")])
def test_the_environments_role_counts_more(method: str, said: str, role: str) -> None:
    """VAULT_ROLE, where it is not empty, is the role; else the configuration's."""
    login = choose_login({"VAULT_ROLE": said}, AuthSettings(method, role="apply"))
    assert str(login).endswith(f"login with role {role} at auth/{method}")


def test_a_jwt_is_asked_for_at_the_login() -> None:
    """Choosing the method needs no job yet: the token is asked for when it is needed, each time anew."""
    login = choose_login({}, AuthSettings("jwt", role="r"))
    assert isinstance(login, JwtLogin)
    with pytest.raises(InvalidInput, match="ACTIONS_ID_TOKEN_REQUEST_URL"):
        login.jwt()


def test_nothing_at_hand_is_told_as_a_missing_token() -> None:
    """Where neither a token nor a role is set it is the token's variable that is named."""
    with pytest.raises(InvalidInput, match="VAULT_TOKEN is not set"):
        choose_login({}, AuthSettings())


def test_an_unknown_method_is_told() -> None:
    """A method that is none is named, with those that there are."""
    with pytest.raises(InvalidInput, match="ldap is not a Vault login method") as refused:
        choose_login({}, AuthSettings("ldap"))
    assert refused.value.hint == "use token, approle, jwt or kubernetes"
