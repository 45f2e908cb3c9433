"""Choose how to log in to Vault: by the configured method, or by the variables that are set."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.model import Secret
from reconciler.urls import service_url_problem
from reconciler.vault.auth import AppRoleLogin, JwtLogin, KubernetesLogin, TokenLogin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.config.settings import AuthSettings
    from reconciler.vault.auth import Login


_TIMEOUT = 30.0
_ANSWER_MAX = 64 * 1024
_HINT = "give the job `permissions: id-token: write`, or use another Vault login"


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
            return JwtLogin(role or "", lambda: identity_token(environ), auth.mount or "jwt")
        case "kubernetes":
            return KubernetesLogin(role or "", mount=auth.mount or "kubernetes")
        case other:
            raise InvalidInput(
                f"{other} is not a Vault login method", hint="use token, approle, jwt or kubernetes"
            )


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


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the request's token is for this host only."""

    def redirect_request(self, *_: Any) -> None:
        """Return None, so that the redirect is an HTTP error."""


def identity_token(
    environ: Mapping[str, str], *, opener: urllib.request.OpenerDirector | None = None
) -> Secret:
    """Return a new identity token of this GitHub Actions job, for Vault's JWT login.

    A job with `id-token: write` has a URL and a token for the request in its environment:
    https://docs.github.com/en/actions/reference/security/oidc.

    Raises:
        InvalidInput: this is not a GitHub Actions job with that permission.
        ReconcilerError: GitHub did not issue one.
    """
    url = environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    token = environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if not url or not token:
        raise InvalidInput(
            "Vault's JWT login needs GitHub Actions: ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN are not set",
            hint=_HINT,
        )
    if problem := service_url_problem(url, query=True):
        raise InvalidInput(f"ACTIONS_ID_TOKEN_REQUEST_URL {problem}; nothing was sent", hint=_HINT)
    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 (checked above)
        with (opener or urllib.request.build_opener(NoRedirects)).open(request, timeout=_TIMEOUT) as answer:
            value = json.loads(answer.read(_ANSWER_MAX))["value"]
    except urllib.error.HTTPError as error:
        error.close()
        raise ReconcilerError(
            f"GitHub refused to issue an identity token: HTTP {error.code}", hint=_HINT
        ) from None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
        # The cause may quote the answer, which holds the token.
        raise ReconcilerError("GitHub returned no identity token", hint="run the job again") from None
    if not isinstance(value, str) or not value:
        raise ReconcilerError("GitHub returned no identity token", hint="run the job again")
    return Secret(value)
