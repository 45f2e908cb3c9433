"""The ledger: what we recorded about one webhook, in the Vault document that holds its secret.

There is no state file. A document (KV v2, `<mount>/<prefix>/<name>`) has flat keys for consumers and
the key `ledger`, a JSON string for us. Its metadata repeats the part that is not secret (`Projection`),
so that a plan never reads a secret.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, TypeGuard

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.errors import DocumentUnreadable
from reconciler.model import POLICIES, DeletionPolicy, Run, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

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
# Vault allows 512 bytes a value of custom_metadata.
_METADATA_VALUE_LIMIT = 512
# Beyond these, arithmetic with moments ends at the calendar's edge.
_YEARS = range(1970, 9000)
_MOST_DIGITS = 12
_COUNT_LIMIT = 10**_MOST_DIGITS
# A deeper JSON can be read at one place of the program and be too deep at another.
_DEPTH_LIMIT = 50


def to_timestamp(moment: datetime | None) -> str | None:
    """Return `moment` (aware) as RFC 3339 in UTC with microseconds."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_timestamp(text: object) -> datetime | None:
    """Read what `to_timestamp` wrote; None for None.

    Raises `ValueError` for anything else: no text, no offset, or a year that is nobody's clock.
    """
    if text is None:
        return None
    moment = datetime.fromisoformat(_text(text))
    if moment.tzinfo is None or moment.year not in _YEARS:
        msg = "a timestamp without an offset, or from another age"
        raise ValueError(msg)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def is_text(value: object) -> TypeGuard[str]:
    """Whether `value` is a text that can be written: JSON can escape half a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


class Pending(Struct, frozen=True):
    """An intent, written before its request is sent: the request's exact bytes and its key."""

    generation: int
    attempt: int
    idempotency_key: str
    body: Secret
    """The request body, JSON; it holds the secret that we made."""
    digest: str
    baseline_ids: frozenset[str]
    """The endpoints that had this normalised URL before: none of them can be ours."""
    written_at: datetime
    resent: bool = False
    """Another run than the one that wrote it may send it, too: a server that forgot the key makes two."""
    stuck: bool = False
    """The server's last word on this key was an error that it may have stored."""
    gap: bool = False
    """The replaced endpoint goes before this one comes (`allowEventGap`)."""
    revoke: bool = False
    """The secret that is replaced is known to others: nothing signed with it counts any longer."""

    @property
    def url(self) -> str:
        """The URL that the request asks for."""
        return str(json.loads(self.body.reveal())["url"])

    @property
    def events(self) -> tuple[str, ...]:
        """The events that the request asks for, sorted."""
        return tuple(sorted(json.loads(self.body.reveal())["events"]))

    @property
    def client_secret(self) -> Secret:
        """The signing secret that we proposed."""
        return Secret(json.loads(self.body.reveal())["secret"])

    def abandon(self, last_sent: datetime, *, also: frozenset[str] = frozenset()) -> Abandoned:
        """Return the note that lets a later sweep find what this request may have made.

        It was not sent again after `last_sent`. `also` are ids that are accounted for and must not be swept.
        """
        baseline = self.baseline_ids | also
        return Abandoned(self.idempotency_key, self.url, self.events, baseline, self.written_at, last_sent)


class Current(Struct, frozen=True):
    """The endpoint that this webhook is, now."""

    endpoint_id: str
    generation: int
    digest: str
    url: str
    source: str
    """Who made the secret that counts: `client` or `server`; `adopted`: a person took the endpoint over."""
    created_at: datetime
    verified_at: datetime | None = None
    live_digest: str = ""
    """The digest of what the API made of it; empty where that is unknown and so taken for the same."""


class Previous(Struct, frozen=True):
    """A replaced endpoint whose secret may still be needed."""

    endpoint_id: str
    generation: int
    retire_after: datetime
    """From then on the endpoint is deleted, once its successor is verified."""
    deleted_at: datetime | None = None
    expire_at: datetime | None = None
    """From then on the secret is dropped and destroyed."""
    url: str = ""
    """Where it stood; empty where that is unknown."""


class Abandoned(Struct, frozen=True):
    """A request that was given up, or may have been carried out twice."""

    idempotency_key: str
    url: str
    events: tuple[str, ...]
    baseline_ids: frozenset[str]
    written_at: datetime
    """When the intent was written: what it made cannot be much older."""
    abandoned_at: datetime
    """Its last request was sent before this moment."""


class Ledger(Struct, frozen=True):
    """Everything that we know about one webhook beside its secrets."""

    organization: str
    api_url: str
    nonce: str = ""
    """Random, new with each write: tells after a lost answer whether the write was ours."""
    name: str = ""
    """Whose ledger it is: a copy of the document under another name owns nothing."""
    generation: int = 0
    pending: Pending | None = None
    current: Current | None = None
    previous: tuple[Previous, ...] = ()
    abandoned: tuple[Abandoned, ...] = ()
    removing: bool = False
    released: bool = False
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    manifest_path: str | None = None
    manifest_digest: str | None = None
    owner: str | None = None
    run: Run = field(default_factory=Run)

    @property
    def recorded_ids(self) -> frozenset[str]:
        """The endpoints that this ledger accounts for: current, and previous ones not yet deleted."""
        ids = {p.endpoint_id for p in self.previous if p.deleted_at is None}
        if self.current:
            ids.add(self.current.endpoint_id)
        return frozenset(ids)

    @property
    def owned_ids(self) -> frozenset[str]:
        """The recorded endpoints that are ours: a released one is not."""
        return frozenset() if self.released else self.recorded_ids


