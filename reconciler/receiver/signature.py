"""Verify Zof webhook deliveries: what a service that receives them imports.

    from reconciler.receiver import candidate_secrets, verify

    secrets = candidate_secrets(fields)            # the Vault document's data, as Vault returned it
    if not verify(request_body, request_headers.get("X-Zof-Signature"), secrets):
        return 401

A signature is the lower-case hex HMAC-SHA256 of the raw request body under the endpoint's signing
secret in UTF-8. So verify the bytes as they came in, before any JSON is parsed. Answer within 10
seconds with a 2xx, and remember the `id` of events: one can be delivered more than once.

Only the standard library is used, so this file can also be copied into a service as it is.
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
    """Return the signature that a delivery of `body` carries: lower-case hex HMAC-SHA256."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verify(body: bytes, signature: str | None, secrets: str | Iterable[str]) -> bool:
    """Tell whether one of `secrets` signed `body`.

    The time that this takes depends on the length of the body and the number of secrets, not on how
    much of the signature is right or which secret matched.

    Args:
        body: the raw request body.
        signature: the header `X-Zof-Signature`; None where there was none.
        secrets: one signing secret or several: while a secret is being replaced, deliveries signed with
            the one before still arrive. Empty ones are ignored, since anybody can sign with them.

    Returns:
        False for anything but a right signature; a wrong one never raises.
    """
    given = (signature or "").encode("utf-8", "surrogateescape")
    verified = False
    for secret in (secrets,) if isinstance(secrets, str) else secrets:
        if secret:
            verified |= hmac.compare_digest(sign(body, secret).encode(), given)
    return verified


def candidate_secrets(fields: Mapping[str, object]) -> tuple[str, ...]:
    """Return the secrets that a delivery may be signed with now, from the fields of a Vault document.

    These are the current one; the pending one, since a new endpoint is live a moment before its secret
    becomes current; and the previous ones, until the replaced endpoints have expired.

    Args:
        fields: the document's data as Vault returns it (`signing_secret`, `pending_signing_secret`,
            `previous_signing_secret`, `previous_signing_secrets`). Fields that are absent or of
            another type count as none.
    """
    found: dict[str, None] = {}
    for name in ("signing_secret", "pending_signing_secret", "previous_signing_secret"):
        found.update(dict.fromkeys(_texts([fields.get(name)])))
    found.update(dict.fromkeys(_texts(_values(fields.get("previous_signing_secrets")))))
    return tuple(found)


def _texts(values: Iterable[object]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value)


def _values(text: object) -> Iterable[object]:
    """Return the values of a JSON object; none for anything else."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    return value.values() if isinstance(value, dict) else ()
