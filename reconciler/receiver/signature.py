"""Verify Zof webhook deliveries: what a service that receives them imports.

    from reconciler.receiver import candidate_secrets, verify

    secrets = candidate_secrets(fields)            # the Vault document's data, as Vault returned it
    if not verify(request_body, request_headers.get("X-Zof-Signature"), secrets):
        return 401

A signature is the lower-case hex HMAC-SHA256 of the raw request body; its key is the endpoint's signing
secret in UTF-8. So verify the bytes as they were received, before you parse any JSON. Answer within 10
seconds with a 2xx, and remember the `id` of events: an event can be delivered more than once.

This file uses only the standard library, so you can also copy it into a service unchanged.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SIGNATURE_HEADER = "X-Zof-Signature"


def sign(body: bytes, secret: str) -> str:
    """Return the signature of a delivery of `body`: lower-case hex HMAC-SHA256."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verify(body: bytes, signature: str | None, secrets: str | Iterable[str]) -> bool:
    """Return whether `body` was signed with one of `secrets`.

    The run time depends on the length of the body and the number of secrets, not on how much of the
    signature is correct or which secret matched.

    Args:
        body: the raw request body.
        signature: the header `X-Zof-Signature`; None if it is missing.
        secrets: one signing secret or several: while a secret is being replaced, deliveries signed with
            the previous one still arrive. Empty ones are ignored, because anybody can sign with them.

    Returns:
        False for anything but a correct signature; a wrong one never raises.
    """
    given = (signature or "").encode("utf-8", "surrogateescape")
    verified = False
    for secret in (secrets,) if isinstance(secrets, str) else secrets:
        if secret:
            verified |= hmac.compare_digest(sign(body, secret).encode(), given)
    return verified


def candidate_secrets(fields: Mapping[str, object]) -> tuple[str, ...]:
    """Return the secrets that a delivery may currently be signed with, from the fields of a Vault document.

    These are the current one; the pending one, because a new endpoint is live shortly before its secret
    becomes current; and the previous ones, until the replaced endpoints have expired.

    Args:
        fields: the document's data as Vault returns it (`signing_secret`, `pending_signing_secret`,
            `previous_signing_secret`, `previous_signing_secrets`). Fields that are absent or of
            another type are ignored.
    """
    found: dict[str, None] = {}
    for name in ("signing_secret", "pending_signing_secret", "previous_signing_secret"):
        found.update(dict.fromkeys(_texts([fields.get(name)])))
    found.update(dict.fromkeys(_texts(_values(fields.get("previous_signing_secrets")))))
    return tuple(found)


def _texts(values: Iterable[object]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value)


def _values(text: object) -> Iterable[object]:
    """Return the values of a JSON object; empty for anything else."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    return value.values() if isinstance(value, dict) else ()
