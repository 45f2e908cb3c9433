"""The Vault document of one webhook: its secrets and its ledger, and their JSON.

A document (KV v2, `<mount>/<prefix>/<name>`) has flat keys for consumers and the key `ledger`, a JSON string
for us. Its metadata repeats the part that is not secret (`projection`), so that a plan never reads a secret.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec import Struct, field

from reconciler.errors import DocumentUnreadable
from reconciler.ledger.ledger import Ledger
from reconciler.model import Secret
from reconciler.texts import YEARS, as_text, is_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECRET_FIELDS = ("signing_secret", "previous_signing_secret", "pending_signing_secret")
"""The fields of a document that are one signing secret each."""
_OURS = (*SECRET_FIELDS, "previous_signing_secrets", "endpoint_id", "url", "ledger")
_REQUIRED = {"version", "pending", "current", "previous", "abandoned", "removing", "released", "run"}
"""Without one of these, a ledger would mean something else: the others have harmless defaults."""
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

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every signing secret in it: the current one, those that were replaced, and a proposed one."""
        pending = self.ledger.pending
        found = [*self.previous_secrets.values()]
        found += [] if self.signing_secret is None else [self.signing_secret]
        return (*found, *([] if pending is None else [pending.client_secret]))

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
        fields["ledger"] = _encode(ledger)
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
            ledger = _decode(fields["ledger"])
            previous = _record(json.loads(fields.get("previous_signing_secrets") or "{}"))
            secret = fields.get("signing_secret")
            return cls(
                ledger=ledger,
                signing_secret=Secret(secret) if is_text(secret) and secret else None,
                previous_secrets={as_text(k): Secret(as_text(v)) for k, v in previous.items()},
                extra={as_text(k): Secret(_json(v)) for k, v in fields.items() if k not in _OURS},
            )
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError):
            # The cause may quote the ledger's text, which contains a secret: it is dropped on purpose.
            raise DocumentUnreadable(
                "the document's ledger is damaged or from a newer version",
                hint="restore an earlier version of the document in Vault, or update this program",
            ) from None


class _Request(Struct):
    """What an intent's request must contain."""

    url: str
    events: list[str]
    secret: str


def _encode(ledger: Ledger) -> str:
    return msgspec.json.encode(ledger, enc_hook=_reveal, order="deterministic").decode()


def _decode(text: str) -> Ledger:
    value = _record(json.loads(text))
    if not value.keys() >= _REQUIRED:
        raise ValueError("a part is missing")
    value["run"] = {part: text for part, text in _record(value["run"]).items() if is_text(text)}
    # JSON can escape half a surrogate pair, which cannot be written again.
    json.dumps(value, ensure_ascii=False).encode()
    ledger = msgspec.convert(value, Ledger, dec_hook=_wrap)
    for moment in _moments(ledger):
        if moment.utcoffset() or moment.tzinfo is None or moment.year not in YEARS:
            raise ValueError("a moment that we never write")
    if ledger.pending is not None:
        # A damaged body must be found here, not in the middle of a change.
        asked = _record(json.loads(ledger.pending.body.reveal()))
        msgspec.convert(asked, _Request)
        json.dumps(asked, ensure_ascii=False).encode()
        _json(asked)
    return ledger


def _reveal(value: object) -> str:
    """Encode a secret: the ledger is secret material, and is stored as such."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _wrap(kind: type, value: object) -> Secret:
    if kind is Secret:
        return Secret(as_text(value))
    raise NotImplementedError


def _moments(value: Struct) -> Iterator[datetime]:
    """Yield every time in a ledger, however deep."""
    for name in value.__struct_fields__:
        part = getattr(value, name)
        for each in part if isinstance(part, tuple) else (part,):
            if isinstance(each, datetime):
                yield each
            elif isinstance(each, Struct):
                yield from _moments(each)


def _record(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _json(value: object) -> str:
    """Return another writer's value as JSON text, if it can be written back."""
    if not _is_shallow(value):
        raise ValueError("nested too deeply")
    return json.dumps(value, allow_nan=False)


def _is_shallow(value: object, levels: int = _DEPTH_LIMIT) -> bool:
    if not isinstance(value, list | dict):
        return True
    items = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in items)
