"""Get the identity token of a GitHub Actions job, for Vault's JWT login.

A job with `id-token: write` has a URL and a token for this request in its environment, see
https://docs.github.com/en/actions/reference/security/oidc.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.model import Secret
from reconciler.urls import service_url_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT = 30.0
_ANSWER_MAX = 64 * 1024
_HINT = "give the job `permissions: id-token: write`, or use another Vault login"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirects: the request's token is for this host only."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""


def identity_token(
    environ: Mapping[str, str], *, opener: urllib.request.OpenerDirector | None = None
) -> Secret:
    """Return a new identity token of this GitHub Actions job.

    Raises:
        InvalidInput: this is not a GitHub Actions job with that permission.
        ReconcilerError: GitHub did not return a token.
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
        with (opener or urllib.request.build_opener(_NoRedirects)).open(request, timeout=_TIMEOUT) as answer:
            value = json.loads(answer.read(_ANSWER_MAX))["value"]
    except urllib.error.HTTPError as error:
        error.close()
        raise ReconcilerError(
            f"GitHub refused to issue an identity token: HTTP {error.code}", hint=_HINT
        ) from None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
        # The cause may quote the answer, which contains the token.
        raise ReconcilerError("GitHub returned no identity token", hint="run the job again") from None
    if not isinstance(value, str) or not value:
        raise ReconcilerError("GitHub returned no identity token", hint="run the job again")
    return Secret(value)
