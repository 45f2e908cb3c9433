"""How a run comes to its Vault token: the configured method, or what the environment holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli.github_oidc import identity_token
from reconciler.errors import InvalidInput
from reconciler.model import Secret
from reconciler.vault.auth import AppRoleLogin, JwtLogin, KubernetesLogin, TokenLogin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.manifest.config import AuthSettings
    from reconciler.vault.auth import Login


def choose_login(environ: Mapping[str, str], auth: AuthSettings) -> Login:
    """Return the configured login; where none is: by token if VAULT_TOKEN is set, else by AppRole.

    Raises:
        InvalidInput: the environment lacks what the method needs; the message names the variable.
    """
    match auth.method or _method_at_hand(environ):
        case "token":
            return TokenLogin(Secret(require(environ, "VAULT_TOKEN", "a token for Vault")))
        case "approle":
            role_id = require(environ, "VAULT_ROLE_ID", "the AppRole's role id")
            secret_id = Secret(require(environ, "VAULT_SECRET_ID", "the AppRole's secret id"))
            return AppRoleLogin(role_id, secret_id, auth.mount or "approle")
        case "jwt":
            return JwtLogin(auth.role or "", lambda: identity_token(environ), auth.mount or "jwt")
        case "kubernetes":
            return KubernetesLogin(auth.role or "", mount=auth.mount or "kubernetes")
        case other:
            raise InvalidInput(f"{other} is no Vault login method", hint="token, approle, jwt or kubernetes")


def _method_at_hand(environ: Mapping[str, str]) -> str:
    has_role = environ.get("VAULT_ROLE_ID") or environ.get("VAULT_SECRET_ID")
    return "approle" if has_role and not environ.get("VAULT_TOKEN") else "token"


def require(environ: Mapping[str, str], name: str, what: str) -> str:
    """Return the variable's value.

    Raises:
        InvalidInput: it is not set, or empty.
    """
    value = environ.get(name, "").strip()
    if not value:
        raise InvalidInput(f"{name} is not set", hint=f"set it to {what}")
    return value
