"""Find receivers of ours that have another signing secret than Vault: ask them, without sending an event."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.cli.system import SystemClock
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.http_client import HttpClient, Reply
from reconciler.network import Network
from reconciler.receiver.answers import IDENTITY_HEADER
from reconciler.receiver.signature import SIGNATURE_HEADER, sign
from reconciler.report.checks import Check
from reconciler.texts import is_text
from reconciler.usecases.deliver import WRONG_SECRET_HINT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.model import Webhook

    ReadFields = Callable[[str], Mapping[str, object]]

_SECONDS = 10.0
_SIZE = 64 * 1024
_AT_A_TIME = 8
_NO_EVENT = b"{}"
"""A body that a receiver refuses with 400 after it has verified the signature."""


def is_ours(url: str) -> bool:
    """Return whether `reconciler receive` answers at a URL; False if nobody answers."""
    reply = _ask("GET", url, {})
    return reply is not None and IDENTITY_HEADER in reply.headers


def check_secrets(webhooks: Sequence[Webhook], read_fields: ReadFields) -> list[Check]:
    """Return a check for each webhook whose receiver is ours: whether it accepts the secret in Vault.

    `read_fields` returns the fields of a webhook's Vault document. The secret is only read, and a signature
    only sent, if the receiver is ours.
    """

    def check(webhook: Webhook) -> Check | None:
        return _check(webhook, read_fields) if is_ours(webhook.normalized_url) else None

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return [found for found in pool.map(check, webhooks) if found is not None]


def _check(webhook: Webhook, read_fields: ReadFields) -> Check:
    name, title = webhook.name, f"receiver of {webhook.name}"
    host = urlsplit(webhook.normalized_url).netloc
    try:
        secret = read_fields(name).get("signing_secret")
    except ReconcilerError as error:
        hint = f"`reconciler test {name}` compares it, too"
        return Check(title, ok=True, detail=f"secret not compared: {error.message}", hint=hint, warning=True)
    if not is_text(secret):
        return Check(title, ok=True, detail="secret not compared: Vault has none yet")
    reply = _ask("POST", webhook.normalized_url, {SIGNATURE_HEADER: sign(_NO_EVENT, secret)}, _NO_EVENT)
    match None if reply is None else reply.status_code:
        case HTTPStatus.BAD_REQUEST:
            return Check(title, ok=True, detail="it has the signing secret that is in Vault")
        case HTTPStatus.UNAUTHORIZED:
            problem = f"`reconciler receive` at {host} has another signing secret than Vault"
        case HTTPStatus.SERVICE_UNAVAILABLE:
            problem = f"`reconciler receive` at {host} has no signing secret"
        case HTTPStatus.NOT_FOUND:
            problem = f"`reconciler receive` at {host} does not receive this webhook"
        case status:
            detail = f"secret not compared: {'no answer' if status is None else f'HTTP {status}'}"
            return Check(title, ok=True, detail=detail, warning=True)
    hint = WRONG_SECRET_HINT.format(name=name)
    return Check(title, ok=False, detail=problem, hint=hint, exit_code=ExitCode.FAILED)


def _ask(method: str, url: str, headers: Mapping[str, str], content: bytes | None = None) -> Reply | None:
    """Return the response; None if there is none."""
    try:
        client = HttpClient(url, Network.of(os.environ), clock=SystemClock(), read_timeout=_SECONDS)
    except ReconcilerError:
        return None
    try:
        reply = client.send(method, url, headers=headers, seconds=_SECONDS, size=_SIZE, content=content)
    finally:
        client.close()
    return reply if isinstance(reply, Reply) else None
