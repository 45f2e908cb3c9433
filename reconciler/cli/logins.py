"""Choose how to log in to Vault: by the configured method, or by the variables that are set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli.runner_masks import hide_token
from reconciler.cli.system import SystemClock
from reconciler.errors import InvalidInput
from reconciler.github.identity import identity_token
from reconciler.model import Secret
from reconciler.vault.auth import AppRoleLogin, JwtLogin, KubernetesLogin, TokenLogin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.config.settings import AuthSettings
    from reconciler.vault.auth import Login


def choose_login(environ: Mapping[str, str], auth: AuthSettings) -> Login:
    """Return the configured login; without one, the login whose variables are set.

    VAULT_ROLE overrides the configured role, so that one configuration serves a job that may only read and
    a job that may write.

    Raises:
        InvalidInput: the environment lacks what the method needs; the message names the variable.
    """
    role = environ.get("VAULT_ROLE", "").strip() or auth.role
    match auth.method or _method_of(environ):
        case "token":
            return TokenLogin(Secret(require(environ, "VAULT_TOKEN", "a token for Vault")))
        case "approle":
            role_id = Secret(require(environ, "VAULT_ROLE_ID", "the AppRole's role id"))
            secret_id = Secret(require(environ, "VAULT_SECRET_ID", "the AppRole's secret id"))
            return AppRoleLogin(role_id, secret_id, auth.mount or "approle")
        case "jwt":
            return JwtLogin(role or "", lambda: _identity(environ), auth.mount or "jwt")
        case "kubernetes":
            return KubernetesLogin(role or "", mount=auth.mount or "kubernetes")
        case other:
            raise InvalidInput(
                f"{other} is not a Vault login method", hint="use token, approle, jwt or kubernetes"
            )


def _identity(environ: Mapping[str, str]) -> Secret:
    token = identity_token(environ, SystemClock())
    hide_token(token, environ)
    return token


def _method_of(environ: Mapping[str, str]) -> str:
    """Return the method that the environment is set up for; `token` if there is none."""
    if environ.get("VAULT_TOKEN"):
        return "token"
    if environ.get("VAULT_ROLE_ID") or environ.get("VAULT_SECRET_ID"):
        return "approle"
    in_github_job = environ.get("VAULT_ROLE") and environ.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    return "jwt" if in_github_job else "token"


def require(environ: Mapping[str, str], name: str, what: str) -> str:
    """Return the variable's value.

    Raises:
        InvalidInput: it is not set, or empty.
    """
    value = environ.get(name, "").strip()
    if not value:
        raise InvalidInput(f"{name} is not set", hint=f"set it to {what}")
    return value
