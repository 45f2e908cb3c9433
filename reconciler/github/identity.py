"""The identity token of a GitHub Actions job, for Vault's JWT login."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.credentials.known import KNOWN
from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.http_client import HttpClient, NoReply
from reconciler.model import Secret
from reconciler.network import Network
from reconciler.untrusted_json import load_json
from reconciler.urls import service_url_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.http_client import Transport
    from reconciler.ports import Clock

_SECONDS = 30.0
_ANSWER_MAX = 64 * 1024
_OK = range(200, 300)
_HINT = "give the job `permissions: id-token: write`, or use another Vault login"


def identity_token(environ: Mapping[str, str], clock: Clock, *, transport: Transport | None = None) -> Secret:
    """Return a new identity token of this job.

    A job with `id-token: write` has a URL and a token for the request in its environment:
    https://docs.github.com/en/actions/reference/security/oidc.

    Args:
        environ: the job's environment.
        clock: for the deadline.
        transport: what carries the request; None: the network.

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
    if not (token.isascii() and token.isprintable()):
        raise InvalidInput("ACTIONS_ID_TOKEN_REQUEST_TOKEN contains invalid characters", hint=_HINT)
    KNOWN.add(Secret(token))
    client = HttpClient(url, Network.of(environ), clock=clock, transport=transport)
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    reply = client.send("GET", url, headers=headers, seconds=_SECONDS, size=_ANSWER_MAX)
    client.close()
    if isinstance(reply, NoReply):
        raise ReconcilerError(f"GitHub returned no identity token: {reply.reason}", hint="run the job again")
    if reply.status_code not in _OK:
        raise ReconcilerError(
            f"GitHub refused to issue an identity token: HTTP {reply.status_code}", hint=_HINT
        )
    return _read(reply.body)


def _read(body: bytes | bytearray) -> Secret:
    try:
        answer = load_json(body)
    except ValueError:
        # The cause quotes the answer, which may hold the token.
        answer = None
    value = answer.get("value") if isinstance(answer, dict) else None
    if not isinstance(value, str) or not value:
        raise ReconcilerError("GitHub returned no identity token", hint="run the job again")
    return Secret(value)
