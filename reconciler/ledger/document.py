"""The Vault document of one webhook: its secrets and its ledger, and their JSON.

A document (KV v2, `<mount>/<prefix>/<name>`) has flat keys for consumers and the key `ledger`, a JSON string
for us. Its metadata repeats the part that is not secret (`projection`), so that a plan never reads a secret.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct, field

from reconciler.errors import DocumentUnreadable
from reconciler.ledger.ledger import Abandoned, Current, Ledger, Pending, Previous
from reconciler.model import DeletionPolicy, Run, Secret
from reconciler.texts import MOST_DIGITS, as_text, from_timestamp, is_text, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

LEDGER_VERSION = 1
_OURS = (
    "signing_secret",
    "previous_signing_secret",
    "previous_signing_secrets",
    "pending_signing_secret",
    "endpoint_id",
    "url",
    "ledger",
)
_COUNT_LIMIT = 10**MOST_DIGITS
# Deeper JSON may be readable in one part of the program and too deep for another.
_DEPTH_LIMIT = 50


class Document(Struct, frozen=True):
    """One Vault document: the ledger and the secrets that belong to it."""

    ledger: Ledger
    signing_secret: Secret | None = None
    previous_secrets: Mapping[str, Secret] = field(default_factory=dict)
    """By endpoint id, oldest first."""
    extra: Mapping[str, Secret] = field(default_factory=dict)
    """Unknown keys, as JSON texts: they are kept."""

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as Vault stores them. This reveals secrets: for the Vault adapter alone."""
        ledger = self.ledger
        fields: dict[str, Any] = {key: json.loads(text.reveal()) for key, text in self.extra.items()}
        if self.signing_secret is not None:
            fields["signing_secret"] = self.signing_secret.reveal()
        if ledger.current is not None:
            fields["endpoint_id"] = ledger.current.endpoint_id
            fields["url"] = ledger.current.url
        if self.previous_secrets:
            revealed = {endpoint_id: secret.reveal() for endpoint_id, secret in self.previous_secrets.items()}
            fields["previous_signing_secret"] = list(revealed.values())[-1]
            fields["previous_signing_secrets"] = json.dumps(revealed)
        if ledger.pending is not None:
            fields["pending_signing_secret"] = ledger.pending.client_secret.reveal()
        fields["ledger"] = json.dumps(_ledger_to_json(ledger), sort_keys=True)
        return fields

    @classmethod
    def from_fields(cls, fields: object) -> Self:
        """Read what `to_fields` wrote.

        Raises:
            DocumentUnreadable: it has no ledger, or one that this version does not understand.
                The message quotes nothing of the document, since any part of it may be secret.
        """
        if not isinstance(fields, dict) or not isinstance(fields.get("ledger"), str):
            raise DocumentUnreadable(
                "the document has no ledger: somebody else wrote it",
                hint="if an older version is ours, restore it with `vault kv rollback`; otherwise move the "
                "document out of our prefix, or give the webhook another name",
            )
        try:
            ledger = _ledger_from_json(json.loads(fields["ledger"]))
            previous = _record(json.loads(fields.get("previous_signing_secrets") or "{}"))
            secret = fields.get("signing_secret")
            return cls(
                ledger=ledger,
                signing_secret=Secret(secret) if is_text(secret) and secret else None,
                previous_secrets={as_text(k): Secret(as_text(v)) for k, v in previous.items()},
                extra={as_text(k): Secret(_json(v)) for k, v in fields.items() if k not in _OURS},
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            # The cause may quote the ledger's text, which contains a secret: it is dropped on purpose.
            raise DocumentUnreadable(
                "the document's ledger is damaged or from a newer version",
                hint="restore an earlier version of the document in Vault, or update this program",
            ) from None


def _ledger_to_json(ledger: Ledger) -> dict[str, Any]:
    pending = ledger.pending
    current = ledger.current
    return {
        "version": LEDGER_VERSION,
        "organization": ledger.organization,
        "api_url": ledger.api_url,
        "name": ledger.name,
        "nonce": ledger.nonce,
        "generation": ledger.generation,
        "pending": pending
        and {
            "generation": pending.generation,
            "attempt": pending.attempt,
            "idempotency_key": pending.idempotency_key,
            "body": pending.body.reveal(),
            "digest": pending.digest,
            "baseline_ids": sorted(pending.baseline_ids),
            "written_at": to_timestamp(pending.written_at),
            "resent": pending.resent,
            "stuck": pending.stuck,
            "gap": pending.gap,
            "revoke": pending.revoke,
        },
        "current": current
        and {
            "endpoint_id": current.endpoint_id,
            "generation": current.generation,
            "digest": current.digest,
            "url": current.url,
            "source": current.source,
            "live_digest": current.live_digest,
            "created_at": to_timestamp(current.created_at),
            "verified_at": to_timestamp(current.verified_at),
        },
        "previous": [
            {
                "endpoint_id": p.endpoint_id,
                "generation": p.generation,
                "retire_after": to_timestamp(p.retire_after),
                "deleted_at": to_timestamp(p.deleted_at),
                "expire_at": to_timestamp(p.expire_at),
                "url": p.url,
            }
            for p in ledger.previous
        ],
        "abandoned": [
            {
                "idempotency_key": a.idempotency_key,
                "url": a.url,
                "events": list(a.events),
                "baseline_ids": sorted(a.baseline_ids),
                "written_at": to_timestamp(a.written_at),
                "abandoned_at": to_timestamp(a.abandoned_at),
            }
            for a in ledger.abandoned
        ],
        "removing": ledger.removing,
        "released": ledger.released,
        "deletion_policy": ledger.deletion_policy.value,
        "manifest": {"path": ledger.manifest_path, "digest": ledger.manifest_digest},
        "owner": ledger.owner,
        "run": ledger.run.to_json(),
    }


def _optional_text(value: object) -> str | None:
    return None if value is None else as_text(value)


def _texts(value: object) -> list[str]:
    return [as_text(item) for item in _list(value)]


def _count(value: object) -> int:
    # A JSON true is an int to Python.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _COUNT_LIMIT:
        raise ValueError("not a count")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _moment(value: object) -> datetime:
    moment = from_timestamp(value)
    if moment is None:
        raise ValueError("a moment is missing")
    return moment


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _record(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _json(value: object) -> str:
    """Return somebody else's value as JSON text, if it can be written back."""
    if not _is_shallow(value):
        raise ValueError("nested too deeply")
    return json.dumps(value, allow_nan=False)


def _is_shallow(value: object, levels: int = _DEPTH_LIMIT) -> bool:
    if not isinstance(value, list | dict):
        return True
    items = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in items)


def _pending_from_json(value: dict[str, Any]) -> Pending:
    # A damaged body must be found here, not in the middle of a change.
    asked = _record(json.loads(as_text(value["body"])))
    _ = as_text(asked["url"]), _texts(asked["events"]), as_text(asked["secret"]), _json(asked)
    return Pending(
        generation=_count(value["generation"]),
        attempt=_count(value["attempt"]),
        idempotency_key=as_text(value["idempotency_key"]),
        body=Secret(as_text(value["body"])),
        digest=as_text(value["digest"]),
        baseline_ids=frozenset(_texts(value["baseline_ids"])),
        written_at=_moment(value["written_at"]),
        resent=_flag(value["resent"]),
        stuck=_flag(value["stuck"]),
        gap=_flag(value["gap"]),
        revoke=_flag(value["revoke"]),
    )


def _current_from_json(value: dict[str, Any]) -> Current:
    return Current(
        endpoint_id=as_text(value["endpoint_id"]),
        generation=_count(value["generation"]),
        digest=as_text(value["digest"]),
        url=as_text(value["url"]),
        source=as_text(value["source"]),
        live_digest=as_text(value["live_digest"]),
        created_at=_moment(value["created_at"]),
        verified_at=from_timestamp(value["verified_at"]),
    )


def _ledger_from_json(value: object) -> Ledger:
    value = _record(value)
    if _count(value["version"]) != LEDGER_VERSION:
        raise ValueError("unknown version")
    pending, current, manifest = value["pending"], value["current"], _record(value["manifest"])
    return Ledger(
        organization=as_text(value["organization"]),
        api_url=as_text(value["api_url"]),
        nonce=as_text(value["nonce"]),
        name=as_text(value["name"]),
        generation=_count(value["generation"]),
        pending=None if pending is None else _pending_from_json(_record(pending)),
        current=None if current is None else _current_from_json(_record(current)),
        previous=tuple(
            Previous(
                endpoint_id=as_text(p["endpoint_id"]),
                generation=_count(p["generation"]),
                retire_after=_moment(p["retire_after"]),
                deleted_at=from_timestamp(p["deleted_at"]),
                expire_at=from_timestamp(p["expire_at"]),
                url=as_text(p["url"]),
            )
            for p in map(_record, _list(value["previous"]))
        ),
        abandoned=tuple(
            Abandoned(
                idempotency_key=as_text(a["idempotency_key"]),
                url=as_text(a["url"]),
                events=tuple(_texts(a["events"])),
                baseline_ids=frozenset(_texts(a["baseline_ids"])),
                written_at=_moment(a["written_at"]),
                abandoned_at=_moment(a["abandoned_at"]),
            )
            for a in map(_record, _list(value["abandoned"]))
        ),
        removing=_flag(value["removing"]),
        released=_flag(value["released"]),
        deletion_policy=DeletionPolicy(value["deletion_policy"]),
        manifest_path=_optional_text(manifest["path"]),
        manifest_digest=_optional_text(manifest["digest"]),
        owner=_optional_text(value.get("owner")),
        run=Run.from_json({part: text for part, text in _record(value["run"]).items() if is_text(text)}),
    )