class Document(Struct, frozen=True):
    """One Vault document: the ledger and the secrets that belong to it."""

    ledger: Ledger
    signing_secret: Secret | None = None
    previous_secrets: Mapping[str, Secret] = field(default_factory=dict)
    """By endpoint id, oldest first."""
    extra: Mapping[str, Secret] = field(default_factory=dict)
    """Keys that we do not know, as JSON texts: kept as they are."""

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
            DocumentUnreadable: there is no ledger in it, or one that this version does not understand.
                The message quotes nothing of the document, since any part of it may be secret.
        """
        if not isinstance(fields, dict) or not isinstance(fields.get("ledger"), str):
            raise DocumentUnreadable(
                "the document holds no ledger: somebody else wrote it",
                hint="if an older version is ours, bring it back with `vault kv rollback`; else move the "
                "document out of our prefix, or give the webhook another name",
            )
        try:
            ledger = _ledger_from_json(json.loads(fields["ledger"]))
            previous = _record(json.loads(fields.get("previous_signing_secrets") or "{}"))
            secret = fields.get("signing_secret")
            return cls(
                ledger=ledger,
                signing_secret=Secret(secret) if is_text(secret) and secret else None,
                previous_secrets={_text(k): Secret(_text(v)) for k, v in previous.items()},
                extra={_text(k): Secret(_json(v)) for k, v in fields.items() if k not in _OURS},
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            # The cause may quote the ledger's text, which holds a secret: it is cut off on purpose.
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


def _text(value: object) -> str:
    if not is_text(value):
        raise ValueError("no text")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _texts(value: object) -> list[str]:
    return [_text(item) for item in _list(value)]


def _count(value: object) -> int:
    # A JSON true is an int to Python.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _COUNT_LIMIT:
        raise ValueError("no count")
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
        raise TypeError("no list")
    return value


def _record(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("no object")
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
    # A body that does not say what it asks for must not be found out in the middle of a change.
    asked = _record(json.loads(_text(value["body"])))
    _ = _text(asked["url"]), _texts(asked["events"]), _text(asked["secret"]), _json(asked)
    return Pending(
        generation=_count(value["generation"]),
        attempt=_count(value["attempt"]),
        idempotency_key=_text(value["idempotency_key"]),
        body=Secret(_text(value["body"])),
        digest=_text(value["digest"]),
        baseline_ids=frozenset(_texts(value["baseline_ids"])),
        written_at=_moment(value["written_at"]),
        resent=_flag(value["resent"]),
        stuck=_flag(value["stuck"]),
        gap=_flag(value["gap"]),
        revoke=_flag(value["revoke"]),
    )


def _current_from_json(value: dict[str, Any]) -> Current:
    return Current(
        endpoint_id=_text(value["endpoint_id"]),
        generation=_count(value["generation"]),
        digest=_text(value["digest"]),
        url=_text(value["url"]),
        source=_text(value["source"]),
        live_digest=_text(value["live_digest"]),
        created_at=_moment(value["created_at"]),
        verified_at=from_timestamp(value["verified_at"]),
    )


def _ledger_from_json(value: object) -> Ledger:
    value = _record(value)
    if _count(value["version"]) != LEDGER_VERSION:
        raise ValueError("unknown version")
    pending, current, manifest = value["pending"], value["current"], _record(value["manifest"])
    return Ledger(
        organization=_text(value["organization"]),
        api_url=_text(value["api_url"]),
        nonce=_text(value["nonce"]),
        name=_text(value["name"]),
        generation=_count(value["generation"]),
        pending=None if pending is None else _pending_from_json(_record(pending)),
        current=None if current is None else _current_from_json(_record(current)),
        previous=tuple(
            Previous(
                endpoint_id=_text(p["endpoint_id"]),
                generation=_count(p["generation"]),
                retire_after=_moment(p["retire_after"]),
                deleted_at=from_timestamp(p["deleted_at"]),
                expire_at=from_timestamp(p["expire_at"]),
                url=_text(p["url"]),
            )
            for p in map(_record, _list(value["previous"]))
        ),
        abandoned=tuple(
            Abandoned(
                idempotency_key=_text(a["idempotency_key"]),
                url=_text(a["url"]),
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


_STATES_OF_ONE = frozenset({"active", "unverified", "released"})
"""The states of a projection that names an endpoint."""
_STATES = _STATES_OF_ONE | {"empty", "removing", "deleted"}
_DECISIVE = ("organization", "api_url", "state", "endpoint_id", "digest", "live_digest")
"""What a plan cannot do without where it is known."""


class Projection(Struct, frozen=True, gc=False):
    """The part of a ledger that is not secret, as `custom_metadata` repeats it: all that a plan reads.

    It is written once a change, at its end. `version` is the document version it was made from: any
    other current version means that a change was interrupted, or that somebody wrote by hand.
    """

    version: int
    organization: str
    api_url: str
    generation: int
    state: str
    """`active`, `unverified`, `released`, `removing`, `deleted` or `empty` (its creation was refused)."""
    endpoint_id: str | None = None
    url: str | None = None
    digest: str | None = None
    live_digest: str | None = None
    """As `Current.live_digest`; None where it is the same as `digest`."""
    previous_ids: tuple[str, ...] = ()
    """The replaced endpoints that are still live."""
    next_due: datetime | None = None
    """When the next step of an overlap or a sweep is due, if one is."""
    abandoned: int = 0
    secret_created_at: datetime | None = None
    """None where there is an endpoint and no secret: it is to be replaced."""
    verified_at: datetime | None = None
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    owner: str | None = None
    manifest: str | None = None
    run: Run = field(default_factory=Run)

    @property
    def recorded_ids(self) -> tuple[str, ...]:
        """The endpoints that the ledger accounts for: as `Ledger.recorded_ids`."""
        if self.state == "deleted":
            return ()
        return (self.endpoint_id, *self.previous_ids) if self.endpoint_id else self.previous_ids

    @property
    def owned_ids(self) -> tuple[str, ...]:
        """The recorded endpoints that are ours: as `Ledger.owned_ids`."""
        return () if self.state == "released" else self.recorded_ids

    def at(self, version: int) -> Projection:
        """Return this projection, made from document version `version`."""
        return replace(self, version=version)

    def to_metadata(self) -> dict[str, str]:
        """Return `custom_metadata`: printable texts of at most 512 bytes, none of them secret.

        Vault refuses all of it for one value that it does not take, so such a value is left out: the plan
        then says less. Where it would say something wrong without it, `v` is left out too: that is no
        projection, and the ledger is read instead. The list of replaced endpoints is cut at a boundary.
        """
        previous = ""
        for endpoint_id in self.previous_ids:
            longer = f"{previous},{endpoint_id}" if previous else endpoint_id
            if len(longer.encode()) > _METADATA_VALUE_LIMIT:
                break
            previous = longer
        values = {
            "v": str(self.version),
            "organization": self.organization,
            "api_url": self.api_url,
            "generation": str(self.generation),
            "state": self.state,
            "endpoint_id": self.endpoint_id,
            "url": self.url,
            "digest": self.digest,
            "live_digest": self.live_digest,
            "previous_ids": previous,
            "next_due": to_timestamp(self.next_due),
            "abandoned": str(self.abandoned) if self.abandoned else None,
            "secret_created_at": to_timestamp(self.secret_created_at),
            "verified_at": to_timestamp(self.verified_at),
            "deletion_policy": self.deletion_policy.value,
            "owner": self.owner,
            "manifest": self.manifest,
            "actor": self.run.actor,
            "commit": self.run.commit,
            "run": self.run.url,
            "pull_request": self.run.pull_request,
        }
        metadata = {key: text for key, text in values.items() if text and _fits_metadata(text)}
        listable = all(_fits_metadata(i) and "," not in i for i in self.previous_ids)
        if not listable or any(values[key] and key not in metadata for key in _DECISIVE):
            metadata.pop("v", None)
        return metadata

    @classmethod
    def from_metadata(cls, values: Mapping[str, str] | None) -> Self | None:
        """Read what `to_metadata` wrote; None for metadata that is not ours or is damaged."""
        if not values:
            return None
        get = values.get
        try:
            # All of them texts, and texts that can be written.
            "".join(values.values()).encode()
            state = values["state"]
            if state not in _STATES or (state in _STATES_OF_ONE and not get("endpoint_id")):
                return None
            return cls(
                version=_number(values["v"]),
                organization=values["organization"],
                api_url=values["api_url"],
                generation=_number(values["generation"]),
                state=state,
                endpoint_id=get("endpoint_id"),
                url=get("url"),
                digest=get("digest"),
                live_digest=get("live_digest"),
                previous_ids=tuple(ids.split(",")) if (ids := get("previous_ids")) else (),
                next_due=from_timestamp(get("next_due")),
                abandoned=_number(given) if (given := get("abandoned")) is not None else 0,
                secret_created_at=from_timestamp(get("secret_created_at")),
                verified_at=from_timestamp(get("verified_at")),
                deletion_policy=POLICIES[values["deletion_policy"]],
                owner=get("owner"),
                manifest=get("manifest"),
                run=Run(get("actor"), get("commit"), get("run"), get("pull_request")),
            )
        except (ValueError, KeyError, TypeError):
            return None


def _fits_metadata(text: str) -> bool:
    return text.isprintable() and len(text.encode()) <= _METADATA_VALUE_LIMIT


def _number(text: str) -> int:
    """Read what `str` makes of a count; `int` alone takes signs, spaces and underscores too."""
    if len(text) > _MOST_DIGITS or not (text.isascii() and text.isdecimal()):
        raise ValueError("no count")
    return int(text)
