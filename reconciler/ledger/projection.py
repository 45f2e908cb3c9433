"""The projection: the part of a ledger that is not secret, which the document's metadata repeats."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from msgspec import Struct, field

from reconciler.ledger.document import Document
from reconciler.ledger.ledger import CLOCK_TOLERANCE, Abandoned, Current, Ledger, Manifest, Previous, Spelling
from reconciler.model import POLICIES, DeletionPolicy, Run
from reconciler.texts import from_timestamp, read_count, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model import Secret

# Vault allows 512 bytes a value of custom_metadata.
_METADATA_VALUE_LIMIT = 512
_STATES_OF_ONE = frozenset({"active", "unverified", "released"})
"""The states of a projection that names an endpoint."""
_STATES = _STATES_OF_ONE | {"empty", "removing", "deleted"}
_DECISIVE = ("organization", "api_url", "state", "endpoint_id", "digest", "live_digest")
"""What a plan cannot do without where it is known."""
_LONG_AGO = datetime(1971, 1, 1, tzinfo=UTC)


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
    spelled_digest: str | None = None
    """As `Ledger.spelling`, if it is about `digest`: the digest that the API is known to list."""
    suspected_digest: str | None = None
    """As `Ledger.suspected`, if it is about `digest`."""
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

    @property
    def sent(self) -> Mapping[str, str]:
        """The current endpoint's URL as it was sent, by id: the part of `Ledger.sent` that metadata has."""
        return {self.endpoint_id: self.url} if self.endpoint_id and self.url else {}

    def to_metadata(self) -> dict[str, str]:
        """Return `custom_metadata`: printable texts of at most 512 bytes, none of them secret.

        Vault refuses all of it if it refuses one value, so such a value is left out, and the plan shows less.
        If the plan would be wrong without the value, `v` is left out, too: the change then counts as
        interrupted, and `apply` reads the ledger. The list of replaced endpoints is cut between two ids.
        """
        values = self.all_values()
        metadata = {key: text for key, text in values.items() if text and _fits_metadata(text)}
        listable = all(_fits_metadata(i) and "," not in i for i in self.previous_ids)
        if not listable or any(values[key] and key not in metadata for key in _DECISIVE):
            metadata.pop("v", None)
        return metadata

    def all_values(self) -> dict[str, str | None]:
        """Return all of it as texts, by key; None for what is absent."""
        previous = ""
        for endpoint_id in self.previous_ids:
            longer = f"{previous},{endpoint_id}" if previous else endpoint_id
            if len(longer.encode()) > _METADATA_VALUE_LIMIT:
                break
            previous = longer
        return {
            "v": str(self.version),
            "organization": self.organization,
            "api_url": self.api_url,
            "generation": str(self.generation),
            "state": self.state,
            "endpoint_id": self.endpoint_id,
            "url": self.url,
            "digest": self.digest,
            "live_digest": self.live_digest,
            "spelled_digest": self.spelled_digest,
            "suspected_digest": self.suspected_digest,
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
            "key_fingerprint": self.run.key_fingerprint,
        }

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
                spelled_digest=get("spelled_digest"),
                suspected_digest=get("suspected_digest"),
                previous_ids=tuple(ids.split(",")) if (ids := get("previous_ids")) else (),
                next_due=from_timestamp(get("next_due")),
                abandoned=_number(given) if (given := get("abandoned")) is not None else 0,
                secret_created_at=from_timestamp(get("secret_created_at")),
                verified_at=from_timestamp(get("verified_at")),
                deletion_policy=POLICIES[values["deletion_policy"]],
                owner=get("owner"),
                manifest=get("manifest"),
                run=Run(get("actor"), get("commit"), get("run"), get("pull_request"), get("key_fingerprint")),
            )
        except (ValueError, KeyError, TypeError):
            return None


OUR_KEYS = frozenset(Projection(0, "", "", 0, "").all_values())
"""The keys of `custom_metadata` that are ours: every other key belongs to somebody else, and is kept."""


def other_keys(values: object) -> dict[str, str]:
    """Return the part of `custom_metadata` that is not ours."""
    if not isinstance(values, dict):
        return {}
    return {key: text for key, text in values.items() if key not in OUR_KEYS and isinstance(text, str)}


