"""The token by which GitHub Actions vouches for a workflow run: what Vault's JWT login accepts.

See https://docs.github.com/en/actions/reference/security/oidc: a job with `id-token: write` finds a URL and
a token in its environment, and asks the one with the other.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.model import Secret
from reconciler.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATIENCE = 30.0
_ANSWER_MAX = 64 * 1024
_HINT = "give the job `permissions: id-token: write`, or use another Vault login"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follow nothing: the request's token is for this host alone."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""


def identity_token(
    environ: Mapping[str, str], *, opener: urllib.request.OpenerDirector | None = None
) -> Secret:
    """Return a fresh identity token of this GitHub Actions job.

    Raises:
        InvalidInput: this is no GitHub Actions job that may have one.
        ReconcilerError: GitHub did not give one.
    """
    url = environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    token = environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if not url or not token:
        raise InvalidInput(
            "Vault's JWT login needs GitHub Actions: ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN are not set",
            hint=_HINT,
        )
    if not _is_private(url):
        raise InvalidInput("ACTIONS_ID_TOKEN_REQUEST_URL is no https URL; nothing was sent", hint=_HINT)
    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 (checked above)
        with (opener or urllib.request.build_opener(_NoRedirects)).open(request, timeout=_PATIENCE) as answer:
            value = json.loads(answer.read(_ANSWER_MAX))["value"]
    except urllib.error.HTTPError as error:
        error.close()
        raise ReconcilerError(f"GitHub refused an identity token: HTTP {error.code}", hint=_HINT) from None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
        # The cause may quote the answer, which holds the token.
        raise ReconcilerError("GitHub gave no identity token", hint="run the job again") from None
    if not isinstance(value, str) or not value:
        raise ReconcilerError("GitHub gave no identity token", hint="run the job again")
    return Secret(value)


def _is_private(url: str) -> bool:
    """Whether nobody between here and there sees the token: https, or http that stays on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