def _fits_metadata(text: str) -> bool:
    return text.isprintable() and len(text.encode()) <= _METADATA_VALUE_LIMIT


def _number(text: str) -> int:
    count = read_count(text)
    if count is None:
        raise ValueError("not a count")
    return count


def project(document: Document, version: int, *, tested: bool, state: str | None = None) -> Projection:
    """Return the projection of `document` at `version`.

    `tested` says whether the manifest wants a test delivery; without one, nothing is unverified.
    """
    ledger, current = document.ledger, document.ledger.current
    return Projection(
        version=version,
        organization=ledger.organization,
        api_url=ledger.api_url,
        generation=ledger.generation,
        state=state or _state(ledger, tested=tested),
        endpoint_id=current.endpoint_id if current else None,
        url=current.url if current else None,
        digest=current.digest if current else None,
        live_digest=_live_digest(current) if current else None,
        spelled_digest=_listed(ledger.spelling, current),
        suspected_digest=_listed(ledger.suspected, current),
        previous_ids=tuple(p.endpoint_id for p in ledger.previous if p.deleted_at is None),
        next_due=ledger.next_due,
        abandoned=len(ledger.abandoned),
        # A missing secret has no age: so a plan sees that it is missing.
        secret_created_at=current.created_at if current and document.signing_secret is not None else None,
        verified_at=current.verified_at if current else None,
        deletion_policy=ledger.deletion_policy,
        owner=ledger.owner,
        manifest=ledger.manifest.path,
        run=ledger.run,
    )


def _live_digest(current: Current) -> str | None:
    """Return the digest of what the API made of the request, where it is another one."""
    return current.live_digest if current.live_digest not in {"", current.digest} else None


def _listed(spelling: Spelling | None, current: Current | None) -> str | None:
    """Return the digest that is listed for what the current endpoint was asked to be."""
    is_about_it = spelling is not None and current is not None and spelling.digest == current.digest
    return spelling.listed if spelling is not None and is_about_it else None


def _spelling(projection: Projection, listed: str | None) -> Spelling | None:
    return Spelling(projection.digest or "", listed) if listed is not None else None


def _state(ledger: Ledger, *, tested: bool) -> str:
    if ledger.removing:
        return "removing"
    if ledger.current is None:
        return "empty"
    if ledger.released:
        return "released"
    return "unverified" if tested and ledger.current.verified_at is None else "active"


def _current(projection: Projection) -> Current | None:
    if projection.endpoint_id is None or projection.state == "deleted":
        return None
    return Current(
        endpoint_id=projection.endpoint_id,
        generation=projection.generation,
        digest=projection.digest or "",
        url=projection.url or "",
        source="server",
        live_digest=projection.live_digest or projection.digest or "",
        created_at=projection.secret_created_at or _LONG_AGO,
        verified_at=projection.verified_at,
    )


def document_from_projection(projection: Projection, *, secret: Secret | None = None) -> Document:
    """Return as much of the document as the metadata holds; `secret` stands for the one not read, if any.

    The metadata has one due time: it counts for each replaced endpoint and each abandoned attempt.
    """
    due = projection.next_due or _LONG_AGO
    abandoned_at = due - CLOCK_TOLERANCE
    return Document(
        Ledger(
            organization=projection.organization,
            api_url=projection.api_url,
            generation=projection.generation,
            current=_current(projection),
            spelling=_spelling(projection, projection.spelled_digest),
            suspected=_spelling(projection, projection.suspected_digest),
            previous=tuple(Previous(i, projection.generation, due) for i in projection.previous_ids),
            abandoned=tuple(
                Abandoned("", "", (), frozenset(), abandoned_at, abandoned_at)
                for _ in range(min(projection.abandoned, 1))
            ),
            removing=projection.state == "removing",
            released=projection.state == "released",
            deletion_policy=projection.deletion_policy,
            manifest=Manifest(projection.manifest),
            owner=projection.owner,
            run=projection.run,
        ),
        signing_secret=secret if projection.secret_created_at is not None else None,
    )
